/* SPDX-License-Identifier: MIT */
/*
 * tsan_rand.c - lets Criterion start under the thread sanitizer; link it into the tests of such a build only.
 *
 * Criterion maps its arena at a random address, which often lies in what the sanitizer keeps for itself, and
 * gives up (Criterion issue 274).  It asks rand_r() where; these answers lie in an application's range.
 */
#include <stdlib.h>

/* Visible: Criterion is a shared library, and the rest of us is built to be hidden. */
__attribute__((visibility("default"))) int rand_r(unsigned *seed)
{
    static unsigned count;

    (void)seed;
    return (int)(0x350100u + (count++ & 0xffu));
}
