/* SPDX-License-Identifier: MIT */
/*
 * syscall() for x86-64. A number that is not watched costs a compare and a load: the system call is made
 * right here, with all six arguments, and errno set as libc does. For a watched one C decides
 * (wrap_syscall.cpp); the calls from which a child returns on another stack or on its creator's are made
 * here all the same, because the child goes back to the program with the program's registers.
 */
#if defined(__x86_64__)

#include <sys/syscall.h>

/* SystemCall in system_call.hpp; aligned to 16 when the return address is above it. */
#define FRAME      456
#define RESULT     16
#define NUMBER     24
#define ARGUMENT(n) (32 + 8 * (n))
#define CHILD_BASE 80

        .section .rodata
        .p2align 6
.Lwatched:
/* By number, in ascending order: .org refuses to go back. */
#define WATCH(number) .org .Lwatched + number; .byte 1
        WATCH(SYS_clone)
        WATCH(SYS_fork)
        WATCH(SYS_vfork)
        WATCH(SYS_execve)
        WATCH(SYS_exit)
        WATCH(SYS_wait4)
        WATCH(SYS_setuid)
        WATCH(SYS_setgid)
        WATCH(SYS_setreuid)
        WATCH(SYS_setregid)
        WATCH(SYS_setresuid)
        WATCH(SYS_setresgid)
        WATCH(SYS_setfsuid)
        WATCH(SYS_setfsgid)
        WATCH(SYS_prctl)
        WATCH(SYS_exit_group)
        WATCH(SYS_waitid)
        WATCH(SYS_seccomp)
        WATCH(SYS_execveat)
        WATCH(SYS_clone3)
        .org .Lwatched + 512

/* The arguments into the kernel's registers, from the frame. Leaves r9 to the caller where it says so. */
        .macro  load_arguments
        mov     NUMBER(%rsp), %rax
        mov     ARGUMENT(0)(%rsp), %rdi
        mov     ARGUMENT(1)(%rsp), %rsi
        mov     ARGUMENT(2)(%rsp), %rdx
        mov     ARGUMENT(3)(%rsp), %r10
        mov     ARGUMENT(4)(%rsp), %r8
        mov     ARGUMENT(5)(%rsp), %r9
        .endm

        .macro  leave_frame
        add     $FRAME, %rsp
        .cfi_adjust_cfa_offset -FRAME
        .endm

/*
 * As in wrap_vfork.S: the child may overwrite everything below the caller's frame, the return address
 * included, so it waits in r9. Neither vfork nor clone nor clone3 has a sixth argument.
 */
        .macro  call_with_shared_stack
        pop     %r9
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %r9
        syscall
        push    %r9
        .cfi_adjust_cfa_offset 8
        .cfi_offset %rip, -8
        .endm

        .text
        .globl  syscall
        .type   syscall, @function
        .p2align 4
syscall:
        .cfi_startproc
        endbr64
        /* 32 bits, as the kernel looks at them. */
        cmp     $511, %edi
        ja      .Lforward
        mov     %edi, %eax
        lea     .Lwatched(%rip), %r10
        cmpb    $0, (%r10,%rax)
        jne     .Lask
.Lforward:
        mov     %rdi, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        mov     %r9, %r8
        mov     8(%rsp), %r9
.Lcall:
        syscall
.Lresult:
        cmp     $-4095, %rax
        jae     .Lfailed
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

.Lask:
        sub     $FRAME, %rsp
        .cfi_adjust_cfa_offset FRAME
        mov     %rdi, NUMBER(%rsp)
        mov     %rsi, ARGUMENT(0)(%rsp)
        mov     %rdx, ARGUMENT(1)(%rsp)
        mov     %rcx, ARGUMENT(2)(%rsp)
        mov     %r8, ARGUMENT(3)(%rsp)
        mov     %r9, ARGUMENT(4)(%rsp)
        mov     FRAME + 8(%rsp), %rax
        mov     %rax, ARGUMENT(5)(%rsp)
        mov     %rsp, %rdi
        call    taskwatch_system_call
        cmp     $1, %eax
        jb      .Ldone
        je      .Lunwatched
        cmp     $3, %eax
        jb      .Lvfork
        je      .Lvfork_unwatched

        /* own_stack */
        load_arguments
        mov     CHILD_BASE(%rsp), %r9
        syscall
        test    %rax, %rax
        jz      .Lchild
        mov     %rax, RESULT(%rsp)
        mov     %rsp, %rdi
        call    taskwatch_system_call_made
.Ldone:
        mov     RESULT(%rsp), %rax
        leave_frame
        jmp     .Lresult

.Lunwatched:
        .cfi_adjust_cfa_offset FRAME
        load_arguments
        leave_frame
        jmp     .Lcall

.Lvfork:
        .cfi_adjust_cfa_offset FRAME
        load_arguments
        mov     CHILD_BASE(%rsp), %r8   /* without CLONE_SETTLS nobody looks at the fifth argument */
        leave_frame
        call_with_shared_stack
        sub     $8, %rsp
        .cfi_adjust_cfa_offset 8
        mov     %r8, %rdi
        test    %rax, %rax
        jz      .Lvfork_child
        mov     %rax, %rsi
        call    taskwatch_system_vfork_parent   /* returns pid or -errno */
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        jmp     .Lresult
.Lvfork_child:
        .cfi_adjust_cfa_offset 8
        call    taskwatch_system_vfork_child
        xor     %eax, %eax
        add     $8, %rsp
        .cfi_adjust_cfa_offset -8
        ret

.Lvfork_unwatched:
        .cfi_adjust_cfa_offset FRAME
        load_arguments
        leave_frame
        call_with_shared_stack
        jmp     .Lresult

.Lchild:
        /* On the stack that the program gave, with the return address on its top. */
        .cfi_def_cfa %rsp, 8
        mov     %rsp, (%r9)
        mov     %r9, %rsp
        /* The frame above is at the address that (rsp) holds: DW_CFA_def_cfa_expression, *(rsp) + 8. */
        .cfi_escape 0x0f, 5, 0x77, 0, 0x06, 0x23, 8
        mov     %r9, %rdi
        call    *8(%r9)
        mov     (%rsp), %rsp
        .cfi_def_cfa %rsp, 8
        xor     %eax, %eax
        ret
        .cfi_endproc
        .size   syscall, .-syscall
#endif
        .section .note.GNU-stack, "", @progbits
