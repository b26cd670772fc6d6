// SPDX-License-Identifier: Apache-2.0
// Pictures as numbered samples: which one comes when, how bytes become numbers, and what is said of
// files that do not fit.
#include "data/array_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "data/file_identity.h"
#include "data/picture_file.h"
#include "data/pixels.h"
#include "tests/data/array_files.h"

namespace tl {
namespace {

constexpr PatchGrid kGrid = {.channels = 1, .height = 4, .width = 6, .patch = 2};

// `count` pictures of 4 x 6 floats, each value 100 n + its place; with patches as they are read.
std::string WriteFloats(const std::string& name, int64_t count, float first = 0) {
  std::vector<float> values(static_cast<size_t>(count * kGrid.values()));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = first + static_cast<float>(i / kGrid.values() * 100 + i % kGrid.values());
  return WriteNpy(name, ArrayType::kF32, {count, 4, 6}, values);
}

std::unique_ptr<DataSource> Open(const ArrayOptions& options,
                                 ArrayOrder order = ArrayOrder::kShuffled) {
  auto source = OpenArrays(options, order);
  EXPECT_TRUE(source.ok()) << source.status();
  return source.ok() ? *std::move(source) : nullptr;
}

HostBatch Fill(const DataSource& source, int64_t first, int64_t count, int64_t rows) {
  HostBatch batch;
  const absl::Status status = source.FillBatch(first, count, rows, 0, &batch);
  EXPECT_TRUE(status.ok()) << status;
  return batch;
}

// The pictures of a batch, with their patches put together again.
std::vector<std::vector<float>> Pictures(const HostBatch& batch, const PatchGrid& grid) {
  std::vector<std::vector<float>> pictures;
  for (int64_t i = 0; i < batch.count; ++i) {
    pictures.emplace_back(static_cast<size_t>(grid.values()));
    Unpatchify(grid, batch.values.data() + i * grid.values(), pictures.back().data());
  }
  return pictures;
}

// Which picture of WriteFloats it is, and whether it is mirrored.
std::pair<int, bool> Recognise(const std::vector<float>& picture) {
  const bool mirrored = picture[0] > picture[1];
  const float first = picture[mirrored ? 5 : 0];
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 6; ++x)
      EXPECT_EQ(picture[y * 6 + x], first + static_cast<float>(y * 6 + (mirrored ? 5 - x : x)));
  return {static_cast<int>(first) / 100, mirrored};
}

TEST(Pixels, BytesAndBack) {
  EXPECT_EQ(PixelOfByte(0), -1.0f + 0.5f / 128.0f);
  EXPECT_EQ(PixelOfByte(255), 1.0f - 0.5f / 128.0f);
  EXPECT_EQ(PixelOfByte(127) + PixelOfByte(128), 0.0f);
  for (int v = 0; v < 256; ++v) {
    const auto byte = static_cast<uint8_t>(v);
    EXPECT_EQ(ByteOfPixel(PixelOfByte(byte)), v);
    for (const int u : {0, 1, 100, 32767, 32768, 65534, 65535}) {
      const float x = PixelOfByte(byte, static_cast<uint16_t>(u));
      EXPECT_EQ(ByteOfPixel(x), v) << u;
      EXPECT_EQ(x, (v + (u + 0.5) / 65536) / 128 - 1) << "not exact";
    }
  }
  EXPECT_EQ(ByteOfPixel(-7.0), 0);
  EXPECT_EQ(ByteOfPixel(1.0), 255);
  EXPECT_EQ(ByteOfPixel(std::numeric_limits<double>::infinity()), 255);
  EXPECT_EQ(ByteOfPixel(std::nan("")), 0);
}

TEST(ArraySource, VisitsEveryPictureOncePerEpochInNewOrders) {
  const std::string path = WriteFloats("five.npy", 5);
  const auto source = Open({.files = {{path}}, .grid = kGrid, .seed = 3});
  EXPECT_EQ(source->SampleCount(kGrid.rows()), -1);
  EXPECT_EQ(source->TokenCount(), 5 * 6);
  EXPECT_EQ(source->BytesPerToken(), 0.0);
  const HostBatch batch = Fill(*source, 0, 200, kGrid.rows());
  EXPECT_EQ(batch.sequence_length, 6);
  const auto pictures = Pictures(batch, kGrid);
  std::set<std::vector<int>> orders;
  for (int epoch = 0; epoch < 40; ++epoch) {
    std::vector<int> order;
    for (int i = 0; i < 5; ++i) {
      const auto [number, mirrored] = Recognise(pictures[epoch * 5 + i]);
      EXPECT_FALSE(mirrored);
      order.push_back(number);
      EXPECT_EQ(batch.samples[epoch * 5 + i], epoch * 5 + i);
      EXPECT_EQ(batch.labels[epoch * 5 + i], -1);
    }
    orders.insert(order);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
  }
  EXPECT_GT(orders.size(), 20u);
  const auto other = Open({.files = {{path}}, .grid = kGrid, .seed = 4});
  EXPECT_NE(Fill(*other, 0, 200, kGrid.rows()).values, batch.values);
}

TEST(ArraySource, ASampleDependsOnItsNumberAlone) {
  std::vector<uint8_t> bytes(7 * 24);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  const std::string path = WriteNpy("seven.npy", ArrayType::kU8, {7, 24}, bytes);
  const ArrayOptions options = {
      .files = {{path, "", 1.0}, {path, "", 2.0}}, .grid = kGrid, .flip = true, .dequantize = true};
  const HostBatch whole = Fill(*Open(options), 0, 60, kGrid.rows());
  const auto again = Open(options);
  for (const auto& [first, count] : {std::pair{41, 19}, {40, 1}, {0, 7}, {7, 33}}) {
    const HostBatch part = Fill(*again, first, count, kGrid.rows());
    EXPECT_TRUE(std::equal(part.values.begin(), part.values.end(),
                           whole.values.begin() + first * kGrid.values()));
    EXPECT_EQ(part.samples[0], first);
  }
}

TEST(ArraySource, BlendsByWeightAndKeepsLabelsBesideTheirPictures) {
  std::vector<int64_t> few = {0, 1, 2};
  std::vector<uint8_t> many(8);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<uint8_t>(7 - i);
  const std::string a = WriteFloats("a.npy", 3), b = WriteFloats("b.npy", 8, 10000);
  const std::string a_labels = WriteNpy("a-labels.npy", ArrayType::kI64, {3}, few);
  const std::string b_labels =
      WriteArrayBytes("b-labels.idx", IdxBytes({8}, {many.begin(), many.end()}));
  const ArrayOptions options = {
      .files = {{a, a_labels, 1.0}, {b, b_labels, 3.0}}, .grid = kGrid, .classes = 8};
  const HostBatch batch = Fill(*Open(options), 0, 400, kGrid.rows());
  int of_a = 0;
  const auto pictures = Pictures(batch, kGrid);
  for (int64_t i = 0; i < batch.count; ++i) {
    const int number = Recognise(pictures[i]).first;
    of_a += number < 100;
    EXPECT_EQ(batch.labels[i], number < 100 ? number : 7 - (number - 100));
  }
  EXPECT_NEAR(of_a, 100, 1);

  // In order: file after file, whatever the weights, and nothing beyond the end.
  const auto in_order = Open(options, ArrayOrder::kSequential);
  EXPECT_EQ(in_order->SampleCount(kGrid.rows()), 11);
  const HostBatch all = Fill(*in_order, 0, 13, kGrid.rows());
  const auto ordered = Pictures(all, kGrid);
  for (int i = 0; i < 11; ++i) {
    EXPECT_EQ(Recognise(ordered[i]).first, i < 3 ? i : 100 + i - 3);
    EXPECT_EQ(all.labels[i], i < 3 ? i : 7 - (i - 3));
    EXPECT_EQ(all.samples[i], i);
  }
  for (int i = 11; i < 13; ++i) {
    EXPECT_EQ(all.samples[i], -1);
    EXPECT_EQ(all.labels[i], -1);
    EXPECT_EQ(ordered[i], std::vector<float>(24, 0.0f));
  }
}

TEST(ArraySource, MirrorsEveryOtherTrainingSample) {
  const std::string path = WriteFloats("flip.npy", 10);
  const ArrayOptions options = {.files = {{path}}, .grid = kGrid, .flip = true};
  int mirrored = 0;
  std::map<int, std::set<bool>> ways;
  for (const auto& picture : Pictures(Fill(*Open(options), 0, 2000, kGrid.rows()), kGrid)) {
    const auto [number, is_mirrored] = Recognise(picture);
    mirrored += is_mirrored;
    ways[number].insert(is_mirrored);
  }
  EXPECT_NEAR(mirrored, 1000, 5 * std::sqrt(500));
  EXPECT_EQ(ways.size(), 10u);
  for (const auto& [number, both] : ways) EXPECT_EQ(both.size(), 2u) << number;
  const auto in_order = Open(options, ArrayOrder::kSequential);
  for (const auto& picture : Pictures(Fill(*in_order, 0, 10, kGrid.rows()), kGrid))
    EXPECT_FALSE(Recognise(picture).second);
}

TEST(ArraySource, BytesAreTheMiddleOrAPlaceOfTheirCells) {
  const PatchGrid grid = {.channels = 3, .height = 2, .width = 2, .patch = 1};
  std::vector<uint8_t> bytes(50 * 12);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 37);
  const std::string path = WriteNpy("bytes.npy", ArrayType::kU8, {50, 3, 2, 2}, bytes);
  const auto picture_of = [&](const std::vector<float>& picture) {
    std::vector<uint8_t> back;
    for (const float x : picture) back.push_back(ByteOfPixel(x));
    for (int n = 0; n < 50; ++n)
      if (std::equal(back.begin(), back.end(), bytes.begin() + n * 12)) return n;
    ADD_FAILURE() << "another picture";
    return -1;
  };
  ArrayOptions options = {.files = {{path}}, .grid = grid};
  const auto middles = Open(options);
  EXPECT_EQ(middles->BytesPerToken(), 3.0);
  for (const auto& picture : Pictures(Fill(*middles, 0, 50, 4), grid)) {
    picture_of(picture);
    for (const float x : picture) EXPECT_EQ(x, PixelOfByte(ByteOfPixel(x)));
  }
  options.dequantize = true;
  for (const ArrayOrder order : {ArrayOrder::kShuffled, ArrayOrder::kSequential}) {
    const auto source = Open(options, order);
    const auto pictures =
        Pictures(Fill(*source, 0, order == ArrayOrder::kShuffled ? 2000 : 50, 4), grid);
    double sum = 0, squares = 0, neighbours = 0;
    std::set<float> different;
    for (const auto& picture : pictures) {
      picture_of(picture);
      double before = 0;
      for (const float x : picture) {
        const double u = (x + 1.0) * 128.0 - ByteOfPixel(x) - 0.5;
        sum += u;
        squares += u * u;
        neighbours += u * before;
        before = u;
        different.insert(static_cast<float>(u));
      }
    }
    const double n = static_cast<double>(pictures.size()) * 12;
    EXPECT_NEAR(sum / n, 0.0, 5 * std::sqrt(1.0 / 12 / n));
    EXPECT_NEAR(squares / n, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / n));
    EXPECT_NEAR(neighbours / n, 0.0, 5 * std::sqrt(1.0 / 144 / n));
    EXPECT_GT(static_cast<double>(different.size()), 0.8 * std::min(n, 60000.0));
  }
  // The same numbers, another name: training's and evaluation's places differ.
  const HostBatch train = Fill(*Open(options), 0, 1, 4);
  const int first = picture_of(Pictures(train, grid)[0]);
  const PatchGrid one = {.channels = 12, .height = 1, .width = 1, .patch = 1};
  const std::string alone =
      WriteNpy("alone.npy", ArrayType::kU8, {1, 12},
               std::vector<uint8_t>(bytes.begin() + first * 12, bytes.begin() + first * 12 + 12));
  options = {.files = {{alone}}, .grid = one, .dequantize = true};
  EXPECT_NE(Fill(*Open(options), 0, 1, 1).values,
            Fill(*Open(options, ArrayOrder::kSequential), 0, 1, 1).values);
}

