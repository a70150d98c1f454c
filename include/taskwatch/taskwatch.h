/* SPDX-License-Identifier: MIT */
/*
 * Task watchers in user space: the events, the record that describes a task, how a watcher
 * registers, and what it may call. After Matt Helsley's Task Watchers (Linux, 2006).
 *
 * C99 and C++. A watcher is a shared object that includes this header and nothing else of ours; it
 * is loaded by libtaskwatch.so into each process of a session and calls the functions below through
 * the dynamic linker. It needs no library of ours at link time.
 *
 * CONTEXT OF A CALLBACK. A callback runs in whatever context called the wrapped libc function:
 * possibly a signal handler, a vfork child, a thread with a 16 KiB stack. So the rules are the
 * kernel's for atomic context:
 *   - call async-signal-safe functions only (signal-safety(7)): no malloc, no stdio, no dlsym;
 *   - hold no lock that another thread could hold at the moment of a fork;
 *   - use little stack: 1 KiB is what the watchers of this library keep to;
 *   - fork, exec and setuid from inside a callback are passed through unwatched.
 * Cancellation is off during a walk, errno is saved around it; a callback may spoil it.
 *
 * ABI. Structures grow at their end only, and the first field tells their size. TASKWATCH_ABI_VERSION
 * changes when a watcher has to be compiled anew.
 */
#ifndef TASKWATCH_TASKWATCH_H
#define TASKWATCH_TASKWATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <taskwatch/notifier.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TASKWATCH_ABI_VERSION 1

/* ------------------------------------------------------------------------------------------------
 * Events: the kernel patch's names and values.
 *
 * WATCH_TASK_INIT   A task is about to be made. In the creating thread, before the kernel is asked;
 *                   pid and tgid are 0. STOP: no child is ever made (the veto without any residue).
 * WATCH_TASK_CLONE  The task exists, its pid is known, and it is held: it has run no code of the
 *                   program or of a new image. In the creating thread; for vfork, posix_spawn and
 *                   other children whose parent the kernel suspends, on the child's side of the
 *                   memory both share (context TASKWATCH_IN_VFORK_CHILD). STOP: the child ends unseen.
 * WATCH_TASK_EXEC   A new image is in place, in that image, before main and before the executable's
 *                   own constructors. Once per successful exec, `#!` or not. STOP changes nothing.
 * WATCH_TASK_UID    A call of the setuid family succeeded; `ids` and `old_ids` are user ids. Once
 *                   per call for the whole process. STOP changes nothing.
 * WATCH_TASK_GID    The same for group ids.
 * WATCH_TASK_EXIT   The task ends. In the dying task at its true end (after atexit handlers,
 *                   destructors and the stdio flush), or with WATCH_ON_BEHALF in whoever acts for
 *                   one that could not run code. `exit_status` is set. STOP changes nothing.
 * WATCH_TASK_FREE   The last word on a task. Follows EXIT, or INIT when the creation failed. In a
 *                   session every INIT is followed by a FREE. A watcher may see a FREE without a
 *                   preceding INIT. STOP is a bug of the watcher: one warning line, no effect.
 */
#define WATCH_TASK_INIT 0x00000001
#define WATCH_TASK_CLONE 0x00000002
#define WATCH_TASK_EXEC 0x00000003
#define WATCH_TASK_UID 0x00000004
#define WATCH_TASK_GID 0x00000005
#define WATCH_TASK_EXIT 0x0000FFFE
#define WATCH_TASK_FREE 0x0000FFFF

#define WATCH_FLAGS_MASK ((-1) ^ 0x0FFFFUL)
#define get_watch_event(v) ((v) & ~WATCH_FLAGS_MASK)
#define get_watch_flags(v) ((v) & WATCH_FLAGS_MASK)

/* Flags: the upper 16 bits of `action`, reserved and never used by the patch. */
#define WATCH_ON_BEHALF 0x00010000UL      /* delivered by another task than the one it is about */
#define WATCH_AGAIN 0x00020000UL          /* the first deliverer was killed inside this very callback */
#define WATCH_ADOPTED 0x00040000UL        /* a task met without INIT: its first event here */
#define WATCH_UNCHANGED 0x00080000UL      /* UID, GID: the call succeeded and no id differs */
#define WATCH_STOPPED 0x00100000UL        /* for observers: an earlier watcher stopped this walk */
#define WATCH_BEFORE 0x00200000UL         /* EXEC, UID, GID: asked for, not yet done */
#define WATCH_FAILED 0x00400000UL         /* EXEC, UID, GID: the call was refused; see `error` */
#define WATCH_STATUS_UNKNOWN 0x00800000UL /* EXIT, FREE: nobody could learn `exit_status` */

