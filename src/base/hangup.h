// SPDX-License-Identifier: Apache-2.0
// SIGHUP as whoever started the process left it.
#pragma once

namespace tl {

// Gives SIGHUP what it had before any library of the program was loaded, ignored (as under nohup)
// or its default: UCX, which Open MPI 5 loads, takes the signal for its log and ignores its end.
void RestoreHangup();

}  // namespace tl
