// SPDX-License-Identifier: Apache-2.0
#include "comm/facts.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "base/where.h"

namespace tl {
namespace {

constexpr int kTold = 3;  // of facts that differ

// oneDNN's under both its names, cuBLAS's and NCCL's: instruction sets, number formats, algorithms.
constexpr const char* kVariables[] = {"ONEDNN_MAX_CPU_ISA",
                                      "DNNL_MAX_CPU_ISA",
                                      "ONEDNN_CPU_ISA_HINTS",
                                      "DNNL_CPU_ISA_HINTS",
                                      "ONEDNN_DEFAULT_FPMATH_MODE",
                                      "DNNL_DEFAULT_FPMATH_MODE",
                                      "NVIDIA_TF32_OVERRIDE",
                                      "CUBLAS_WORKSPACE_CONFIG",
                                      "NCCL_ALGO",
                                      "NCCL_PROTO"};

struct Program {
  char version[100];
  char command[100];
  char host[56];
};
static_assert(sizeof(Program) == 256, "the same in all versions");

template <size_t N>
void Put(absl::string_view text, char (&field)[N]) {
  std::memcpy(field, text.data(), std::min(text.size(), N - 1));
}

// Rank 0's text, on all ranks.
std::string FromRoot(Communicator& world, std::string text) {
  Stream stream = Stream::Cpu();
  auto size = static_cast<int64_t>(text.size());
  world.Broadcast(stream, Tensor::Of(&size, {1}), 0);
  text.resize(static_cast<size_t>(size));
  world.Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(text.data()), {size}), 0);
  return text;
}

// Without the zeros that stand between texts on their way.
std::string Plain(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), '\0'), text.end());
  return text;
}

struct Spelling {
  std::string value, also;
};

bool Same(const Spelling& a, const Spelling& b) {
  return a.value == b.value || (!a.also.empty() && a.also == b.also);
}

}  // namespace

absl::Status AgreeOnFacts(Communicator& world, absl::Span<const Fact> mine, Absence absence) {
  if (world.size() == 1) return absl::OkStatus();
  std::vector<std::string> texts = {HostName()};
  for (const Fact& fact : mine)
    for (const std::string* text : {&fact.what, &fact.value, &fact.also})
      texts.push_back(Plain(*text));
  const std::string all = FromRoot(world, absl::StrJoin(texts, absl::string_view("\0", 1)));
  const std::vector<std::string> theirs = absl::StrSplit(all, '\0');
  std::map<std::string, Spelling> left;  // of rank 0
  for (size_t i = 1; i + 2 < theirs.size(); i += 3)
    left[theirs[i]] = {theirs[i + 1], theirs[i + 2]};
  std::string told;
  int differing = 0;
  const auto tell = [&](const std::string& what, const std::string& here,
                        const std::string& there) {
    if (++differing > kTold) return;
    absl::StrAppend(&told, told.empty() ? "" : "; ", what, " is ", here, " on ", texts[0], ", but ",
                    there, " for rank 0 on ", theirs[0]);
  };
  constexpr char kNotThere[] = "not there";
  for (const Fact& fact : mine) {
    const std::string named =
        fact.where.empty() ? fact.what : absl::StrCat(fact.what, " (", fact.where, ")");
    const auto found = left.extract(Plain(fact.what));
    if (found.empty()) {
      if (absence == Absence::kDiffers) tell(named, fact.value, kNotThere);
    } else if (!Same({Plain(fact.value), Plain(fact.also)}, found.mapped())) {
      tell(named, fact.value, found.mapped().value);
    }
  }
  if (absence == Absence::kDiffers)
    for (const auto& [what, spelling] : left) tell(what, kNotThere, spelling.value);
  if (differing > kTold)
    absl::StrAppend(&told, "; and ", differing - kTold, " more such differences");
  return AgreeOnStatus(world, differing == 0 ? absl::OkStatus()
                                             : absl::FailedPreconditionError(absl::StrCat(
                                                   told, ": all ranks must have the same")));
}

absl::Status AgreeOnProgram(Communicator& world, absl::string_view version,
                            absl::string_view command) {
  if (world.size() == 1) return absl::OkStatus();
  Program mine = {}, first = {};
  Put(version, mine.version);
  Put(command, mine.command);
  Put(HostName(), mine.host);
  first = mine;
  Stream stream = Stream::Cpu();
  world.Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(&first), {sizeof(first)}), 0);
  absl::Status status;
  if (std::strcmp(mine.version, first.version) != 0) {
    status = absl::FailedPreconditionError(absl::StrCat(
        "trunkline on ", mine.host, " is version ", mine.version, ", but ", first.version,
        " for rank 0 on ", first.host, ": all ranks must run the same program"));
  } else if (std::strcmp(mine.command, first.command) != 0) {
    status = absl::FailedPreconditionError(absl::StrCat("runs `trunkline ", mine.command, "` on ",
                                                        mine.host, ", but rank 0 on ", first.host,
                                                        " `trunkline ", first.command, "`"));
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  std::vector<Fact> environment;
  for (const char* name : kVariables) {
    const char* value = std::getenv(name);
    environment.push_back(
        {.what = absl::StrCat("environment variable ", name),
         .value = value == nullptr ? "not set" : absl::StrCat("\"", value, "\"")});
  }
  return AgreeOnFacts(world, environment);
}

}  // namespace tl
