# Weir. `make help` lists the targets; CONTRIBUTING.md explains them.
#
# Layout of the build folder: $(BUILD)/weir is the release binary, $(BUILD)/<mode>/ holds everything that
# another mode (asan, tsan, fuzz) makes. Each folder under src/ becomes one archive; a unit test of a folder links
# that folder and those below it only, so the tests keep the layers too.

VERSION := 0.1.0
MODE  ?= release
BUILD ?= build
# V=1 shows the commands.
Q     := $(if $(V),,@)
OUT   := $(if $(filter release,$(MODE)),$(BUILD),$(BUILD)/$(MODE))

# Bottom to top. A folder may include itself and what stands before it; tools/check-layers knows the exceptions.
LAYERS := base os codec net log kafka config state text dialect model call view alert api cli

CFLAGS_release := -O2 -DNDEBUG
CFLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -fsanitize=thread -fno-omit-frame-pointer
CFLAGS_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
ifeq ($(MODE),fuzz)
CC := clang
endif
# What gcc says of uninitialised variables under a sanitizer is often wrong; the release build is where it counts.
ifneq ($(MODE),release)
CFLAGS_$(MODE) += $(if $(findstring clang,$(CC)),,-Wno-maybe-uninitialized)
endif

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wundef -Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings
# clang takes the text in CHECK(!"text") for a mistake.
WARNINGS += $(if $(findstring clang,$(CC)),-Wno-string-conversion)
# Warnings are errors for developers (DEV=1, as in the tests), not for users.
DEV ?=
CPPFLAGS_ALL := -Isrc -I$(OUT)/gen -I. -D_GNU_SOURCE -DWEIR_VERSION='"$(VERSION)"' -DWEB_DIR='"$(BUILD)/web"'
CFLAGS_ALL = -std=gnu11 -g $(CFLAGS_$(MODE)) $(WARNINGS) $(if $(DEV),-Werror) -fno-strict-aliasing -pthread \
             -fstack-protector-strong $(CFLAGS)

include deps/deps.mk

SRC      := $(sort $(foreach l,$(LAYERS),$(wildcard src/$(l)/*.c src/$(l)/*/*.c)))
obj_of    = $(patsubst %.c,$(OUT)/obj/%.o,$(1))
archives  = $(foreach l,$(1),$(if $(wildcard src/$(l)/*.c src/$(l)/*/*.c),$(OUT)/lib/libweir-$(l).a))
# Archives that a unit test of folder $(1) links: the folder and all below it, top first for the linker.
reverse   = $(if $(1),$(call reverse,$(wordlist 2,$(words $(1)),$(1))) $(firstword $(1)))
upto      = $(if $(filter $(1),$(firstword $(2))),$(1),$(firstword $(2)) $(call upto,$(1),$(wordlist 2,$(words $(2)),$(2))))
layers_of = $(call archives,$(call reverse,$(call upto,$(1),$(LAYERS))))

.DEFAULT_GOAL := all
.SECONDEXPANSION:
.DELETE_ON_ERROR:

all: $(if $(wildcard src/main.c),$(OUT)/weir) $(OUT)/lib/llama ## Build the binary, build/weir (the default)

$(OUT)/weir: $(call obj_of,src/main.c) $(call archives,$(call reverse,$(LAYERS)))
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)

# Points at whichever llama.cpp was chosen.
ifneq ($(shell readlink $(OUT)/lib/llama),$(LLAMA_DIR)/lib)
.PHONY: $(OUT)/lib/llama
endif
$(OUT)/lib/llama: | $(LLAMA_DIR)
	@mkdir -p $(@D)
	$(Q)ln -sfn $(LLAMA_DIR)/lib $@

# The small models of `make run` and of the tests: one for chats, one for embeddings.
models: models/smollm2.gguf models/smollm2.jinja models/minilm.gguf ## Put the small models into models/
models/%.gguf: | $$(DEP_%)
	@mkdir -p $(@D)
	$(Q)ln $(DEP_$*)/$(@F) $@ 2>/dev/null || cp $(DEP_$*)/$(@F) $@

models/%.jinja: deps/%.jinja
	@mkdir -p $(@D)
	$(Q)cp $< $@

run: ## Install, fetch and build what is missing, start Weir (LISTEN=HOST:PORT; CHECK=1: ask once, then stop)
	@MAKE='$(MAKE)' LISTEN='$(LISTEN)' CHECK='$(CHECK)' tools/run

