/* SPDX-License-Identifier: MIT */
/*
 * base.h - version, the export macro, error codes, and the few macros everybody uses.
 *
 * A function that can fail returns an `int`: 0 or a count is success, a negative value is one of
 * `enum troupe_err`.  Results go through `out_` pointers, which are untouched on failure.  troupe never
 * sets errno on purpose, never prints and never exits the process, with two exceptions: where it finds that
 * an invariant of its own is broken it writes one line to standard error and aborts; and before a memory fault of an
 * actor's code ends the process it says there whose it was (enum troupe_faults in runtime.h).
 */
#ifndef TROUPE_BASE_H
#define TROUPE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TROUPE_VERSION_MAJOR 0
#define TROUPE_VERSION_MINOR 1
#define TROUPE_VERSION_PATCH 0

#ifdef __cplusplus
#define TROUPE_BEGIN_DECLS extern "C" {
#define TROUPE_END_DECLS }
#else
#define TROUPE_BEGIN_DECLS
#define TROUPE_END_DECLS
#endif

/** Marks what the shared library exports; everything else is hidden. */
#define TROUPE_API __attribute__((visibility("default")))

/** The result must be looked at. */
#define TROUPE_CHECKED __attribute__((warn_unused_result))

/** Does not return to its caller. */
#define TROUPE_NORETURN __attribute__((noreturn))

/** Number of elements of an array. */
#define TROUPE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/** Waits without a limit, wherever a time in milliseconds is asked for. */
#define TROUPE_FOREVER (-1)

/*
 * One table makes the enum and troupe_strerror().  The values are part of the ABI: append, never
 * renumber.
 */
#define TROUPE_ERROR_TABLE(X)                                                                      \
    X(TROUPE_EINVAL, -1, "an argument is missing or out of range")                                 \
    X(TROUPE_ENOMEM, -2, "out of memory")                                                          \
    X(TROUPE_EFULL, -3, "the mailbox has no room")                                                 \
    X(TROUPE_ETIMEDOUT, -4, "the time allowed has passed")                                         \
    X(TROUPE_EGONE, -5, "no actor has this pid any more")                                          \
    X(TROUPE_EDIED, -6, "the actor died before it answered")                                       \
    X(TROUPE_EUNANSWERED, -7, "the request was dropped without an answer")                         \
    X(TROUPE_EUNKNOWN, -8, "a message of a type the actor does not know")                          \
    X(TROUPE_ELIMIT, -9, "a limit of the runtime is reached")                                      \
    X(TROUPE_EPROTO, -10, "the other side broke the protocol")                                     \
    X(TROUPE_EEXIST, -11, "the name or id is taken")                                               \
    X(TROUPE_ENOENT, -12, "there is nothing of this name or id")                                   \
    X(TROUPE_EBUSY, -13, "not possible in the state it is in")                                     \
    X(TROUPE_ESTOPPED, -14, "the runtime is not running")                                          \
    X(TROUPE_EMSGSIZE, -15, "the message is larger than its receiver can ever take")               \
    X(TROUPE_ESYSTEM, -16, "a system call failed")                                                 \
    X(TROUPE_EFORKED, -17, "used in a forked child, which may only exec")                          \
    X(TROUPE_ECLOSED, -18, "the connection is closed")                                             \
    X(TROUPE_ECHECK, -19, "a check failed")                                                        \
    X(TROUPE_EEXPIRED, -20, "the time allowed passed before the request was handled")              \
    X(TROUPE_ERESTARTING, -21, "the actor is between two lives")                                   \
    X(TROUPE_ECANCELLED, -22, "cancelled before it began")                                         \
    X(TROUPE_ERESET, -23, "the connection was reset")                                              \
    X(TROUPE_ECRASHED, -24, "the actor's code crashed")                                            \
    X(TROUPE_EOVERLOAD, -25, "the mailbox was overloaded and gave the message up")                 \
    X(TROUPE_EDEADLK, -26, "to wait would close a ring of actors that wait for each other")

enum troupe_err {
    TROUPE_OK = 0,
#define TROUPE_ERROR_ENUM(name, value, text) name = (value),
    TROUPE_ERROR_TABLE(TROUPE_ERROR_ENUM)
#undef TROUPE_ERROR_ENUM
};

TROUPE_BEGIN_DECLS

/**
 * What an error code means, in a sentence without a final stop.
 *
 * Threads  any
 * Owns     the text is static
 * Errors   an unknown code gives "unknown error", never NULL
 */
TROUPE_API const char *troupe_strerror(int error);

/** The version of the library that is linked, as "major.minor.patch".  Any thread; the text is static. */
TROUPE_API const char *troupe_version(void);

TROUPE_END_DECLS

/** Returns from the enclosing function if `expression` is negative.  Hides a `return`. */
#define TROUPE_TRY(expression)                                                                     \
    do {                                                                                           \
        int troupe_try_error = (expression);                                                       \
        if (troupe_try_error < 0) {                                                                \
            return troupe_try_error;                                                               \
        }                                                                                          \
    } while (0)

#endif
