/* SPDX-License-Identifier: MIT */
/*
 * policy.h - whether what a behaviour says of its mailbox makes sense.
 */
#ifndef TRP_POLICY_H
#define TRP_POLICY_H

#include <troupe/actor.h>
#include <troupe/overload.h>

/** What is wrong with the `overload` of a behaviour, or with its batches, in words; NULL: nothing. */
const char *trp_policy_complaint(const struct troupe_behaviour *behaviour);

#endif