TEST(ArraySource, TakesEveryShapeThatFits) {
  const std::string data(2 * 24, 'x');
  for (const std::vector<uint32_t>& shape :
       {std::vector<uint32_t>{2, 24}, {2, 4, 6}, {2, 1, 4, 6}}) {
    const std::string path = WriteArrayBytes("shape.idx", IdxBytes(shape, data));
    EXPECT_NE(Open({.files = {{path}}, .grid = kGrid}), nullptr);
  }
}

void ExpectRefused(const ArrayOptions& options, const std::vector<std::string>& parts) {
  for (const ArrayOrder order : {ArrayOrder::kShuffled, ArrayOrder::kSequential})
    ExpectContains(OpenArrays(options, order).status(), parts);
}

TEST(ArraySource, RefusesPicturesThatDoNotFit) {
  ExpectRefused({.files = {}, .grid = kGrid}, {"no array files given"});
  const std::string path = WriteArrayBytes("other.idx", IdxBytes({2, 6, 4}, std::string(48, 'x')));
  ExpectRefused({.files = {{path}}, .grid = kGrid},
                {path,
                 "shape: expected (2, 24) or (2, 4, 6) or (2, 1, 4, 6) for pictures of 1 x 4 x "
                 "6, found (2, 6, 4)"});
  const PatchGrid colour = {.channels = 3, .height = 2, .width = 4, .patch = 2};
  ExpectRefused({.files = {{path}}, .grid = colour},
                {path, "shape: expected (2, 24) or (2, 3, 2, 4) for", "found (2, 6, 4)"});
  const std::string integers =
      WriteNpy("integers.npy", ArrayType::kI32, {1, 24}, std::vector<int32_t>(24));
  ExpectRefused({.files = {{integers}}, .grid = kGrid},
                {integers, "descr: expected pictures of '|u1' or '<f4', found '<i4'"});
  const std::string floats = WriteFloats("floats.npy", 2);
  ExpectRefused({.files = {{floats}}, .grid = kGrid, .dequantize = true},
                {floats, "expected '|u1' for [data] dequantize = true, found '<f4'"});
  for (const double weight : {0.0, -1.0, std::nan("")})
    ExpectContains(
        OpenArrays({.files = {{floats, "", weight}}, .grid = kGrid}, ArrayOrder::kShuffled)
            .status(),
        {floats, "expected a weight > 0"});
  ExpectRefused({.files = {{Folder() + "/none.npy"}}, .grid = kGrid}, {"none.npy", "No such file"});
}

