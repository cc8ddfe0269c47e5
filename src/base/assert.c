#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

void assert_fail(const char *file, int line, const char *expr)
{
    fprintf(stderr, "level=fatal event=assert file=%s line=%d expr=\"%s\"\n", file, line, expr);
    fflush(stderr);
    abort();
}
