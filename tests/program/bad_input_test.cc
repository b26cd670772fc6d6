// SPDX-License-Identifier: Apache-2.0
// Bad input to the real program, on one rank and on two: one clear message from one rank that names
// the key or the file, an error as exit code everywhere, no hang, and nothing half-written.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstring>
#include <thread>
#include <tuple>

#include "base/crc32c.h"
#include "base/host_memory.h"
#include "data/token_file_format.h"
#include "data/tokenize.h"
#include "tests/data/temp_folder.h"
#include "tests/program/job.h"
#include "tests/program/token_files.h"

namespace tl {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr int kSeconds = 20;  // that any of these may take

std::string At(const std::string& name) { return Folder() + "/" + name; }

// A model so small that nothing but starting takes time.
std::string ConfigText() {
  return R"([model]
layers = 1
hidden = 64
heads = 2
kv_heads = 1
ffn = 96
vocab = 256
[data]
train = ")" +
         At("train.tok") + R"("
eval = ")" +
         At("eval.tok") +
         R"("
[train]
steps = 2
sequence_length = 16
global_batch_size = 4
micro_batch_size = 1
eval_batches = 1
[optimizer]
warmup_steps = 1
)";
}

// Changes the header of a token file so that only its meaning is wrong.
template <typename Change>
std::string WithHeader(std::string file, Change change) {
  internal::TokenFileHeader header;
  std::memcpy(&header, file.data(), sizeof(header));
  change(header);
  header.header_crc = 0;
  header.header_crc = Crc32c(&header, sizeof(header));
  std::memcpy(file.data(), &header, sizeof(header));
  return file;
}

// llm.c's format for GPT-2 with this token everywhere.
std::string LlmCFile(uint16_t token) {
  constexpr int kTokens = 1000;
  std::vector<int32_t> header(256);
  header[0] = internal::kLlmCGpt2Magic;
  header[1] = 1;
  header[2] = kTokens;
  const std::vector<uint16_t> tokens(kTokens, token);
  return std::string(reinterpret_cast<const char*>(header.data()), 1024) +
         std::string(reinterpret_cast<const char*>(tokens.data()), kTokens * 2);
}

class Files : public testing::Environment {
 public:
  void SetUp() override {
    SetJobEnvironment();
    std::string text;
    for (int i = 0; i < 400; ++i)
      text += "In the beginning God created the heaven and the earth.\n";
    MakeTokenFiles(Folder(), text);
    MakeBadTokenFiles();
    WriteFile(At("tiny.toml"), ConfigText());
    WriteFile(At("broken.toml"), "[model\nlayers = 1\n");
    WriteFile(At("section.toml"), ConfigText() + "[optimiser]\nlr = 1e-3\n");
    WriteFile(At("key.toml"), ConfigText() + "[checkpoint]\nevry = 3\n");
    WriteFile(At("foreign.toml"), ConfigText() + "[parallel]\ntensor_model_parallel_size = 2\n");
    WriteFile(At("type.toml"), ConfigText() + "[parallel]\ntensor = \"two\"\n");
    WriteFile(At("range.toml"), ConfigText() + "[run]\nlog_every = 0\n");
    WriteFile(At("twice.toml"), ConfigText() + "[model]\nlayers = 2\n");
    std::string incomplete = ConfigText();
    incomplete.erase(incomplete.find("hidden = 64\n"), 12);
    WriteFile(At("incomplete.toml"), incomplete);
    MakeRuns();
  }

 private:
  static void MakeBadTokenFiles() {
    const std::string good = ReadFile(At("train.tok"));
    std::string flipped = good;
    flipped[16] ^= 0x40;
    WriteFile(At("flipped.tok"), flipped);
    std::string index = good;
    index[index.size() - 1] ^= 1;
    WriteFile(At("index.tok"), index);
    WriteFile(At("truncated.tok"), good.substr(0, good.size() / 2));
    WriteFile(At("stub.tok"), good.substr(0, 20));
    WriteFile(At("magic.tok"), "PK\003\004" + good.substr(4));
    WriteFile(At("empty.tok"), "");
    using Header = internal::TokenFileHeader;
    WriteFile(At("vocab.tok"), WithHeader(good, [](Header& h) { h.vocab = 50257; }));
    WriteFile(At("other.tok"), WithHeader(good, [](Header& h) { h.tokenizer_hash ^= 1; }));
    WriteFile(At("llmc.bin"), LlmCFile(300));
    WriteFile(At("tiny.txt"), "ten bytes.");
    ASSERT_TRUE(TokenizeFiles({.texts = {At("tiny.txt")}, .out = At("short.tok")}).ok());
  }

