// SPDX-License-Identifier: MIT
// The descriptors that the supervisor was started with and must not keep: whoever reads a pipe of the program's
// waits for its last writer.
#pragma once

namespace taskwatch {

// Closes all of them, and leaves the current folder. 1 and 2 go on naming the program's streams without holding
// them: a regular file stays open (nobody waits for its end, and a line has to be written at the very offset that the
// program's have reached), anything else is an O_PATH descriptor, through which it can be opened again.
void let_go_of_streams();

// After that: true if `number` is a pipe that nobody can write to any more. Its reader has seen the end of it, or is about to.
bool is_pipe_without_writer(int number);

}  // namespace taskwatch
