#!/bin/bash
# SPDX-License-Identifier: MIT
#
# refusals.sh INCLUDE: what taskwatch.hpp does not compile, with the reason in the compiler's message: a verdict that
# could be misread, a callback that would never be called.
set -u
include=$1
failed=0

compile() { # COMPILER BODY
    "$1" -std=c++20 -Wall -Wextra -Werror -fno-exceptions -fno-rtti -I "$include" -fsyntax-only -x c++ - 2>&1 <<END_OF_SOURCE
#include <taskwatch/taskwatch.hpp>
using namespace taskwatch;
struct Mine : Watcher<Mine> {
    $2
};
TASKWATCH_WATCHER(Mine, "mine", "of the test")
END_OF_SOURCE
}

refused() { # REASON BODY
    local message
    for compiler in "${compilers[@]}"; do
        if message=$(compile "$compiler" "$2"); then
            printf '%s compiles: %s\n' "$compiler" "$2"
            failed=1
        elif ! grep -qE -- "$1" <<<"$message"; then
            printf '%s: %s\n  refused without saying: %s\n%s\n' "$compiler" "$2" "$1" "$message"
            failed=1
        fi
    done
}

accepted() { # BODY
    local message
    for compiler in "${compilers[@]}"; do
        message=$(compile "$compiler" "$1") && continue
        printf '%s does not compile: %s\n%s\n' "$compiler" "$1" "$message"
        failed=1
    done
}

compilers=()
for compiler in g++ clang++; do
    if command -v "$compiler" >/dev/null; then compilers+=("$compiler"); fi
done
((${#compilers[@]})) || { echo 'no compiler found' && exit 1; }

arguments='(const task_watch &, Flags)'
accepted "Verdict on_init$arguments { return deny(EAGAIN); }"
accepted "Verdict on_clone$arguments { return deny(Errno::of(errno)); }"
accepted "void on_exit$arguments {} ThreadData<long> data; Immortal<std::string_view> name; Sink log;"
accepted 'Verdict on_init(const task_watch &task, Flags) { return is_thread(task) ? allow() : deny(ENOMEM); }'

refused 'could not convert|no viable conversion' "Verdict on_init$arguments { return EAGAIN; }"
refused 'could not convert|no viable conversion' "Verdict on_init$arguments { return NOTIFY_STOP; }"
refused 'an_errno_is_a_number_from_1_to_4095' "Verdict on_init$arguments { return deny(0); }"
refused 'an_errno_is_a_number_from_1_to_4095' "Verdict on_init$arguments { return deny(-EAGAIN); }"
refused 'constant expression|non-.constexpr' "Verdict on_init$arguments { return deny(errno); }"
refused 'nodiscard' "Verdict on_init$arguments { deny(EAGAIN); return allow(); }"
refused 'on_init returns Verdict' "int on_init$arguments { return EAGAIN; }"
refused 'on_exit returns void' "Verdict on_exit$arguments { return allow(); }"
refused 'on_init takes \(const task_watch &, Flags\)' 'Verdict on_init(task_watch &, Flags) { return allow(); }'
refused 'on_exec takes \(const task_watch &, Flags\)' 'void on_exec(const task_watch &) {}'
refused 'has no callback' "void on_fork$arguments {}"
refused 'is never destroyed' "void on_exit$arguments {} ~Mine() { block(); }"
refused '16 bytes' "struct Big { long n[3]; }; void on_exit(const task_watch &t, Flags) { cell<Big>(t); }"
refused 'a pointer means nothing' 'void on_exit(const task_watch &t, Flags) { cell<char *>(t); }'
refused 'nobody who would destroy' "struct Owner { ~Owner() {} }; ThreadData<Owner> data; void on_exit$arguments {}"
refused '1 KiB of stack' "void on_exit$arguments { Line<2000> line; line << 1; }"
exit $failed