TEST(ArraySource, RefusesLabelsThatDoNotFit) {
  const std::string path = WriteFloats("pictures.npy", 3);
  const auto expect = [&](const std::string& labels, int64_t classes,
                          const std::vector<std::string>& parts) {
    ExpectRefused({.files = {{path, labels}}, .grid = kGrid, .classes = classes}, parts);
  };
  expect("", 10, {path, "labels: expected a file of labels beside it", "classes = 10, found none"});
  const std::string labels = WriteArrayBytes("labels.idx", IdxBytes({3}, {0, 9, 1}));
  expect(labels, 0, {path, "labels: expected none for [model] classes = 0, found " + labels});
  expect(labels, 9, {labels, "label 1: expected 0 to 8, as [model] classes = 9, found 9"});
  expect(WriteArrayBytes("four.idx", IdxBytes({4}, {0, 1, 2, 3})), 10,
         {"four.idx: shape: expected (3,), a label for each picture of " + path + ", found (4,)"});
  expect(WriteArrayBytes("square.idx", IdxBytes({3, 1}, {0, 1, 2})), 10,
         {"square.idx: shape: expected (3,)", "found (3, 1)"});
  expect(WriteFloats("floats.npy", 1), 10,
         {"floats.npy: descr: expected labels of '|u1', '<i4' or '<i8', found '<f4'"});
  expect(WriteNpy("negative.npy", ArrayType::kI32, {3}, std::vector<int32_t>{0, -1, 2}), 10,
         {"negative.npy: label 1: expected 0 to 9", "found -1"});
  expect(WriteNpy("far.npy", ArrayType::kI64, {3}, std::vector<int64_t>{0, 1, int64_t{1} << 32}),
         10, {"far.npy: label 2", "found 4294967296"});
  const auto good = Open({.files = {{path, labels}}, .grid = kGrid, .classes = 10});
  ASSERT_NE(good, nullptr);
}