  // A good run, and copies of it that were damaged since.
  static void MakeRuns() {
    const Outcome outcome =
        RunShell(ProgramLine(1, {"train", At("tiny.toml"), "--set", "run.dir=" + At("run")}), 60);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    const auto damaged = [](const std::string& name) {
      fs::copy(At("run"), At(name), fs::copy_options::recursive);
      return At(name) + "/step_00000002/";
    };
    std::string save = damaged("run_truncated");
    fs::resize_file(save + "shard_0000.h5", fs::file_size(save + "shard_0000.h5") - 100);
    save = damaged("run_flipped");
    std::string bytes = ReadFile(save + "shard_0000.h5");
    bytes[bytes.size() / 2] ^= 0x10;
    WriteFile(save + "shard_0000.h5", bytes);
    save = damaged("run_manifest");
    bytes = ReadFile(save + "manifest.json");
    bytes[bytes.size() / 2] ^= 0x10;
    WriteFile(save + "manifest.json", bytes);
    save = damaged("run_shard");
    fs::remove(save + "shard_0000.h5");
    save = damaged("run_config");
    WriteFile(At("run_config/config.toml"), "garbage");
    save = damaged("run_unsaved");
    fs::remove_all(save);
    fs::create_directories(At("no_run"));
  }
};
const auto* const kFiles = testing::AddGlobalTestEnvironment(new Files);

enum class Ranks { kBoth, kTwo };
// What may be in the run's folder afterwards.
enum class Leaves { kNothingNew, kNoSave };

struct Case {
  std::string name;
  Strings arguments;  // %: the test's folder
  Strings parts;      // of the message; among them the key or file, what was expected and found
  Ranks ranks = Ranks::kBoth;
  Leaves leaves = Leaves::kNothingNew;
  std::string folder = "%/fresh";  // of the run
};

std::string Expand(std::string text) {
  for (size_t at; (at = text.find('%')) != std::string::npos;) text.replace(at, 1, Folder());
  return text;
}

Case File(const std::string& name, const std::string& config, Strings parts) {
  return {name, {"train", config, "--set", "run.dir=%/fresh"}, std::move(parts)};
}

// The small config, some keys set.
Case Set(const std::string& name, Strings settings, Strings parts, Ranks ranks = Ranks::kBoth,
         Leaves leaves = Leaves::kNothingNew) {
  Case c = File(name, "%/tiny.toml", std::move(parts));
  c.arguments.insert(c.arguments.end(), settings.begin(), settings.end());
  c.ranks = ranks;
  c.leaves = leaves;
  return c;
}

Case Resume(const std::string& run, Strings parts, Strings settings = {}) {
  Case c = Set("Resume_" + run, settings, std::move(parts));
  c.folder = "%/" + run;
  c.arguments.push_back("run.dir=" + c.folder);
  return c;
}

Case Use(const std::string& command, const std::string& run, Strings parts,
         Strings arguments = {}) {
  Case c{command + "_" + run, {command, "%/" + run}, std::move(parts)};
  if (command == "generate") c.arguments.insert(c.arguments.end(), {"--prompt", "x"});
  c.arguments.insert(c.arguments.end(), arguments.begin(), arguments.end());
  c.folder = "%/" + run;
  return c;
}

