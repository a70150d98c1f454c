// SPDX-License-Identifier: MIT
#include "session.hpp"

#include <sys/stat.h>

#include "sys.hpp"

namespace taskwatch {

constinit Session session;

static FileIdentity identity_of(int fd) {
    struct stat st;
    if (sys::call(sys::nr_fstat, fd, &st) != 0) return {};
    return {st.st_dev, st.st_ino, st.st_rdev};
}

uint64_t hash_of(const char *text) {
    uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    while (*text) hash = (hash ^ (uint8_t)*text++) * 0x100000001b3;
    return hash;
}

int Session::found(pid_t root) {
    if (int error = memory.make()) return error;
    layout::Header &h = *header();
    h.session = id_ = random_word();
    h.root = root_ = stream_process_ = root;
    for (int fd = 1; fd <= 2; fd++) h.streams[fd] = streams_[fd] = identity_of(fd);
    memory.publish();
    return 0;
}

int Session::attach(const char *name) {
    if (int error = memory.attach(name)) return error;
    const layout::Header &h = *header();
    id_ = h.session;
    root_ = stream_process_ = h.root;
    // A user to whom the session was given could name any file that one of its processes has open: root would write there.
    if (memory.is_given_away()) {
        use_own_streams(sys::getpid());
        return 0;
    }
    streams_[1] = h.streams[1];
    streams_[2] = h.streams[2];
    return 0;
}

void Session::set_root(pid_t root) {
    root_ = stream_process_ = root;
    if (attached()) header()->root = root;
}

void Session::record_own_streams(pid_t self) {
    if (attached()) return;
    root_ = self;
    use_own_streams(self);
}

void Session::use_own_streams(pid_t self) {
    stream_process_ = self;
    for (int fd = 1; fd <= 2; fd++) streams_[fd] = identity_of(fd);
}

uint64_t Session::torn_file() const {
    return attached() ? header()->torn_file.load(std::memory_order_relaxed) : 0;
}

void Session::set_torn_file(uint64_t file) {
    if (attached()) header()->torn_file.store(file, std::memory_order_relaxed);
}

static uint64_t hash_of_list(const char *watchers, const char *folders) {
    return (hash_of(watchers) * 31 + (folders ? hash_of(folders) : 0)) | 1;
}

bool Session::list_is_good(const char *watchers, const char *folders) const {
    return attached() && header()->good_list.load(std::memory_order_relaxed) == hash_of_list(watchers, folders);
}

void Session::set_good_list(const char *watchers, const char *folders) {
    if (attached()) header()->good_list.store(hash_of_list(watchers, folders), std::memory_order_relaxed);
}

bool Session::once_said(const char *text) {
    if (!attached()) return true;
    uint64_t hash = hash_of(text) | 1;
    for (std::atomic<uint64_t> &place : header()->said) {
        uint64_t seen = 0;
        if (place.compare_exchange_strong(seen, hash, std::memory_order_relaxed)) return true;
        if (seen == hash) return false;
    }
    return true;
}

void Session::count_lost(int error) {
    (attached() ? header()->lost : own_lost_).fetch_add(1, std::memory_order_relaxed);
    (attached() ? header()->lost_error : own_lost_error_).store(error, std::memory_order_relaxed);
}

uint64_t Session::lost(int *ret_error) const {
    if (ret_error) *ret_error = attached() ? header()->lost_error.load() : own_lost_error_.load();
    return attached() ? header()->lost.load() : own_lost_.load();
}

void Session::want(uint32_t mask) {
    if (attached()) header()->wanted.fetch_or(mask, std::memory_order_relaxed);
}

uint32_t Session::wanted() const {
    return attached() ? header()->wanted.load(std::memory_order_relaxed) : 0;
}

}  // namespace taskwatch