packages: ## Install the Debian packages that building and running need
	@tools/packages build $(if $(filter source,$(LLAMA)),llama-source)

$(OUT)/obj/src/%.o: src/%.c | $(DEPS_READY)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) -include base/banned.h $(DEPS_CFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(OUT)/obj/tests/%.o: tests/%.c | $(DEPS_READY)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(DEPS_CFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(OUT)/obj/bench/%.o: bench/%.c | $(DEPS_READY)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS_ALL) $(DEPS_CFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The Kafka protocol's structs and tables, made from one table. Their includes find them in $(OUT)/gen.
KAFKA_GEN := $(OUT)/gen/kafka/messages.gen.h
$(KAFKA_GEN): src/kafka/messages.txt tools/kafka-messages
	@echo "  GEN   $@"
	$(Q)tools/kafka-messages $< $(@D)
	@touch $@
$(call obj_of,$(wildcard src/kafka/*.c) $(wildcard tests/*/kafka/*.c tests/fuzz/fuzz_kafka*.c)): $(KAFKA_GEN)
$(OUT)/obj/src/kafka/messages.o: $(KAFKA_GEN)

# Files that sources take in with .incbin.
$(OUT)/obj/src/state/prices.o: src/state/prices.tsv
$(OUT)/obj/src/api/status.o: src/api/openapi.json

# The page: TypeScript and CSS into one file each, embedded by src/api/page.c.
$(OUT)/obj/src/api/page.o: $(BUILD)/web/page.js
$(BUILD)/web/page.js: web/index.html $(wildcard web/src/*) | $(DEP_esbuild) $(DEP_preact) $(DEP_uplot)
	@mkdir -p $(@D)
	@echo "  WEB   $(@D)"
	$(Q)cp web/index.html $(@D)/
	$(Q)NODE_PATH=$(DEP_preact):$(DEP_uplot) $(DEP_esbuild)/bin/esbuild web/src/page.tsx --outfile=$@ --bundle --minify \
	    --target=es2020 --jsx=automatic --jsx-import-source=preact --legal-comments=inline --log-level=warning

define archive_rule
$(OUT)/lib/libweir-$(1).a: $(call obj_of,$(wildcard src/$(1)/*.c src/$(1)/*/*.c))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call archive_rule,$(l))))

