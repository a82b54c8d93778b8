/* SPDX-License-Identifier: MIT */
/*
 * fiber_switch_aarch64.S - the AAPCS64 calling convention.
 *
 * What is saved, from the stack pointer up: x19 to x30, d8 to d15, fpcr.  176 bytes, so that the stack stays aligned.
 */
        .text
.Lbegin:

/* void trp_fiber_switch(void **out_here, void *to) */
        .globl  trp_fiber_switch
        .hidden trp_fiber_switch
        .type   trp_fiber_switch, %function
        .p2align 4
trp_fiber_switch:
        .cfi_startproc
        sub     sp, sp, #176
        .cfi_adjust_cfa_offset 176
        stp     x19, x20, [sp, #0]
        stp     x21, x22, [sp, #16]
        stp     x23, x24, [sp, #32]
        stp     x25, x26, [sp, #48]
        stp     x27, x28, [sp, #64]
        stp     x29, x30, [sp, #80]
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x9, sp
        str     x9, [x0]
        mov     sp, x1
        ldp     x19, x20, [sp, #0]
        ldp     x21, x22, [sp, #16]
        ldp     x23, x24, [sp, #32]
        ldp     x25, x26, [sp, #48]
        ldp     x27, x28, [sp, #64]
        ldp     x29, x30, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        ldr     x9, [sp, #160]
        msr     fpcr, x9
        add     sp, sp, #176
        .cfi_adjust_cfa_offset -176
        ret
        .cfi_endproc
        .size   trp_fiber_switch, . - trp_fiber_switch

/* Where a prepared stack begins: x19 is the argument, x20 the function.  Backtraces end here. */
        .type   trp_fiber_boot, %function
        .p2align 4
trp_fiber_boot:
        .cfi_startproc
        .cfi_undefined x30
        mov     x0, x19
        mov     x29, #0
        blr     x20
        brk     #1
        .cfi_endproc
        .size   trp_fiber_boot, . - trp_fiber_boot

/* void *trp_fiber_prepare(char *stack, size_t size, void (*entry)(void *), void *arg) */
        .globl  trp_fiber_prepare
        .hidden trp_fiber_prepare
        .type   trp_fiber_prepare, %function
        .p2align 4
trp_fiber_prepare:
        .cfi_startproc
        add     x9, x0, x1
        and     x9, x9, #-16
        sub     x9, x9, #176
        stp     x3, x2, [x9, #0]        /* x19, x20 */
        stp     xzr, xzr, [x9, #16]
        stp     xzr, xzr, [x9, #32]
        stp     xzr, xzr, [x9, #48]
        stp     xzr, xzr, [x9, #64]
        adr     x10, trp_fiber_boot
        stp     xzr, x10, [x9, #80]     /* x29, x30 */
        stp     xzr, xzr, [x9, #96]
        stp     xzr, xzr, [x9, #112]
        stp     xzr, xzr, [x9, #128]
        stp     xzr, xzr, [x9, #144]
        mrs     x10, fpcr
        str     x10, [x9, #160]
        mov     x0, x9
        ret
        .cfi_endproc
        .size   trp_fiber_prepare, . - trp_fiber_prepare

/* As text_mark.h does for files of C. */
.Lend:
        .pushsection trp_text, "a", %progbits
        .balign 8
        .quad   .Lbegin - .
        .quad   .Lend - .
        .popsection

        .section .note.GNU-stack, "", %progbits
