# orlop: build, test and install.  `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

CARGO    ?= cargo
PREFIX   ?= /usr/local
DESTDIR  ?=
# The program that writes man pages and completions: another build of the companion where this machine cannot execute it.
PAGES    ?= out/orlop-bundle
RUNTIME  ?= $(CURDIR)/out/orlop
# The kind of machine, for the list of skips that the conformance suite expects of orlop.
MACHINE  ?= $(if $(wildcard /sys/fs/cgroup/cgroup.controllers),v2,$(if $(wildcard /sys/fs/cgroup/unified/cgroup.procs),hybrid,v1))
# Debian's names of the architectures that `make dist` builds for.
ARCHS    ?= amd64 arm64
ARCH     := $(shell uname -m)
MUSL     := $(ARCH)-unknown-linux-musl
GNU      := $(ARCH)-unknown-linux-gnu
PART     := integration/tools/part
# The Debian release whose engines `make newer-engines` runs.
SUITE    ?= forky
PARTS    := unit hand checkpoint kills faults windows interleavings budgets shim captures engines conformance pairs

# The environment names a target in capitals with underscores.
upper = $(shell echo '$(1)' | tr 'a-z-' 'A-Z_')

.PHONY: help build build-rustup build-debian build-gnu prerequisites demo test unit hand checkpoint fuzz checked kills faults windows interleavings budgets shim captures engines \
	conformance pairs conformance-table soak vm-test newer-engines engines-table bench scale performance lint pages reference dist deb release-check install uninstall clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 26

# The runtime is built by itself: the companion's packages would switch on features of those that both use.
PROGRAMS := orlop orlop-bundle

build: ## build the static release binaries, out/orlop and out/orlop-bundle
	@integration/tools/prerequisites --optional build
	@$(MAKE) --no-print-directory build-$$(integration/tools/toolchain)

# rustup's musl target, where somebody has already installed it.
build-rustup:
	for program in $(PROGRAMS); do $(CARGO) build --locked --release -p $$program --bin $$program --target $(MUSL); done
	@integration/tools/place target/$(MUSL)/release "static musl, rustup's target ($$(rustc --version))" $(PROGRAMS)

# Debian's compiler, with std built from its source package: there is no musl target to install.
# RUSTC_BOOTSTRAP is for -Zbuild-std alone; the gnu build shows that no unstable feature is used.
# Nothing unwinds with panic=abort; the backtrace of a panic, which nobody can ask for here, is one that ends at once.
build-debian:
	@mkdir -p out/debian
	@for f in Backtrace GetIP GetIPInfo GetCFA FindEnclosingFunction; do \
	    echo "unsigned long _Unwind_$$f(void) { return 5; /* _URC_END_OF_STACK */ }"; \
	done | $(CC) -Os -x c -c - -o out/debian/unwind.o
	@rm -f out/debian/libunwind.a && ar rc out/debian/libunwind.a out/debian/unwind.o
	RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
	CARGO_TARGET_$(call upper,$(MUSL))_LINKER=cc \
	CARGO_TARGET_$(call upper,$(MUSL))_RUSTFLAGS="-Lnative=/usr/lib/$(ARCH)-linux-musl -Lnative=$$(dirname $$(cc -print-file-name=crtbeginS.o)) -Lnative=$(CURDIR)/out/debian -Cforce-unwind-tables=no" \
	sh -ec 'for program in $(PROGRAMS); do \
	    /usr/bin/cargo build --locked --release -p $$program --bin $$program --target $(MUSL) --target-dir target/debian \
	        -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size; \
	done'
	@integration/tools/place target/debian/$(MUSL)/release "static musl, Debian's packages ($$(/usr/bin/rustc --version | cut -d' ' -f1,2))" $(PROGRAMS)

# The last resort: glibc, statically.
build-gnu:
	export CARGO_TARGET_$(call upper,$(GNU))_RUSTFLAGS="-Ctarget-feature=+crt-static"; for program in $(PROGRAMS); do \
	    $(CARGO) build --locked --release -p $$program --bin $$program --target $(GNU) --target-dir target/static; \
	done
	@integration/tools/place target/static/$(GNU)/release "static gnu ($$(rustc --version)); a musl build is smaller and starts faster, see README.md" $(PROGRAMS)

