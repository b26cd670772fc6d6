// SPDX-License-Identifier: Apache-2.0
// How many files this process may have open at a time (RLIMIT_NOFILE, `ulimit -n`).
#pragma once

namespace tl {

// Raises the soft limit to the hard one, at most to 65536: the usual 1024 is too little for data of
// many files.
void RaiseOpenFileLimit();

}  // namespace tl
