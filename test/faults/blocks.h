/* SPDX-License-Identifier: MIT */
/*
 * blocks.h - included before everything else when the library is compiled for test/faults: each place that takes a
 * block from a pool becomes one that can fail.
 *
 * Without this a pool would hide them: it asks for memory once for hundreds of blocks.  The library's sources do not
 * know of it; all other faults come in between by the linker (faults.c).
 */
#ifndef TEST_FAULTS_BLOCKS_H
#define TEST_FAULTS_BLOCKS_H

#include "pool.h"

/** Whether this block is to be missing. */
bool fault_block(void);

#define trp_pool_alloc(pool, class) (fault_block() ? NULL : (trp_pool_alloc)((pool), (class)))

#endif
