/* SPDX-License-Identifier: MIT */
/* base.c - error texts, the version, and where a broken invariant ends. */
#include "base.h"

#include <stdio.h>
#include <string.h>
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

int trp_options_read(void *out_own, size_t known, const void *given, size_t size)
{
    const unsigned char *bytes = given;

    if (given == NULL || size == 0) {
        return TROUPE_EINVAL;
    }
    for (size_t i = known; i < size; i++) {
        if (bytes[i] != 0) {
            return TROUPE_EINVAL;
        }
    }
    memset(out_own, 0, known);
    memcpy(out_own, given, size < known ? size : known);
    return TROUPE_OK;
}

void trp_assert_failed(const char *file, int line, const char *condition)
{
    char text[512];
    int size = snprintf(text, sizeof text, "troupe: %s:%d: broken: %s\n", file, line, condition);

    if (size > 0) {
        /* Whether it can be written or not, this is the end. */
        ssize_t ignored =
            write(STDERR_FILENO, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);

        (void)ignored;
    }
    abort();
}
