/* SPDX-License-Identifier: MIT */
/* ends.h - ways in which an actor ends, as jobs for a puppet. */
#ifndef TEST_ENDS_H
#define TEST_ENDS_H

#include <criterion/criterion.h>

#include <troupe/actor.h>
#include <troupe/link.h>

static inline int end_normally(struct troupe_actor *self, void *arg)
{
    (void)self;
    (void)arg;
    return TROUPE_DONE;
}

static inline int end_noproc(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_exit(self, TROUPE_EXIT_NOPROC);
}

static inline int end_shutdown(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_exit(self, TROUPE_EXIT_SHUTDOWN);
}

static inline int end_kill(struct troupe_actor *self, void *arg)
{
    (void)arg;
    troupe_exit(self, TROUPE_EXIT_KILL);
}

static inline int end_with_error(struct troupe_actor *self, void *arg)
{
    (void)arg;
    return troupe_fail(self, TROUPE_EPROTO, "as told");
}

static inline int end_by_own_kill(struct troupe_actor *self, void *arg)
{
    (void)arg;
    cr_assert_eq(troupe_kill(self, troupe_self(self)), TROUPE_OK);
    return TROUPE_OK;
}

#endif
