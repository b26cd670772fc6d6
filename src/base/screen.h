// SPDX-License-Identifier: Apache-2.0
// Whether stdout and stderr end on the user's terminal: what may be written there for eyes alone.
//
// Without a launcher isatty tells. Under mpirun it does not: Open MPI 4 gives ranks a pseudo-terminal
// even where its own output goes to a file, Open MPI 5 gives them a pipe on a terminal too. There
// the launcher's own stdout and stderr tell, where it runs on this host, this process writes to it
// and it passes on what it gets as it is. In doubt there is no terminal.
#pragma once

namespace tl {

struct Screen {
  int terminal = -1;      // of the user, open; -1: none
  bool in_place = false;  // a line may be written over; else whole lines arrive alone

  bool there() const { return terminal >= 0; }  // lines may have colours
};

// Looks for the terminals, once. launched: ranks were started, this is one of them. Without this
// call there are none: ranks whose lines nobody wants to see change leave it out.
void FindScreens(bool launched);

// STDOUT_FILENO's or STDERR_FILENO's. None where NO_COLOR is set or TERM is "dumb" or missing.
const Screen& ScreenOf(int fd);

// Columns of the terminal, now; 80 where they are unknown.
int ScreenWidth(const Screen& screen);

}  // namespace tl
