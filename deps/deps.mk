# What the sources compile and link with: Debian's libraries by pkg-config, and the fetched ones, which
# deps/get builds once into the user's cache and prints the folder of ({include,lib} inside).
DEPS_READY :=
PKGS       := libuv openssl libzstd liblz4 zlib yaml-0.1
YYJSON     := $(shell deps/get yyjson $(MODE))
LLHTTP     := $(shell deps/get llhttp $(MODE))

DEPS_CFLAGS := -isystem $(YYJSON)/include -isystem $(LLHTTP)/include $(shell pkg-config --cflags $(PKGS))
LIBS        := $(YYJSON)/lib/libyyjson.a $(LLHTTP)/lib/libllhttp.a $(shell pkg-config --libs $(PKGS)) -lsnappy -ldl -lm -lpthread
