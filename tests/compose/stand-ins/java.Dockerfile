# The base image of the stand-ins that need Java.
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-21-jre-headless >/dev/null \
    && rm -rf /var/lib/apt/lists/* && useradd --uid 1000 --create-home server
