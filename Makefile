# What a developer runs. Everything fetched or built is kept under target/.

CARGO ?= cargo
SECONDS := 60
DENY := PATH="$$PWD/target/real/cargo/bin:$$PATH" cargo-deny --locked

.DEFAULT_GOAL := help
.PHONY: help test fuzz check deny audit bench soak real

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

bench: ## Measure the buffer, the journal, the wire, large groups and searching (ten minutes and a build).
	$(CARGO) bench --locked

soak: ## Play more seeds of the write buffer's simulation: make soak SEEDS=100000 [FROM=0].
	SOAK_SEEDS=$(or $(SEEDS),20000) SOAK_FROM=$(or $(FROM),1000) SOAK_CASES=$(or $(SEEDS),20000) \
		$(CARGO) test --locked --release --lib -- --nocapture buffer::tests::simulation buffer::tests::model

real: ## Fetch what the tests drive: MongoDB, JavaScript and Python clients, Schemathesis, Chromium.
	@tests/real/fetch mongod python js chromium
