# MinIO, built from its published Go module, because MinIO no longer publishes images.
FROM golang:1.26-trixie@sha256:87ffdb09b6a2e29ff910748b745395e8a0299aa80b7c0551cdca9b55e3fd2b3e AS build
ARG MINIO_VERSION
RUN CGO_ENABLED=0 GOBIN=/out GOFLAGS="-trimpath -ldflags=-w" go install "github.com/minio/minio@${MINIO_VERSION}"

FROM debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f
LABEL org.opencontainers.image.title="customer-profiles-minio" \
      org.opencontainers.image.description="MinIO, built from its Go module" \
      org.opencontainers.image.licenses="AGPL-3.0"
RUN useradd --uid 1000 --create-home pipeline && install -d -o pipeline /data
COPY --from=build /out/minio /usr/local/bin/minio
ENV MINIO_UPDATE=off MINIO_CALLHOME_ENABLE=off GOMEMLIMIT=320MiB GOGC=50
USER 1000
VOLUME /data
ENTRYPOINT ["minio"]
CMD ["server", "--quiet", "--address", ":9000", "--console-address", ":9001", "/data"]
