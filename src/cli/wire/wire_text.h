/* The mock's text: numbered tokens, so that whoever reads an answer can tell for each token whether
 * it is lost, doubled, out of order or damaged. "alpha0 бета1 gamma2 δέλτα3 …": words of one to
 * four bytes a character, so that cuts inside characters happen; none needs an escape in JSON. */
#ifndef WEIR_CLI_WIRE_TEXT_H
#define WEIR_CLI_WIRE_TEXT_H

#include "base/buf.h"
#include "base/str.h"

enum { WIRE_TOKEN_BYTES_MAX = 48 };

/* Token number `index`, from 0; all but the first begin with a space. Returns its length. */
size_t wire_token_write(char ret_text[WIRE_TOKEN_BYTES_MAX], uint64_t index);
/* Is text exactly that token? */
bool wire_token_is(struct str text, uint64_t index);
/* The tokens from 0 on, count of them, joined. */
void wire_text_append(struct buf *out, uint64_t count);

#endif
