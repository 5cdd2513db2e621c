# The edge as one static binary and nothing else: no shell, no package, nobody to be but 65532.
# It writes no file, so its root may be read-only.
#
#   docker build --platform linux/arm64 -f infra/edge.Dockerfile -t runnel-edge .

FROM public.ecr.aws/docker/library/rust:1.95-alpine AS build
# ring and mimalloc have parts in C.
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src
COPY . .
# musl's target links statically by itself.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist -p sse-edge && cp target/dist/sse-edge /sse-edge

FROM scratch
# Whom to believe: AWS, and the issuer of the tokens.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /sse-edge /sse-edge
USER 65532:65532
ENV RUNNEL_LISTEN=0.0.0.0:8080 RUNNEL_LOG_FORMAT=json
EXPOSE 8080
ENTRYPOINT ["/sse-edge"]
