# make run      builds the system and boots it (HOSTED=1: as Linux processes)
# make test     runs all tests
# make image    builds the seL4 image, build/loader.img
# make conformance WORLD=linux|hosted|sel4   what the manuals say of sockets,
#               case by case; ONLY=text: those with this in their name
# make isolation   the system that tests/test_isolation.py talks to (HOSTED=1)
# make differential   random calls on two sockets, Linux against Strait;
#               SEQUENCES=n, SEED=n
# make check    format and lints
# make verify   models of the rings (loom), and unit tests under Miri
# make fuzz     each fuzz target for FUZZ_SECONDS
# make clean    removes all that was built
#
# What is missing on this machine is got first: see tools/setup.sh, tools/sdk.py.

export MICROKIT_BOARD  ?= qemu_virt_aarch64
export MICROKIT_CONFIG ?= debug
export MICROKIT_SDK    ?=
export HTTP_PORT       ?= 8080
export ECHO_PORT       ?= 7007
export FORWARD         ?=
export HOSTED          ?=
export FUZZ_SECONDS    ?= 20
WORLD ?= linux
ONLY  ?=
SEQUENCES ?= 20000
SEED      ?= 1
# Built programs are looked for in target/.
unexport CARGO_TARGET_DIR

PYTHON ?= python3
CARGO  ?= cargo
SYSTEM := $(CARGO) run --quiet --release -p strait-system --
SOURCES := --system microkit.system --config strait.toml --search build

.PHONY: run image hosted test check clean setup host archive disk config
.PHONY: conformance conformance-docs differential isolation
.PHONY: check-root check-sel4 check-system test-unit verify fuzz test-linux test-hosted test-readme test-qemu test-qemu-few
.DELETE_ON_ERROR:

run:
	@$(PYTHON) tools/world.py run

# Only `make check` insists that the Cargo.lock files are up to date: a new
# component must build without more ado.

# ---- Building --------------------------------------------------------------

# All that can be had of what the targets below need.
setup:
	@sh tools/setup.sh host disk net test
	@$(PYTHON) tools/world.py setup

host:
	@sh tools/setup.sh host net

archive: host
	@$(PYTHON) tools/archive.py build/archive.tar --random 10m.bin=10485760 clients/httpd/www clients/host/files

# The disk, unless it is there: what is on it is kept.
disk: host
	@sh tools/setup.sh disk
	@sh tools/disk.sh build/disk.img

# The configuration of each PD. The description is checked on the way, before
# anything else is built.
config: archive
	@$(SYSTEM) generate $(SOURCES) --out build/config

hosted: config disk
	$(CARGO) build --release -p strait-hosted

image: config disk
	@sh tools/image.sh

# ---- Checks and tests ------------------------------------------------------

check: check-root check-sel4

# What microkit.system and strait.toml say against what the code expects.
check-system: host
	@$(SYSTEM) check --system microkit.system --config strait.toml

check-root: host
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

check-sel4: host
	@sh tools/check_sel4.sh

# In this order: from what is near a mistake to what is far from it.
test:
	@$(PYTHON) tools/test.py

# Property tests begin at one seed, so that the same state of the code has the
# same result; another seed or PROPTEST_CASES=10000 looks further.
test-unit: export PROPTEST_RNG_SEED ?= 1
test-unit: host
	$(CARGO) test --workspace
	$(PYTHON) -m unittest discover -s tools/tests

# The rings, by the book: every interleaving (loom), then their unit tests
# under Miri, where a nightly toolchain has it.
verify: host
	RUSTFLAGS="--cfg loom" $(CARGO) test --locked --release --target-dir target/loom -p strait-ring --test loom
	@if rustup component list --installed --toolchain nightly 2>/dev/null | grep -q '^miri'; then \
	    PROPTEST_CASES=3 MIRIFLAGS="-Zmiri-ignore-leaks -Zmiri-permissive-provenance -Zmiri-disable-isolation" \
	    $(CARGO) +nightly miri test --locked --target-dir target/miri -p strait-ring -p strait-abi -p strait-pd --lib; \
	else echo '!!! SKIPPED: Miri, which is not here; `rustup toolchain install nightly --component miri` gets it'; fi

# The parsers, and the boundaries to peers that are not trusted, with whatever
# libFuzzer comes up with. Says so and succeeds where there is no nightly.
fuzz: host
	@fuzz/run

# The tests themselves, against sockets that are known to be right.
test-linux: archive
	@sh tools/setup.sh net test
	tests/run --world linux

test-hosted: hosted
	@sh tools/setup.sh net test
	@$(PYTHON) tools/isolation.py hosted
	tests/run --world hosted

# One suite in three worlds: Linux, the oracle; Linux processes; seL4 in QEMU.
conformance: host
	@sh tools/setup.sh net
	@$(PYTHON) tools/conformance.py $(WORLD) "$(ONLY)"

# The table of what differs from Linux; a unit test says if it is out of date.
conformance-docs: host
	@mkdir -p docs
	$(CARGO) run --quiet --release -p strait-conformance-linux -- --differences >docs/differences.md

# Says the first sequence on which the two differ, as short as it can be; more
# of them with SHOW=n in the environment.
differential: host
	$(CARGO) run --quiet --release -p strait-differential -- $(SEQUENCES) $(SEED)

# What README.md says of adding a component, done as it says.
test-readme: host
	@$(PYTHON) tests/readme.py

# What tests/test_isolation.py talks to, a system of its own.
isolation: host
	@$(PYTHON) tools/isolation.py $(if $(HOSTED),hosted,sel4)

test-qemu: image
	@sh tools/setup.sh net test
	@$(PYTHON) tools/isolation.py sel4
	tests/run --world qemu

# Enough to see that the image works.
test-qemu-few: image
	@sh tools/setup.sh net test
	tests/run --world qemu -k 'small_file or each_byte'

clean:
	rm -rf build target sel4/target fuzz/target
