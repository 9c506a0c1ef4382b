# Tidewaiter. `make help` lists the targets; every variant builds in its own tree under build/.
#   B=DIR  build tree          CC=gcc|clang       SAN=  sanitizer flags       OPT=  optimisation
#   DESTDIR= PREFIX=/usr/local for install        FUZZ_SECONDS=60             JOBS= of the tests' own builds
B        ?= build
CC       := $(if $(filter default,$(origin CC)),gcc,$(CC))
SAN      ?=
OPT      ?= -O2
PREFIX   ?= /usr/local
DESTDIR  ?=
FUZZ_SECONDS ?= 60
VERSION  := 0.1.0

PKGS     := libevent libevent_pthreads openssl jansson libpcre2-8 libconfig sqlite3 libjwt libcurl yara libzstd liblzma zlib
WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wvla -Walloca -Wundef -Wnull-dereference -Wconversion \
	-Wsign-conversion -Wdouble-promotion -Wimplicit-fallthrough -Wswitch-enum -Werror
WARN_GCC := -Wduplicated-cond -Wlogical-op -Wduplicated-branches -Wtrampolines -Wjump-misses-init
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
ISCLANG  := $(findstring clang,$(shell $(CC) --version 2>/dev/null))
ifeq ($(ISCLANG),)
WARN     += $(WARN_GCC)
HARDEN   += -ftrivial-auto-var-init=zero
endif
ifeq ($(SAN),)
HARDEN   += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
# Before install-deps ran there may be no pkg-config: the sub-makes of `test` and `run` ask again.
CPPFLAGS += -I. -D_GNU_SOURCE -DTW_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
CFLAGS   += -std=c17 -g $(OPT) $(WARN) $(HARDEN) $(SAN) -pthread
LDFLAGS  += $(SAN) -pie -Wl,-z,relro,-z,now -pthread
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lcrypt -lbz2 -lm

