/* SPDX-License-Identifier: MIT */
/*
 * vfork() for x86-64. The child runs on the caller's stack and may overwrite everything below the
 * caller's frame, so no frame of ours may be live across the system call: the return address waits
 * in a register, as in libc's own. C runs before it, and on both sides after it.
 *
 * The child must leave its parent's stack as it finds it: both sides push the same word at the same
 * place. Unwinding works at each instruction (.cfi_register while the address is in rdi).
 */
#if defined(__x86_64__)

#include <sys/syscall.h>

        .text
        .globl  vfork
        .type   vfork, @function
        .globl  __vfork
        .type   __vfork, @function
        .p2align 4
vfork:
__vfork:
        .cfi_startproc
        endbr64
        sub     $8, %rsp                /* calls want the stack aligned */
        .cfi_adjust_cfa_offset 8
        call    taskwatch_before_vfork  /* the level; 0 not watched; < 0: -errno */
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        test    %rax, %rax
        js      .Lfailed
        mov     %rax, %rsi              /* kept by the kernel, like rdi */

        pop     %rdi
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdi
        mov     $SYS_vfork, %eax
        syscall
        push    %rdi
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rip, -8

        test    %rsi, %rsi
        jz      .Lreturn                /* not watched: as libc's */
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        test    %rax, %rax
        jz      .Lchild
        mov     %rax, %rdi
        call    taskwatch_vfork_parent  /* pid or -errno and the level in, pid or -errno out */
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
.Lreturn:
        test    %rax, %rax
        js      .Lfailed
        ret
.Lchild:
        .cfi_adjust_cfa_offset 8
        mov     %rsi, %rdi
        call    taskwatch_vfork_child
        xor     %eax, %eax
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        ret
.Lfailed:
        neg     %eax
        push    %rax
        .cfi_adjust_cfa_offset 8
        call    taskwatch_errno_location
        pop     %rcx
        .cfi_adjust_cfa_offset -8
        mov     %ecx, (%rax)
        mov     $-1, %rax
        ret
        .cfi_endproc
        .size   vfork, .-vfork
        .size   __vfork, .-__vfork
#endif
        .section .note.GNU-stack, "", @progbits
