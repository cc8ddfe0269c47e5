/* This process's memory as the kernel sees it. Linux. */
#ifndef WEIR_OS_MEMORY_H
#define WEIR_OS_MEMORY_H

#include <stddef.h>

/* A sanitizer keeps its books in such mappings: then nothing is given back. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OS_MEMORY_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OS_MEMORY_SANITIZED 1
#endif
#endif
#ifndef OS_MEMORY_SANITIZED
#define OS_MEMORY_SANITIZED 0
#endif

/* Pages that were written but hold only zeros go back to the kernel, which hands out such pages
 * again when they are written next: nothing changes but how much memory is taken. Looked at are
 * private anonymous mappings of min_bytes to max_bytes; takes about 0.2 ms a MiB. Nobody may write
 * to them meanwhile. Returns the bytes given back.
 *
 * /proc/self/maps is the one way to where they are: who asks is a caller of llama.cpp, whose API
 * neither says where a context's caches lie nor lets them be allocated by its user, and which
 * clears them by memset on pages that mmap had zeroed. (A malloc or memset of our own before libc's
 * would touch all other code of the process.) */
size_t os_memory_give_back_zeros(size_t min_bytes, size_t max_bytes);

#endif
