# MinIO, built from its published Go module, because MinIO no longer publishes images.
FROM golang:1.26-trixie AS build
ARG MINIO_VERSION
RUN CGO_ENABLED=0 GOBIN=/out GOFLAGS="-trimpath -ldflags=-w" go install "github.com/minio/minio@${MINIO_VERSION}"

FROM debian:trixie-slim
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
