/* The end of the process when the disk did not take what was written: the kernel has forgotten it,
 * so no later sync can tell whether it is there. The only place of a library that prints and exits.
 */
#include <stdio.h>
#include <unistd.h>

#include "log/log_int.h"

void log_fatal(struct log *log, const char *what, const char *path, enum err error)
{
    char text[OS_PATH_MAX + 128];
    int n = snprintf(text, sizeof text, "event=log_%s_failed path=%s error=%s", what, path,
                     err_name(error));
    size_t len = n > 0 && (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    atomic_store(&log->failed, true);
    if (log->options.fatal) {
        log->options.fatal(log->options.arg, str_of(text, len));
        return;
    }
    (void)fprintf(
        stderr,
        "level=fatal %.*s hint=\"what the disk did not take is lost to the kernel; acknowledging "
        "more could lose it too. Check the disk, then start again\"\n",
        (int)len, text);
    (void)fflush(stderr);
    _exit(1);
}
