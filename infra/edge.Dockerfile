# The edge: one static binary, and nothing else. From the root of the repository:
#   docker build --platform linux/arm64 -f infra/edge.Dockerfile -t runnel-edge .
FROM public.ecr.aws/docker/library/rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev gcc
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p sse-edge --bin sse-edge

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/sse-edge /sse-edge
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/sse-edge"]
