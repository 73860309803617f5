# The images of session-guard: docker build --target NAME --tag NAME .
#
#   signout       the service
#   envoy         Envoy with the filter and envoy/envoy.yaml
#   envoy-native  Envoy with the dynamic module and envoy/native/envoy.yaml (docs/native.md)
#   application   the demo's application
#   walk          the demo's steps, for `make compose-demo`
#
# Each image reads its secrets from files, one per variable (setup/with-secrets.sh), runs without root,
# and writes only to its volumes.

FROM rust:1.90.0-slim-bookworm AS sources
WORKDIR /session-guard
COPY . .

FROM sources AS build
RUN setup/wasm.sh target/session_guard.wasm && rm -rf target/wasm*
# The demo's programs do not need a release build.
RUN cargo build --locked --release --package signout \
    && cargo build --locked --package demo --config profile.dev.debug=0 \
    && install -D -t /programs target/release/signout target/debug/demo-application \
        target/debug/demo-walk \
    && rm -rf target/debug target/release

FROM debian:12.12-slim AS base
COPY setup/with-secrets.sh /usr/local/bin/with-secrets
# Certificate authorities for a Redis with TLS, unless --redis-ca names others.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A new volume inherits owner and mode of the directory on which it is mounted first.
RUN install -d -o 65532 -g 65532 -m 0700 /var/lib/signout /run/session-guard /run/signout
USER 65532:65532
ENTRYPOINT ["with-secrets"]

FROM base AS signout
COPY --from=build /programs/signout /usr/local/bin/
EXPOSE 8090
VOLUME /var/lib/signout
# Kubernetes has its own probes. With --tls-cert, set SIGNOUT_URL and SIGNOUT_CA for this check. The service
# responds once it has read its store; ten million revocations take a while.
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s \
    CMD ["with-secrets", "signout", "status"]
CMD ["signout", "serve", "--listen", "0.0.0.0:8090", "--store", "redb:/var/lib/signout/revocations.redb"]

FROM base AS application
COPY --from=build /programs/demo-application /usr/local/bin/
EXPOSE 3000
CMD ["demo-application", "0.0.0.0:3000"]

FROM base AS walk
COPY --from=build /programs/demo-walk /usr/local/bin/
ENTRYPOINT ["demo-walk"]

FROM envoyproxy/envoy:v1.40.0 AS proxy
COPY setup/with-secrets.sh /usr/local/bin/with-secrets
WORKDIR /session-guard
USER 65532:65532
EXPOSE 8080 9902
# The listener accepts connections. The `ready` route would be wrong here: it responds 503 while the signout
# service has not been reached yet. The image has bash, but no curl.
HEALTHCHECK --interval=2s --timeout=2s --start-period=60s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080"]
ENTRYPOINT ["with-secrets"]
CMD ["envoy", "--config-path", "envoy/envoy.yaml"]

FROM proxy AS envoy
COPY envoy/envoy.yaml envoy/
# Makes a configuration for Open WebUI from it.
COPY examples/open-webui/envoy.sh examples/open-webui/
COPY --from=build /session-guard/target/session_guard.wasm target/

FROM sources AS build-native
RUN setup/native.sh target/libsession_guard_native.so && rm -rf target/native

FROM proxy AS envoy-native
COPY envoy/native/envoy.yaml envoy/
COPY --from=build-native /session-guard/target/libsession_guard_native.so target/
