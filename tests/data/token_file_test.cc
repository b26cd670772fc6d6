// SPDX-License-Identifier: Apache-2.0
#include "data/token_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "tests/data/file_bytes.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

template <typename T>
void Put(std::string* bytes, size_t at, T value) {
  std::memcpy(bytes->data() + at, &value, sizeof(T));
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

void SealHeader(std::string* bytes) {
  Put<uint32_t>(bytes, 12, 0);
  Put<uint32_t>(bytes, 12, Crc32c(bytes->data(), 128));
}

// Three documents, of 5, 1 and the rest of 1000 tokens.
std::string WriteOwn(const std::string& name, int64_t vocab) {
  const std::string path = Folder() + "/" + name;
  std::filesystem::remove(path);
  auto writer = TokenFileWriter::Create(path, vocab);
  EXPECT_TRUE(writer.ok()) << writer.status();
  std::vector<int32_t> tokens(1000);
  for (int i = 0; i < 1000; ++i) tokens[i] = static_cast<int32_t>((i * 7919LL) % vocab);
  const absl::Span<const int32_t> span = tokens;
  EXPECT_TRUE((*writer)->Append(span.subspan(0, 5), 11).ok());
  (*writer)->StartDocument();
  EXPECT_TRUE((*writer)->Append(span.subspan(5, 1), 2).ok());
  (*writer)->StartDocument();
  (*writer)->StartDocument();  // nothing between: the same document
  EXPECT_TRUE((*writer)->Append(span.subspan(6), 3000).ok());
  (*writer)->StartDocument();                   // nothing follows: none
  EXPECT_FALSE(std::filesystem::exists(path));  // only Finish puts it in place
  EXPECT_TRUE((*writer)->Finish().ok());
  return path;
}

int64_t StartOf(const TokenFile& file, int64_t document) {
  int64_t start = -1;
  EXPECT_TRUE(file.DocumentStarts(document, 1, &start).ok());
  return start;
}

void ExpectError(const std::string& path, const std::vector<std::string>& parts) {
  const auto file = TokenFile::Open(path);
  ASSERT_FALSE(file.ok()) << path;
  const std::string message(file.status().message());
  EXPECT_NE(message.find(Folder()), std::string::npos) << message;
  for (const std::string& part : parts) {
    EXPECT_NE(message.find(part), std::string::npos) << message << "\nlacks " << part;
  }
}

TEST(TokenFile, WritesAndReadsEveryWidth) {
  for (int64_t vocab : {256, 257, 65536, 65537, 128256}) {
    const std::string path = WriteOwn("own.tok", vocab);
    const auto opened = TokenFile::Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status();
    const TokenFile& file = **opened;
    EXPECT_EQ(file.token_count(), 1000);
    EXPECT_EQ(file.vocab_size(), vocab);
    EXPECT_EQ(file.text_bytes(), 3013);
    EXPECT_EQ(file.document_count(), 3);
    EXPECT_EQ(StartOf(file, 1), 5);
    EXPECT_EQ(StartOf(file, 3), 1000);
    EXPECT_EQ(*file.DocumentOf(4), 0);
    EXPECT_EQ(*file.DocumentOf(5), 1);
    EXPECT_EQ(*file.DocumentOf(6), 2);
    EXPECT_EQ(*file.DocumentOf(999), 2);
    EXPECT_TRUE(file.Verify().ok());
    std::vector<int32_t> tokens(100);
    ASSERT_TRUE(file.ReadTokens(900, 100, vocab, tokens.data()).ok());
    for (int i = 0; i < 100; ++i) EXPECT_EQ(tokens[i], (900 + i) * 7919LL % vocab);
    // 7919 mod 256 = 239 comes second.
    const absl::Status status = file.ReadTokens(0, 100, 200, tokens.data());
    EXPECT_EQ(std::string(status.message()), path + ": token 1 is " + std::to_string(7919 % vocab) +
                                                 ", outside the vocabulary of 200");
  }
}

TEST(TokenFile, KeepsItsTokenizer) {
  const std::string path = Folder() + "/bytes.tok";
  const auto tokenizer = MakeByteTokenizer();
  auto writer = TokenFileWriter::Create(path, *tokenizer);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append({1, 2, 3}, 3).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  auto file = TokenFile::Open(path);
  ASSERT_TRUE(file.ok());
  const auto again = (*file)->MakeTokenizer();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->hash(), tokenizer->hash());
  const auto none = TokenFile::Open(WriteOwn("none.tok", 300));
  EXPECT_FALSE((*none)->MakeTokenizer().ok());
}

