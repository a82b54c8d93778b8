/* SPDX-License-Identifier: MIT */
/*
 * flood.h - producers that send numbers to one consumer as fast as its mailbox takes them.
 *
 * A producer sends a few numbers a turn, then a message "go on" to itself, so that it never holds its worker; it
 * does the same when the mailbox is full, and sends the refused number again in its next turn.
 */
#ifndef BENCH_FLOOD_H
#define BENCH_FLOOD_H

#include "harness.h"

/** Most producers of a flood. */
#define BENCH_PRODUCERS_MAX 16U

/** Starts `producers` that send `total` numbers in all; `bounded`: to a mailbox of the default capacity, otherwise of
 * the largest there is. */
int bench_flood(struct bench_run *run, unsigned producers, uint64_t total, bool bounded);

#endif