std::vector<Case> Cases() {
  const std::string tok = "data.train=%/";
  return {
      // Commands.
      {"UnknownCommand", {"trian"}, {"unknown command trian", "did you mean train?"}},
      {"NoConfig", {"train"}, {"CONFIG"}},
      {"UnknownOption", {"train", "%/tiny.toml", "--steps", "3"}, {"--steps"}},
      // Config files.
      File("MissingConfig", "%/none.toml", {"/none.toml", "No such file"}),
      File("FolderAsConfig", "%", {"cannot read the config file", "directory"}),
      File("Syntax", "%/broken.toml", {"/broken.toml:1:", "not TOML"}),
      File("UnknownSection", "%/section.toml",
           {"/section.toml:", "unknown section [optimiser]", "[optimizer]"}),
      File("MistypedKey", "%/key.toml", {"/key.toml:", "checkpoint.evry", "checkpoint.every?"}),
      File("ForeignKey", "%/foreign.toml",
           {"parallel.tensor_model_parallel_size", "did you mean parallel.tensor?"}),
      File("WrongType", "%/type.toml", {"[parallel] tensor: expected", "found the string \"two\""}),
      File("OutOfRange", "%/range.toml", {"[run] log_every: expected", "found the integer 0"}),
      File("TableTwice", "%/twice.toml", {"/twice.toml:", "not TOML"}),
      File("MissingKey", "%/incomplete.toml", {"/incomplete.toml:", "[model] hidden is missing"}),
      // Settings.
      {"SetNonsense",
       {"train", "%/tiny.toml", "--set", "nonsense"},
       {"--set nonsense", "expected section.key=value"}},
      Set("SetUnknownKey", {"train.step=3"}, {"--set train.step=3", "did you mean train.steps?"}),
      Set("SetWrongType", {"optimizer.lr=fast"}, {"[optimizer] lr: expected", "\"fast\""}),
      Set("SetFraction", {"train.steps=2.5"}, {"[train] steps: expected", "2.5"}),
      Set("SetOutOfRange", {"optimizer.beta2=1.0"}, {"[optimizer] beta2: expected", "found"}),
      Set("SetOpenQuote", {"run.dir=\"open"}, {"--set run.dir=\"open", "not TOML"}),
      Set("Objective", {"objective.name=eagle"}, {"[objective] name", "next_token", "\"eagle\""}),
      Set("ObjectiveForeignKey", {"objective.depth=2"}, {"[objective] depth is a key of", "mtp"}),
      Set("FrozenWithoutTrunk",
          {"objective.name=medusa", "objective.heads=2", "objective.freeze_trunk=true"},
          {"freeze_trunk = true", "[run] init_from"}),
      Set("FrozenTrunkDoesNotFit",
          {"objective.name=medusa", "objective.heads=2", "objective.freeze_trunk=true",
           "run.init_from=%/run", "model.hidden=128"},
          {"/step_00000002: tensor", "shape [256, 64]", "needs [256, 128]"}),
      Set("Optimizer", {"optimizer.name=lion"}, {"[optimizer] name", "adamw", "\"lion\""}),
      Set("Device", {"run.device=tpu"}, {"[run] device", "cpu", "\"tpu\""}),
      Set("Precision", {"precision.compute=fp8"}, {"[precision] compute", "bf16", "\"fp8\""}),
      // Models, grids and batches that do not divide.
      Set("HeadsOfHidden", {"model.heads=3"}, {"[model] heads", "hidden"}),
      Set("KvHeads", {"model.heads=2", "model.kv_heads=3"}, {"[model] kv_heads = 3", "heads = 2"}),
      Set("Layers", {"model.layers=2000000000"}, {"[model] layers = 2000000000", "1024"}),
      Set("Grid", {"parallel.tensor=3"},
          {"[parallel] tensor = 3", "ranks, ", "tensor sizes that fit"}),
      Set("HeadsOfRanks", {"parallel.tensor=2", "model.hidden=96", "model.heads=3"},
          {"[parallel] tensor = 2", "[model] heads = 3", "fit"}, Ranks::kTwo),
      Set("Ffn", {"parallel.tensor=2", "model.ffn=97"},
          {"[parallel] tensor = 2", "[model] ffn = 97", "fit"}, Ranks::kTwo),
      Set("SequenceParallel",
          {"parallel.tensor=2", "parallel.sequence=true", "train.sequence_length=15"},
          {"[parallel] tensor = 2", "[train] sequence_length = 15", "fit"}, Ranks::kTwo),
      Set("Batch", {"train.micro_batch_size=3"},
          {"[train] global_batch_size = 4", "micro_batch_size", "fits"}),
      Set("BatchOfRanks", {"train.global_batch_size=3"}, {"[train] global_batch_size = 3", "fits"},
          Ranks::kTwo),
      // More than this machine's memory.
      Set("LargeModel",
          {"model.layers=1024", "model.hidden=16384", "model.ffn=65536", "model.heads=128"},
          {"[model]", "memory available", "weights"}),
      Set("HugeModel", {"model.hidden=1073741824", "model.heads=4194304"},
          {"[model]", "memory available", "weights"}),
      Set("HugeSequence", {"train.sequence_length=2147483647", "train.loss_chunk=2147483647"},
          {"[train]", "memory available", "activations"}),
      Set("HugeBatch", {"train.global_batch_size=2147483644"},
          {"global_batch_size", "memory available", "batches of two steps"}),
      {"LargeBench",
       {"bench", "%/tiny.toml", "--set", "train.sequence_length=2147483647"},
       {"[train]", "memory available"}},
      Use("eval", "run", {"[train]", "memory available"},
          {"--set", "train.sequence_length=2147483647"}),
      Use("generate", "run", {"memory available"},
          {"--set", "train.sequence_length=2147483647", "--max-tokens", "2147483000"}),
      // Token files.
      Set("NoTokens", {tok + "none.tok"}, {"/none.tok: cannot open", "No such file"}),
      Set("NoEvalTokens", {"data.eval=%/none.tok"}, {"/none.tok: cannot open", "No such file"}),
      Set("EmptyTokens", {tok + "empty.tok"}, {"/empty.tok: expected a token file", "empty"}),
      Set("FolderAsTokens", {tok + "no_run"}, {"/no_run: expected a token file", "not a regular"}),
      Set("TruncatedTokens", {tok + "truncated.tok"}, {"/truncated.tok: ", "expected", "found"}),
      Set("TruncatedHeader", {tok + "stub.tok"}, {"/stub.tok: truncated", "128", "found 20"}),
      Set("FlippedHeader", {tok + "flipped.tok"}, {"/flipped.tok: damaged header", "expected"}),
      Set("FlippedIndex", {tok + "index.tok"}, {"/index.tok: damaged document index", "expected"}),
      Set("WrongMagic", {tok + "magic.tok"}, {"/magic.tok: not a token file", "TLTOKENS"}),
      Set("LargerVocabulary", {tok + "vocab.tok"}, {"/vocab.tok: ", "50257", "256"}),
      Set("OtherTokenizer", {"data.eval=%/other.tok"},
          {"/other.tok: made with another tokenizer than", "/train.tok", "expected", "found"}),
      {"EvalOtherTokenizer",
       {"eval", "%/run", "--data", "%/other.tok"},
       {"/other.tok was made with another tokenizer than", "/run knows", "expected", "found"}},
      Set("FewTokens", {tok + "short.tok"}, {"/short.tok: expected at least", "17", "found 10"},
          Ranks::kBoth, Leaves::kNoSave),
      Set("LargeToken", {tok + "llmc.bin"}, {"/llmc.bin: token", "300", "vocabulary of 256"}),
      // Runs and saves.
      Resume("run_truncated", {"/shard_0000.h5: has ", "bytes, expected"}),
      Resume("run_flipped", {"/shard_0000.h5: damaged", "checksum"}),
      Resume("run_manifest", {"/manifest.json: damaged"}),
      Resume("run_shard", {"/shard_0000.h5: cannot open", "No such file"}),
      Resume("run", {"/step_00000002: tensor", "shape [256, 64]", "needs [256, 128]"},
             {"model.hidden=128", "train.steps=9"}),
      Set("InitFromOtherShape", {"run.init_from=%/run", "model.hidden=128"},
          {"/step_00000002: tensor", "shape [256, 64]", "needs [256, 128]"}),
      Set("InitFromNothing", {"run.init_from=%/none"}, {"/none: ", "No such file"}),
      Set("InitFromNoRun", {"run.init_from=%/no_run"}, {"/no_run: no checkpoint"}),
      Set("ResumeFromNothing", {"checkpoint.resume=%/none"}, {"/none: ", "No such file"}),
      Use("eval", "no_run", {"/no_run is not a run folder", "config.toml"}),
      Use("eval", "none", {"/none is not a run folder", "config.toml"}),
      Use("eval", "run_config", {"/run_config/config.toml:1", "not TOML"}),
      Use("eval", "run_unsaved", {"/run_unsaved: no checkpoint"}),
      Use("eval", "run_truncated", {"/shard_0000.h5: has", "bytes"}),
      Use("generate", "no_run", {"/no_run is not a run folder", "config.toml"}),
      Use("generate", "run_unsaved", {"/run_unsaved: no checkpoint"}),
      Use("generate", "run_shard", {"/shard_0000.h5: cannot open"}),
      // Where the run's folder cannot be.
      Set("FolderBelowFile", {"run.dir=%/text.txt/run"}, {"/text.txt/run: ", "Not a directory"}),
      Set("FolderIsFile", {"run.dir=%/text.txt"}, {"/text.txt: ", "irectory"}),
      Set("FolderOfTwoLines", {"run.dir=%/two\nlines"},
          {"/two\\nlines: [run] dir: expected a path without line ends", "/two\\nlines\""}),
      Set("FolderOfAnother", {"run.dir=~nobody/run"}, {"[run] dir: expected a path", "$HOME"}),
      Set("FolderInProc", {"run.dir=/proc/run"}, {"/proc/run: cannot make the folder"}),
  };
}

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class BadInput : public testing::TestWithParam<std::tuple<Case, int>> {};

