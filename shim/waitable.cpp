// SPDX-License-Identifier: MIT
// The listing thread: raw system calls only, nothing allocated, its descriptors end with it.
#include "waitable.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>

#include <cstddef>

#include "sys.hpp"

namespace taskwatch {
namespace {

struct Listing {
    int options;
    void (*visit)(void *context, const siginfo_t &child);
    void *context;
    siginfo_t first;
    bool first_visited;
};

// The child that waitid() would return, looked at only. si_pid is 0 if there is none.
siginfo_t look(idtype_t which, pid_t pid, int options) {
    siginfo_t info = {};
    sys::call(SYS_waitid, which, pid, &info, options | WNOHANG | WNOWAIT, 0);
    return info;
}

#if defined(__x86_64__)

void visit_child(Listing &listing, pid_t pid) {
    siginfo_t info = look(P_PID, pid, listing.options);
    if (info.si_pid == 0) return;
    if (pid == listing.first.si_pid) listing.first_visited = true;
    listing.visit(listing.context, info);
}

// "12 345 " as the kernel writes a thread's children.
void visit_children_of(Listing &listing, int file) {
    char text[512];
    pid_t pid = 0;
    for (long n; (n = sys::call(SYS_read, file, text, sizeof text)) > 0;) {
        for (long i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid != 0) {
                visit_child(listing, pid);
                pid = 0;
            }
        }
    }
}

// linux_dirent64 as getdents64(2) has it; glibc's struct is the same but names are not promised.
struct Entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[1];  // and on
};

void visit_children_of_thread(Listing &listing, int tasks, const char *tid) {
    char path[32];
    size_t n = 0;
    while (tid[n] && n < 12) {
        path[n] = tid[n];
        n++;
    }
    for (const char *end = "/children";; end++) {
        path[n++] = *end;
        if (!*end) break;
    }
    long file = sys::call(SYS_openat, tasks, path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    visit_children_of(listing, (int)file);
    sys::call(SYS_close, file);
}

void list(void *argument) {
    Listing &listing = *(Listing *)argument;
    long tasks = sys::call(SYS_openat, AT_FDCWD, "/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0) return;
    alignas(Entry) char entries[1024];
    for (long n; (n = sys::call(SYS_getdents64, tasks, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < n;) {
            const Entry &entry = *(const Entry *)(entries + at);
            if (entry.name[0] != '.') visit_children_of_thread(listing, (int)tasks, entry.name);
            at += entry.length;
        }
    }
}

// In .bss and not on the caller's stack, which may be an alternate signal stack of a few KiB.
alignas(16) constinit char listing_stack[8192] = {};

// Runs list() in a thread and returns when it has ended. CLONE_VFORK is the join: this thread is suspended
// until the other is through. Without CLONE_FILES, so that it opens into a copy of the table;
// untraced, because a debugger would take CLONE_VFORK for a new process.
void list_in_thread(Listing &listing) {
    constexpr long flags =
        CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_FS | CLONE_SYSVSEM | CLONE_VFORK | CLONE_UNTRACED;
    register void (*run)(void *) asm("r12") = list;
    register void *argument asm("r13") = &listing;
    register long none asm("r10") = 0;
    register long tls asm("r8") = 0;
    long result;
    asm volatile(
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xor %%ebp, %%ebp\n\t"
        "mov %%r13, %%rdi\n\t"
        "call *%%r12\n\t"
        "xor %%edi, %%edi\n\t"
        "mov %[exit], %%eax\n\t"
        "syscall\n\t"
        "hlt\n"
        "1:"
        : "=a"(result)
        : "a"(SYS_clone), "D"(flags), "S"(listing_stack + sizeof listing_stack), "d"(0), "r"(none), "r"(tls),
          "r"(run), "r"(argument), [exit] "i"(SYS_exit)
        : "rcx", "r11", "memory", "cc");
}

#else

void list_in_thread(Listing &) {}

#endif

}  // namespace

void for_each_waitable(int options, void (*visit)(void *context, const siginfo_t &child), void *context) {
    Listing listing = {options, visit, context, look(P_ALL, 0, options), false};
    if (listing.first.si_pid == 0) return;
    list_in_thread(listing);
    // A tracee that is not our child is in no list, and without a thread nothing is.
    if (!listing.first_visited) visit(context, listing.first);
}

}  // namespace taskwatch
