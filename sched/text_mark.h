/* SPDX-License-Identifier: MIT */
/*
 * text_mark.h - says of each file of the library which machine code came of it, without a word in the code itself.
 *
 * The compiler puts it before every file of ours (-include, see meson.build).  A label stands at the begin of the file's
 * code, and one in the last subsection at its end, for each section into which compilers divide code; the pairs are
 * collected in the section trp_text, which text.c reads.  No file may be compiled with -ffunction-sections, or with
 * optimisation at link time: then text.c finds that it is not itself among them.
 */
#define TRP_TEXT_MARK(section, flags)                                                              \
    ".pushsection " section ", 0" flags "\n771:\n.popsection\n"                                    \
    ".pushsection " section ", 8000" flags "\n772:\n.popsection\n"                                 \
    ".pushsection trp_text, \"a\", %progbits\n"                                                    \
    ".balign 8\n.quad 771b - .\n.quad 772b - .\n"                                                  \
    ".popsection\n"

__asm__(TRP_TEXT_MARK(".text", ""));
__asm__(TRP_TEXT_MARK(".text.unlikely", ", \"ax\", %progbits"));
__asm__(TRP_TEXT_MARK(".text.hot", ", \"ax\", %progbits"));
__asm__(TRP_TEXT_MARK(".text.startup", ", \"ax\", %progbits"));