TEST(ArraySource, TellsOfFilesThatChangeWhileTheyAreRead) {
  const std::string path = WriteFloats("changes.npy", 200);
  const std::string labels = WriteArrayBytes("changes.idx", IdxBytes({200}, std::string(200, 3)));
  const auto source =
      Open({.files = {{path, labels}}, .grid = kGrid, .classes = 4}, ArrayOrder::kSequential);
  Fill(*source, 0, 4, kGrid.rows());
  // Neither its size nor its ends say so.
  const auto overwrite = [](const std::string& file, int64_t at, const std::string& bytes) {
    std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(at);
    stream << bytes;
  };
  const int64_t value = (100 * kGrid.values() + 7) * 4;
  overwrite(path, static_cast<int64_t>(NpyHeader(ArrayType::kF32, {200, 4, 6}).size()) + value,
            RawBytes(std::vector<float>{std::numeric_limits<float>::infinity()}));
  HostBatch batch;
  ExpectContains(source->FillBatch(100, 1, kGrid.rows(), 0, &batch),
                 {path, "value 7 of sample 100: expected a finite number, found inf"});
  std::filesystem::resize_file(labels, 100);
  ExpectContains(source->FillBatch(0, 1, kGrid.rows(), 0, &batch), {labels, "has 100 now"});
}

