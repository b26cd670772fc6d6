// SPDX-License-Identifier: Apache-2.0
// Part of every program of the sanitizer build. MPI unloads its modules when it ends; LeakSanitizer
// then cannot name them, and no suppression matches. So they stay.
extern "C" int dlclose(void*) noexcept { return 0; }