TEST(TokenFile, WriterRefusesAndCleansUp) {
  EXPECT_FALSE(TokenFileWriter::Create(Folder() + "/no/such/folder.tok", 256).ok());
  const std::string path = Folder() + "/unfinished.tok";
  {
    auto writer = TokenFileWriter::Create(path, 100);
    EXPECT_FALSE((*writer)->Finish().ok());
    const absl::Status status = (*writer)->Append({99, 100}, 2);
    EXPECT_NE(std::string(status.message()).find("token 100 is outside the vocabulary of 100"),
              std::string::npos);
    EXPECT_FALSE((*writer)->Append({-1}, 1).ok());
  }
  for (const auto& entry : std::filesystem::directory_iterator(Folder())) {
    EXPECT_EQ(entry.path().string().find("unfinished"), std::string::npos) << entry.path();
  }
}

// As of a full disk, with a reason of its own.
TEST(TokenFile, ReportsWhatCannotBeWritten) {
  const std::string path = Folder() + "/full.tok";
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit low = {.rlim_cur = 512, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  absl::Status status;
  {
    auto writer = TokenFileWriter::Create(path, 256);
    ASSERT_TRUE(writer.ok()) << writer.status();
    status = (*writer)->Append(std::vector<int32_t>(1000, 1), 1000);
    if (status.ok()) status = (*writer)->Finish();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.message(), path +
                                  ": cannot write: File too large: the limit on a file's size "
                                  "(ulimit -f) is 512 bytes");
  for (const auto& entry : std::filesystem::directory_iterator(Folder()))
    EXPECT_EQ(entry.path().string().find("full.tok"), std::string::npos) << entry.path();
}

TEST(TokenFile, RefusesWhatIsNone) {
  ExpectError(Folder() + "/missing.tok", {"missing.tok", "No such file"});
  ExpectError(Folder(), {"not a regular file"});
  Write(Folder() + "/empty", "");
  ExpectError(Folder() + "/empty", {"empty file"});
  Write(Folder() + "/text.txt", "In the beginning God created the heaven and the earth.");
  ExpectError(Folder() + "/text.txt", {"not a token file", "trunkline tokenize"});
  Write(Folder() + "/alone.bin", std::string(100, '\1'));
  ExpectError(Folder() + "/alone.bin", {"not a token file"});
}

TEST(TokenFile, RefusesEveryDamageOfTheOwnFormat) {
  const std::string good = Read(WriteOwn("good.tok", 300));
  const std::string path = Folder() + "/bad.tok";
  ASSERT_EQ(good.size(), 128u + 2000 + 24);
  struct Case {
    const char* what;
    std::function<void(std::string*)> damage;
    std::vector<std::string> parts;
    bool seal = true;  // make the header's CRC right again
  };
  const std::vector<Case> cases = {
      {"header flip", [](std::string* b) { (*b)[24] ^= 1; }, {"damaged header", "CRC32C"}, false},
      {"version", [](std::string* b) { Put<uint32_t>(b, 8, 2); }, {"version 1", "found 2"}},
      {"truncated", [](std::string* b) { b->pop_back(); }, {"truncated", "2152", "2151"}},
      {"too long", [](std::string* b) { b->push_back('x'); }, {"too long", "2152", "2153"}},
      {"width", [](std::string* b) { Put<uint32_t>(b, 56, 3); }, {"1, 2 or 4", "found 3"}},
      {"count", [](std::string* b) { Put<uint64_t>(b, 24, 1001); }, {"does not add up", "1001"}},
      {"huge count", [](std::string* b) { Put<uint64_t>(b, 24, ~0ull); }, {"does not add up"}},
      {"wrapping count",
       [](std::string* b) { Put<uint64_t>(b, 24, (1ull << 63) + 1000); },
       {"does not add up"}},
      {"huge documents",
       [](std::string* b) { Put<uint64_t>(b, 32, (1ull << 61) + 3); },
       {"does not add up"}},
      {"huge definition",
       [](std::string* b) { Put<uint64_t>(b, 72, ~0ull - 7); },
       {"does not add up"}},
      {"vocabulary", [](std::string* b) { Put<uint64_t>(b, 48, 0); }, {"vocabulary 0"}},
      {"text", [](std::string* b) { Put<uint64_t>(b, 40, 1ull << 63); }, {"bytes of text"}},
      {"tail flip", [](std::string* b) { b->back() ^= 1; }, {"damaged document index"}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    std::string bad = good;
    c.damage(&bad);
    if (c.seal) SealHeader(&bad);
    Write(path, bad);
    ExpectError(path, c.parts);
  }
  // Documents that do not ascend, with right CRCs.
  for (const auto& starts : std::vector<std::vector<uint64_t>>{
           {0, 6, 5}, {0, 5, 5}, {1, 5, 6}, {0, 5, 1000}, {0, 5, ~0ull}}) {
    std::string bad = good;
    bad.replace(2128, 24, Bytes(starts));
    Put<uint32_t>(&bad, 84, Crc32c(bad.data() + 2128, 24));
    SealHeader(&bad);
    Write(path, bad);
    ExpectError(path, {"document starts must ascend", "below 1000"});
  }
  // Damaged tokens are found by Verify.
  std::string bad = good;
  bad[500] ^= 4;
  Write(path, bad);
  auto file = TokenFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_NE(std::string((*file)->Verify().message()).find("damaged tokens"), std::string::npos);
  // And every prefix of a good file is refused.
  for (size_t n = 1; n < good.size(); n += n < 140 ? 1 : 97) {
    Write(path, good.substr(0, n));
    EXPECT_FALSE(TokenFile::Open(path).ok()) << n;
  }
}

// What happens to a file that is being read: as a program does that opens it again to write.
TEST(TokenFile, TellsThatItsFileBecameAnother) {
  const std::string path = WriteOwn("changing.tok", 300), good = Read(path);
  const auto write = [&](size_t at, const std::string& bytes) {
    const int fd = ::open(path.c_str(), O_WRONLY);
    ASSERT_EQ(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)),
              static_cast<ssize_t>(bytes.size()));
    // The clock of a file system may not have ticked since.
    const timespec later[2] = {{.tv_sec = 2'000'000'000, .tv_nsec = 0},
                               {.tv_sec = 2'000'000'000, .tv_nsec = 0}};
    ASSERT_EQ(::futimens(fd, later), 0);
    ::close(fd);
  };
  const auto restore = [&] {
    Write(path, good);
    return std::move(TokenFile::Open(path)).value();
  };
  std::vector<int32_t> tokens(10);
  const auto read = [&](const TokenFile& file) {
    return file.ReadTokens(500, 10, 300, tokens.data());
  };
  auto file = restore();
  ASSERT_TRUE(read(*file).ok());
  for (const off_t size : {0, 128, 2000}) {  // of which the last one cuts nothing off that is read
    file = restore();
    ASSERT_EQ(::truncate(path.c_str(), size), 0);
    for (const absl::Status& status : {read(*file), file->DocumentOf(7).status(), file->Verify()}) {
      EXPECT_EQ(status.message(),
                absl::StrCat(path, ": had ", good.size(), " bytes when it was opened, has ", size,
                             " now: something overwrites it or cuts it off while it is read"));
    }
  }
  // Another file of the same size: its header says so, time and again.
  file = restore();
  write(20, "another header");
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = read(*file);
    EXPECT_NE(status.message().find(path + ": overwritten while it is read"), std::string::npos)
        << status;
  }
  // The same file written once more is told of, and read on.
  file = restore();
  testing::internal::CaptureStderr();
  write(0, good);
  EXPECT_TRUE(read(*file).ok());
  EXPECT_TRUE(read(*file).ok());
  const std::string told = testing::internal::GetCapturedStderr();
  const std::string warning = path + ": written to while it is read";
  ASSERT_NE(told.find(warning), std::string::npos) << told;
  EXPECT_EQ(told.find(warning, told.find(warning) + 1), std::string::npos) << told;
  // A new file of this name leaves the old one to who reads it.
  file = restore();
  std::filesystem::rename(WriteOwn("new.tok", 257), path);
  EXPECT_TRUE(read(*file).ok());
}

TEST(TokenFile, SurvivesFlippedBytes) {
  const std::string good = Read(WriteOwn("flip.tok", 300));
  const std::string path = Folder() + "/flipped.tok";
  for (size_t at = 0; at < good.size(); at += at < 128 ? 1 : 13) {
    for (char mask : {'\x01', '\x80', '\xff'}) {
      std::string bad = good;
      bad[at] = static_cast<char>(bad[at] ^ mask);
      Write(path, bad);
      const auto file = TokenFile::Open(path);
      EXPECT_FALSE(file.ok() && (*file)->Verify().ok()) << at;
    }
  }
}

std::string LlmC(int32_t magic, int32_t version, int32_t count, const std::string& tokens) {
  std::vector<int32_t> header(256, 0);
  header[0] = magic;
  header[1] = version;
  header[2] = count;
  return Bytes(header) + tokens;
}

// How many files may be open, as long as it lives.
class OpenFileLimit {
 public:
  explicit OpenFileLimit(rlim_t most) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const struct rlimit low = {.rlim_cur = most, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  ~OpenFileLimit() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  struct rlimit before_;
};

std::string Numbered(int32_t i) { return absl::StrCat(Folder(), "/many", i, ".bin"); }

std::string ContentOf(int32_t i) {
  return LlmC(20240520, 1, 2, Bytes(std::vector<uint16_t>{static_cast<uint16_t>(i), 7}));
}

std::vector<std::unique_ptr<TokenFile>> OpenMany(int count) {
  std::vector<std::unique_ptr<TokenFile>> files;
  for (int i = 0; i < count; ++i) {
    Write(Numbered(i), ContentOf(i));
    auto file = TokenFile::Open(Numbered(i));
    EXPECT_TRUE(file.ok()) << file.status();
    if (file.ok()) files.push_back(*std::move(file));
  }
  return files;
}

absl::Status ReadFirst(const TokenFile& file, int32_t* token) {
  return file.ReadTokens(0, 1, 65536, token);
}

TEST(TokenFile, MoreMayBeReadThanBeOpen) {
  const OpenFileLimit limit(64);
  const auto files = OpenMany(150);
  ASSERT_EQ(files.size(), 150u);
  // From several threads, in orders of their own.
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (const int step : {1, 7, 11, 149}) {
    threads.emplace_back([&, step] {
      for (int n = 0; n < 1000; ++n) {
        const int i = n * step % 150;
        int32_t token = -1;
        if (!ReadFirst(*files[i], &token).ok() || token != i) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const auto open = [](const std::string& path) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code error;
      if (std::filesystem::read_symlink(entry.path(), error) == path) return true;
    }
    return false;
  };
  int32_t token = 0;
  const auto close = [&](int i) {
    for (int k = 100; k < 150; ++k) ASSERT_TRUE(ReadFirst(*files[k], &token).ok());
    ASSERT_FALSE(open(Numbered(i)));
  };
  // What was closed may have become another meanwhile.
  close(3);
  Write(Folder() + "/other.bin", ContentOf(33));
  std::filesystem::rename(Folder() + "/other.bin", Numbered(3));
  EXPECT_EQ(ReadFirst(*files[3], &token).message(),
            Numbered(3) + ": replaced while it is read: another file has its name now");
  std::filesystem::remove(Numbered(4));
  EXPECT_EQ(ReadFirst(*files[4], &token).message(),
            Numbered(4) + ": cannot open it again: No such file or directory");
  std::ofstream(Numbered(5), std::ios::app) << "more";
  EXPECT_NE(ReadFirst(*files[5], &token).message().find(": had 1028 bytes when it was opened"),
            std::string::npos);
  // A copy with all its times is as good.
  std::filesystem::copy_file(Numbered(6), Folder() + "/copy.bin");
  std::filesystem::last_write_time(Folder() + "/copy.bin",
                                   std::filesystem::last_write_time(Numbered(6)));
  std::filesystem::rename(Folder() + "/copy.bin", Numbered(6));
  EXPECT_TRUE(ReadFirst(*files[6], &token).ok());
  EXPECT_EQ(token, 6);
}

TEST(TokenFile, TellsTheLimitOnOpenFiles) {
  const OpenFileLimit limit(64);
  auto files = OpenMany(10);
  std::vector<int> others;
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY)) >= 0;) others.push_back(fd);
  // Room is made where there is any.
  EXPECT_TRUE(TokenFile::Open(Numbered(0)).ok());
  files.clear();
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY)) >= 0;) others.push_back(fd);
  const absl::Status status = TokenFile::Open(Numbered(0)).status();
  for (const int fd : others) ::close(fd);
  EXPECT_EQ(status.message(), Numbered(0) +
                                  ": cannot open a token file: Too many open files: ulimit -n "
                                  "is 64");
}

