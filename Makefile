# One command per purpose. `make check` is the truth: what it accepts may be merged.
# A stage of `make check` is a target of its own: `make check-clippy`.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
include tests/versions.env

CARGO ?= cargo
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
TOOLS_DIR := $(TARGET_DIR)/tools
# Read by the end-to-end tests: the interpreter that has the reference parser.
export RINGMETER_TEST_PYTHON := $(CURDIR)/target/.venv/bin/python

# Runs a command with a shared directory of its own, so that examples do not meet a real agent.
SCRATCH := tests/with-directory.sh

# Cheapest first, so that the commonest mistakes are told first.
STAGES := deps fmt tidy clippy docs unit instructions portable msrv loom corpus e2e containers package
# Stages to leave out, by name: make check SKIP="e2e package"
SKIP ?=

.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort \
	    | awk -F ':.*## ' '{ printf "make %-16s %s\n", $$1, $$2 }'

.PHONY: demo
demo: ## A service under load, an agent and a live view; DEMO_ARGS="--seconds 10" ends by itself
	$(CARGO) build --profile demo -p ringmeter-agent -p ringmeter \
	    --bin ringmeter --example http_service
	exec $(TARGET_DIR)/demo/ringmeter demo $(DEMO_ARGS)

.PHONY: check
check: ## Everything that must hold before a merge, with the time of each stage
	@begin=$$SECONDS; summary=; \
	for stage in $(STAGES); do \
	    if [[ " $(SKIP) " == *" $$stage "* ]]; then \
	        printf '\n=== %s: skipped on request\n' "$$stage"; \
	        summary+=$$(printf '%-10s skipped' "$$stage")$$'\n'; continue; \
	    fi; \
	    printf '\n=== %s\n' "$$stage"; start=$$SECONDS; \
	    $(MAKE) --no-print-directory "check-$$stage" || { \
	        printf '=== %s: FAILED after %d s\n' "$$stage" $$((SECONDS - start)); exit 1; }; \
	    printf '=== %s: passed in %d s\n' "$$stage" $$((SECONDS - start)); \
	    summary+=$$(printf '%-10s %5d s' "$$stage" $$((SECONDS - start)))$$'\n'; \
	done; \
	printf '\n%s\nmake check: passed in %d s\n' "$$summary" $$((SECONDS - begin))

.PHONY: check-deps
check-deps: ## Install what the tests need, if missing
	@tests/install-deps.sh

.PHONY: check-fmt
check-fmt: ## Formatting
	$(CARGO) fmt --all --check

.PHONY: check-tidy
check-tidy: ## Style as a test
	$(CARGO) test -p ringmeter-tests --test tidy

.PHONY: check-clippy
check-clippy: ## Lints, all targets and features
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings

# Libraries only: the binary `ringmeter` would overwrite the pages of the library `ringmeter`.
.PHONY: check-docs
check-docs: ## Documentation builds without a warning
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --lib --no-deps --all-features

.PHONY: check-unit
check-unit: ## Unit, property and documentation tests of the three crates
	$(SCRATCH) $(CARGO) test -p ringmeter-layout -p ringmeter -p ringmeter-agent --all-features

# Optimised as what ships is; without the agent and the peers, it is built in seconds.
.PHONY: check-instructions
check-instructions: ## What a record takes, in instructions, is what benches/instructions.toml says
	$(CARGO) test --release -p ringmeter-instructions

.PHONY: instructions
instructions: ## Count the instructions of a record anew, and write them into the tree
	$(CARGO) build --release -p ringmeter-instructions --bins
	$(TARGET_DIR)/release/instructions

# People develop on laptops: there the SDK must compile, and be disabled.
.PHONY: check-portable
check-portable: ## The layout and the SDK compile where they are not supported
	@for target in $(PORTABLE_TARGETS); do \
	    rustup target add "$$target"; \
	    (set -x; $(CARGO) check -p ringmeter-layout -p ringmeter --all-features \
	        --target "$$target"); \
	done