demo: ## run a busybox container from a fresh machine
	@integration/tools/prerequisites demo
	@$(MAKE) --no-print-directory build
	@integration/tools/demo out/orlop

test: ## everything that runs on this machine, in at most 25 minutes
	@integration/tools/prerequisites build engines terminal
	@$(MAKE) --no-print-directory build
	@status=0; for part in $(PARTS); do \
	    $(MAKE) --no-print-directory $$part || status=1; \
	done; integration/tools/summary $(PARTS) || status=1; exit $$status

unit: ## unit tests and the floors test
	@$(PART) unit $(CARGO) test --locked --workspace --no-fail-fast

hand: ## tests that drive orlop by hand: lifecycle, terminal, kills, leaks
	@$(PART) hand $(CARGO) run --locked -q -p integration -- hand

checkpoint: ## checkpoint and restore by hand, with a CRIU of Debian trixie
	@$(PART) checkpoint integration/engines/checkpoint out/orlop

fuzz: ## fuzz the parsers (TIME=seconds for each target, TARGET=name); `make unit` replays the kept inputs
	@$(PART) fuzz integration/fuzz/run

checked: ## attack tests with AddressSanitizer and overflow checks, the stub under valgrind (CHECK="TEST...")
	@$(PART) checked integration/fuzz/check $(CHECK)

kills: ## SIGKILL at the system calls of every command
	@$(PART) kills $(CARGO) run --locked -q -p integration -- kills

faults: ## each system call of the commands fails (FAULTS=calls: every call, FAULTS=all: with every error)
	@$(PART) faults $(CARGO) run --locked -q -p integration -- faults

windows: ## an attacker acts between two system calls of the commands (WINDOWS=all: every action in each window)
	@$(PART) windows $(CARGO) run --locked -q -p integration -- windows

interleavings: ## two and three commands at once, stopped at their system calls (INTERLEAVINGS=all: at every call)
	@$(PART) interleavings $(CARGO) run --locked -q -p integration -- interleavings

budgets: ## system calls and instructions of the commands against integration/bench/budgets (UPDATE=1 writes it)
	@$(PART) budgets $(CARGO) run --locked -q -p integration -- budgets $(if $(UPDATE),--update)

shim: ## the reaping init beside tini and catatonit
	@$(PART) shim $(CARGO) run --locked -q -p integration -- shim

captures: ## configurations captured from engines, compared with runc
	@$(PART) captures $(CARGO) run --locked -q -p integration -- captures

engines: ## containerd, Docker and Podman on orlop, runc and crun
	@$(PART) engines $(CARGO) run --locked -q -p integration -- engines --table out/results/engines.md \
	    --record out/results/engines.tsv

newer-engines: ## the same and more with the engines of Debian SUITE (forky), unpacked into out/userlands (ENGINES="docker...")
	@integration/tools/prerequisites build engines
	@$(MAKE) --no-print-directory build
	$(CARGO) build --locked -q -p integration
	$(CARGO) test --locked -q -p integration --test packaging --no-run
	@integration/engines/userland $(SUITE)
	@integration/engines/userland system
	@$(PART) newer-engines integration/engines/userland $(SUITE) target/debug/integration engines --newer \
	    --record out/results/engines-$(SUITE).tsv $(patsubst %,--engine %,$(ENGINES))
	@$(PART) newer-hand integration/engines/userland $(SUITE) target/debug/integration hand --newer --only hand-newer
	@$(PART) newer-packaging integration/engines/userland $(SUITE) $$(ls -t target/debug/deps/packaging-* | grep -v '\.d$$' | head -1)

engines-table: ## write the tables of docs/engines.md from RECORDS="FILE.tsv..."
	$(CARGO) run --locked -q -p integration -- engines-table --table docs/engines.md $(patsubst %,--record %,$(RECORDS))

