// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "comm/communicator.h"

namespace tl {

absl::Status AgreeOnStatus(Communicator& group, const absl::Status& mine) {
  if (group.size() == 1) return mine;
  Stream stream = Stream::Cpu();
  int32_t vote = mine.ok() ? 0 : group.size() - group.rank();
  group.AllReduce(stream, Tensor::Of(&vote, {1}), ReduceOp::kMax);
  if (vote == 0) return absl::OkStatus();

  const int failing = group.size() - vote;
  std::string message;
  int64_t head[2] = {};  // code, length of the message
  if (group.rank() == failing) {
    message = std::string(mine.message());
    head[0] = mine.raw_code();
    head[1] = static_cast<int64_t>(message.size());
  }
  group.Broadcast(stream, Tensor::Of(head, {2}), failing);
  message.resize(head[1]);
  group.Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(message.data()), {head[1]}),
                  failing);
  return absl::Status(static_cast<absl::StatusCode>(head[0]),
                      "rank " + std::to_string(failing) + ": " + message);
}

}  // namespace tl