# The lint `incompatible_msrv` guards the library calls; this also compiles.
.PHONY: check-msrv
check-msrv: ## The layout and the SDK build with the oldest supported compiler
	rustup toolchain install $(MSRV) --profile minimal --no-self-update
	CARGO_TARGET_DIR=$(TARGET_DIR)/msrv $(CARGO) +$(MSRV) check \
	    -p ringmeter-layout -p ringmeter --all-features

.PHONY: check-loom
check-loom: ## The lane protocol under every interleaving
	tests/models.sh

# The inputs that fuzzing once found interesting, on the ordinary toolchain.
.PHONY: check-corpus
check-corpus: ## Every kept fuzz input is parsed again
	$(CARGO) test -p ringmeter-tests --profile e2e --test fuzz_corpus

.PHONY: check-e2e
check-e2e: ## The whole system from outside: real processes, real HTTP, real Prometheus
	$(CARGO) build --profile e2e -p ringmeter-agent -p ringmeter -p ringmeter-tests \
	    --bins --examples
	$(CARGO) test -p ringmeter-tests --profile e2e -- --test-threads 1

# The released binaries take minutes to build: make containers CONTAINERS_PROFILE=release
STATIC_TARGET := $(shell uname -m)-unknown-linux-gnu
CONTAINERS_PROFILE ?= demo
STATIC_WORKER = $(TARGET_DIR)/$(STATIC_TARGET)/$(CONTAINERS_PROFILE)/worker
IMAGES = IMAGE_PROFILE=$(CONTAINERS_PROFILE) IMAGE_TARGET=$(STATIC_TARGET) \
    IMAGE_PACKAGES="-p ringmeter-tests --bin worker" \
    IMAGE_BUILDER="tests/podman.sh build --format docker --network none" deploy/image.sh test
.PHONY: check-containers
check-containers: ## Images, and agent and service in real containers; needs root
	$(IMAGES)
	RINGMETER_TEST_STATIC_WORKER=$(STATIC_WORKER) \
	    CONTAINERS_PROFILE=$(CONTAINERS_PROFILE) \
	    $(CARGO) test -p ringmeter-tests --profile e2e --features containers --test containers \
	    -- --test-threads 1

.PHONY: containers
containers: check-containers ## The same, by its short name

# Also builds the kubelet, the first time: some ten minutes.
.PHONY: kubelet
kubelet: ## The pod on a real kubelet: volumes, probes, kills (a minute; needs root)
	nice tests/kubelet.sh build
	$(IMAGES)
	$(CARGO) test -p ringmeter-tests --profile e2e --features kubelet --test kubelet --no-run
	RINGMETER_TEST_STATIC_WORKER=$(STATIC_WORKER) tests/kubelet.sh run \
	    $(CARGO) test -p ringmeter-tests --profile e2e --features kubelet --test kubelet \
	    -- --nocapture

.PHONY: rendered
rendered: ## Chart and overlay rendered anew, and compared with the tree; builds Helm (minutes)
	deploy/render.sh
	git diff --exit-code --stat -- deploy/helm/rendered.yaml deploy/kubernetes/kustomize/rendered.yaml

.PHONY: image
image: ## The two images as they are released: ringmeter and ringmeter-http-service
	deploy/image.sh

# --allow-dirty: the check is made before the commit, too. A package of the same version is
# taken for unchanged, so what cargo unpacked and built of ours on an earlier run goes first.
PACKAGE_DIR := $(TARGET_DIR)/package-check
.PHONY: check-package
check-package: ## The three crates package, and build from their packages
	@rm -rf "$${CARGO_HOME:-$$HOME/.cargo}"/registry/src/-*/ringmeter{,-layout,-agent}-[0-9]* \
	    $(PACKAGE_DIR)/debug/.fingerprint/ringmeter-*
	CARGO_TARGET_DIR=$(PACKAGE_DIR) \
	    $(CARGO) package -p ringmeter-layout -p ringmeter -p ringmeter-agent --allow-dirty

