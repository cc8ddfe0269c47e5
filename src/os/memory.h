/* This process's memory as the kernel sees it. Linux. */
#ifndef WEIR_OS_MEMORY_H
#define WEIR_OS_MEMORY_H

#include <stddef.h>

/* Pages that were written but hold only zeros go back to the kernel, which hands out such pages
 * again when they are written next: nothing changes but how much memory is taken. Looked at are
 * private anonymous mappings of min_bytes to max_bytes; takes about 0.2 ms a MiB. Nobody may write
 * to them meanwhile. Returns the bytes given back. */
size_t os_memory_give_back_zeros(size_t min_bytes, size_t max_bytes);

#endif
