/* SPDX-License-Identifier: MIT */
/*
 * poison.h - tells the address sanitizer which of our memory is free.  Empty without it.
 */
#ifndef TRP_POISON_H
#define TRP_POISON_H

#if defined(__SANITIZE_ADDRESS__)
#define TRP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRP_ASAN 1
#endif
#endif

#ifdef TRP_ASAN

#include <sanitizer/asan_interface.h>

/** Touching these bytes is reported from now on. */
#define TRP_POISON(memory, size) __asan_poison_memory_region(memory, size)

/** They may be used again. */
#define TRP_UNPOISON(memory, size) __asan_unpoison_memory_region(memory, size)

#else

#define TRP_POISON(memory, size) ((void)(memory), (void)(size))
#define TRP_UNPOISON(memory, size) ((void)(memory), (void)(size))

#endif

#endif
