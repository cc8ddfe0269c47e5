#include "cli/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "codec/time.h"
#include "os/clock.h"

enum { LINE_BYTES_MAX = 8192 };

__attribute__((format(printf, 2, 0))) static void vsay(const char *level, const char *format,
                                                       va_list args)
{
    char time[TIME_TEXT_BYTES + 1];
    struct buf line BUF_AUTO;
    buf_init(&line, LINE_BYTES_MAX);
    buf_printf(&line, "time=%s level=%s ", time_format(os_wall_us(), time).ptr, level);
    buf_vprintf(&line, format, args);
    for (size_t i = 0; i < line.len; i++)
        if ((unsigned char)line.ptr[i] < ' ' || line.ptr[i] == 0x7f)
            line.ptr[i] = ' ';
    buf_append_char(&line, '\n');
    /* Nothing can be done, and nobody told, when standard error is gone. */
    if (write(STDERR_FILENO, line.ptr, line.len) < 0)
        return;
}

void say(const char *level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsay(level, format, args);
    va_end(args);
}