POLICY_C  := $(wildcard policy/*.c policy/*/*.c)
GATEWAY_C := $(filter-out gateway/main.c,$(wildcard gateway/*.c gateway/*/*.c gateway/*/*/*.c))
UNIT_C    := $(wildcard tests/unit/test_*.c)
FUZZ_C    := $(wildcard tests/fuzz/fuzz_*.c)
TOOL_C    := $(wildcard tests/tools/*.c)
obj        = $(patsubst %.c,$(B)/%.o,$(1))
UNIT      := $(patsubst tests/unit/%.c,$(B)/%,$(UNIT_C))
FUZZ      := $(patsubst tests/fuzz/%.c,$(B)/%,$(FUZZ_C))
TOOLS     := $(patsubst tests/tools/%.c,$(B)/%,$(TOOL_C))

ASAN     := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN     := -fsanitize=thread -fno-omit-frame-pointer
FUZZSAN  := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer

.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

all: $(B)/tidewaiter ## build the gateway (build/tidewaiter)

$(B)/tidewaiter: $(call obj,gateway/main.c) $(B)/libgateway.a $(B)/libpolicy.a
	@echo "  LD    $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/libpolicy.a: $(call obj,$(POLICY_C))
$(B)/libgateway.a: $(call obj,$(GATEWAY_C))
$(B)/%.a:
	@echo "  AR    $@"
	@rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(UNIT): $(B)/%: $(B)/tests/unit/%.o $(B)/libgateway.a $(B)/libpolicy.a
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(TOOLS): $(B)/%: $(B)/tests/tools/%.o $(B)/libgateway.a $(B)/libpolicy.a
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(FUZZ): $(B)/%: $(B)/tests/fuzz/%.o $(B)/libgateway.a $(B)/libpolicy.a
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

unit-%: $(B)/test_% ; $(B)/test_$*

tools: $(TOOLS)
unit: $(UNIT)
fuzzers: $(FUZZ)

check: $(UNIT) $(B)/tidewaiter ## unit tests, policy vectors and examples (fast)
	@TIDEWAITER=$(B)/tidewaiter tests/run-unit $(UNIT) tests/policy/tools

test: ## install what is missing, build, run every test; ends with one line
	@deploy/install-deps test
	@tests/run

e2e: $(B)/tidewaiter ## five clients and raw ones through the gateway to docker-registry
	@TIDEWAITER=$(B)/tidewaiter tests/e2e/run

deploy: $(B)/tidewaiter ## installation, unit, image, Kubernetes files and guides, tried
	@TIDEWAITER=$(B)/tidewaiter tests/deploy/run

# no client of several seconds a step: the gateway is ten times slower
e2e-tsan: ## raw clients, skopeo and a mixed load through a gateway under ThreadSanitizer
	@$(MAKE) --no-print-directory B=build/tsan OPT=-O1 SAN="$(TSAN)" all
	@TSAN_OPTIONS=$${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1} TIDEWAITER=build/tsan/tidewaiter \
	    tests/e2e/run reload bundle raw tokens registries vendors credentials lists faults hangups:100 tags removes quarantine manytags signatures signed drift observe explain:raw ready issuers clients:skopeo soak:0.3

# Go programs, from the Go module proxy: not part of `make test`, but of continuous integration where Go is there
conformance: $(B)/tidewaiter ## the OCI conformance suite, at the registry and through the gateway (needs Go 1.24)
	@tests/go/install conformance
	@TIDEWAITER=$(B)/tidewaiter tests/e2e/run conformance

e2e-go: $(B)/tidewaiter ## crane, oras and cosign through the gateway (needs Go 1.24)
	@tests/go/install crane oras cosign
	@TIDEWAITER=$(B)/tidewaiter tests/e2e/run gotools

# from PyPI: likewise
e2e-pypi: $(B)/tidewaiter ## the login at ECR against moto's server
	@tests/pypi/install moto
	@TIDEWAITER=$(B)/tidewaiter tests/e2e/run moto

corpus: $(B)/tidewaiter ## bypass cases of tests/corpus over TLS, upstream recorded
	@TIDEWAITER=$(B)/tidewaiter tests/corpus/run

corpus-asan:
	@ASAN_OPTIONS=$${ASAN_OPTIONS:-}:quarantine_size_mb=8 $(MAKE) --no-print-directory B=build/asan OPT=-O1 SAN="$(ASAN)" corpus

oracle: $(B)/decide ## random policies: our engine against iam-simulate and Cedar (npm), its index against asking everything
	@DECIDE=$(B)/decide tests/policy/oracle/run

asan: ## unit tests under AddressSanitizer and UBSan
	@$(MAKE) --no-print-directory B=build/asan OPT=-O1 SAN="$(ASAN)" check

tsan: ## unit tests under ThreadSanitizer
	@$(MAKE) --no-print-directory B=build/tsan OPT=-O1 SAN="$(TSAN)" check

coverage: ## lines the unit tests run, of the reader, the grammar and the policy engine: at least 95 %
	@find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory B=build/coverage OPT=-O0 SAN=--coverage check >build/coverage.log 2>&1 || { tail -n 20 build/coverage.log; false; }
	@B=build/coverage tests/coverage

fuzz: ## run every fuzzer FUZZ_SECONDS (clang)
	@$(MAKE) --no-print-directory B=build/fuzz CC=clang OPT=-O1 SAN="$(FUZZSAN)" fuzzers
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run-fuzz build/fuzz $(notdir $(FUZZ))

bench: all ## timings (medians), never asserted
	@deploy/install-deps bench
	@TIDEWAITER=$(B)/tidewaiter tests/bench/run
	@TIDEWAITER=$(B)/tidewaiter tests/bench/scanning

schema: $(B)/tidewaiter ## documents against the JSON Schema, by a validator of its own
	@TIDEWAITER=$(B)/tidewaiter tests/schema/run

generated: $(B)/tidewaiter ## write what is made from the tables of the policy language: its schema, part three of its manual
	@$(B)/tidewaiter policy schema >$(B)/generated && cp $(B)/generated policy/policy.schema.json
	@$(B)/tidewaiter policy reference >$(B)/generated && sed -i -e '/^<!-- begin generated/,/^<!-- end generated/{//!d}' \
	    -e '/^<!-- begin generated/r $(B)/generated' policy/MANUAL.md

bench-policy: $(B)/bench_policy ## the policy engine at 10 to 100,000 statements, beside casbin, Cedar and iam-simulate (npm)
	@BENCH_POLICY=$(B)/bench_policy tests/bench/policy/run

lint: ## format, banned functions, function length, shell scripts
	@tests/lint

layers: ## who may include and call what
	@tests/layers

# What systemd reads is found below /usr and /usr/local; with another PREFIX set SYSTEMDDIR.
SBINDIR    = $(PREFIX)/sbin
DOCDIR     = $(PREFIX)/share/doc/tidewaiter
SYSTEMDDIR = $(PREFIX)/lib
GUIDES    := $(wildcard deploy/guides/*.md)
INSTALLED  = $(SBINDIR)/tidewaiter $(SYSTEMDDIR)/systemd/system/tidewaiter.service $(SYSTEMDDIR)/sysusers.d/tidewaiter.conf \
	$(SYSTEMDDIR)/tmpfiles.d/tidewaiter.conf

install: all ## into $(DESTDIR)$(PREFIX): the gateway, its systemd unit and account, documentation
	install -D -m 0755 $(B)/tidewaiter $(DESTDIR)$(SBINDIR)/tidewaiter
	@sed -e 's|@SBINDIR@|$(SBINDIR)|g; s|@DOCDIR@|$(DOCDIR)|g' deploy/systemd/tidewaiter.service.in >$(B)/tidewaiter.service
	install -D -m 0644 $(B)/tidewaiter.service $(DESTDIR)$(SYSTEMDDIR)/systemd/system/tidewaiter.service
	install -D -m 0644 deploy/systemd/tidewaiter.sysusers $(DESTDIR)$(SYSTEMDDIR)/sysusers.d/tidewaiter.conf
	install -D -m 0644 deploy/systemd/tidewaiter.tmpfiles $(DESTDIR)$(SYSTEMDDIR)/tmpfiles.d/tidewaiter.conf
	install -d -m 0755 $(DESTDIR)$(DOCDIR)/guides
	install -m 0644 README.md CHANGELOG.md LICENSE gateway.conf.example $(DESTDIR)$(DOCDIR)
	install -D -m 0644 policy/MANUAL.md $(DESTDIR)$(DOCDIR)/policy/MANUAL.md
	install -m 0644 policy/policy.schema.json $(DESTDIR)$(DOCDIR)/policy
	install -m 0644 $(GUIDES) $(DESTDIR)$(DOCDIR)/guides

uninstall: ## what install put there; configuration, ledger and audit log stay
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rm -rf $(DESTDIR)$(DOCDIR)

run: ## quick start: install, build, demonstrate, stay up (DEMO_ONLY=1: end after the demonstration)
	@deploy/quickstart

help: ## this list
	@grep -hE '^[a-z0-9][a-z0-9-]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

clean: ## remove build/
	rm -rf build

.PHONY: all tools unit fuzzers check test e2e e2e-tsan conformance e2e-go e2e-pypi deploy corpus corpus-asan asan tsan coverage fuzz bench schema generated lint layers install \
	uninstall run help clean
ALL_C := gateway/main.c $(POLICY_C) $(GATEWAY_C) $(UNIT_C) $(FUZZ_C) $(TOOL_C)
-include $(wildcard $(patsubst %.c,$(B)/%.d,$(ALL_C)))
