# A static program in an empty image: no shell and no packages.
#
#   docker build -t bindery:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t bindery:0.1.0 .
#
# The build runs on the builder's own processor and compiles for the processor of the image, without emulation. The base image
# is pinned by version; to pin it by digest, add --build-arg RUST_IMAGE=rust@sha256:...
ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG TARGETARCH
WORKDIR /bindery
RUN set -eu; \
    native=$(dpkg --print-architecture); wanted=${TARGETARCH:-$native}; \
    case $wanted in \
      amd64) cpu=x86_64 ;; \
      arm64) cpu=aarch64 ;; \
      *) echo "there is no image for $wanted" >&2; exit 1 ;; \
    esac; \
    packages=make; \
    [ "$wanted" = "$native" ] || packages="make gcc-$(echo $cpu | tr _ -)-linux-gnu libc6-dev-$wanted-cross"; \
    apt-get update; \
    apt-get install -y --no-install-recommends $packages; \
    echo $cpu-unknown-linux-gnu >/target
COPY . .
RUN rustup target add "$(cat /target)" \
    && make release RELEASE_TARGET="$(cat /target)" \
    && install -D "target/$(cat /target)/release/bindery" /image/bindery

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Bindery" \
      org.opencontainers.image.description="Kubernetes NFS provisioner: the volume exists when kubectl apply returns" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/bindery /bindery
# One memory arena for all threads: they rarely allocate at the same time, and an arena keeps the memory that it once needed.
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/bindery"]
CMD ["serve"]