conformance: ## the conformance suite on RUNTIME=PATH, with OPTIONS="--v1-only --filter WORD" or none (runc's results beside orlop's)
	@$(if $(filter $(CURDIR)/out/orlop,$(RUNTIME)),test -x out/orlop || $(MAKE) --no-print-directory build)
	-@$(if $(filter $(CURDIR)/out/orlop,$(RUNTIME)),if command -v runc >/dev/null; then \
	    $(CARGO) run --locked -q -p oci-runtime-tests -- compare --all $(OPTIONS) $(RUNTIME) runc; fi)
	@$(PART) conformance $(CARGO) run --locked -q -p oci-runtime-tests -- run --runtime $(RUNTIME) $(OPTIONS) \
	    $(if $(filter $(CURDIR)/out/orlop,$(RUNTIME)),--skips oci-runtime-tests/skips/$(MACHINE).txt)

pairs: ## fields that protect, beside one another: what each does, seen from inside (EACH=1: every pair alone)
	@$(PART) pairs $(CARGO) run --locked -q -p oci-runtime-tests -- pairs --runtime $(RUNTIME) $(if $(EACH),--each)

conformance-table: ## write docs/conformance-table.md anew, with runc and crun of newer Debian releases (V2="RESULT.json...")
	@integration/tools/prerequisites build engines
	@$(MAKE) --no-print-directory build
	integration/tools/conformance-table $(V2)

soak: ## the long form of the tests that repeat
	@integration/tools/prerequisites build engines
	@$(MAKE) --no-print-directory build
	@status=0; \
	SOAK_ROUNDS=1000 SOAK_PARALLEL=200 $(PART) soak-hand $(CARGO) run --locked -q -p integration -- hand || status=1; \
	SOAK_EXECS=125 $(PART) soak-exec $(CARGO) test --locked -q -p integration --test hand exec_runs_or_is_refused || status=1; \
	SOAK=1 $(PART) soak-limits $(CARGO) test --locked -q -p integration --test process limits || status=1; \
	SOAK_RACES=2000 $(PART) soak-races $(CARGO) test --locked -q -p integration --test attacks races || status=1; \
	SOAK=1 $(PART) soak-records $(CARGO) test --locked -q -p integration --test attacks delete_never_forgets || status=1; \
	SOAK=1 $(PART) soak-check $(CARGO) test --locked -q -p integration --test check || status=1; \
	KILLS=all $(PART) soak-kills $(CARGO) run --locked -q -p integration -- kills || status=1; \
	FAULTS=all $(PART) soak-faults $(CARGO) run --locked -q -p integration -- faults || status=1; \
	WINDOWS=all $(PART) soak-windows $(CARGO) run --locked -q -p integration -- windows || status=1; \
	INTERLEAVINGS=all $(PART) soak-interleavings $(CARGO) run --locked -q -p integration -- interleavings || status=1; \
	TIME=60 $(PART) soak-fuzz integration/fuzz/run || status=1; \
	$(PART) soak-checked integration/fuzz/check || status=1; \
	$(PART) soak-pairs $(CARGO) run --locked -q -p oci-runtime-tests -- pairs --each --runtime out/orlop || status=1; \
	integration/engines/newer-runtimes target/runtimes trixie forky experimental && \
	OTHERS="$$(echo $(CURDIR)/target/runtimes/*/runc $(CURDIR)/target/runtimes/*/crun)" $(PART) soak-others $(CARGO) test --locked -q -p integration --test take_over --test way_back || status=1; \
	integration/tools/previous && PREVIOUS=$(CURDIR)/out/previous/orlop $(PART) soak-upgrade $(CARGO) test --locked -q -p integration --test upgrade || status=1; \
	SOAK=1 $(PART) soak-suite $(CARGO) test --locked -q -p integration --test documents the_suite || status=1; \
	IMAGE_KILLS=300 $(PART) soak-images $(CARGO) test --locked -q -p integration --test images kills || status=1; \
	SOAK=1 $(PART) soak-checkpoint integration/engines/checkpoint out/orlop || status=1; \
	SOAK_RUNS=500 $(PART) soak-engines $(CARGO) run --locked -q -p integration -- engines --runtime orlop --only soak || status=1; \
	integration/tools/summary soak-hand soak-exec soak-limits soak-races soak-records soak-check soak-kills soak-faults soak-windows soak-interleavings soak-fuzz soak-checked soak-pairs soak-others soak-upgrade soak-suite soak-images soak-checkpoint soak-engines || status=1; exit $$status

