# The commands for users and for CI. `make` lists them.
.DEFAULT_GOAL := help
.PHONY: help demo docs test priority-and-fairness api-server-restarts two-api-servers archives-definition bench chaos fuzz cluster cluster-down knfsd knfsd-down test-knfsd ceph ceph-down test-ceph node node-down test-node build release image deny fmt lint fmt-check clippy scripts ready-image ready-knfsd ready-ceph ready-node root

# The folder of cargo's output, and the folder of a cluster that is left running.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
CLUSTER_DIR ?= target/cluster
# The static program of a release, for the processor of this machine or for RELEASE_TARGET. With these flags, two builds of
# one commit are identical on every machine. The Dockerfile runs `make release`, too.
RELEASE_TARGET ?= $(shell uname -m)-unknown-linux-gnu
RELEASE := $(TARGET_DIR)/$(RELEASE_TARGET)/release/bindery
RELEASE_CPU := $(firstword $(subst -, ,$(RELEASE_TARGET)))
# For another processor, the linker of Debian's cross compiler.
LINKER := $(if $(filter-out $(shell uname -m),$(RELEASE_CPU)),-C linker=$(RELEASE_CPU)-linux-gnu-gcc)
# 7 kB of relocations instead of 550 kB. For other processors, GNU's linker may not know this.
PACK_x86_64 := -C link-arg=-Wl,-z,pack-relative-relocs
CARGO_HOME ?= $(HOME)/.cargo
REMAP = $(CURDIR)=/bindery $(CARGO_HOME)=/cargo
# Arguments of cargo test, for example ARGS='--test integration cleanup::' or ARGS='-- --nocapture'.
ARGS ?=

help: ## Lists these commands.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# The programs of a cluster. Tests need more programs (see tests/bed/up).
CLUSTER := etcd kube-apiserver kube-controller-manager kubectl
TEST_CLUSTER := $(CLUSTER) kube-scheduler kwok stages helm definitions populator csi-driver csi-resizer
# The build of Bindery for the demonstration: profile `quick` takes the least time to build.
QUICK := $(TARGET_DIR)/quick
# If a file is missing, prints how long its build usually takes on this machine. Arguments: the file, and the seconds that
# the build takes on one processor.
first_build = @[ -e $(1) ] || echo "  compiling Bindery (the first time, usually $$((($(2) / $$(nproc) + 59) / 60)) minutes) ..."

demo: ## Shows all of Bindery's work on a real cluster; DEMO_KEEP=1 leaves the cluster running.
	@tests/bed/install demo
	$(call first_build,$(QUICK)/bindery,170)
	@tests/bed/prepare $(CLUSTER) -- cargo build --locked --profile quick --features demo --bin bindery --bin demo
	@$(if $(DEMO_KEEP),KEEP=1 CLUSTER_DIR=target/demo,env -u CLUSTER_DIR) BINDERY_BIN=$(QUICK)/bindery \
		tests/bed/with-bed --bindery --small $(QUICK)/demo

test: root ## Runs all tests, on a real API server and real NFS servers. Needs root. KUBERNETES=1.30 chooses that version.
	@tests/bed/install test
	@tests/bed/kernel >/dev/null
	$(call first_build,$(TARGET_DIR)/debug/bindery,600)
	@tests/bed/prepare $(TEST_CLUSTER) -- cargo test --locked --features failpoints --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery \
		tests/bed/with-bed --bindery cargo test --locked --features failpoints $(ARGS)
	@$(if $(ARGS),,$(MAKE) --no-print-directory priority-and-fairness api-server-restarts two-api-servers archives-definition)

# Runs tests on an API server that serves at most 50 requests at a time, 20 of them writes.
priority-and-fairness:
	@cargo test --locked --features failpoints --test priority_and_fairness --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery \
		APISERVER_ARGS="--max-requests-inflight 30 --max-mutating-requests-inflight 20" \
		tests/bed/with-bed --bindery --small cargo test --locked --features failpoints --test priority_and_fairness

# Runs tests in which the API server is killed and started again.
api-server-restarts:
	@cargo test --locked --features failpoints --test api_server_restarts --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery \
		tests/bed/with-bed --bindery --small cargo test --locked --features failpoints --test api_server_restarts

# Runs tests in which replicas and their users are on different API servers, and each of these is stopped and started again.
two-api-servers:
	@cargo test --locked --features failpoints --test two_api_servers --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery APISERVERS=2 BINDERY_ARGS="--orphan-grace 20s" \
		APISERVER_ARGS="--shutdown-watch-termination-grace-period 2s" \
		tests/bed/with-bed --bindery --small \
		cargo test --locked --features failpoints --test two_api_servers -- --test-threads=1

# Runs a test in which the definition of archives is deleted and installed again.
archives-definition:
	@cargo test --locked --features failpoints --test archives_definition --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery BINDERY_ARGS="--retention-interval 1s" \
		tests/bed/with-bed --bindery --small cargo test --locked --features failpoints --test archives_definition

test-knfsd: root ready-knfsd ## Runs the tests with Linux's own NFS server, in a virtual machine; PARTS (all), see tests/bed/knfsd/suite.
	@tests/bed/install test
	$(call first_build,$(TARGET_DIR)/debug/bindery,600)
	@tests/bed/prepare $(TEST_CLUSTER) -- cargo test --locked --features failpoints --test integration --test knfsd --no-run
	@tests/bed/knfsd/with tests/bed/knfsd/suite $(PARTS)

knfsd: root ready-knfsd ## Starts the virtual machine of test-knfsd and leaves it running: its NFS server is 127.0.0.21.
	@tests/bed/knfsd/up

knfsd-down: ## Stops the virtual machine that knfsd started.
	@tests/bed/knfsd/down