/* ------------------------------------------------------------------------------------------------
 * The task record: the `void *` of a callback.
 *
 * Strings and vectors point into memory that is valid during the callback only, and may be NULL
 * where the field says so. Ids are as the creator's pid namespace sees them.
 */

/* Real, effective, saved and file-system id, in this order (credentials(7)). */
struct task_watch_ids {
	uid_t real;
	uid_t effective;
	uid_t saved;
	uid_t filesystem;
};

/* Bits of task_watch.context: where this callback runs and what that forbids. */
#define TASKWATCH_IN_VFORK_CHILD 0x1u /* memory is the parent's, descriptors are not: keep none */
#define TASKWATCH_NOT_HELD 0x2u       /* the child already runs: STOP at CLONE comes too late */
#define TASKWATCH_FORECAST 0x4u       /* EXEC with BEFORE: the new image will not load us */
#define TASKWATCH_FOREIGN_TLS 0x8u    /* this task runs on another's thread-local storage */
#define TASKWATCH_QUIET 0x10u         /* a seccomp filter is installed: no system call but write(2) */

struct rusage; /* sys/resource.h */

struct task_watch {
	uint32_t size;        /* sizeof(struct task_watch) of the library that calls */
	uint32_t context;     /* TASKWATCH_ bits above */
	pid_t pid;            /* kernel task id: a thread's tid. 0 at INIT */
	pid_t tgid;           /* the process. 0 at INIT of a process */
	pid_t ppid;           /* process id of the parent process */
	pid_t by;             /* tid that delivers; CLONE of a vfork-like child: the creating thread's */
	uint64_t id;          /* unique in the session, never reused, kept over exec. Key by this */
	uint64_t parent_id;   /* id of the creating task, 0 if it is not known */
	uint64_t session;     /* random, the same in every process of a session */
	const char *call;     /* libc function that made or changed the task: "fork"; of syscall(2): "SYS_fork". Never NULL */
	uint64_t clone_flags; /* INIT, CLONE: flags of that call as in clone(2), exit signal included */
	int32_t exit_status;  /* EXIT, FREE: raw wait status, code << 8 or signal, | 0x80 for a core */
	int32_t error;        /* errno: of a FAILED call, of a refused creation (FREE), of a veto */
	const char *path;     /* EXEC: what was asked for or what runs. NULL elsewhere */
	char *const *argv;    /* EXEC: NULL-terminated. NULL elsewhere */
	struct task_watch_ids ids;     /* UID, GID: after the call */
	struct task_watch_ids old_ids; /* UID, GID: before it */
	uint64_t realtime_ns; /* CLOCK_REALTIME, taken once before the walk */
	uint64_t boottime_ns; /* CLOCK_BOOTTIME, taken once before the walk */
	uint64_t start_ns;    /* CLOCK_BOOTTIME of CLONE, or of first sight; 0 before that. Of a thread that executed: its process's */
	int32_t verdict;      /* observers: what the walk returned so far */
	uint32_t reserved;
	const char *stopped_by; /* name of the watcher that stopped this walk or this creation, or NULL */
	/*
	 * EXIT, FREE on behalf: what the kernel counted for the dead process, getrusage(2). NULL where the dying
	 * task tells its end itself (it can ask) and where nobody could learn it.
	 */
	const struct rusage *usage;
};

/* ------------------------------------------------------------------------------------------------
 * Registration
 */

/* Which events a block wants: bits for register_task_watcher_events(). */
#define WATCH_MASK_INIT 0x001u
#define WATCH_MASK_CLONE 0x002u
#define WATCH_MASK_EXEC 0x004u
#define WATCH_MASK_UID 0x008u
#define WATCH_MASK_GID 0x010u
#define WATCH_MASK_EXIT 0x020u
#define WATCH_MASK_FREE 0x040u
#define WATCH_MASK_ALL 0x07fu
/*
 * In addition to the bits of the events: EXEC, UID and GID also before the call (flag WATCH_BEFORE;
 * STOP then fails it), and also after a refused call (flag WATCH_FAILED, `error` set).
 */
#define WATCH_MASK_BEFORE 0x100u
#define WATCH_MASK_FAILED 0x200u

/* Priority of an observer: walked last, also after a STOP; its own STOP is ignored. */
#define WATCH_PRIORITY_OBSERVER (-__INT_MAX__ - 1)

/* At most so many blocks in the chain of a process. */
#define WATCH_CHAIN_CAPACITY 64

/*
 * Adds `nb` to the chain of this process. Descending priority; equal priority in order of
 * registration. A walk that is under way sees it or not, never twice. A block lives in this process
 * and its forked children; after exec the watchers that TASKWATCH_WATCHERS names are loaded.
 *
 * register_task_watcher() wants WATCH_MASK_ALL. `mask` of the other is a set of WATCH_MASK_ bits.
 *
 * Returns 0, or
 *   -EINVAL   nb or its callback is NULL, or mask is empty or has unknown bits
 *   -EEXIST   nb is in the chain already
 *   -ENOSPC   WATCH_CHAIN_CAPACITY blocks are registered
 *   -ENOMEM   no memory for the new chain
 *   -EBUSY    called in a vfork child, where it would change the parent's chain
 *   -EDEADLK  called by a signal handler that interrupted a registration of its own thread
 * Any thread, also from inside a callback (seen by later walks). Not async-signal-safe.
 */
