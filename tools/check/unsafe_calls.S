/* SPDX-License-Identifier: MIT */
/*
 * Each function of unsafe_calls.def: notes that it was called and jumps to the genuine one with every register as it
 * was. In assembly, so that one form serves all of them, those with a variable number of arguments included.
 */
#define CALL(name, kind)                \
        .globl name;                    \
        .type name, @function;          \
    name:                               \
        .cfi_startproc;                 \
        movl $(genuine_##name - check_genuine), %r11d; \
        jmp noted;                      \
        .cfi_endproc;                   \
        .size name, . - name;

        .text
#include "unsafe_calls.def"
#undef CALL

/* %r11: the offset of the genuine function's address. Every register that can hold an argument is kept. */
noted:
        .cfi_startproc
        pushq %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        movq %rsp, %rbp
        .cfi_def_cfa_register %rbp
        pushq %rdi
        pushq %rsi
        pushq %rdx
        pushq %rcx
        pushq %r8
        pushq %r9
        pushq %rax
        pushq %r11
        subq $128, %rsp
        movups %xmm0, (%rsp)
        movups %xmm1, 16(%rsp)
        movups %xmm2, 32(%rsp)
        movups %xmm3, 48(%rsp)
        movups %xmm4, 64(%rsp)
        movups %xmm5, 80(%rsp)
        movups %xmm6, 96(%rsp)
        movups %xmm7, 112(%rsp)
        movl %r11d, %edi
        shrl $3, %edi
        call check_note             /* %rsi as it was; the genuine address */
        movq %rax, %r10
        movups (%rsp), %xmm0
        movups 16(%rsp), %xmm1
        movups 32(%rsp), %xmm2
        movups 48(%rsp), %xmm3
        movups 64(%rsp), %xmm4
        movups 80(%rsp), %xmm5
        movups 96(%rsp), %xmm6
        movups 112(%rsp), %xmm7
        addq $128, %rsp
        popq %r11
        popq %rax
        popq %r9
        popq %r8
        popq %rcx
        popq %rdx
        popq %rsi
        popq %rdi
        popq %rbp
        .cfi_def_cfa %rsp, 8
        jmp *%r10
        .cfi_endproc

/* The genuine addresses. libc's allocator is called before anybody could look it up. */
        .data
        .balign 8
        .globl check_genuine
        .hidden check_genuine
check_genuine:
#define CALL(name, kind) genuine_##name: .quad 0;
#include "unsafe_calls.def"
#undef CALL

        .section .note.GNU-stack, "", @progbits