TEST(TokenFile, ReadsLlmC) {
  const std::string path = Folder() + "/llmc.bin";
  const std::string two = Bytes(std::vector<uint16_t>{50256, 1, 2, 65535});
  Write(path, LlmC(20240520, 1, 4, two));
  auto file = TokenFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->format(), TokenFormat::kLlmC);
  EXPECT_EQ((*file)->vocab_size(), 0);
  EXPECT_EQ((*file)->document_count(), 1);
  std::vector<int32_t> tokens(4);
  ASSERT_TRUE((*file)->ReadTokens(0, 4, 65536, tokens.data()).ok());
  EXPECT_EQ(tokens, (std::vector<int32_t>{50256, 1, 2, 65535}));
  EXPECT_FALSE((*file)->ReadTokens(0, 4, 65535, tokens.data()).ok());

  Write(path, LlmC(20240801, 7, 2, Bytes(std::vector<uint32_t>{128000, 0x80000001u})));
  file = TokenFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_TRUE((*file)->ReadTokens(0, 1, 128256, tokens.data()).ok());
  EXPECT_EQ(tokens[0], 128000);
  const absl::Status status = (*file)->ReadTokens(0, 2, 128256, tokens.data());
  EXPECT_NE(std::string(status.message()).find("token 1 is 2147483649"), std::string::npos)
      << status;

  Write(path, LlmC(20240520, 2, 4, two));
  ExpectError(path, {"llm.c version 1", "found 2"});
  Write(path, LlmC(20240801, 1, 2, two));
  ExpectError(path, {"llm.c version 7", "found 1"});
  Write(path, LlmC(20240520, 1, 5, two));
  ExpectError(path, {"truncated", "1034", "1032"});
  Write(path, LlmC(20240520, 1, 3, two));
  ExpectError(path, {"too long", "1030", "1032"});
  Write(path, LlmC(20240520, 1, -4, two));
  ExpectError(path, {"positive number of tokens", "found -4"});
  Write(path, LlmC(20240520, 1, 4, two).substr(0, 100));
  ExpectError(path, {"truncated", "1024", "100"});
}

