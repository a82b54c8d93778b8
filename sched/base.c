/* SPDX-License-Identifier: MIT */
/* base.c - error texts, the version, and where a broken invariant ends. */
#include "base.h"

#include <stdio.h>
#include <unistd.h>

const char *troupe_strerror(int error)
{
    switch (error) {
    case TROUPE_OK:
        return "success";
#define ERROR_TEXT(name, value, text)                                                              \
    case name:                                                                                     \
        return text;
        TROUPE_ERROR_TABLE(ERROR_TEXT)
#undef ERROR_TEXT
    default:
        return "unknown error";
    }
}

#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x

const char *troupe_version(void)
{
    return TEXT(TROUPE_VERSION_MAJOR) "." TEXT(TROUPE_VERSION_MINOR) "." TEXT(TROUPE_VERSION_PATCH);
}

void trp_assert_failed(const char *file, int line, const char *condition)
{
    char text[512];
    int size = snprintf(text, sizeof text, "troupe: %s:%d: broken: %s\n", file, line, condition);

    if (size > 0) {
        /* Whether it can be written or not, this is the end. */
        ssize_t ignored = write(STDERR_FILENO, text, (size_t)size < sizeof text ? (size_t)size : sizeof text);

        (void)ignored;
    }
    abort();
}
