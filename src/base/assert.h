/* ASSERT stays on in release: a broken invariant ends the process before it can reach the disk. */
#ifndef WEIR_BASE_ASSERT_H
#define WEIR_BASE_ASSERT_H

/* Print file, line and expression to standard error and abort. */
__attribute__((noreturn, cold)) void assert_fail(const char *file, int line, const char *expr);

#define ASSERT(expr)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0))                                                          \
            assert_fail(__FILE__, __LINE__, #expr);                                                \
    } while (0)

#endif
