/* SPDX-License-Identifier: MIT */
/*
 * tsan.h - tells the thread sanitizer of a hand-over that it cannot see.
 *
 * For the files that call ck or liburcu: these are built without -fsanitize=thread, also in a build that has
 * it, which is why TRP_TSAN comes from meson.build and not from the compiler.  Release an address before
 * it is handed over, acquire it after it was received.
 */
#ifndef TRP_TSAN_H
#define TRP_TSAN_H

#ifdef TRP_TSAN

void __tsan_acquire(void *address);
void __tsan_release(void *address);

#define TRP_TSAN_ACQUIRE(address) __tsan_acquire(address)
#define TRP_TSAN_RELEASE(address) __tsan_release(address)

#else

#define TRP_TSAN_ACQUIRE(address) ((void)(address))
#define TRP_TSAN_RELEASE(address) ((void)(address))

#endif

#endif
