// SPDX-License-Identifier: Apache-2.0
// Files and folders that appear whole or not at all: made under a temporary name beside their own,
// and renamed.
//   NAME.tmp-trunkline-<process>@<host>    locked (flock) as long as its process lives
// A long NAME is cut. The next one for the same NAME removes a leftover of the same kind that
// nobody has locked: one of this host at once, of another only when it is a day old, since some
// mounts do not tell other hosts of locks. On NFS a leftover folder stays: NFS locks files alone.
#pragma once

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"
#include "base/remove_on_signal.h"

namespace tl {

// Checks that a folder may be made at `path`: nothing is there yet, or an empty folder, which a
// rename replaces. Anything else, a link to a folder too, is an error (AlreadyExists).
absl::Status CheckNewFolder(const std::string& path);

// Gone again unless it is committed: with this object, by a signal (see InstallEndSignals), or,
// after a SIGKILL, by the next one for the same path (see above).
class Temporary {
 public:
  // Makes a file that is new or replaces a regular one. Anything else there is an error.
  static absl::StatusOr<Temporary> MakeFile(const std::string& path);
  // Makes a new folder, see CheckNewFolder, and its parents.
  static absl::StatusOr<Temporary> MakeFolder(const std::string& path);
  Temporary(Temporary&& other) noexcept;
  Temporary& operator=(Temporary&& other) = delete;
  ~Temporary();

  const std::string& path() const { return temporary_; }
  // The file, open for reading and writing.
  const File& file() const { return file_; }
  // Makes it durable and gives it its name. What lies in a folder has been synchronised. An error
  // where something else has come to that name meanwhile.
  absl::Status Commit();

 private:
  // What is at a path, as far as a rename must care.
  struct Place {
    bool taken = false;
    uint64_t device = 0, inode = 0;
    bool operator==(const Place&) const = default;
  };
  Temporary(std::string path, bool is_folder, Place before, std::string temporary, File file);
  static absl::StatusOr<Place> PlaceOf(const std::string& path);
  static absl::StatusOr<Temporary> Make(const std::string& path, bool is_folder);
  void Remove();

  std::string final_;
  bool is_folder_;
  Place before_;
  std::string temporary_;  // empty: committed, or moved from
  File file_;              // holds the lock
  RemoveOnSignal on_signal_;
};

}  // namespace tl