.PHONY: test
test: ## The quick tests only: style, unit, property, documentation
	$(CARGO) test -p ringmeter-tests --test tidy
	$(SCRATCH) $(CARGO) test -p ringmeter-layout -p ringmeter -p ringmeter-agent --all-features

.PHONY: bench
bench: ## What it costs beside its peers, in 15 minutes; BENCH_ARGS="counter" measures some rows only
	$(CARGO) build --release -p ringmeter-agent --bin ringmeter
	$(CARGO) run --release -p ringmeter-benches --bin bench -- $(BENCH_ARGS)

.PHONY: bench-here
bench-here: ## What a record costs on this machine, in 20 seconds; BENCH_ARGS="--seconds 60" for longer
	$(CARGO) build --release -p ringmeter-agent -p ringmeter --bin ringmeter --example record_cost
	exec $(TARGET_DIR)/release/ringmeter bench $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: ## What has a goal, in a minute: one table, and benches/results/quick.json
	$(CARGO) build --release -p ringmeter-agent --bin ringmeter
	$(CARGO) run --release -p ringmeter-benches --bin bench -- --quick yes $(BENCH_ARGS)

# With BREAK, the agent is built with a feature that is never shipped, and breaks that promise.
.PHONY: torture
torture: ## Kills for SECONDS_MAX (3600); SEED=N repeats; BREAK=NAME is a control: 0 if it is caught
	$(CARGO) build --profile e2e -p ringmeter-agent -p ringmeter-tests --bins \
	    $(if $(BREAK),--features ringmeter-agent/broken)
	$(TARGET_DIR)/e2e/torture --seconds-max $(or $(SECONDS_MAX),3600) \
	    $(if $(SEED),--seed $(SEED)) $(if $(BREAK),--break $(BREAK))

# Ways of more instructions (a thread's first record, a look at the ack) are tried at random.
.PHONY: step
step: ## Kill a recording process after every instruction of a call (two minutes)
	$(CARGO) build --profile e2e -p ringmeter-agent -p ringmeter-tests --bins
	RINGMETER_STEPS_MAX=500 $(CARGO) test -p ringmeter-tests --profile e2e --test stepping -- \
	    --test-threads 1 --nocapture

FUZZ_SECONDS ?= 60
.PHONY: fuzz
fuzz: ## Fuzz every parser of foreign bytes, FUZZ_SECONDS each (60)
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz.sh

.PHONY: hostile
hostile: ## Hostile producers beside honest ones for SECONDS_MAX (60): totals, latency, memory, log
	$(CARGO) build --release -p ringmeter-agent -p ringmeter-tests --bins
	$(TARGET_DIR)/release/hostile run --seconds $(or $(SECONDS_MAX),60)

.PHONY: miri
miri: ## Unit tests of the layout under Miri (about two minutes)
	tests/miri.sh

.PHONY: sanitize
sanitize: ## Tests of the three crates under AddressSanitizer and ThreadSanitizer (nightly)
	tests/sanitize.sh

# Each of the three parts (SDK, agent's start, running agent) tries all it can in this time.
ERRNO_SECONDS ?= 900
.PHONY: errno
errno: ## Every system call fails with every plausible error, ERRNO_SECONDS for each of 3 parts (900)
	$(CARGO) build --profile e2e -p ringmeter-agent -p ringmeter-tests --bins
	RINGMETER_ERRNO_SECONDS=$(ERRNO_SECONDS) RINGMETER_RECORDS=10000000 \
	    $(CARGO) test -p ringmeter-tests --profile e2e --test errno -- \
	    --nocapture --test-threads 1

.PHONY: deny
deny: ## Advisories, licences, bans and sources of every dependency
	$(CARGO) install cargo-deny --version $(CARGO_DENY_VERSION) --locked --quiet \
	    --root $(TOOLS_DIR)
	$(TOOLS_DIR)/bin/cargo-deny --all-features check $(DENY_CHECKS)

.PHONY: fmt
fmt: ## Format the tree
	$(CARGO) fmt --all

.PHONY: clean
clean: ## Remove everything that was built or downloaded
	$(CARGO) clean
	rm -rf target tests/fuzz/target
