/* SPDX-License-Identifier: MIT */
/*
 * registry.h - names.
 *
 * A name stands for one live actor of a runtime.  It is free again when that actor ends, before anybody
 * is told of its end; an actor that keeps its address through a restart keeps its names as well.  A child of a
 * supervisor that has a name is named after its tree: "bank.account".
 */
#ifndef TROUPE_REGISTRY_H
#define TROUPE_REGISTRY_H

#include "troupe/message.h"

TROUPE_BEGIN_DECLS

/** Longest name in bytes, without the NUL. */
#define TROUPE_NAME_MAX 127

/**
 * Gives `self` a name.  An actor may have several.
 *
 * Threads  a callback of `self`
 * Owns     `name` is copied
 * Errors   TROUPE_EEXIST  another actor has it (or this one: TROUPE_OK)
 *          TROUPE_EINVAL  empty, or longer than TROUPE_NAME_MAX
 *          TROUPE_ELIMIT, TROUPE_ENOMEM
 * Cost     one allocation
 */
TROUPE_API TROUPE_CHECKED int troupe_register(struct troupe_actor *self, const char *name);

/** Takes a name of `self` back; TROUPE_ENOENT if it is not its own.  A callback of `self`. */
TROUPE_API int troupe_unregister(struct troupe_actor *self, const char *name);

/** Who has this name; TROUPE_NOBODY if nobody.  A callback of `self`; lock-free. */
TROUPE_API troupe_pid troupe_whereis(struct troupe_actor *self, const char *name);

/** As troupe_whereis(), from any thread; lock-free too. */
TROUPE_API troupe_pid troupe_runtime_whereis(struct troupe_runtime *runtime, const char *name);

/** Sends a copy of `body` to whoever has this name: troupe_send(), or TROUPE_ENOENT. */
TROUPE_API TROUPE_CHECKED int troupe_send_name(
    struct troupe_actor *self, const char *name, const struct troupe_type *type, const void *body);

TROUPE_END_DECLS

#endif
