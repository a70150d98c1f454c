// SPDX-License-Identifier: MIT
// taskwatch-info program: what the shim would decide about the program that the launcher is about to
// start. The launcher is not under the shim, so nobody else decides it; the decisions are the shim's own
// (target.hpp, preload_list.hpp).
#include <fcntl.h>

#include <cstdio>
#include <cstdlib>

#include "preload_list.hpp"
#include "target.hpp"

using namespace taskwatch;

namespace {

char list[256 * 1024];  // more than one string of an environment may have

// An image for which naming us only makes ld.so print an error, or another libc's loader give up. A static one
// ignores the list, ld.so ignores it in secure-execution mode, and what they start may obey it.
bool minds_being_named(const Target &target) {
    const std::string_view reason = target.loads_us ? "" : target.reason;
    return !reason.empty() && reason != "static" && reason != "secure-execution";
}

}  // namespace

extern "C" int program_info(const char *file, const char *library) {
    const Target target = judge_target({
        .directory = AT_FDCWD,
        .path = file,
        .library = library,
        .secure = true,
    });
    const char *value = std::getenv("LD_PRELOAD");
    const PreloadEdit edit = minds_being_named(target) ? PreloadEdit::exclude : PreloadEdit::include;
    const PreloadResult result =
        edit_preload(value ? value : "", {.library = library}, edit, target.first_library, list, sizeof list);
    if (result.length > sizeof list) return 1;
    std::printf("%.*s\n", (int)result.length, list);
    if (!target.loads_us) std::puts(target.reason);
    return 0;
}
