/* SPDX-License-Identifier: MIT */
/*
 * The kernel's notifier words, with the kernel's values (include/linux/notifier.h), so that a
 * watcher written for the 2006 patch compiles unchanged. What the events mean is in taskwatch.h.
 *
 * C99 and C++. Everything here is a pure function of its argument: async-signal-safe, any thread,
 * any context.
 */
#ifndef TASKWATCH_NOTIFIER_H
#define TASKWATCH_NOTIFIER_H

#ifdef __cplusplus
extern "C" {
#endif

struct notifier_block;

/*
 * A callback. `nb` is the very block that was registered, so a watcher may embed it in a struct of
 * its own and find that struct again. `action` carries an event in its low 16 bits and flags above:
 * use get_watch_event() and get_watch_flags(). `data` is a `struct task_watch *`, valid until the
 * callback returns.
 *
 * Returns one of the NOTIFY_ values below or notifier_from_errno(). Only the bit NOTIFY_STOP_MASK
 * decides whether the walk stops; a raw negative errno has that bit set and is understood too. A
 * positive errno has not: `return EAGAIN;` means "go on".
 */
typedef int (*notifier_fn_t)(struct notifier_block *nb, unsigned long action, void *data);

/*
 * One watcher in the chain. The memory belongs to the watcher and must stay valid until
 * unregister_task_watcher() has returned.
 */
struct notifier_block {
	notifier_fn_t notifier_call;
	struct notifier_block *next; /* not used by this library: leave it NULL */
	int priority;                /* higher is called first; read at registration only */
};

#define NOTIFY_DONE 0x0000                           /* don't care */
#define NOTIFY_OK 0x0001                             /* suits me */
#define NOTIFY_STOP_MASK 0x8000                      /* don't call further */
#define NOTIFY_BAD (NOTIFY_STOP_MASK | 0x0002)       /* veto: EPERM */
#define NOTIFY_STOP (NOTIFY_OK | NOTIFY_STOP_MASK)   /* stop the walk; as a veto: EAGAIN */

/*
 * Packs a negative errno (-1 .. -4095) into a return value that stops the walk and carries the
 * number. 0 gives NOTIFY_OK.
 */
static inline int notifier_from_errno(int err)
{
	if (err)
		return NOTIFY_STOP_MASK | (NOTIFY_OK - err);
	return NOTIFY_OK;
}

/* The negative errno that notifier_from_errno() packed, or 0 if there is none. */
static inline int notifier_to_errno(int ret)
{
	ret &= ~NOTIFY_STOP_MASK;
	return ret > NOTIFY_OK ? NOTIFY_OK - ret : 0;
}

#ifdef __cplusplus
}
#endif

#endif /* TASKWATCH_NOTIFIER_H */
