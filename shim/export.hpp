// SPDX-License-Identifier: MIT
// Marks the functions that programs and watchers can see. Everything else is hidden.
#pragma once

#define EXPORT extern "C" [[gnu::visibility("default")]]
#define EXPORT_ALIAS(name) [[gnu::visibility("default"), gnu::alias(#name)]]
