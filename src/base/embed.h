/* Files in the binary: EMBED(name, "path") at file level, the path from the top of the source tree,
 * makes `name_begin` and `name_end`; EMBEDDED(name) is its struct str. The Makefile must list the
 * file as what the object depends on. */
#ifndef WEIR_BASE_EMBED_H
#define WEIR_BASE_EMBED_H

#include "base/str.h"

#define EMBED(name, path)                                                                          \
    __asm__(".pushsection .rodata\n"                                                               \
            ".balign 16\n"                                                                         \
            ".hidden " #name "_begin\n.globl " #name "_begin\n" #name "_begin:\n"                  \
            ".incbin \"" path "\"\n"                                                               \
            ".hidden " #name "_end\n.globl " #name "_end\n" #name "_end:\n"                        \
            ".byte 0\n"                                                                            \
            ".popsection\n");                                                                      \
    extern const char name##_begin[];                                                              \
    extern const char name##_end[]

#define EMBEDDED(name)                                                                             \
    str_of(name##_begin, (size_t)((uintptr_t)name##_end - (uintptr_t)name##_begin))

#endif
