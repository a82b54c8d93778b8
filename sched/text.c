/* SPDX-License-Identifier: MIT */
#include "text.h"

/* One section of one file: where its code is, seen from where each number stands. */
struct range {
    int64_t begin;
    int64_t end;
};

/* The linker's names for the ends of the section trp_text: see text_mark.h.  Each module that has us has its own. */
extern const struct range marks_begin[] __asm__("__start_trp_text") __attribute__((weak));
extern const struct range marks_end[] __asm__("__stop_trp_text") __attribute__((weak));
__asm__(".hidden __start_trp_text\n.hidden __stop_trp_text");

bool trp_text_has(uintptr_t address)
{
    for (const struct range *range = marks_begin; (uintptr_t)range < (uintptr_t)marks_end;
         range++) {
        uintptr_t begin = (uintptr_t)&range->begin + (uintptr_t)range->begin;
        uintptr_t end = (uintptr_t)&range->end + (uintptr_t)range->end;

        if (address >= begin && address < end) {
            return true;
        }
    }
    return false;
}

bool trp_text_is_known(void)
{
    return trp_text_has((uintptr_t)trp_text_has) && trp_text_has((uintptr_t)trp_text_is_known) &&
           trp_text_has((uintptr_t)trp_options_read);
}
