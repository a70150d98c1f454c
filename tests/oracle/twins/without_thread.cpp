// SPDX-License-Identifier: MIT
// For the twin without wrap_thread.cpp: what others call there. No thread is made through the library then.
#include "thread_start.hpp"

namespace taskwatch {

int join_genuinely(pthread_t thread) { return pthread_join(thread, nullptr); }
int delete_key_genuinely(pthread_key_t key) { return pthread_key_delete(key); }

}  // namespace taskwatch
