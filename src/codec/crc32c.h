/* CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the processor's instruction where it has one. */
#ifndef WEIR_CODEC_CRC32C_H
#define WEIR_CODEC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue a checksum; start with 0. Any thread. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same by table, for machines without the instruction; also what tests compare with. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len);

#endif