struct Megatron {
  uint64_t version = 1;
  uint8_t dtype = 8;
  std::vector<int32_t> lengths = {3, 0, 2, 4};
  std::vector<int64_t> offsets = {0, 6, 6, 10};
  std::vector<int64_t> documents = {0, 2, 3, 4};
  int64_t sequences = -1, document_entries = -1;  // -1: as many as there are

  std::string Index() const {
    std::string out("MMIDIDX\0\0", 9);
    out += Bytes(std::vector<uint64_t>{version});
    out.push_back(static_cast<char>(dtype));
    const uint64_t s = sequences < 0 ? lengths.size() : sequences;
    const uint64_t d = document_entries < 0 ? documents.size() : document_entries;
    return out + Bytes(std::vector<uint64_t>{s, d}) + Bytes(lengths) + Bytes(offsets) +
           Bytes(documents);
  }
};

// More documents than the stride of the index in memory; Megatron's may be empty.
TEST(TokenFile, FindsTheDocumentsOfTokens) {
  constexpr int kDocuments = 1300;
  const std::string own = Folder() + "/many.tok", stem = Folder() + "/many_documents";
  auto writer = std::move(TokenFileWriter::Create(own, 300)).value();
  Megatron index{.lengths = {}, .offsets = {}, .documents = {0}};
  std::vector<int64_t> own_of, megatron_of;  // by token
  std::vector<int32_t> tokens;
  for (int d = 0; d < kDocuments; ++d) {
    const int length = d * 7 % 4;
    index.offsets.push_back(static_cast<int64_t>(2 * megatron_of.size()));
    index.lengths.push_back(length);
    index.documents.push_back(d + 1);
    megatron_of.insert(megatron_of.end(), length, d);
    writer->StartDocument();
    own_of.insert(own_of.end(), length, writer->document_count() - 1);
    tokens.assign(length, 3);
    ASSERT_TRUE(writer->Append(tokens, length).ok());
  }
  ASSERT_TRUE(writer->Finish().ok());
  Write(stem + ".idx", index.Index());
  Write(stem + ".bin", std::string(2 * megatron_of.size(), '\1'));
  for (const bool megatron : {false, true}) {
    const auto file = TokenFile::Open(megatron ? stem : own);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ((*file)->token_count(), static_cast<int64_t>(own_of.size()));
    for (int64_t token = 0; token < (*file)->token_count(); ++token)
      ASSERT_EQ(*(*file)->DocumentOf(token), (megatron ? megatron_of : own_of)[token]) << token;
  }
}

