/* SPDX-License-Identifier: MIT */
/*
 * admin.h - what one may ask a supervisor: the bodies of the requests, which hold no pointers.
 */
#ifndef TRP_ADMIN_H
#define TRP_ADMIN_H

#include "child.h"

/** Body of a request about one child.  What comes behind it is an id, or for START a plan with one child. */
struct trp_admin {
    enum troupe_child_op op;
    alignas(16) unsigned char rest[];
};
extern const struct troupe_type trp_admin_type;

/** Body of a request for many. */
struct trp_admin_list {
    uint32_t first;
    uint32_t limit;
};
extern const struct troupe_type trp_admin_list_type;

static inline const char *trp_admin_id(const struct trp_admin *admin)
{
    return (const char *)admin->rest;
}

static inline const struct trp_plan *trp_admin_plan(const struct trp_admin *admin)
{
    return (const struct trp_plan *)(const void *)admin->rest;
}

#endif