# Unit, fault and simulation tests: tests/<kind>/<folder>/test_<name>.c -> $(OUT)/tests/<kind>/<folder>/test_<name>
# The simulation has one thread: it has nothing to say under ThreadSanitizer, and takes minutes there.
C_TESTS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/*/test_*.c tests/fault/*/test_*.c \
    $(if $(filter tsan,$(MODE)),,tests/sim/*/test_*.c)))
folder_of = $(word 3,$(subst /, ,$(patsubst $(OUT)/%,%,$(1))))

$(C_TESTS): $(OUT)/tests/%: $(OUT)/obj/tests/%.o $$(call layers_of,$$(call folder_of,$$@))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS) -lcmocka

# Fuzzers: tests/fuzz/fuzz_<name>.c holds libFuzzer's entry point, tests/fuzz/corpus/<name>/ its inputs. With MODE=fuzz they
# become $(OUT)/fuzz/<name>, in any other mode programs that replay the corpus.
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

$(FUZZERS:%=$(OUT)/fuzz/%): $(OUT)/fuzz/%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(call archives,$(call reverse,$(LAYERS)))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -fsanitize=fuzzer $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)

$(FUZZERS:%=$(OUT)/replay/%): $(OUT)/replay/%: $(OUT)/obj/tests/fuzz/fuzz_%.o $(OUT)/obj/tests/fuzz/replay.o \
    $(call archives,$(call reverse,$(LAYERS)))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

replay: $(FUZZERS:%=$(OUT)/replay/%) ## Run the fuzzers' corpora once (MODE=asan)
	@tools/run-tests $(foreach f,$(FUZZERS),'$(OUT)/replay/$(f) tests/fuzz/corpus/$(f)')

fuzz: ## Fuzz F=name for SECONDS=60, from its corpus; what is found lands in build/fuzz/found
	@$(MAKE) --no-print-directory MODE=fuzz $(BUILD)/fuzz/fuzz/$(F)
	@tools/fuzz '$(BUILD)/fuzz/fuzz/$(F)' 'tests/fuzz/corpus/$(F)' '$(BUILD)/fuzz/found/$(F)' '$(SECONDS)'

# Programs of bench/: `make bench/dialect` runs bench/bench_dialect.c, others are built by `make build/bench/NAME`.
BENCHES := $(patsubst bench/%.c,%,$(wildcard bench/*.c))

$(BENCHES:%=$(OUT)/bench/%): $(OUT)/bench/%: $(OUT)/obj/bench/%.o $(call archives,$(call reverse,$(LAYERS)))
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)

$(patsubst bench_%,bench/%,$(filter bench_%,$(BENCHES))): bench/%: $(OUT)/bench/bench_%
	@$<

# A program that a test in Python drives.
$(OUT)/tests/render_template: $(OUT)/obj/tests/clients/render_template.o $(call layers_of,text)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS) -o $@ $< $(filter %.a,$^) $(LIBS)

clients: all models $(OUT)/tests/render_template ## Run the tests in Python and Node against the binary (MODE=asan, T=expression)
	@tools/test-env
	@PATH='$(CURDIR)/build/node/bin:$(PATH)' WEIR='$(CURDIR)/$(OUT)/weir' build/venv/bin/python -m pytest -q \
	    $(if $(T),-k '$(T)') tests/clients

bench: all ## Measure Weir beside nginx, Portkey and LiteLLM into bench/RESULTS.md (BENCH='--quick --only weir,nginx')
	@tools/packages bench
	@bench/run $(BENCH)

bench-local: all models $(OUT)/bench/bench_engine ## Measure local models beside llama-server and llama-batched-bench (BENCH='--quick')
	@tools/packages llama-source
	@bench/local $(BENCH)

bench-spans: all ## Measure how fast spans are taken by OTLP (BENCH='--gzip --seconds 10')
	@bench/spans $(BENCH)

$(OUT)/bench/kafka_load: LIBS += -lrdkafka

bench-kafka: all $(OUT)/bench/kafka_load ## Measure the broker beside Apache Kafka into bench/RESULTS.md (BENCH='--quick --print')
	@tools/packages test
	@tools/test-env
	@bench/kafka $(BENCH)

conformance: all ## Try Weir, Portkey and LiteLLM with one table of cases, into bench/RESULTS.md
	@bench/conformance $(BENCH)

crash: all ## Kill Weir at random under load for SECONDS=3600 and look for what was lost
	@tools/test-env
	@WEIR='$(CURDIR)/$(BUILD)/weir' WEIR_CRASH_SECONDS='$(or $(SECONDS),3600)' $(BUILD)/venv/bin/python -m pytest -q \
	    tests/clients/test_crash.py

crash-kafka: all ## The same with Kafka clients: idempotent and transactional producers, copiers, groups (SECONDS=3600)
	@tools/test-env
	@PATH='$(CURDIR)/build/node/bin:$(PATH)' WEIR='$(CURDIR)/$(OUT)/weir' SECONDS='$(or $(SECONDS),3600)' build/venv/bin/python -m pytest -q -s \
	    tests/clients/test_kafka_crash.py

lock: ## Write the lock files of tests/clients anew
	@tools/test-env --lock

test: ## Run every test; STAGES='unit replay' runs some
	@MAKE='$(MAKE)' tools/test $(STAGES)

CHOSEN := $(if $(T),$(filter %/$(T),$(C_TESTS)),$(C_TESTS))
unit: $(CHOSEN) $(OUT)/lib/llama models ## Build and run the C tests (MODE=asan or tsan for sanitizers, T=name for one)
	@tools/run-tests $(or $(CHOSEN),$(error no C test is called '$(T)'))

print-%: # The value of a variable, for scripts
	@echo '$($*)'

# What a source is compiled with, one flag a line, for clang-tidy, the gates and editors.
compile_flags.txt: Makefile deps/deps.mk deps/table | $(DEPS_READY) $(KAFKA_GEN)
	$(Q)printf '%s\n' $(CPPFLAGS_ALL) -include base/banned.h $(DEPS_CFLAGS) -std=gnu11 $(WARNINGS) -pthread >$@

gates: compile_flags.txt ## Check the tree: layers, formats, lengths, linters (T=name for one)
	@tools/gates $(T)

clean: ## Remove the build folder
	rm -rf $(BUILD) compile_flags.txt

format: ## Format every source with clang-format
	clang-format -i $$(git ls-files '*.c' '*.h')

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)


.PHONY: crash crash-kafka all models run packages unit gates replay fuzz clients bench bench-local bench-kafka bench-spans conformance lock test $(patsubst bench_%,bench/%,$(filter bench_%,$(BENCHES))) clean format help
-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
