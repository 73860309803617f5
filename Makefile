# Every way to build, try and check session-guard. What is built and installed lands in target/.

.PHONY: help demo compose-demo test fuzz mutants bench faults soak soak-faults soak-streams streams-report open-webui \
    kubernetes monitoring compose-test wasm image reproducible wasm-drill envoy redis prometheus stream-peers \
    programs lint ci

PROGRAMS = $${CARGO_TARGET_DIR:-target}/debug

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: wasm envoy programs ## a walk through sign-in, sign-out and a replayed token, on a real Envoy
	@$(PROGRAMS)/demo

test: wasm wasm-drill envoy redis stream-peers programs ## all tests: the core natively, the filter in a real Envoy
	cargo test --workspace

fuzz: ## looks for input that breaks a promise, FUZZ_SECONDS=20 for each kind of input
	@fuzz/run.sh

mutants: ## every small mistake that could be made in the core: is there a test that sees it? an hour
	@tests/mutants.sh

compose-demo: ## the same with docker compose: two Envoys behind a front; STORE=redis
	@STORE=$(STORE) examples/compose/demo.sh

open-webui: wasm envoy ## the real Open WebUI behind Envoy, a browser before it; installs 7.3 GB
	@setup/open-webui.sh
	@cargo build --package signout
	@target/open-webui/bin/python examples/open-webui/run.py

faults: wasm wasm-drill envoy redis programs ## every fault that can be made here, and one table of what came of it
	@FAULTS_LONG=1 tests/faults.sh

soak: soak-streams soak-faults ## both of what lasts

soak-faults: wasm wasm-drill envoy redis programs ## faults drawn by lot for SOAK_MINUTES=60; SOAK_SEED says which
	SOAK_MINUTES=$${SOAK_MINUTES:-60} cargo test --workspace --test faults -- --nocapture soak::

soak-streams: wasm wasm-drill envoy programs ## 100,000 random ends of streams; STREAMS_SEED says which
	STREAMS_ENDINGS=$${STREAMS_ENDINGS:-100000} cargo test --workspace --test streams -- --nocapture random

streams-report: wasm wasm-drill envoy programs ## from a sign-out until streams have ended: p50, p99, max
	@cargo test --workspace --test streams -- --ignored --nocapture report

kubernetes: ## the manifests, against Istio's and Kubernetes' schemas
	@setup/kubernetes.sh
	@target/kubernetes/bin/python tests/kubernetes.py

monitoring: wasm wasm-drill envoy prometheus programs ## alerts and dashboard, in a real Prometheus
	cargo test --workspace --test monitoring -- --include-ignored

compose-test: ## compose-demo, both stores, where no container registry can be reached: as root, on Debian
	@tests/compose.sh

bench: wasm envoy ## what a request costs, beside jwt_authn and ext_authz; BENCH=--quick, BENCH=--all
	@mkdir -p target/bench
	@case '$(BENCH)' in *--all*) setup/python-peers.sh bench-peers ;; esac
	@PACKAGE=empty-filter setup/wasm.sh target/bench/empty_filter.wasm
	@cargo build --profile measure -p bench -p signout
	@$${CARGO_TARGET_DIR:-target}/measure/bench $(BENCH)

wasm: ## the filter: target/session_guard.wasm
	@setup/wasm.sh target/session_guard.wasm

image: wasm ## the filter as an OCI image for Istio: target/image; prints both digests
	@cargo run --quiet -p oci-image -- target/session_guard.wasm target/image

reproducible: ## builds the filter twice, in different places, and compares
	@tests/reproducible.sh

wasm-drill: # the same with a header that makes it panic: for tests, never shipped
	@setup/wasm.sh target/session_guard_drill.wasm panic-drill

envoy: # the pinned Envoy: target/envoy
	@setup/envoy.sh

redis: # a Redis for the tests: target/redis-server
	@setup/redis.sh

stream-peers: # other people's clients of streams: target/stream-peers
	@setup/python-peers.sh stream-peers

prometheus: # the installed Prometheus, or Debian's: target/prometheus
	@setup/prometheus.sh

programs: # the service, the demo and its application: tests and demo start them from here
	@cargo build --workspace

lint: ## formatting, clippy and documentation, each without a warning
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

ci: lint kubernetes test fuzz monitoring image demo ## everything that CI checks, the cheap things first