TEST_P(BadInput, IsRefused) {
  const auto& [c, ranks] = GetParam();
  if (c.ranks == Ranks::kTwo && ranks == 1) return;
  const bool of_memory = std::count(c.parts.begin(), c.parts.end(), "memory available") > 0;
  if (of_memory && AvailableMemory() == 0) GTEST_SKIP() << "the system does not say its memory";
  Strings arguments;
  for (const std::string& argument : c.arguments) arguments.push_back(Expand(argument));
  const std::string folder = Expand(c.folder);
  const auto before = Snapshot(folder);
  const Outcome outcome = RunShell(ProgramLine(ranks, arguments), kSeconds);
  ExpectOneError(outcome, c.parts);
  EXPECT_LT(outcome.seconds, kSeconds);
  const auto after = Snapshot(folder);
  if (c.leaves == Leaves::kNothingNew) {
    EXPECT_TRUE(before == after) << folder;
  } else {
    for (const auto& [path, bytes] : after) {
      EXPECT_EQ(path.find("step_"), std::string::npos) << path;
      EXPECT_EQ(path.find(".tmp-"), std::string::npos) << path;
    }
    EXPECT_EQ(ReadFile(folder + "/metrics.jsonl"), "");
    fs::remove_all(folder);
  }
}

INSTANTIATE_TEST_SUITE_P(Program, BadInput,
                         testing::Combine(testing::ValuesIn(Cases()), testing::Values(1, 2)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "On" +
                                  std::to_string(std::get<1>(info.param));
                         });

