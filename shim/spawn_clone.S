/* SPDX-License-Identifier: MIT */
/*
 * One system call of the clone family that makes a child on the caller's own stack, below this
 * function's frame, while the caller is suspended (CLONE_VM | CLONE_VFORK, no stack given).
 *
 * It cannot be C++: the child must not return through, and must not write over, the frame in which the
 * parent wakes up. Here that frame is a return address, and the child only ever goes below it. No
 * second stack is needed then, nobody has to guess whether the caller's has room for one, and
 * nothing is mapped.
 */
#if defined(__x86_64__)

	.text
/*
 * long taskwatch_clone_below(long number, long arg1, long arg2, long arg3,
 *                            void (*child)(void *), void *context)
 *
 * The child calls child(context), which must not return. In the parent: pid or negative errno.
 */
	.globl	taskwatch_clone_below
	.hidden	taskwatch_clone_below
	.type	taskwatch_clone_below, @function
	.p2align 4
taskwatch_clone_below:
	.cfi_startproc
#ifdef __CET__
	endbr64
#endif
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	xorl	%r10d, %r10d		/* clone: no child_tid. r8 (tls) is not looked at without CLONE_SETTLS */
	syscall
	testq	%rax, %rax
	jz	1f
	ret
1:	subq	$8, %rsp		/* 16-byte alignment for the call */
	.cfi_adjust_cfa_offset 8
	movq	%r9, %rdi
	call	*%r8
	ud2
	.cfi_endproc
	.size	taskwatch_clone_below, . - taskwatch_clone_below

#endif

	.section .note.GNU-stack, "", %progbits
