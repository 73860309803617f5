# All commands to build, try and check session-guard. Everything is built and installed below target/.

.PHONY: help demo picture pages compose-demo test fuzz thread-sanitizer mutants bench faults soak soak-faults soak-streams streams-report audit-bytes open-webui \
    identity-providers kubernetes kubernetes-envoy monitoring compose-test wasm native native-drill native-configuration \
    test-native nginx caddy forward-auth bench-forward-auth image reproducible wasm-drill envoy envoys redis valkey prometheus alertmanager stream-peers programs lint ci \
    release release-check

# The Envoy tests that also run with the dynamic module: docs/native.md.
NATIVE_TESTS = $(addprefix --test ,smoke panic api_keys callouts configuration cutoffs dry_run faults feed filter_state fleet \
    hostile hygiene identity keys key_sets monitoring open_webui paths places readiness reload sessions signout streams tokens)

FILTER = $(if $(SESSION_GUARD_BUILD),$(SESSION_GUARD_BUILD),wasm)

COMPOSE_FILES = $(wildcard examples/*/compose.yaml examples/compose/docker-compose.yaml examples/compose/redis.yaml)

PROGRAMS = $${CARGO_TARGET_DIR:-target}/debug

help: ## prints this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(FILTER) envoy programs ## shows in two real Envoys what ends at a sign-out
	@$(PROGRAMS)/demo

picture: $(FILTER) envoy programs ## runs the demo and draws the README's picture from its output: docs/sign-out.svg
	@python3 examples/demo/picture.py $(PROGRAMS)/demo

test: wasm wasm-drill native native-drill envoy redis valkey nginx caddy stream-peers programs ## runs all tests: the core natively, the filter in a real Envoy
	cargo test --workspace
	SESSION_GUARD_BUILD=native cargo test --workspace $(NATIVE_TESTS)

test-native: native native-drill envoy redis stream-peers programs ## runs the Envoy tests with the dynamic module
	SESSION_GUARD_BUILD=native cargo test --workspace $(NATIVE_TESTS)

bench-forward-auth: nginx redis ## measures forward auth with NGINX, compared with a look-up in Redis on each request
	@cargo build --profile measure -p bench -p signout
	@$${CARGO_TARGET_DIR:-target}/measure/bench --only forward_auth

forward-auth: envoy nginx caddy programs ## tests NGINX, Caddy and Envoy's ext_authz in front of signout serve --guard
	cargo test --workspace --test forward_auth

fuzz: ## runs each fuzz target for FUZZ_SECONDS=20
	@fuzz/run.sh

thread-sanitizer: ## looks for data races in the native store; needs a nightly toolchain with rust-src
	@tests/thread-sanitizer.sh

mutants: ## mutation testing of the core with cargo-mutants: about an hour
	@tests/mutants.sh

compose-demo: ## runs the demo with docker compose: two Envoys behind a front proxy; STORE=redis
	@STORE=$(STORE) examples/compose/demo.sh

open-webui: wasm envoy ## tests the real Open WebUI behind Envoy with a browser; installs 7.3 GB
	@setup/open-webui.sh
	@cargo build --package signout
	@cd examples/open-webui && ../../target/open-webui/bin/python -m unittest
	@target/open-webui/bin/python examples/open-webui/run.py

identity-providers: wasm envoy ## signs out at two real identity providers and measures when two Envoys refuse the tokens; ROUNDS=100
	@setup/python-peers.sh identity-providers
	@case '$(PROVIDERS)' in '' | *glewlwyd*) setup/glewlwyd.sh ;; esac
	@cargo build --package signout
	@target/identity-providers/bin/python examples/identity-provider/run.py

faults: $(FILTER) $(FILTER)-drill envoy redis valkey programs ## injects every fault of tests/faults.list and prints a table of results; some need root
	@FAULTS_LONG=1 tests/faults.sh
	REDIS_SERVER=$(CURDIR)/target/valkey-server cargo test -p signout --lib store::redis

soak: soak-streams soak-faults ## runs all long-running tests

soak-faults: $(FILTER) $(FILTER)-drill envoy redis programs ## injects random faults for SOAK_MINUTES=60; SOAK_SEED repeats a run
	SOAK_MINUTES=$${SOAK_MINUTES:-60} cargo test --workspace --test faults -- --nocapture soak::

soak-streams: $(FILTER) $(FILTER)-drill envoy programs ## ends 100,000 streams in random ways; STREAMS_SEED repeats a run
	STREAMS_ENDINGS=$${STREAMS_ENDINGS:-100000} cargo test --workspace --test streams -- --nocapture random

audit-bytes: redis ## measures what an audit entry takes in redb and in Redis
	@cargo test -p signout --lib -- --ignored --nocapture bytes_of_an_audit_entry

streams-report: $(FILTER) $(FILTER)-drill envoy programs ## measures the time from a sign-out to the end of its streams: p50, p99, max
	@cargo test --workspace --test streams -- --ignored --nocapture report

kubernetes: ## checks the manifests and the Helm chart against the schemas of Istio and Kubernetes
	@setup/kubernetes.sh
	@target/kubernetes/bin/python tests/kubernetes

kubernetes-envoy: wasm native envoy programs ## runs the filter in a real Envoy as Istio and Envoy Gateway deliver it
	@setup/kubernetes.sh
	@target/kubernetes/bin/python tests/kubernetes/envoy.py

monitoring: wasm wasm-drill envoy prometheus alertmanager programs ## tests alerts and dashboard with a real Prometheus and Alertmanager
	cargo test --workspace --test monitoring -- --include-ignored

pages: wasm envoy programs ## tests the demo's page and the status page of the service in chromium
	@setup/chromium.sh
	@setup/python-peers.sh browser
	cargo test --workspace --test demo_page --test status_page -- --include-ignored

compose-test: ## runs compose-demo with both stores and the quick start without a container registry; needs root and Debian
	@tests/compose.sh

bench: wasm native envoy ## measures the cost of a request, also of jwt_authn and ext_authz; BENCH=--quick, BENCH=--all
	@mkdir -p target/bench
	@case '$(BENCH)' in *--all*) setup/python-peers.sh bench-peers ;; esac
	@PACKAGE=empty-filter setup/wasm.sh target/bench/empty_filter.wasm
	@PACKAGE=empty-module setup/native.sh target/bench/libempty_module.so
	@cargo build --profile measure -p bench -p signout
	@$${CARGO_TARGET_DIR:-target}/measure/bench $(BENCH)

wasm: ## builds the filter: target/session_guard.wasm
	@setup/wasm.sh target/session_guard.wasm

image: wasm ## builds the filter's OCI image for Istio: target/image; prints both digests
	@cargo run --quiet -p oci-image -- target/session_guard.wasm target/image

reproducible: ## builds the filter twice, in different directories, and compares the bytes
	@tests/reproducible.sh

native: ## builds the filter as a dynamic module of Envoy: target/libsession_guard_native.so
	@setup/native.sh target/libsession_guard_native.so

native-drill: # builds the dynamic module with a request header that makes it panic: for tests, never shipped
	@setup/native.sh target/libsession_guard_native_drill.so panic-drill

native-configuration: ## generates envoy/native/envoy.yaml from envoy/envoy.yaml
	@UPDATE=1 cargo test --quiet --test native generated

wasm-drill: # builds the filter with a request header that makes it panic: for tests, never shipped
	@setup/wasm.sh target/session_guard_drill.wasm panic-drill

envoy: ## installs the pinned Envoy: target/envoy
	@setup/envoy.sh

envoys: wasm native envoy programs ## runs the demo, the smoke tests and the dynamic module on every tested version of Envoy
	@tests/envoys.sh

redis: # finds or installs Redis for the tests: target/redis-server
	@setup/redis.sh

valkey: # installs the pinned Valkey for the tests: target/valkey-server
	@setup/valkey.sh

nginx: # finds or unpacks NGINX for the tests: target/nginx
	@setup/nginx.sh

caddy: # installs the pinned Caddy for the tests: target/caddy
	@setup/python-peers.sh caddy

stream-peers: # installs third-party WebSocket and gRPC clients for the tests: target/stream-peers
	@setup/python-peers.sh stream-peers

prometheus: # finds or installs Prometheus: target/prometheus
	@setup/prometheus.sh

alertmanager: # finds or installs Alertmanager: target/alertmanager
	@setup/alertmanager.sh

programs: # builds the service and the demo's programs, which the tests start
	@cargo build --workspace

release: ## builds the files of a release that this machine can build: target/release-files; VERSION=0.1.0
	@setup/release.sh "$(VERSION)" $(PARTS)

release-check: ## checks workflows, update bot, Dockerfile and what they pin, and the compose files
	@setup/python-peers.sh release-check
	@python3 tests/release/check.py pins
	target/release-check/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yaml
	target/release-check/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	target/release-check/bin/zizmor --offline --quiet .github
	target/release-check/bin/hadolint Dockerfile
	target/release-check/bin/check-jsonschema --builtin-schema vendor.compose-spec $(COMPOSE_FILES)

lint: ## checks formatting, clippy and documentation; warnings are errors
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

ci: lint release-check kubernetes test kubernetes-envoy fuzz monitoring pages image demo ## runs all checks of CI, the cheap ones first
