# What the sources compile and link with: Debian's libraries through pkg-config, and the entries of deps/table, which
# deps/get makes once per compiler and flags in the user's cache. DEP_<name> is an entry's folder; it exists once it is
# whole, so everything that needs it names it as an order-only prerequisite.
PKGS := sqlite3 libuv openssl libzstd liblz4 zlib yaml-0.1

define dep_rule
DEP_$(1) := $(2)
$(2):
	@deps/get $(1) '$$(CC)' '$$(CFLAGS_$$(MODE))' >/dev/null
endef
$(foreach d,$(shell deps/get --paths '$(CC)' '$(CFLAGS_$(MODE))' 2>/dev/null),\
    $(eval $(call dep_rule,$(word 1,$(subst =, ,$(d))),$(word 2,$(subst =, ,$(d))))))

# The engine process loads llama.cpp from lib/llama/libllama.so beside the binary, which does not link it itself. There are
# ready-made libraries for x86-64; LLAMA=source builds them, as happens on every other machine.
LLAMA     ?= $(if $(DEP_llama),prebuilt,source)
LLAMA_DIR := $(if $(filter source,$(LLAMA)),$(DEP_llama-built),$(DEP_llama))

DEPS_CFLAGS := $(patsubst %,-isystem %/include,$(DEP_yyjson) $(DEP_llhttp) $(DEP_llama-source)) \
               $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS    := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LIBS        := $(DEP_yyjson)/lib/libyyjson.a $(DEP_llhttp)/lib/libllhttp.a $(PKG_LIBS) -lsnappy -ldl -lm -lpthread

DEPS_READY := $(if $(PKG_LIBS),,packages-missing) $(DEP_yyjson) $(DEP_llhttp) $(DEP_llama-source)

.PHONY: packages-missing
packages-missing:
	@tools/packages --check build; false
