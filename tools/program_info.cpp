// SPDX-License-Identifier: MIT
// taskwatch-info program, doctor: what the shim would decide about a program that the launcher is about to
// start or is asked about. The launcher is not under the shim, so nobody else decides it; the decisions are the
// shim's own (target.hpp, preload_list.hpp), the words doctor.hpp's.
#include <cstdio>
#include <cstdlib>

#include "doctor.hpp"
#include "preload_list.hpp"

using namespace taskwatch;

namespace {

char list[256 * 1024];  // more than one string of an environment may have

// An image for which naming us only makes ld.so print an error, or another libc's loader give up.
bool minds_being_named(const Target &target) { return !target.loads_us && !target.ignores_preload; }

}  // namespace

extern "C" int program_info(const char *file, const char *library) {
    const Diagnosis found = diagnose(file, library);
    const char *value = std::getenv("LD_PRELOAD");
    const PreloadEdit edit = minds_being_named(found.target) ? PreloadEdit::exclude : PreloadEdit::include;
    const PreloadResult result = edit_preload(value ? value : "", {.library = library}, edit,
                                              found.target.first_library, list, sizeof list);
    if (result.length > sizeof list) return 1;
    std::printf("%.*s\n", (int)result.length, list);
    // One that cannot run is told by the one who runs it, in the words that its user knows.
    if (found.verdict == Diagnosis::Verdict::in_part || found.verdict == Diagnosis::Verdict::not_watched)
        std::puts(found.sentence.c_str());
    return 0;
}

extern "C" int program_doctor(const char *file, const char *library) {
    const Diagnosis found = diagnose(file, library);
    if (found.verdict == Diagnosis::Verdict::cannot_run) {
        std::fprintf(stderr, "taskwatch: %s: %s\n", file, found.sentence.c_str());
        return found.exit_status;
    }
    std::printf("%s %s\n", file, found.sentence.c_str());
    for (const std::string &sentence : found.files) std::printf("  %s\n", sentence.c_str());
    if (*found.target.first_library)
        std::printf("  its runtime %s is named in LD_PRELOAD before the library\n", found.target.first_library);
    std::printf("  seen:     %s\n  not seen: %s\n", found.seen.c_str(), found.not_seen.c_str());
    return found.exit_status;
}