TEST(TokenFile, ReadsMegatron) {
  const std::string stem = Folder() + "/corpus_text_document";
  Write(stem + ".bin", Bytes(std::vector<uint16_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  Write(stem + ".idx", Megatron().Index());
  for (const std::string& path : {stem, stem + ".bin", stem + ".idx"}) {
    auto file = TokenFile::Open(path);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ((*file)->format(), TokenFormat::kMegatron);
    EXPECT_EQ((*file)->token_count(), 9);
    EXPECT_EQ((*file)->document_count(), 3);
    EXPECT_EQ(StartOf(**file, 0), 0);
    EXPECT_EQ(StartOf(**file, 1), 3);
    EXPECT_EQ(StartOf(**file, 2), 5);
    EXPECT_EQ(StartOf(**file, 3), 9);
    EXPECT_EQ(*(*file)->DocumentOf(4), 1);
    std::vector<int32_t> tokens(9);
    ASSERT_TRUE((*file)->ReadTokens(0, 9, 10, tokens.data()).ok());
    EXPECT_EQ(tokens[8], 9);
    EXPECT_TRUE((*file)->Verify().ok());
  }
  Megatron wide{.dtype = 4, .lengths = {1, 1}, .offsets = {0, 4}, .documents = {0}};
  Write(stem + ".bin", Bytes(std::vector<int32_t>{70000, -5}));
  Write(stem + ".idx", wide.Index());
  auto file = TokenFile::Open(stem);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->document_count(), 1);  // the last was never closed
  std::vector<int32_t> tokens(2);
  const absl::Status status = (*file)->ReadTokens(0, 2, 100000, tokens.data());
  EXPECT_NE(std::string(status.message()).find("token 1 is -5"), std::string::npos) << status;
}

TEST(TokenFile, RefusesEveryDamageOfMegatrons) {
  const std::string stem = Folder() + "/damaged";
  const std::string tokens = Bytes(std::vector<uint16_t>{1, 2, 3, 4, 5, 6, 7, 8, 9});
  const auto expect = [&](const Megatron& m, const std::vector<std::string>& parts) {
    Write(stem + ".bin", tokens);
    Write(stem + ".idx", m.Index());
    ExpectError(stem, parts);
  };
  expect({.version = 2}, {".idx", "version 1", "found 2"});
  expect({.dtype = 7}, {".idx", "dtype", "found 7"});
  expect({.offsets = {0, 6, 7, 10}}, {"sequence 2", "offset 6", "offset 7"});
  expect({.lengths = {3, -1, 3, 4}}, {"sequence 1", "length -1"});
  expect({.offsets = {0, 6, 6}}, {"truncated"});
  expect({.documents = {0, 2, 3, 4, 4, 4}, .document_entries = 4}, {"too long"});
  expect({.sequences = int64_t{1} << 62}, {"cannot hold"});
  expect({.document_entries = int64_t{1} << 61}, {"cannot hold"});
  expect({.documents = {0, 3, 2, 4}}, {"document starts must ascend", "found 2", "document 2"});
  expect({.documents = {1, 2, 3, 4}}, {"document starts must ascend", "document 0"});
  expect({.documents = {0, 2, 3, 5}}, {"document starts must ascend", "found 5"});
  expect({.lengths = {3, 0, 2, 5}}, {".bin", "truncated", "20", "18"});
  expect({.lengths = {3, 0, 2, 3}}, {".bin", "too long", "16", "18"});
  const std::string good = Megatron().Index();
  for (size_t n = 1; n < good.size(); ++n) {
    Write(stem + ".idx", good.substr(0, n));
    EXPECT_FALSE(TokenFile::Open(stem).ok()) << n;
  }
  Write(stem + ".idx", good);
  std::filesystem::remove(stem + ".bin");
  ExpectError(stem, {"damaged.bin", "No such file"});
  ExpectError(Folder() + "/nothing.idx", {"nothing.idx", "No such file"});
}

}  // namespace
}  // namespace tl
