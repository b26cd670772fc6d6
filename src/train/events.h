// SPDX-License-Identifier: Apache-2.0
// events.jsonl: what metrics.jsonl cannot tell. A line when a training starts or goes on, with what
// it runs on and reads, when a save is durable, and when it stops or ends. Lines are only ever
// added, but that a training from step 0 begins anew.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "data/file_identity.h"
#include "train/append_file.h"

namespace tl {

struct StartEvent {
  int64_t step = 0;                                    // steps done before
  std::map<std::string, std::string> provenance = {};  // ReadProvenance's
  int ranks = 1;
  int hosts = 1;
  int64_t parameters = 0;
  double flops_per_token = 0.0;
  int64_t train_tokens = 0;  // in [data] train; 0: unknown
  double roof_tflops = 0.0;  // of a rank; 0: unknown
  std::vector<FileIdentity> data = {};
};

// Lines, with their ends. time: seconds since 1970.
std::string ToJson(const StartEvent& event, int64_t time);
// what: "save", "stop", "error" or "end"; why: of "stop" and "error". seconds: that a save took;
// negative: not told.
std::string EventJson(const std::string& what, int64_t step, const std::string& why, double seconds,
                      int64_t time);

// Whether a file that begins so is such a one.
bool IsEvents(absl::string_view begin);

class EventsFile {
 public:
  // Empties it where the training starts at step 0. A line that was cut is dropped.
  static absl::StatusOr<EventsFile> Open(const std::string& path, int64_t resume_step);
  // What cannot be written waits for the next that can, see AppendFile.
  absl::Status Write(const StartEvent& event);
  absl::Status Write(const std::string& what, int64_t step, const std::string& why = "",
                     double seconds = -1.0);
  absl::Status Flush() { return file_.Flush(); }
  int64_t waiting() const { return file_.waiting(); }

 private:
  explicit EventsFile(AppendFile file) : file_(std::move(file)) {}
  AppendFile file_;
};

}  // namespace tl
