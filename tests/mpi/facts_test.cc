// SPDX-License-Identifier: Apache-2.0
// What ranks must have alike.
#include "comm/facts.h"

#include <cstdlib>

#include "mpi_main.h"

namespace tl {
namespace {

using test::World;

bool Has(const absl::Status& status, const std::string& part) {
  return std::string(status.message()).find(part) != std::string::npos;
}

TEST(Facts, TheSameOnAllRanks) {
  EXPECT_TRUE(AgreeOnFacts(World(), {}).ok());
  EXPECT_TRUE(AgreeOnFacts(World(), {{"a", "1"}, {"b", ""}}).ok());
  // Paths may differ.
  EXPECT_TRUE(AgreeOnFacts(World(), {{"a", "1", std::to_string(World().rank())}}).ok());
}

TEST(Facts, OneRankDiffers) {
  const bool last = World().rank() == World().size() - 1;
  const absl::Status status =
      AgreeOnFacts(World(), {{"a", "1"}, {"[x] b", last ? "3" : "2", "PATH"}, {"c", "4"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Has(status, "rank " + std::to_string(World().size() - 1) + ": [x] b (PATH) is 3 on " +
                              HostName() + ", but 2 for rank 0 on " + HostName()))
      << status;
}

TEST(Facts, ManyDiffer) {
  std::vector<Fact> facts;
  for (int i = 0; i < 10; ++i)
    facts.push_back({std::to_string(i), World().rank() == 0 ? "x" : std::string(1000, 'y')});
  EXPECT_TRUE(Has(AgreeOnFacts(World(), facts), "; and 7 more such differences"));
}

TEST(Facts, OnSomeRanksAlone) {
  const int rank = World().rank();
  std::vector<Fact> facts = {{"all", "1"}};
  if (rank == 0) facts.push_back({"first", "2"});
  if (rank == 1) facts.insert(facts.begin(), {"second", "3"});
  EXPECT_TRUE(AgreeOnFacts(World(), facts, Absence::kAllowed).ok());
  const absl::Status status = AgreeOnFacts(World(), facts);
  EXPECT_TRUE(Has(status, "rank 1: second is 3 on " + HostName() + ", but not there for rank 0"))
      << status;
  EXPECT_TRUE(Has(status, "; first is not there on " + HostName() + ", but 2 for rank 0"))
      << status;
  // Rank 0 alone has some, or none.
  EXPECT_FALSE(AgreeOnFacts(World(), rank == 0 ? facts : std::vector<Fact>{}).ok());
  EXPECT_FALSE(AgreeOnFacts(World(), rank == 0 ? std::vector<Fact>{} : facts).ok());
}

TEST(Facts, OfTwoSpellings) {
  const bool first = World().rank() == 0;
  const auto agree = [&](const Fact& here, const Fact& there) {
    return AgreeOnFacts(World(), {first ? here : there});
  };
  const Fact home = {.what = "[run] dir", .value = "/home/me/x", .where = {}, .also = "~/x"};
  EXPECT_TRUE(agree(home, {home.what, "/nfs/me/x", {}, "~/x"}).ok());
  EXPECT_TRUE(agree(home, {home.what, "/home/me/x", {}, "/home/me/x"}).ok());
  const absl::Status status = agree(home, {home.what, "/nfs/me/y", {}, "~/y"});
  EXPECT_TRUE(Has(status, "[run] dir is /nfs/me/y on ")) << status;
  EXPECT_FALSE(agree({"a", "1"}, {"a", "2"}).ok());  // without another spelling
}

TEST(Program, VersionCommandAndEnvironment) {
  const bool first = World().rank() == 0;
  EXPECT_TRUE(AgreeOnProgram(World(), "0.1.0", "train").ok());
  absl::Status status = AgreeOnProgram(World(), first ? "0.1.0" : "0.2.0", "train");
  EXPECT_TRUE(Has(status, " is version 0.2.0, but 0.1.0 for rank 0")) << status;
  status = AgreeOnProgram(World(), "0.1.0", first ? "train" : "eval");
  EXPECT_TRUE(Has(status, "rank 1: runs `trunkline eval` on ")) << status;
  EXPECT_TRUE(Has(status, " `trunkline train`")) << status;
  if (!first) setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16", 1);
  status = AgreeOnProgram(World(), "0.1.0", "train");
  EXPECT_TRUE(Has(status, "environment variable ONEDNN_DEFAULT_FPMATH_MODE is \"BF16\" on "))
      << status;
  EXPECT_TRUE(Has(status, "but not set for rank 0")) << status;
  unsetenv("ONEDNN_DEFAULT_FPMATH_MODE");
  // Longer than the message has room.
  EXPECT_TRUE(AgreeOnProgram(World(), std::string(500, '1'), std::string(500, 'c')).ok());
}

}  // namespace
}  // namespace tl
