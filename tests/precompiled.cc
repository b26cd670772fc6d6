// SPDX-License-Identifier: Apache-2.0
// Holds the headers of precompiled.h; has no code of its own.