int register_task_watcher(struct notifier_block *nb);
int register_task_watcher_events(struct notifier_block *nb, unsigned int mask);

/*
 * Takes `nb` out. When it has returned, the callback runs in no thread and will not be called
 * again, so its code may be unloaded. It therefore waits for walks that are under way; from inside
 * a callback it returns at once and holds for later walks.
 *
 * Returns 0, -EINVAL (NULL), -ENOENT (not in the chain), -EBUSY and -EDEADLK as above.
 */
int unregister_task_watcher(struct notifier_block *nb);

/*
 * Walks the chain of this process with an event of the caller's own making, as the wrapped
 * functions do. `val` is an event with flags, `v` a struct task_watch. Returns the last callback's
 * value (observers aside), NOTIFY_DONE if nobody wants the event, -EINVAL for an unknown event or a
 * NULL `v`. Async-signal-safe. For tests and for programs that make tasks in their own way.
 */
int notify_watchers(unsigned long val, void *v);

/* ------------------------------------------------------------------------------------------------
 * State that must last from INIT to FREE
 *
 * INIT and FREE of a process run in different processes, after exec in different images. What has
 * to be there in both lives in the session's memory. Async-signal-safe, any context.
 */

/* Bytes of a cell. */
#define TASKWATCH_CELL_SIZE 16

/*
 * The cell of this task and this watcher: TASKWATCH_CELL_SIZE bytes, 8-byte aligned, zero at INIT, the
 * same for creator, child, later images and whoever acts on behalf, reused after FREE. Other processes of the
 * session can write it at any time: use atomic operations, and trust no value read from it. NULL
 * without a session, for a task that has no place in it, or when all TASKWATCH_CELL_WATCHERS
 * columns are taken.
 */
void *taskwatch_cell(const struct task_watch *task, const struct notifier_block *nb);
#define TASKWATCH_CELL_WATCHERS 8

/*
 * Up to `bytes` (at most TASKWATCH_SHARED_MAX) of memory that this watcher shares with itself in
 * every process of the session, 64-byte aligned, zero at first. Use atomic operations. NULL without
 * a session, when `bytes` is too large, or when TASKWATCH_CELL_WATCHERS watchers have taken theirs.
 */
void *taskwatch_shared(const struct notifier_block *nb, size_t bytes);
#define TASKWATCH_SHARED_MAX 4096

/*
 * Looks for tasks of this session that ended without running code and whose end nobody has told,
 * and delivers their EXIT and FREE on behalf (WATCH_STATUS_UNKNOWN). The caller's own callback may
 * be called before it returns. Returns how many were found. Costs a system call per living task:
 * for when a budget is used up, not for every event. Async-signal-safe.
 */
int taskwatch_sweep(void);

/* ------------------------------------------------------------------------------------------------
 * Output
 *
 * A watcher lives in programs that close, reuse and redirect descriptor 2. It writes through a sink.
 */

/*
 * A place to write to. Static storage, zero at first, one per file that the watcher writes. The
 * fields belong to the library.
 */
struct taskwatch_sink {
	const char *path; /* NULL: the session's standard error */
	uint64_t dev, ino, rdev;
	int fd;           /* number + 1, 0: none open */
	uint32_t state;
};

/*
 * Names the sink's file: `path` must stay valid. NULL is the session's standard error; "-" is
 * standard output, where it still is what it was. The file is opened (O_APPEND|O_CREAT, mode 0600)
 * when it is first written, `open_now` != 0: at once, so that a wrong path can be refused.
 * Returns 0 or a negative errno.
 */
int taskwatch_sink_init(struct taskwatch_sink *sink, const char *path, int open_now);

/*
 * Writes one record with one write(2). The descriptor is a high number, close-on-exec, verified by
 * device and inode, opened again when the program has closed it. No SIGPIPE, SIGXFSZ or SIGTTOU of
 * this write reaches the program; EAGAIN is not retried. What cannot be written is counted in the
 * session and told at its end.
 *
 * Returns 0 or a negative errno. Async-signal-safe.
 */
int taskwatch_write(struct taskwatch_sink *sink, const void *record, size_t length);

/* True if a record for this sink must stay below 4096 bytes (pipe, terminal, socket). */
int taskwatch_sink_is_stream(const struct taskwatch_sink *sink);

