// SPDX-License-Identifier: Apache-2.0
// .npy and IDX files: what is read, and what is said of every kind of damage.
#include "data/array_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <limits>

#include "tests/data/array_files.h"

namespace tl {
namespace {

constexpr char kGood[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

void ExpectRefused(const std::string& bytes, const std::vector<std::string>& parts) {
  const std::string path = WriteArrayBytes("bad", bytes);
  const absl::Status status = ArrayFile::Open(path).status();
  ExpectContains(status, {path + ": "});
  ExpectContains(status, parts);
}

void ExpectHeaderRefused(const std::string& from, const std::string& to,
                         const std::vector<std::string>& parts) {
  SCOPED_TRACE(to);
  ExpectRefused(NpyBytes(Replaced(kGood, from, to), "abcdef"), parts);
}

TEST(ArrayFile, ReadsNpyOfEveryVersionAsPythonMayWriteIt) {
  const auto expect_good = [](const std::string& bytes) {
    const auto file = ArrayFile::Open(WriteArrayBytes("good", bytes));
    ASSERT_TRUE(file.ok()) << file.status();
    const ArrayHeader& header = (*file)->header();
    EXPECT_EQ(header.type, ArrayType::kU8);
    EXPECT_EQ(header.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(header.file_bytes(), static_cast<int64_t>(bytes.size()));
    std::string row(3, 0);
    ASSERT_TRUE((*file)->Read(1, 1, row.data()).ok());
    EXPECT_EQ(row, "def");
  };
  const std::string v1 = NpyBytes(kGood, "abcdef");
  expect_good(v1);
  for (const char version : {'\2', '\3'}) {
    std::string bytes = v1;
    bytes[6] = version;
    bytes.insert(10, 2, '\0');  // its length has 4 bytes
    expect_good(bytes);
  }
  expect_good(NpyBytes("{'shape':(2,3),'fortran_order':False,'descr':'|u1'}", "abcdef"));
  expect_good(NpyBytes(
      "{\"descr\" : \"|u1\" ,\t'shape': ( 2L , 3L, ) , 'fortran_order': False,}  \n", "abcdef"));
  expect_good(NpyHeader(ArrayType::kU8, {2, 3}) + "abcdef");
}

TEST(ArrayFile, ReadsOtherTypesAndShapes) {
  for (const auto& [name, type, size] : {std::tuple{"<f4", ArrayType::kF32, 4},
                                         {"<i4", ArrayType::kI32, 4},
                                         {"<i8", ArrayType::kI64, 8},
                                         {"|u1", ArrayType::kU8, 1}}) {
    EXPECT_STREQ(Name(type), name);
    EXPECT_EQ(SizeOf(type), size);
    const std::string bytes =
        NpyBytes(std::string("{'descr': '") + name + "', 'fortran_order': False, 'shape': (2,), }",
                 std::string(2 * size, 'x'));
    const auto header = ParseArrayHeader(bytes, "file");
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->type, type);
    EXPECT_EQ(header->shape, std::vector<int64_t>{2});
    EXPECT_EQ(header->sample_values(), 1);
    EXPECT_EQ(header->file_bytes(), static_cast<int64_t>(bytes.size()));
  }
  const auto deep = ParseArrayHeader(NpyHeader(ArrayType::kF32, {5, 3, 8, 9}), "file");
  ASSERT_TRUE(deep.ok());
  EXPECT_EQ(deep->sample_values(), 3 * 8 * 9);
}

TEST(ArrayFile, ReadsIdx) {
  const auto images = ArrayFile::Open(WriteArrayBytes("images", IdxBytes({2, 1, 3}, "abcdef")));
  ASSERT_TRUE(images.ok()) << images.status();
  EXPECT_EQ((*images)->header().shape, (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ((*images)->header().data_at, 16);
  std::string pair(6, 0);
  ASSERT_TRUE((*images)->Read(0, 2, pair.data()).ok());
  EXPECT_EQ(pair, "abcdef");
  const auto labels =
      ArrayFile::Open(WriteArrayBytes("labels", IdxBytes({300}, std::string(300, 7))));
  ASSERT_TRUE(labels.ok()) << labels.status();
  EXPECT_EQ((*labels)->header().samples(), 300);
}

TEST(ArrayFile, RefusesWhatIsNoArray) {
  ExpectRefused("TLTOKENS and more", {"not an array", "\\x93NUMPY", "found \"TLTOKE\""});
  ExpectRefused("\x1f\x8b\x08 and more", {"expected a .npy or IDX file, found gzip's", "gunzip"});
  ExpectRefused("", {"expected a .npy or IDX file, found an empty file"});
  ExpectRefused("x", {"not an array", "found \"x\""});
  ExpectContains(ArrayFile::Open(Folder()).status(), {Folder(), "not a regular file"});
  ExpectContains(ArrayFile::Open(Folder() + "/none").status(), {"/none", "No such file"});
}

TEST(ArrayFile, RefusesDamagedNpyHeaders) {
  std::string bytes = NpyBytes(kGood, "abcdef");
  ExpectRefused(bytes.substr(0, 8), {"truncated: expected a header of 10 bytes, found 8 bytes"});
  ExpectRefused(bytes.substr(0, 30), {"truncated: expected a header of 69 bytes, found 30 bytes"});
  bytes[6] = 4;
  ExpectRefused(bytes, {"version of the .npy file: expected 1.0, 2.0 or 3.0, found 4.0"});
  bytes[6] = 2;
  ExpectRefused(bytes.substr(0, 11), {"truncated: expected a header of 12 bytes, found 11 bytes"});
  ExpectRefused(bytes, {"length of the header: expected at most 65536, found "});

  ExpectHeaderRefused("{", "[", {"header: expected a dict of Python, found \"['descr': '|u1'"});
  ExpectHeaderRefused("{'descr'", "{descr", {"header: expected a key in quotes, found \"descr:"});
  ExpectHeaderRefused("{'descr'", "{'descr", {"found 'descr: '"});
  ExpectHeaderRefused("'descr':", "'descr'=", {"descr: expected a colon, found \"= '|u1'"});
  ExpectHeaderRefused("'shape'", "'form'",
                      {"header: expected the keys descr, fortran_order and shape, found 'form'"});
  ExpectHeaderRefused("'shape'", "'descr'", {"descr: expected one value, found two"});
  ExpectHeaderRefused("'shape': (2, 3), ", "", {"shape: missing in the header"});
  ExpectHeaderRefused("'descr': '|u1', ", "", {"descr: missing in the header"});
  ExpectHeaderRefused("'fortran_order': False, ", "", {"fortran_order: missing in the header"});
  ExpectHeaderRefused(", 'fortran", " 'fortran",
                      {"header: expected a comma or the end of the dict"});
  ExpectHeaderRefused("}", "", {"header: expected a key in quotes, found the end of the header"});
  ExpectHeaderRefused("}", "} x", {"header: expected nothing after the dict, found \"x\""});
}

TEST(ArrayFile, RefusesOtherTypesAndOrders) {
  const std::string types = "descr: expected '|u1', '<i4', '<i8' or '<f4', found ";
  for (const char* type : {">f4", "<f8", "<f2", "|b1", "|O", "<U3", ""})
    ExpectHeaderRefused("|u1", type, {types + "'" + type + "'"});
  ExpectHeaderRefused("'|u1'", "[('x', '<f4')]", {types + "\"[('x', '<f4')]"});
  ExpectHeaderRefused("'|u1'", "'|u1\n'", {types});
  ExpectHeaderRefused("False", "True",
                      {"fortran_order: expected False, as numpy.ascontiguousarray makes it, found "
                       "\"True"});
  ExpectHeaderRefused("False", "Falsehood", {"expected a comma"});
}

TEST(ArrayFile, RefusesOtherShapes) {
  const std::string tuple = "shape: expected a tuple of lengths such as (60000, 28, 28), found ";
  for (const char* shape : {"6", "(6)", "[2, 3]", "(2 3)", "(-2, 3)", "(2, x)", "(2, 3", "(,)",
                            "(2,, 3)", "(99999999999999999999, 1)", "(2.0, 3)"})
    ExpectHeaderRefused("(2, 3)", shape, {"shape: expected a tuple of lengths"});
  ExpectHeaderRefused("(2, 3)", "6", {tuple + "\"6, }\""});
  ExpectHeaderRefused("(2, 3)", "()", {"shape: expected 1 to 4 axes, found ()"});
  ExpectHeaderRefused("(2, 3)", "(1, 1, 1, 2, 3)", {"shape: expected 1 to 4 axes, found "});
  ExpectHeaderRefused("(2, 3)", "(0, 3)",
                      {"shape: expected axes of length 1 or more, found (0, 3)"});
  ExpectHeaderRefused("(2, 3)", "(4611686018427387904, 3)",
                      {"shape: expected fewer than 2^62 bytes, found (4611686018427387904, 3)"});
  ExpectHeaderRefused("(2, 3)", "(2147483648, 2147483648, 2)", {"fewer than 2^62 bytes"});
}

TEST(ArrayFile, RefusesOtherLengths) {
  const std::string good = NpyBytes(kGood, "abcdef");
  ExpectRefused(good.substr(0, good.size() - 1),
                {"truncated: expected 75 bytes for shape (2, 3) of '|u1', found 74"});
  ExpectRefused(good + "g", {"too long: expected 75 bytes for shape (2, 3) of '|u1', found 76"});
  ExpectRefused(IdxBytes({2, 3}, "abcde"),
                {"truncated: expected 18 bytes for shape (2, 3) of '|u1', found 17"});
}

TEST(ArrayFile, RefusesDamagedIdxHeaders) {
  ExpectRefused(std::string("\0\0\x8", 3), {"truncated: expected a header of 4 bytes, found 3"});
  ExpectRefused(IdxBytes({2, 3}, "abcdef", 13),
                {"type of the IDX file: expected 8 (unsigned bytes), found 13; numpy.save"});
  ExpectRefused(IdxBytes({}, "abcdef"), {"axes of the IDX file: expected 1 to 4, found 0"});
  ExpectRefused(IdxBytes({1, 1, 1, 1, 6}, "abcdef"), {"expected 1 to 4, found 5"});
  ExpectRefused(IdxBytes({2, 3}, "").substr(0, 7), {"expected a header of 12 bytes, found 7"});
  ExpectRefused(IdxBytes({0, 3}, ""), {"shape: expected axes of length 1 or more, found (0, 3)"});
  const uint32_t most = std::numeric_limits<uint32_t>::max();
  ExpectRefused(IdxBytes({most, most, most}, "x"), {"shape: expected fewer than 2^62 bytes"});
  ExpectRefused(IdxBytes({most, 2}, "x"), {"truncated: expected 8589934602 bytes"});
}

TEST(ArrayFile, NoticesThatItWasCutOffOrReplaced) {
  const std::string path = WriteArrayBytes("cut", IdxBytes({2, 3}, "abcdef"));
  const auto file = ArrayFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::string row(3, 0);
  ASSERT_TRUE((*file)->Read(1, 1, row.data()).ok());
  std::filesystem::resize_file(path, 15);
  ExpectContains((*file)->Read(1, 1, row.data()),
                 {path, "had 18 bytes when it was opened, has 15"});
}

TEST(NpyWriter, WritesWhatIsRead) {
  const std::string path = Folder() + "/written.npy";
  {
    auto writer = NpyWriter::Create(path, ArrayType::kF32, {2, 1, 2});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append(absl::Span<const float>({1.0f, 2.5f, -3.0f})).ok());
    ASSERT_TRUE(writer->Append(absl::Span<const float>({4.0f})).ok());
    EXPECT_FALSE(std::filesystem::exists(path));
    ASSERT_TRUE(writer->Finish().ok());
  }
  const auto file = ArrayFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->header().shape, (std::vector<int64_t>{2, 1, 2}));
  EXPECT_EQ((*file)->header().data_at % 64, 0);
  std::vector<float> values(4);
  ASSERT_TRUE((*file)->Read(0, 2, values.data()).ok());
  EXPECT_EQ(values, (std::vector<float>{1.0f, 2.5f, -3.0f, 4.0f}));
  std::string begin(6, 0);
  std::ifstream(path, std::ios::binary).read(begin.data(), 6);
  EXPECT_TRUE(IsNpyFile(begin));
  EXPECT_FALSE(IsNpyFile("\x89PNG"));
}

TEST(NpyWriter, LeavesNothingUnfinished) {
  const std::string folder = Folder() + "/unfinished";
  std::filesystem::create_directory(folder);
  {
    auto writer = NpyWriter::Create(folder + "/x.npy", ArrayType::kU8, {3});
    ASSERT_TRUE(writer.ok() && writer->Append(absl::Span<const uint8_t>({1, 2})).ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  ExpectContains(NpyWriter::Create(folder + "/no/x.npy", ArrayType::kU8, {3}).status(),
                 {folder + "/no", "No such file"});
}

TEST(NpyWriter, SaysThatTheFileIsLargerThanMayBeWritten) {
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit small = {1000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status =
      NpyWriter::Create(Folder() + "/large.npy", ArrayType::kF32, {1000}).status();
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ExpectContains(status, {"/large.npy", "1000"});
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/large.npy"));
}

}  // namespace
}  // namespace tl
