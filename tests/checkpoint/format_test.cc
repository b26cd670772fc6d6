// SPDX-License-Identifier: Apache-2.0
// The files of a checkpoint: read back on any grid, in any part, and by HDF5 alone.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "checkpoint/hdf5_image.h"
#include "checkpoint/intersect.h"
#include "checkpoint/reshard.h"
#include "tests/checkpoint/synthetic.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

std::string TestFolder(const std::string& name) {
  const std::string path = Folder() + "/" + name;
  std::filesystem::create_directories(path);
  return path;
}

struct SaveGrid {
  int data, tensor;
};
constexpr SaveGrid kGrids[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {1, 4}, {3, 2}};

TEST(Format, EveryGridReadsBack) {
  for (const auto& [data, tensor] : kGrids) {
    const std::string folder =
        TestFolder("grid" + std::to_string(data) + "x" + std::to_string(tensor));
    auto reader = CheckpointReader::Open(MakeCheckpoint(folder, 5, data, tensor));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->manifest().run.samples, 40);
    EXPECT_EQ((*reader)->manifest().config, "[model]\nlayers = 1\n");
    const absl::Status status = CheckSynthetic(**reader);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(
        (*reader)->VerifyFiles([](const std::string& what) { ADD_FAILURE() << what; }).ok());
  }
}

// Every box and many ranges of it, against plain indexing.
TEST(Format, EveryPartReadsBack) {
  auto reader = CheckpointReader::Open(MakeCheckpoint(TestFolder("parts"), 3, 3, 2)).value();
  const std::vector<TensorRecord> tensors = SyntheticTensors();
  for (const int index : {0, 1}) {
    const Shape shape = tensors[index].shape;
    for (int64_t r0 = 0; r0 < shape[0]; ++r0) {
      for (int64_t r1 = r0 + 1; r1 <= shape[0]; r1 += 2) {
        for (int64_t c0 = 0; c0 < shape[1]; c0 += 2) {
          for (int64_t c1 = c0 + 1; c1 <= shape[1]; ++c1) {
            const Box box{.begin = {r0, c0}, .size = {r1 - r0, c1 - c0}};
            const int64_t n = box.elements(), begin = n / 3, end = n - n / 4;
            std::vector<float> values(static_cast<size_t>(end - begin));
            ASSERT_TRUE(reader->ReadFloats(index, box, begin, end, values.data()).ok());
            for (int64_t k = begin; k < end; ++k) {
              const int64_t global = (r0 + k / box.size[1]) * shape[1] + c0 + k % box.size[1];
              ASSERT_EQ(values[static_cast<size_t>(k - begin)], SyntheticValue(index, global, 3));
            }
          }
        }
      }
    }
  }
}

TEST(Format, ReshardsAndComparesEqual) {
  const std::string path = MakeCheckpoint(TestFolder("from"), 9, 2, 2);
  auto from = CheckpointReader::Open(path).value();
  for (const auto& [data, tensor] : kGrids) {
    const std::string to = TestFolder("to") + std::to_string(data) + std::to_string(tensor);
    const auto written = Reshard(*from, to, data, tensor);
    ASSERT_TRUE(written.ok()) << written.status();
    auto reader = CheckpointReader::Open(*written).value();
    EXPECT_EQ(reader->manifest().tensor_size, tensor);
    EXPECT_EQ(reader->manifest().files.size(), static_cast<size_t>(data * tensor) + 1);
    EXPECT_TRUE(CheckSynthetic(*reader).ok());
    EXPECT_TRUE(Compare(*from, *reader).value().empty());
  }
  auto later = CheckpointReader::Open(MakeCheckpoint(TestFolder("from"), 10, 1, 1)).value();
  const auto differences = Compare(*from, *later).value();
  EXPECT_EQ(differences.size(), SyntheticTensors().size());
  EXPECT_GE(differences[0].largest, 3.0);
  EXPECT_EQ(differences[0].elements, 35);
}

