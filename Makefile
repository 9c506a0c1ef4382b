# Tidewaiter. `make help` lists the targets; every variant builds in its own tree under build/.
B        ?= build
CC       ?= gcc
SAN      ?=
OPT      ?= -O2
VERSION  := 0.1.0

PKGS     := libevent libevent_pthreads openssl jansson libpcre2-8 libconfig sqlite3 libjwt
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
CPPFLAGS += -I. -D_GNU_SOURCE -DTW_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS))
CFLAGS   += -std=c17 -g $(OPT) $(WARN) $(HARDEN) $(SAN) -pthread
LDFLAGS  += $(SAN) -pie -Wl,-z,relro,-z,now -pthread
LDLIBS   += $(shell pkg-config --libs $(PKGS))

POLICY_C  := $(wildcard policy/*.c)
GATEWAY_C := $(filter-out gateway/main.c,$(wildcard gateway/*.c gateway/*/*.c))
UNIT_C    := $(wildcard tests/unit/test_*.c)
FUZZ_C    := $(wildcard tests/fuzz/fuzz_*.c)
TOOL_C    := $(wildcard tests/tools/*.c)
obj        = $(patsubst %.c,$(B)/%.o,$(1))
UNIT      := $(patsubst tests/unit/%.c,$(B)/%,$(UNIT_C))
FUZZ      := $(patsubst tests/fuzz/%.c,$(B)/%,$(FUZZ_C))
TOOLS     := $(patsubst tests/tools/%.c,$(B)/%,$(TOOL_C))

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

check: $(UNIT) ## unit tests and policy vectors (fast)
	@tests/run-unit $(UNIT)

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 14

clean: ## remove build/
	rm -rf build

.PHONY: all check help clean
-include $(shell test -d $(B) && find $(B) -name '*.d')