class Ranks1And2 : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Program, Ranks1And2, testing::Values(1, 2));

// Weights and gradients would fit, the optimizer's state beside them does not.
TEST_P(Ranks1And2, AModelThatJustDoesNotFit) {
  if (AvailableMemory() == 0) GTEST_SKIP() << "the system does not say its memory";
  const int64_t vocab = AvailableMemory() / GetParam() / 12 / 64;
  const Outcome outcome = RunShell(
      ProgramLine(GetParam(),
                  {"train", At("tiny.toml"), "--set",
                   "model.vocab=" + std::to_string(std::min(vocab, (int64_t{1} << 31) - 1)),
                   "run.dir=" + At("unfit")}),
      kSeconds);
  ExpectOneError(outcome, {"[model]", "memory available", "optimizer state"});
  EXPECT_FALSE(fs::exists(At("unfit")));
}

// What only one host's disk lacks: the others hear of it and end too.
TEST(OnlyRank1, SaysWhatItMisses) {
  const std::string folder = At("alone");
  const auto line = [&](const Strings& settings) {
    Strings arguments = {"train", At("tiny.toml"), "--set", "run.dir=" + folder};
    arguments.insert(arguments.end(), settings.begin(), settings.end());
    return "exec " + ProgramLine(1, arguments);
  };
  const std::vector<std::pair<Strings, Strings>> cases = {
      {{"train.micro_batch_size=3"}, {"rank 1: ", "[train] global_batch_size"}},
      {{"data.train=" + At("none.tok")}, {"rank 1: ", "/none.tok: cannot open"}},
      {{"data.train=" + At("llmc.bin")}, {"rank 1: ", "/llmc.bin: token"}},
  };
  for (const auto& [settings, parts] : cases) {
    const Outcome outcome = RunRanks(line({}), line(settings), kSeconds);
    ExpectOneError(outcome, parts);
    fs::remove_all(folder);
  }
}

