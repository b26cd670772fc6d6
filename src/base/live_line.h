// SPDX-License-Identifier: Apache-2.0
// The one line at the bottom of the user's terminal that is written over in place and leaves no
// trace. Whoever writes another line there erases it first.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace tl {

// Tells whether a line on STDOUT_FILENO or STDERR_FILENO would be seen, and the last one has been
// there for a tenth of a second: cheap where nobody looks on.
bool LiveLineDue(int fd);
// Writes the text, cut to the terminal's width, over the line that is there. Nothing where no line
// may be written in place, or this process is in the background.
void ShowLiveLine(int fd, absl::string_view text);
// Tells whether there was one. For signal handlers too.
bool EraseLiveLine();

// Returns where bars belong: stderr; under a launcher stdout, where it is a terminal, since what
// comes on the two may overtake each other.
int ProgressOutput();

// Erases it and keeps it away as long as this lives: while another line is written, to fd.
class NoLiveLine {
 public:
  explicit NoLiveLine(int fd);
  NoLiveLine(const NoLiveLine&) = delete;
  NoLiveLine& operator=(const NoLiveLine&) = delete;
  ~NoLiveLine();
};

// Cuts a text to so many columns, at a character. What a terminal does not show is left out:
// control characters and bytes that are no UTF-8 become escapes as in C.
std::string CutToColumns(absl::string_view text, int columns);

}  // namespace tl
