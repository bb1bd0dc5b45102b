# A static program in an empty image: no shell, no package, nothing to patch but Bindery itself.
#
#   docker build -t bindery:0.1.0 .
FROM rust:1.95-slim AS build
WORKDIR /bindery
COPY . .
RUN RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin bindery --target x86_64-unknown-linux-gnu \
    && install -D target/x86_64-unknown-linux-gnu/release/bindery /image/bindery

FROM scratch
COPY --from=build /image/bindery /bindery
USER 65532:65532
EXPOSE 8443 8080
ENTRYPOINT ["/bindery"]
CMD ["serve"]