test-ceph: root ready-ceph ## Runs the tests with CephFS, on a Ceph cluster of their own; PARTS (all), see tests/bed/ceph/suite.
	@tests/bed/install test
	$(call first_build,$(TARGET_DIR)/debug/bindery,600)
	@tests/bed/prepare $(CLUSTER) -- cargo test --locked --features failpoints --test integration --no-run
	@tests/bed/ceph/with tests/bed/ceph/suite $(PARTS)

ceph: root ready-ceph ## Starts the Ceph cluster of test-ceph and leaves it running: its monitor is 127.0.0.31.
	@tests/bed/ceph/up

ceph-down: ## Stops the Ceph cluster that ceph started.
	@tests/bed/ceph/down

test-node: root ready-node ## Runs the tests of pods, on a real kubelet in a virtual machine.
	@tests/bed/prepare $(CLUSTER) kube-scheduler kubelet csi-driver -- cargo test --locked --features failpoints --test node --no-run
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery tests/bed/node/with \
		cargo test --locked --features failpoints --test node -- --test-threads=1 --nocapture $(ARGS)

node: root ready-node ## Starts the virtual machine of test-node and leaves it running, so that test-node starts sooner.
	@tests/bed/node/up

node-down: ## Stops the virtual machine that node started.
	@tests/bed/node/down

bench: ## Measures speed and memory, and writes a table, also as JSON below target/; PARTS (all), RUNS (3): see benches/main.rs.
	@tests/bed/install test
	@tests/bed/kernel >/dev/null
	$(call first_build,$(TARGET_DIR)/release/bindery,700)
	@tests/bed/prepare $(CLUSTER) peer -- cargo build --release --locked --bin bindery --example bench
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/release/bindery \
		tests/bed/with-bed --bindery --small $(TARGET_DIR)/release/examples/bench $(PARTS)

chaos: root ## Kills and pauses all processes at random, and checks that no data is lost; SEED (random), MINUTES (1).
	@tests/bed/install test
	$(call first_build,$(TARGET_DIR)/debug/bindery,300)
	@tests/bed/prepare $(CLUSTER) -- cargo build --locked --features failpoints --bin bindery --example chaos
	@env -u CLUSTER_DIR BINDERY_BIN=$(TARGET_DIR)/debug/bindery SEED=$(SEED) MINUTES=$(MINUTES) \
		tests/bed/with-bed --small $(TARGET_DIR)/debug/examples/chaos

fuzz: ## Searches for input that breaks parsers and decisions; TARGET (all) and SECONDS (10), see fuzz/README.md.
	@fuzz/run $(or $(TARGET),all) $(or $(SECONDS),10)

cluster: ## Starts a cluster with Bindery and leaves it running; CLUSTER_DIR (target/cluster) names it, PODS=1 adds a Node.
	@tests/bed/install
	$(call first_build,$(QUICK)/bindery,170)
	@tests/bed/prepare $(CLUSTER) -- cargo build --locked --profile quick --features demo --bin bindery --bin demo
	@CLUSTER_DIR=$(CLUSTER_DIR) BINDERY_BIN=$(QUICK)/bindery tests/bed/up $(if $(PODS),,--small)

cluster-down: ## Stops the cluster that `make cluster` started.
	@CLUSTER_DIR=$(CLUSTER_DIR) tests/bed/down

build: ## Builds Bindery.
	@cargo build --locked

release: ## Builds the static program of a release (reproducible); RELEASE_TARGET is a target triple of Rust.
	@RUSTFLAGS="-C target-feature=+crt-static $(LINKER) $(PACK_$(RELEASE_CPU)) $(REMAP:%=--remap-path-prefix=%)" CFLAGS="$(REMAP:%=-ffile-prefix-map=%)" \
		cargo build --release --locked --bin bindery --target $(RELEASE_TARGET)
	@echo "  $(RELEASE)"

image: root ready-image release ## Builds the image of a release without a network, and checks it. Needs root.
	@tests/image/check $(RELEASE)

docs: ## Checks the documentation against the code, and builds its site below target/site.
	@cargo test --locked --quiet --features failpoints --test docs
	@tests/docs/site

deny: ## Checks licences, sources and duplicate dependencies against deny.toml; CHECKS=advisories checks advisories.
	@cargo deny --locked check $(or $(CHECKS),licenses bans sources)

fmt: ## Formats the code.
	@cargo fmt && cargo fmt --manifest-path fuzz/Cargo.toml

lint: fmt-check clippy scripts ## Checks formatting, code, scripts and workflows; every warning is an error.

fmt-check:
	@cargo fmt --check && cargo fmt --check --manifest-path fuzz/Cargo.toml

clippy:
	@cargo clippy --locked --all-targets -- -D warnings
	@cargo clippy --locked --all-targets --features failpoints,demo -- -D warnings
	@cargo clippy --manifest-path fuzz/Cargo.toml -- -D warnings

scripts: ## Checks shell scripts with shellcheck, and workflows with actionlint.
	@.ci/scripts

# Checks the user before the build: tests and chaos pause and kill NFS servers, and read files of every owner.
root:
	@[ "$$(id -u)" = 0 ] || { echo "  This command must run as root. make demo needs only sudo without a password." >&2; exit 1; }

# Installs the packages that build the image.
ready-image:
	@tests/bed/install image

# Installs the packages that build and run the virtual machine with Linux's NFS server.
ready-knfsd:
	@tests/bed/install knfsd

# Installs the packages that run a Ceph cluster.
ready-ceph:
	@tests/bed/install ceph

# Installs the packages that run a cluster and the virtual machine of a node.
ready-node:
	@tests/bed/install
	@tests/bed/install knfsd
