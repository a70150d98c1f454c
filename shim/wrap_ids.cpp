// SPDX-License-Identifier: MIT
// Exported: the setuid family, users and groups.
#include <sys/fsuid.h>
#include <unistd.h>

#include "export.hpp"
#include "lifecycle.hpp"
#include "real.hpp"

using namespace taskwatch;

namespace {

// Apart from change(), so that nothing is packed up while nobody watches.
template <typename Genuine, typename... Ids>
[[gnu::noinline]] int change_watched(const char *name, uint32_t event, const Genuine &genuine, Ids... ids) {
    auto call = [&] { return (int)genuine(ids...); };
    uid_t given[] = {ids...};
    constexpr auto as_it_is = (uid_t)-1;
    bool reads_back = name[3] == 'f';  // setfsuid, setfsgid: no error is returned
    bool is_seteuid = name[3] == 'e';
    constexpr bool several = sizeof...(ids) > 1;
    return change_ids({.name = name,
                       .event = event,
                       .reads_back = reads_back,
                       .filesystem_id = given[0],
                       .real = reads_back || is_seteuid ? as_it_is : given[0],
                       .effective = reads_back ? as_it_is : given[several],
                       .is_setuid = !several && !is_seteuid && !reads_back,
                       .genuine = [](void *context) { return (*static_cast<decltype(call) *>(context))(); },
                       .context = &call});
}

template <typename Genuine, typename... Ids>
[[gnu::always_inline]] inline int change(const char *name, uint32_t event, const Genuine &genuine, Ids... ids) {
    const uint32_t mask = event == WATCH_TASK_UID ? WATCH_MASK_UID : WATCH_MASK_GID;
    if (nobody_wants(mask)) [[likely]] return (int)genuine(ids...);
    return change_watched(name, event, genuine, ids...);
}

}  // namespace

EXPORT int setuid(uid_t u) noexcept { return change("setuid", WATCH_TASK_UID, real::setuid, u); }
EXPORT int seteuid(uid_t u) noexcept { return change("seteuid", WATCH_TASK_UID, real::seteuid, u); }
EXPORT int setreuid(uid_t r, uid_t e) noexcept { return change("setreuid", WATCH_TASK_UID, real::setreuid, r, e); }
EXPORT int setresuid(uid_t r, uid_t e, uid_t s) noexcept {
    return change("setresuid", WATCH_TASK_UID, real::setresuid, r, e, s);
}
EXPORT int setfsuid(uid_t u) noexcept { return change("setfsuid", WATCH_TASK_UID, real::setfsuid, u); }

EXPORT int setgid(gid_t g) noexcept { return change("setgid", WATCH_TASK_GID, real::setgid, g); }
EXPORT int setegid(gid_t g) noexcept { return change("setegid", WATCH_TASK_GID, real::setegid, g); }
EXPORT int setregid(gid_t r, gid_t e) noexcept { return change("setregid", WATCH_TASK_GID, real::setregid, r, e); }
EXPORT int setresgid(gid_t r, gid_t e, gid_t s) noexcept {
    return change("setresgid", WATCH_TASK_GID, real::setresgid, r, e, s);
}
EXPORT int setfsgid(gid_t g) noexcept { return change("setfsgid", WATCH_TASK_GID, real::setfsgid, g); }
