/* SPDX-License-Identifier: MIT */
/*
 * text.h - which machine code is the library's own, also where it is part of a program.
 */
#ifndef TRP_TEXT_H
#define TRP_TEXT_H

#include "base.h"

/** Whether there is code of ours at `address`.  Any thread, signal handlers too; O(files). */
bool trp_text_has(uintptr_t address);

/** Whether it can be asked: false of a library that was built in another way than text_mark.h says. */
bool trp_text_is_known(void);

#endif