TEST(Format, ReshardReplacesNothing) {
  const std::string folder = TestFolder("taken");
  auto from = CheckpointReader::Open(MakeCheckpoint(folder, 9, 2, 2)).value();
  const std::string elsewhere = TestFolder("elsewhere");
  ASSERT_TRUE(Reshard(*from, elsewhere, 1, 1).ok());
  for (const std::string& out : {folder, elsewhere}) {
    const auto written = Reshard(*from, out, 1, 2);
    ASSERT_FALSE(written.ok());
    EXPECT_EQ(written.status().message(),
              out + "/step_00000009: exists; expected a folder without a checkpoint of this step");
  }
  EXPECT_EQ(from->manifest().tensor_size, 2);
  EXPECT_TRUE(CheckSynthetic(*CheckpointReader::Open(folder + "/step_00000009").value()).ok());
  // What another one has left goes.
  const std::string left = elsewhere + "/step_00000009.tmp-1234";
  std::filesystem::create_directories(left);
  std::filesystem::remove_all(elsewhere + "/step_00000009");
  ASSERT_TRUE(Reshard(*from, elsewhere, 1, 1).ok());
  EXPECT_FALSE(std::filesystem::exists(left));
}

// HDF5 crashes where a write meets the limit on a file's size: it must not come so far.
TEST(Format, TellsTheLimitOnFiles) {
  auto from = CheckpointReader::Open(MakeCheckpoint(TestFolder("limited"), 9, 2, 2)).value();
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  int written = 0, limited = 0;
  const std::string out = TestFolder("limited_out");
  for (rlim_t bytes = 1 << 10; bytes <= rlim_t{1} << 20; bytes += bytes / 4) {
    const struct rlimit low = {.rlim_cur = bytes, .rlim_max = before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
    const auto resharded = Reshard(*from, out, 1, 1);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    if (resharded.ok()) {
      ++written;
      std::filesystem::remove_all(*resharded);
    } else {
      ++limited;
      const std::string message(resharded.status().message());
      EXPECT_NE(message.find("(ulimit -f) is " + std::to_string(bytes) + " bytes"),
                std::string::npos)
          << message;
      EXPECT_EQ(message.find(out + "/step_00000009.tmp-"), 0u) << message;
    }
    for (const auto& entry : std::filesystem::directory_iterator(out))
      EXPECT_EQ(entry.path().string().find("step_"), std::string::npos) << entry.path();
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_GT(written, 0);
  EXPECT_GT(limited, 0);
}

// model.h5 as any HDF5 reader sees it: whole tensors, bf16 converted to float.
TEST(Format, ModelFileHoldsWholeWeights) {
  for (const auto& [data, tensor] : kGrids) {
    const std::string path = MakeCheckpoint(
        TestFolder("model" + std::to_string(data) + std::to_string(tensor)), 2, data, tensor);
    const H5Handle file(H5Fopen((path + "/model.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                        H5Fclose);
    ASSERT_GE(file, 0);
    const std::vector<TensorRecord> tensors = SyntheticTensors();
    int weights = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i].is_weight()) continue;
      ++weights;
      const H5Handle dataset(H5Dopen2(file, tensors[i].name.c_str(), H5P_DEFAULT), H5Dclose);
      ASSERT_GE(dataset, 0) << tensors[i].name;
      std::vector<float> values(static_cast<size_t>(tensors[i].shape.elements()));
      ASSERT_GE(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
                0);
      for (size_t k = 0; k < values.size(); ++k)
        ASSERT_EQ(values[k], SyntheticValue(static_cast<int>(i), static_cast<int64_t>(k), 2))
            << tensors[i].name << " " << k << " on " << data << "x" << tensor;
    }
    H5G_info_t info;
    ASSERT_GE(H5Gget_info(file, &info), 0);
    EXPECT_EQ(info.nlinks, static_cast<hsize_t>(weights));
  }
}

// A shard's own datasets say what they hold.
TEST(Format, ShardsDescribeThemselves) {
  const std::string path = MakeCheckpoint(TestFolder("shard"), 2, 1, 2);
  const H5Handle file(H5Fopen((path + "/shard_0001.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                      H5Fclose);
  const H5Handle dataset(H5Dopen2(file, "/m/columns.weight", H5P_DEFAULT), H5Dclose);
  ASSERT_GE(dataset, 0);
  const auto attribute = [&](const char* name) {
    std::vector<int64_t> values(2);
    const H5Handle a(H5Aopen(dataset, name, H5P_DEFAULT), H5Aclose);
    EXPECT_GE(H5Aread(a, H5T_NATIVE_INT64, values.data()), 0);
    return values;
  };
  EXPECT_EQ(attribute("shape"), (std::vector<int64_t>{6, 9}));
  EXPECT_EQ(attribute("box_begin"), (std::vector<int64_t>{0, 5}));
  EXPECT_EQ(attribute("box_size"), (std::vector<int64_t>{6, 4}));
  EXPECT_EQ(attribute("range"), (std::vector<int64_t>{0, 24}));
}

}  // namespace
}  // namespace tl
