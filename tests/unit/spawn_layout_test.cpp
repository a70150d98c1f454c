// SPDX-License-Identifier: MIT
// spawn_can_do()'s look at the layout of libc's file actions. This program's own adddup2 stands before
// libc's, as another preloaded library's might, and can be told to write something else. The answer is
// kept for the life of a process, so each question is asked in a new one.
#include "spawn_case.hpp"
#include "spawn_child.hpp"

using namespace spawn_case;

namespace {

enum class Writes { as_libc, other_tag, other_member, larger_elements, nothing } writes;

}  // namespace

extern "C" int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *list, int from, int to) noexcept {
    auto genuine = reinterpret_cast<decltype(&posix_spawn_file_actions_adddup2)>(
        dlsym(RTLD_NEXT, "posix_spawn_file_actions_adddup2"));
    if (writes == Writes::nothing) return 0;
    if (int error = genuine(list, from, to)) return error;
    auto *action = reinterpret_cast<taskwatch::FileAction *>(list->__actions) + list->__used - 1;
    if (writes == Writes::other_tag) action->tag = taskwatch::FileAction::fchdir;
    if (writes == Writes::other_member) action->with.dup2 = {to, from};
    if (writes == Writes::larger_elements) {
        action[1] = action[0];
        memset(static_cast<void *>(action), 0, sizeof *action);
    }
    return 0;
}

namespace {

std::string ask(Writes manner, rlim_t descriptors = 1024) {
    return in_a_process([&](const std::string &) {
        posix_spawn_file_actions_t list;
        posix_spawn_file_actions_init(&list);
        posix_spawn_file_actions_addclose(&list, 5);
        writes = manner;
        rlimit limit = {descriptors, 1024};
        setrlimit(RLIMIT_NOFILE, &limit);
        std::string text;
        for (int i = 0; i < 2; i++) text += taskwatch::spawn_can_do(&list, nullptr) ? "yes " : "no ";
        list.__used = 0;
        return text + (taskwatch::spawn_can_do(&list, nullptr) ? "empty yes" : "empty no");
    });
}

TEST(SpawnLayout, IsKnownWhereLibcWritesIt) { EXPECT_EQ(ask(Writes::as_libc), "yes yes empty yes"); }

TEST(SpawnLayout, IsNotKnownWhereSomebodyWritesOtherwise) {
    EXPECT_EQ(ask(Writes::other_tag), "no no empty yes");
    EXPECT_EQ(ask(Writes::other_member), "no no empty yes");
    EXPECT_EQ(ask(Writes::larger_elements), "no no empty yes");
    EXPECT_EQ(ask(Writes::nothing), "no no empty yes");
}

// libc then refuses the numbers that the question is asked with.
TEST(SpawnLayout, IsTakenForKnownWhereNoDescriptorIsAllowed) {
    EXPECT_EQ(ask(Writes::as_libc, 0), "yes yes empty yes");
}

}  // namespace