// A disk of so many bytes as run folder, in a mount namespace that ends with the job; what is on it
// in the end is copied to `copy`.
Outcome RunOnSmallDisk(int ranks, int bytes, const std::string& copy) {
  const std::string disk = At("disk");
  fs::create_directories(disk);
  const std::string job =
      ProgramLine(ranks, {"train", At("tiny.toml"), "--set", "run.dir=" + disk, "train.steps=4",
                          "checkpoint.every=1", "checkpoint.max_failed_saves=1"});
  const std::string script = "mount -t tmpfs -o size=" + std::to_string(bytes) + " none " +
                             Quote(disk) + " || exit 77; " + job + "; code=$?; cp -a " +
                             Quote(disk) + " " + Quote(copy) + "; exit $code";
  const std::string unshare = geteuid() == 0 ? "unshare -m" : "unshare -rm";
  return RunShell(unshare + " sh -c " + Quote(script), kSeconds);
}

bool SmallDisksAllowed() {
  const std::string unshare = geteuid() == 0 ? "unshare -m" : "unshare -rm";
  fs::create_directories(At("disk"));
  return RunShell(unshare + " mount -t tmpfs none " + Quote(At("disk")), 10).exit_code == 0;
}

TEST_P(Ranks1And2, NoSpaceForTheFirstSave) {
  if (!SmallDisksAllowed()) GTEST_SKIP() << "this user may not mount a small disk";
  const std::string copy = At("full" + std::to_string(GetParam()));
  const Outcome outcome = RunOnSmallDisk(GetParam(), 128 << 10, copy);
  ExpectOneError(outcome, {"cannot write a checkpoint of", "No space left on device"});
  const std::string metrics = ReadFile(copy + "/metrics.jsonl");
  EXPECT_EQ(Count(metrics, "\n"), 1) << metrics;
  EXPECT_TRUE(metrics.ends_with("}\n")) << metrics;
  for (const auto& [path, bytes] : Snapshot(copy))
    EXPECT_EQ(path.find("step_"), std::string::npos) << path;
}

// The save before stays.
TEST_P(Ranks1And2, NoSpaceForTheSecondSave) {
  if (!SmallDisksAllowed()) GTEST_SKIP() << "this user may not mount a small disk";
  const std::string copy = At("later" + std::to_string(GetParam()));
  int save = 0;
  for (const auto& entry : fs::directory_iterator(At("run/step_00000002")))
    save += entry.is_regular_file() ? static_cast<int>(entry.file_size()) : 0;
  const Outcome outcome = RunOnSmallDisk(GetParam(), save * 3 / 2, copy);
  ExpectOneError(outcome, {"cannot write a checkpoint of", "No space left on device"});
  EXPECT_TRUE(fs::exists(copy + "/step_00000001/manifest.json"));
  for (const auto& [path, bytes] : Snapshot(copy))
    EXPECT_EQ(path.find("step_00000002"), std::string::npos) << path;
  EXPECT_EQ(Count(ReadFile(copy + "/metrics.jsonl"), "\n"), 2);
}

