# What a developer runs. Everything fetched or built is kept under target/.

CARGO ?= cargo
SECONDS := 60
# The benches of our own parts are single files; those of a folder are for docs/BENCHMARKS.md.
PARTS := $(patsubst benches/%.rs,--bench %,$(wildcard benches/*.rs))
DENY := PATH="$$PWD/target/real/cargo/bin:$$PATH" cargo-deny --locked

.DEFAULT_GOAL := help
.PHONY: help test fuzz check deny audit bench bench-parts peers soak real

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: real ## Fetch the real parts, then run every test: Rust, JavaScript, Python, browser, fuzzing.
	tests/real/with-real $(CARGO) test --locked --all-targets
	$(CARGO) test --locked --doc
	$(MAKE) --no-print-directory fuzz

fuzz: ## Fuzz what reads the journal, for a minute or as long as you say: make fuzz SECONDS=3600.
	@tests/real/fetch cxx
	@tests/fuzz/run $(SECONDS)

check: deny ## Check format, lints, documentation and dependencies.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	@tests/real/fetch cxx
	cd tests/fuzz && $(CARGO) fmt --check && $(CARGO) clippy --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Check the dependencies' licences, sources and versions (builds cargo-deny once: a minute).
	@tests/real/fetch deny
	$(DENY) check bans licenses sources

# Apart from 'check': the advisories are no part of a package registry, and a build machine may
# reach nothing else.
audit: ## Check the dependencies against published advisories (needs their database).
	@tests/real/fetch deny
	$(DENY) check

# QUICK=1: everything for seconds; ROWS and SERVERS: some of it, without how the cost grows; ARGS:
# whatever else it takes. `make peers` has fetched the database of both.
bench: peers ## Measure how costs grow, Banter beside its peers and the limits, write docs/BENCHMARKS.md (75 minutes).
	$(if $(ROWS)$(SERVERS),,$(if $(QUICK),GROWTH_MAX=10000 )tests/real/with-real \
		$(CARGO) bench --locked --bench growth)
	$(CARGO) bench --locked --bench compare -- $(if $(QUICK),--quick) \
		$(if $(ROWS),--rows $(ROWS)) $(if $(SERVERS),--servers $(SERVERS)) $(ARGS)

bench-parts: real ## Measure the buffer, the journal, the wire, groups, searching, nodes (ten minutes and a build).
	tests/real/with-real $(CARGO) bench --locked $(PARTS)

soak: ## Play more seeds of the write buffer's simulation: make soak SEEDS=100000 [FROM=0].
	SOAK_SEEDS=$(or $(SEEDS),20000) SOAK_FROM=$(or $(FROM),1000) SOAK_CASES=$(or $(SEEDS),20000) \
		$(CARGO) test --locked --release --lib -- --nocapture buffer::tests::simulation buffer::tests::model

real: ## Fetch what the tests drive: MongoDB, Redis, nginx, clients, Schemathesis, Chromium, promtool.
	@tests/real/fetch mongod python js chromium redis nginx iproute promtool compose

peers: ## Fetch what Banter is measured beside: socket.io, Bun, python-socketio, MongoDB.
	@tests/real/fetch mongod peers-node peers-python