TEST(PictureFile, CheckSomeLooksFromEndToEnd) {
  std::vector<float> values(100 * 24, 1.0f);
  for (const int64_t bad : {0, 99, 50}) {
    values[static_cast<size_t>(bad * 24 + 5)] = std::nanf("");
    const std::string path = WriteNpy("nan.npy", ArrayType::kF32, {100, 4, 6}, values);
    const auto file = PictureFile::Open(path, "", kGrid, 0);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->CheckSome(2).ok(), bad == 50);
    ExpectContains((*file)->CheckSome(1000), {path, "value 5 of sample " + std::to_string(bad)});
    values[static_cast<size_t>(bad * 24 + 5)] = 0.0f;
  }
}

TEST(PictureFile, IsIdentifiedWithItsLabels) {
  const auto identify = [](const std::string& path, const std::string& labels) {
    const auto file = PictureFile::Open(path, labels, kGrid, 10);
    EXPECT_TRUE(file.ok()) << file.status();
    return IdentifyPictureFile("data.train[0]", **file).value();
  };
  const std::string path = WriteFloats("identity.npy", 3);
  const std::string labels = WriteArrayBytes("identity.idx", IdxBytes({3}, {0, 9, 1}));
  const auto before = identify(path, labels);
  ASSERT_EQ(before.size(), 2u);
  EXPECT_EQ(before[0].key, "data.train[0]");
  EXPECT_EQ(before[0].path, path);
  EXPECT_EQ(before[1].key, "data.train[0] labels");
  EXPECT_EQ(before[1].path, labels);
  EXPECT_EQ(before[1].bytes, 11);
  const auto other = identify(WriteFloats("other.npy", 3, 1.0f),
                              WriteArrayBytes("other.idx", IdxBytes({3}, {0, 9, 1})));
  EXPECT_FALSE(other[0].SameContent(before[0]));
  EXPECT_TRUE(other[1].SameContent(before[1]));
}

}  // namespace
}  // namespace tl
