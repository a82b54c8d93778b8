/* SPDX-License-Identifier: MIT */
/*
 * fiber_switch_x86_64.S - the System V calling convention.
 *
 * What is saved, from the stack pointer up: mxcsr and the x87 control word, r15 r14 r13 r12 rbx rbp, where to return.  No
 * shadow stack is kept: this object does not say that it could, so a process that has it does not turn it on.
 *
 * Two things are dear.  To set a mode waits for all arithmetic before it, so a mode is only set if it is another one.  And a
 * `ret` is predicted to go back to who called last on this processor, who is on the other stack: the jump has as many targets
 * as there are calls of this function, two and the boot, and takes turns between them.
 */
        .text
.Lbegin:

/* void trp_fiber_switch(void **out_here, void *to) */
        .globl  trp_fiber_switch
        .hidden trp_fiber_switch
        .type   trp_fiber_switch, @function
        .p2align 4
trp_fiber_switch:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %edx
        movq    %rsi, %rsp
        cmpl    (%rsp), %eax
        jne     .Lmxcsr
.Lhas_mxcsr:
        cmpw    4(%rsp), %dx
        jne     .Lx87
.Lhas_x87:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        popq    %r14
        .cfi_adjust_cfa_offset -8
        popq    %r13
        .cfi_adjust_cfa_offset -8
        popq    %r12
        .cfi_adjust_cfa_offset -8
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        popq    %rcx
        .cfi_adjust_cfa_offset -8
        .cfi_register rip, rcx
        jmp     *%rcx
        .cfi_restore rip
        .cfi_adjust_cfa_offset 64
.Lmxcsr:
        ldmxcsr (%rsp)
        jmp     .Lhas_mxcsr
.Lx87:
        fldcw   4(%rsp)
        jmp     .Lhas_x87
        .cfi_endproc
        .size   trp_fiber_switch, . - trp_fiber_switch

/* Where a prepared stack begins: r12 is the argument, r13 the function.  Backtraces end here. */
        .globl  trp_fiber_boot
        .hidden trp_fiber_boot
        .type   trp_fiber_boot, @function
        .p2align 4
trp_fiber_boot:
        .cfi_startproc
        .cfi_undefined rip
        movq    %r12, %rdi
        xorl    %ebp, %ebp
        call    *%r13
        ud2
        .cfi_endproc
        .size   trp_fiber_boot, . - trp_fiber_boot

/* void *trp_fiber_prepare(char *stack, size_t size, void (*entry)(void *), void *arg) */
        .globl  trp_fiber_prepare
        .hidden trp_fiber_prepare
        .type   trp_fiber_prepare, @function
        .p2align 4
trp_fiber_prepare:
        .cfi_startproc
        leaq    (%rdi, %rsi), %rax
        andq    $-16, %rax
        /* Entered by `ret`, so that the stack is aligned to 16 before the call in trp_fiber_boot. */
        leaq    trp_fiber_boot(%rip), %r8
        movq    %r8, -24(%rax)
        movq    $0, -32(%rax)           /* rbp */
        movq    $0, -40(%rax)           /* rbx */
        movq    %rcx, -48(%rax)         /* r12 */
        movq    %rdx, -56(%rax)         /* r13 */
        movq    $0, -64(%rax)           /* r14 */
        movq    $0, -72(%rax)           /* r15 */
        stmxcsr -80(%rax)
        fnstcw  -76(%rax)
        leaq    -80(%rax), %rax
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

        .section .note.GNU-stack, "", @progbits
