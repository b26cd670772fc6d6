// SPDX-License-Identifier: Apache-2.0
#include "report/history.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "train/events.h"

namespace tl {
namespace {

TEST(History, IsWhatATrainingWrites) {
  const std::string path = testing::TempDir() + "history_test.jsonl";
  StartEvent start;
  start.provenance = {{"device", "CPU, \"x\"\n\xFF"}, {"threads", "2"}};
  start.roof_tflops = 0.5;
  FileIdentity file{.key = "data.train[0]", .path = "a.tok"};
  file.bytes = 70;
  file.tokens = 30;
  file.tokenizer_hash = 0xFEDCBA9876543210;
  file.header_crc = 0xFFFFFFFF;
  file.crc = 7;
  file.sampled = true;
  start.data = {file};
  StartEvent again = start;
  again.step = 5;
  again.provenance["threads"] = "4";
  std::ofstream(path) << ToJson(start, 100) << EventJson("save", 5, "", 0.5, 101)
                      << EventJson("save", 9, "", 0.5, 102)
                      << EventJson("error", 9, "no space", -1, 103) << "noise\n[1]\n{}\n"
                      << "{\"event\":7}\n{\"event\":\"later\"}\n"
                      << ToJson(again, 104) << EventJson("stop", 11, "SIGTERM", -1, 105)
                      << "{\"event\":\"en";
  const History history = ReadHistory(path).value();
  std::string kinds;
  for (const RunEvent& event : history.events)
    kinds += std::to_string(static_cast<int>(event.kind)) + "@" + std::to_string(event.step) + " ";
  // The save of step 9 is one that the second start went back behind.
  EXPECT_EQ(kinds, "0@0 1@5 3@9 0@5 2@11 ");
  EXPECT_EQ(history.events[2].text, "no space");
  EXPECT_EQ(history.events[4].text, "SIGTERM");
  EXPECT_EQ(history.events[4].time, 105);
  EXPECT_EQ(history.facts.at("threads"), "4");
  EXPECT_EQ(history.facts.at("roof_tflops"), "0.5");
  ASSERT_EQ(history.data.size(), 1u);
  EXPECT_TRUE(history.data[0].SameContent(file));
  EXPECT_EQ(history.data[0].tokenizer_hash, file.tokenizer_hash);
  EXPECT_EQ(Describe(history.data[0]), Describe(file));
  std::filesystem::remove(path);
  EXPECT_TRUE(ReadHistory(path).value().events.empty());
}

}  // namespace
}  // namespace tl
