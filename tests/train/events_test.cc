// SPDX-License-Identifier: Apache-2.0
#include "train/events.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace tl {
namespace {

std::string Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

StartEvent Start(int64_t step) {
  StartEvent start{.step = step, .provenance = {{"device", "CPU, \"x\"\n\xFF"}, {"threads", "2"}}};
  start.roof_tflops = 0.5;
  start.data = {{.key = "data.train[0]",
                 .path = "a.tok",
                 .bytes = 70,
                 .tokens = 30,
                 .tokenizer_hash = 0xFEDCBA9876543210,
                 .header_crc = 0xFFFFFFFF,
                 .crc = 7,
                 .sampled = true,
                 .samples = 64}};
  return start;
}

TEST(Events, AreOneJsonObjectPerLine) {
  const std::string line = ToJson(Start(3), 1000);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["event"], "start");
  EXPECT_EQ(json["step"], 3);
  EXPECT_EQ(json["threads"], "2");
  EXPECT_EQ(json["data"][0]["tokens"], 30);
  EXPECT_EQ(EventJson("save", 5, "", 0.25, 9),
            "{\"event\":\"save\",\"step\":5,\"time\":9,\"seconds\":0.25}\n");
  EXPECT_EQ(EventJson("stop", 6, "SIGTERM", -1, 9),
            "{\"event\":\"stop\",\"step\":6,\"time\":9,\"why\":\"SIGTERM\"}\n");
  EXPECT_TRUE(IsEvents(line));
  EXPECT_TRUE(IsEvents(""));
  EXPECT_FALSE(IsEvents("{\"step\":1}"));
}

TEST(Events, ATrainingThatGoesOnAddsToThemAndOneFromStepZeroBeginsAnew) {
  const std::string path = testing::TempDir() + "events_test.jsonl";
  std::filesystem::remove(path);
  ASSERT_TRUE(EventsFile::Open(path, 0).value().Write(Start(0)).ok());
  const std::string first = Contents(path);
  std::ofstream(path, std::ios::app) << "{\"event\":\"sav";  // cut by a crash
  {
    auto events = EventsFile::Open(path, 5).value();
    ASSERT_TRUE(events.Write("save", 7, "", 0.5).ok());
  }
  EXPECT_EQ(Contents(path).substr(0, first.size()), first);
  EXPECT_NE(Contents(path).find("\n{\"event\":\"save\",\"step\":7,\"time\":"), std::string::npos);
  EXPECT_EQ(Contents(path).find("sav\n"), std::string::npos);
  ASSERT_TRUE(EventsFile::Open(path, 0).ok());
  EXPECT_EQ(Contents(path), "");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tl