vm-test: ## cgroup v2, systemd, AppArmor and rootless in a virtual machine (QUICK=1 or FULL=1)
	@integration/tools/prerequisites build vm
	@$(MAKE) --no-print-directory build
	@status=0; FULL=$(FULL) QUICK=$(QUICK) $(PART) vm integration/vm/test || status=1; \
	integration/tools/summary vm || status=1; exit $$status

bench: ## compare orlop's speed with runc's, crun's and the kernel's floor (BENCH="--help" for what to choose)
	@integration/tools/prerequisites build engines
	@$(MAKE) --no-print-directory build
	@mkdir -p out/results
	$(CARGO) run --locked -q -p bench -- --markdown out/results/bench.md --csv out/results/bench.csv --svg out/results/bench.svg $(BENCH)
	$(if $(findstring --only,$(BENCH))$(findstring --scenario,$(BENCH)),,$(CARGO) run --locked -q --release -p bench --bin bench-filter | tee -a out/results/bench.md)

scale: ## 1,000 containers at 8 commands at a time beside runc and crun (BENCH="--containers N"), into out/results/scale.md
	@integration/tools/prerequisites build engines
	@$(MAKE) --no-print-directory build
	@mkdir -p out/results
	$(CARGO) run --locked -q -p bench -- --scenario node --markdown out/results/scale.md $(BENCH)

performance: ## measure everything and write docs/performance.md anew (VIEW=v2: docs/performance-v2.md), on a machine that does nothing else
	@$(MAKE) --no-print-directory bench BENCH="$(if $(VIEW),--view $(VIEW)) $(BENCH)"
	@integration/bench/performance $(VIEW)

lint: ## formatting, clippy, cargo deny, cargo doc, the tests of floors and style, checks for aarch64 and with the oldest Rust
	@integration/tools/prerequisites --optional build
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -q -p integration --test floors --test style
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked -q --no-deps -p orlop
	@if command -v cargo-deny >/dev/null; then cargo-deny --locked --workspace check bans licenses sources; \
	else echo 'SKIP cargo deny: cargo-deny is not installed (cargo install cargo-deny)'; fi
	integration/tools/aarch64
	integration/tools/minimal-rust

pages: ## man pages and shell completions, below out/share
	$(CARGO) run --locked -q -p orlop-bundle -- pages out/share

reference: ## write docs/commands.md from the table of commands
	@mkdir -p out
	$(CARGO) run --locked -q -p orlop-bundle -- pages --reference > out/commands.md
	mv out/commands.md docs/commands.md

dist: ## static programs for amd64 and arm64, the same bytes in any folder, into out/dist (ARCHS="amd64 arm64")
	@integration/tools/prerequisites dist
	integration/tools/dist $(ARCHS)

deb: ## Debian packages of out/dist, installed and removed in a root of their own, into out/deb (ARCHS="amd64 arm64")
	integration/tools/deb $(ARCHS)
	@for arch in $(ARCHS); do integration/tools/deb-test $$arch; done

release-check: ## versions, CHANGELOG, a clean tree, dependencies and sums, before a release
	@integration/tools/release-check

install: ## install both programs, their man pages and completions below PREFIX (and DESTDIR)
	@test -x out/orlop -a -x out/orlop-bundle || $(MAKE) --no-print-directory build
	PAGES=$(PAGES) integration/tools/install-tree $(DESTDIR)$(PREFIX)

uninstall: ## remove exactly what `make install` put below PREFIX (and DESTDIR)
	integration/tools/install-tree --remove $(DESTDIR)$(PREFIX)

clean: ## remove what was built
	rm -rf out target