/* True if the sink is a terminal, for watchers that colour their text. */
int taskwatch_sink_is_terminal(const struct taskwatch_sink *sink);

/*
 * Records lost in this session so far, over all sinks, and the errno of the last one (0: none).
 * `error` may be NULL.
 */
uint64_t taskwatch_lost(int *error);

/*
 * True once per session for this `key`, in whichever process asks first: for messages that a tree
 * of processes should print once. Keys are small numbers of the watcher's own, 0 .. 31. Without a
 * session: once per process.
 */
int taskwatch_once(const struct notifier_block *nb, unsigned int key);

/*
 * Calls `visit` for each task of the session that lives, as far as this process knows: id, parent_id, pid, tgid,
 * ppid, start_ns are set, the rest is 0. Stops when `visit` returns something else than 0, and returns that; otherwise 0, also
 * without a session. The numbers come from memory that others can write: before a signal is sent to a pid, see that
 * it still is that process. Async-signal-safe; a look at each place of the session's memory.
 */
typedef int (*taskwatch_visit_fn)(void *context, const struct task_watch *task);
int taskwatch_for_each_task(taskwatch_visit_fn visit, void *context);

/*
 * This watcher's verdict on the whole session: it has failed, whatever the program's own status will
 * be. Nothing happens to any task; when the program has ended, the launcher names the watcher and exits
 * with TASKWATCH_FAILED_STATUS, or what its --error-exitcode= says, instead of the program's status. Cannot be taken
 * back; once is as good as often. What was found the watcher writes itself, before or after.
 *
 * Returns 0, -EINVAL for a NULL `nb`, or -ENOENT without a session: then nobody will know. A session without
 * the launcher's supervisor has nobody either who acts on it. Async-signal-safe, any context.
 */
int taskwatch_fail_session(const struct notifier_block *nb);
#define TASKWATCH_FAILED_STATUS 88

/* ------------------------------------------------------------------------------------------------
 * A watcher as a loadable object
 *
 * Either it exports one descriptor named `taskwatch_watcher`, or it calls register_task_watcher()
 * from its constructor as a 2006 module would from its init function.
 */

/* Why fini is called. */
#define TASKWATCH_FINI_PROCESS 0 /* this process ends, or its image is left */
#define TASKWATCH_FINI_SESSION 1 /* the last task of the session ends here */

/*
 * The descriptor. It is read before any callback is registered; abi_version must be
 * TASKWATCH_ABI_VERSION and size the sizeof of the struct that the watcher was compiled with.
 */
struct taskwatch_watcher {
	uint32_t abi_version;
	uint32_t size;
	const char *name;        /* 1 to 31 bytes of [a-z0-9_-]; names its cells and is told in messages */
	const char *description; /* one line, for taskwatch --list */
	unsigned int events;     /* WATCH_MASK_ bits; read once more after init, which may change them */
	int priority;            /* as in notifier_block */
	/*
	 * Called once per image, before the first event. `options` is "key=value,key=value" from
	 * TASKWATCH_<NAME> (by the file's name, see taskwatch(7)), never NULL, valid until init returns; it may be changed in place.
	 * `nb` is the block that will be registered (key for taskwatch_cell and taskwatch_shared).
	 * Returns NULL, or a message why it refuses: static or otherwise lasting storage, one line, naming
	 * what was wrong and what would be accepted. May be NULL. Normal context: dlopen has just returned.
	 */
	const char *(*init)(struct notifier_block *nb, char *options);
	notifier_fn_t notify; /* the callback */
	/* Called once at the end of a process, in the dying task, after its FREE; not in a process that has
	 * installed a seccomp filter (TASKWATCH_QUIET). May be NULL. */
	void (*fini)(int reason);
};

/* Splits the next "key=value" off `*options`, which is advanced. A piece without '=' continues the
 * value before it ("events=exec,exit"). Returns the key, with its value in `*value`, or NULL at the
 * end. Changes the string in place. Async-signal-safe.
 */
static inline char *taskwatch_next_option(char **options, char **value)
{
	char *key = *options, *p = key, *last_comma = NULL;

	while (*key == ',')
		key++;
	if (*key == '\0') {
		*options = key;
		return NULL;
	}
	for (p = key; *p != '\0' && *p != '=' && *p != ','; p++)
		;
	if (*p != '=') { /* a first piece without '=': a key without a value */
		*options = *p ? p + 1 : p;
		*p = '\0';
		*value = p;
		return key;
	}
	*p++ = '\0';
	*value = p;
	for (; *p != '\0'; p++) {
		if (*p == ',')
			last_comma = p;
		else if (*p == '=' && last_comma != NULL) {
			*last_comma = '\0';
			*options = last_comma + 1;
			return key;
		}
	}
	*options = p;
	return key;
}

#ifdef __cplusplus
}
#endif

#endif /* TASKWATCH_TASKWATCH_H */