TEST_P(Ranks1And2, NoSpaceAtTheStart) {
  if (!SmallDisksAllowed()) GTEST_SKIP() << "this user may not mount a small disk";
  const std::string copy = At("start" + std::to_string(GetParam()));
  const Outcome outcome = RunOnSmallDisk(GetParam(), 4 << 10, copy);
  ExpectOneError(outcome, {"/disk/", "cannot write", "No space left on device"});
  for (const auto& [path, bytes] : Snapshot(copy)) {
    if (path.ends_with("/config.toml") || path.ends_with("/lock")) continue;
    EXPECT_EQ(bytes, "") << path;
  }
}

TEST_P(Ranks1And2, NoPermission) {
  const std::string locked = At("locked");
  fs::create_directories(locked);
  fs::permissions(locked, fs::perms(0555));
  // Root may write anywhere, unless it gives that up.
  std::string job;
  if (geteuid() == 0) {
    job = "setpriv --bounding-set -dac_override,-dac_read_search ";
    if (RunShell(job + "true", 10).exit_code != 0) GTEST_SKIP() << "root keeps its capabilities";
  }
  for (const std::string& dir : {locked, locked + "/run"}) {
    const Outcome outcome = RunShell(
        job + ProgramLine(GetParam(), {"train", At("tiny.toml"), "--set", "run.dir=" + dir}),
        kSeconds);
    ExpectOneError(outcome, {dir + ": cannot", "Permission denied"});
  }
  EXPECT_TRUE(fs::is_empty(locked));
}

// Children of a process that run the program.
std::vector<pid_t> RanksOf(pid_t parent) {
  std::vector<pid_t> ranks;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    if (std::isdigit(entry.path().filename().string()[0]) == 0) continue;
    const std::string stat = ReadFile(entry.path().string() + "/stat");
    const size_t end = stat.rfind(") ");
    if (end == std::string::npos || stat.find("(trunkline)") == std::string::npos) continue;
    // "PID (NAME) STATE PARENT ..."
    if (std::atoi(stat.c_str() + end + 4) == parent) ranks.push_back(std::atoi(stat.c_str()));
  }
  return ranks;
}

bool Alive(pid_t pid) { return fs::exists("/proc/" + std::to_string(pid) + "/exe"); }

TEST(KilledRank, EndsTheJob) {
  if (!fs::exists("/proc/self/stat")) GTEST_SKIP() << "no /proc to find ranks in";
  using std::chrono::milliseconds, std::chrono::steady_clock;
  const std::string dir = At("killed");
  const std::string line =
      "exec " + ProgramLine(2, {"train", At("tiny.toml"), "--set", "train.steps=100000000",
                                "run.dir=" + dir, "run.log_every=1000000"});
  const pid_t job = fork();
  ASSERT_GE(job, 0);
  if (job == 0) {
    setpgid(0, 0);
    const int sink = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(sink, fd);
    execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    _exit(127);
  }
  const auto wait_for = [](int seconds, auto done) {
    const auto end = steady_clock::now() + std::chrono::seconds(seconds);
    while (!done() && steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(20));
    return done();
  };
  const bool trains = wait_for(
      60, [&] { return Count(ReadFile(dir + "/metrics.jsonl").substr(0, 4000), "\n") >= 3; });
  const std::vector<pid_t> ranks = RanksOf(job);
  int status = 0;
  bool ended = false;
  if (trains && ranks.size() == 2) {
    kill(ranks[1], SIGKILL);
    ended = wait_for(10, [&] { return ended || (ended = waitpid(job, &status, WNOHANG) == job); });
  }
  if (!ended) {
    kill(-job, SIGKILL);
    for (const pid_t rank : ranks) kill(rank, SIGKILL);
    waitpid(job, nullptr, 0);
  }
  EXPECT_TRUE(trains);
  EXPECT_EQ(ranks.size(), 2u);
  EXPECT_TRUE(ended) << "the job goes on";
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (const pid_t rank : ranks)
    EXPECT_TRUE(wait_for(5, [&] { return !Alive(rank); })) << "rank " << rank << " lives on";
}

}  // namespace
}  // namespace tl
