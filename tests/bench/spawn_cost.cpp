// SPDX-License-Identifier: MIT
// What spawn() costs beside the genuine posix_spawn: interleaved calls with two file actions and a target
// that does nothing (a static image of 132 bytes, written here). No preload, no watchers.
//
//   spawn_cost [rounds [resident-megabytes [limit]]]
//
// Prints the medians and their ratio. With `limit` (0.70 is the aim beside glibc before 2.38, which
// resets 64 signal actions one by one) the exit status is 1 if the ratio is above it.
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "spawn.hpp"
#include "sys.hpp"

namespace {

char target[] = "/tmp/spawn_cost.XXXXXX";
char *const arguments[] = {target, nullptr};

// One page of header, no section, `exit(0)` behind the program header.
bool write_target() {
    struct {
        unsigned char ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        uint16_t type = 2, machine = 62;
        uint32_t version = 1;
        uint64_t entry = 0x400078, program_headers = 64, section_headers = 0;
        uint32_t flags = 0;
        uint16_t header_size = 64, entry_size = 56, count = 1, rest[3] = {};
        uint32_t segment_type = 1, segment_flags = 5;
        uint64_t offset = 0, address = 0x400000, physical = 0x400000, file_size = 132, memory_size = 132;
        uint64_t alignment = 4096;
        unsigned char code[12] = {0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05};
    } image;
    static_assert(sizeof image >= 132);
    int fd = mkstemp(target);
    bool written = fd >= 0 && write(fd, &image, 132) == 132 && fchmod(fd, 0700) == 0;
    close(fd);
    return written;
}

uint64_t now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1'000'000'000 + uint64_t(time.tv_nsec);
}

int genuine(pid_t *ret_pid, const posix_spawn_file_actions_t *actions) {
    return posix_spawn(ret_pid, target, actions, nullptr, arguments, environ);
}

int own(pid_t *ret_pid, const posix_spawn_file_actions_t *actions) {
    using namespace taskwatch;
    if (!spawn_can_do(actions, nullptr)) return ENOSYS;
    SpawnRequest request = {
        .file = target,
        .actions = actions,
        .attributes = nullptr,
        .argv = arguments,
        .envp = environ,
        .search_path = false,
        .shell_fallback = false,
        .held = [](void *, pid_t) { return 0; },
        .exec = [](void *, const char *path, char *const *argv, char *const *envp) {
            return int(-sys::call(SYS_execve, path, argv, envp));
        },
        .context = nullptr,
    };
    sys::SignalMask mask = sys::set_signal_mask(sys::all_signals);
    SpawnResult result = spawn(request, mask);
    sys::set_signal_mask(mask);
    *ret_pid = result.pid;
    return result.error;
}

// Nanoseconds of the call alone; the child is reaped outside the measurement. 0: it failed.
uint64_t measure(int (*spawner)(pid_t *, const posix_spawn_file_actions_t *),
                 const posix_spawn_file_actions_t *actions) {
    pid_t pid = 0;
    int status = -1;
    uint64_t begin = now();
    int error = spawner(&pid, actions);
    uint64_t end = now();
    if (error || waitpid(pid, &status, 0) != pid || status != 0) return 0;
    return end - begin;
}

double median(std::vector<uint64_t> &samples) {
    std::nth_element(samples.begin(), samples.begin() + long(samples.size() / 2), samples.end());
    return double(samples[samples.size() / 2]) / 1000;
}

}  // namespace

int main(int argc, char **argv) {
    const int rounds = argc > 1 ? atoi(argv[1]) : 1500;
    const size_t resident = argc > 2 ? size_t(atoi(argv[2])) << 20 : 0;
    const double limit = argc > 3 ? atof(argv[3]) : 0;
    if (resident) memset(malloc(resident), 1, resident);
    if (!write_target()) return perror("spawn_cost: target"), 2;

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 9);

    std::vector<uint64_t> samples[2];
    bool failed = false;
    for (int i = 0; i < rounds && !failed; i++) {
        samples[0].push_back(measure(genuine, &actions));
        samples[1].push_back(measure(own, &actions));
        failed = !samples[0].back() || !samples[1].back();
    }
    unlink(target);
    if (failed || rounds < 1) return fprintf(stderr, "spawn_cost: a spawn failed\n"), 2;
    double libc = median(samples[0]), ours = median(samples[1]);
    printf("posix_spawn %.1f us, spawn() %.1f us, ratio %.3f (%d rounds, %zu MB resident)\n", libc, ours,
           ours / libc, rounds, resident >> 20);
    return limit > 0 && ours / libc > limit;
}
