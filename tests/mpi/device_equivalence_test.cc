// SPDX-License-Identifier: Apache-2.0
// The CUDA backend trains the same model as the CPU's, on every grid and over every transport:
// losses, the first step's gradients and the weights after the last step against one rank on the
// CPU. On the SIMT test machine it makes the table of docs/results/equivalence_devices.md in the
// build folder, and with TRUNKLINE_WRITE_DOCS=1 in docs/results/.
#include <cstdlib>
#include <fstream>
#include <vector>

#include "absl/strings/str_format.h"
#include "comm/host.h"
#include "comm/nccl_api.h"
#include "device/cuda.h"
#include "engine/placement.h"
#include "grid_pictures.h"

namespace tl::test {
namespace {

constexpr int kDeviceSteps = 3;

Config DeviceConfig(Precision precision) {
  Config c = SmallConfig();
  c.precision.compute = precision;
  c.precision.loss_scale = 1024.0;
  c.train.global_batch_size = 4;
  c.train.micro_batch_size = 1;
  c.train.sequence_length = 16;
  c.train.steps = kDeviceSteps;
  // Where the bounds are tight enough to see a mask that is not the same.
  c.train.hidden_dropout = precision == Precision::kFp32 ? 0.1 : 0.0;
  c.model.hidden = 64;
  c.model.heads = 2;
  c.model.kv_heads = 1;  // held twice on two tensor ranks
  c.model.ffn = 96;
  return c;
}

// A denoiser with classes, of the same sizes.
Config DeviceDenoiser() {
  const Config tokens = DeviceConfig(Precision::kFp32);
  Config c = ClassesConfig();
  c.train.global_batch_size = tokens.train.global_batch_size;
  c.train.micro_batch_size = tokens.train.micro_batch_size;
  c.train.steps = tokens.train.steps;
  c.train.hidden_dropout = tokens.train.hidden_dropout;
  c.model.hidden = tokens.model.hidden;
  c.model.heads = tokens.model.heads;
  c.model.kv_heads = tokens.model.kv_heads;
  c.model.ffn = tokens.model.ffn;
  return c;
}

const DataSource& Source(const Config& config) {
  static const std::unique_ptr<DataSource> tokens = MakeSource();
  static const Stripes stripes(ClassesConfig().model);
  if (config.model.of_values()) return stripes;
  return *tokens;
}

// fp32 elements that this rank owns, by their place in the flat buffers.
std::vector<float> Download(Stepper& stepper, const std::function<Tensor(const Segment&)>& view) {
  std::vector<float> host(stepper.engine().params().elements());
  Stream& stream = stepper.engine().stream();
  for (const Segment& s : stepper.state().segments()) {
    const Tensor x = view(s);
    CopyBytes(stream, reinterpret_cast<std::byte*>(host.data() + s.flat), x.data, x.bytes());
  }
  stream.Synchronize();
  return host;
}

std::vector<float> Whole(Stepper& stepper, const std::function<Tensor(const Segment&)>& view) {
  const std::vector<float> host = Download(stepper, view);
  return GatherWhole(stepper, [&](int64_t flat, int64_t) { return host[flat]; });
}

Outcome TrainOn(const Config& config, Communicator& ranks) {
  auto mesh = MakeMesh(config, ranks);
  TL_CHECK_OK(mesh.status());
  auto stepper = Stepper::Create(config, *mesh);
  TL_CHECK_OK(stepper.status());
  Stepper& s = **stepper;
  s.Allocate();
  s.Initialize();
  if (config.model.of_values()) OpenGates(s);
  const auto masters = [&](const Segment& seg) {
    return s.state().Master(seg.flat, seg.shard, seg.size);
  };
  Outcome outcome;
  outcome.initial = Whole(s, masters);
  s.on_gradients = [&](Tensor gradients) {
    if (!outcome.gradients.empty()) return;
    outcome.gradients = Whole(
        s, [&](const Segment& seg) { return gradients.Slice(0, seg.flat, seg.flat + seg.size); });
  };
  for (int i = 0; i < kDeviceSteps; ++i) RunStep(s, Source(config), outcome);
  outcome.weights = Whole(s, masters);
  // They came with the loss scale in them.
  if (config.precision.compute == Precision::kFp16)
    for (float& g : outcome.gradients) g /= static_cast<float>(config.precision.loss_scale);
  return outcome;
}

double Norm(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = double{a[i]} - (b.empty() ? 0.0 : double{b[i]});
    sum += d * d;
  }
  return std::sqrt(sum);
}

struct Apart {
  double loss = 0, gradient = 0, weight = 0;
};

Apart Distance(const Outcome& a, const Outcome& b) {
  Apart d;
  for (size_t i = 0; i < a.losses.size(); ++i)
    d.loss = std::max(d.loss, std::fabs(double{a.losses[i]} - b.losses[i]) / a.losses[i]);
  d.gradient = Norm(a.gradients, b.gradients) / Norm(a.gradients, {});
  d.weight = Norm(a.weights, b.weights) / Norm(a.weights, a.initial);
  return d;
}

std::string& Rows() {
  static std::string rows;
  return rows;
}

struct Case {
  int tensor;
  bool nccl;
};

// What groups of so many ranks train: on four ranks two of each instead of 4x1.
std::vector<Case> CasesOf(int ranks) {
  if (ranks == 1) return {{1, false}};
  std::vector<Case> cases;
  for (const int tensor : {1, 2}) {
    if (ranks == 4 && tensor == 1) continue;
    cases.push_back({tensor, false});
    if (cuda::DeviceCount() >= LocalRanks(World()) && nccl::GetLibrary().absent.empty())
      cases.push_back({tensor, true});
  }
  return cases;
}

void CheckDistance(Precision precision, const Apart& d) {
  const bool exact = precision == Precision::kFp32;
  EXPECT_LE(d.loss, exact ? 1e-5 : 2.0);
  EXPECT_LE(d.gradient, exact ? 1e-5 : std::sqrt(2.0));
  EXPECT_LE(d.weight, exact ? 1e-3 : 2.0);
}

// name: of the rows.
void TestOnDevices(const std::string& name, Config config) {
  if (cuda::DeviceCount() == 0) GTEST_SKIP() << cuda::GetPlatform().absent;
  const Precision precision = config.precision.compute;
  const std::unique_ptr<Communicator> self = MakeSelfCommunicator();
  const Outcome cpu = TrainOn(config, *self);
  // How far the precision itself is from fp32.
  Apart unit = {1.0, 1.0, 1.0};
  if (precision != Precision::kFp32) {
    Config exact = config;
    exact.precision.compute = Precision::kFp32;
    unit = Distance(TrainOn(exact, *self), cpu);
  }
  config.run.device = "cuda";
  const int rank = World().rank();
  for (int size = 1; size <= World().size(); size *= 2) {
    const auto group = World().Split(rank / size, rank);
    const std::vector<Case> cases = CasesOf(size);
    std::vector<float> distances(3 * cases.size(), 0.0f);
    // Dealt out to the groups.
    for (size_t i = static_cast<size_t>(rank / size); i < cases.size();
         i += static_cast<size_t>(World().size() / size)) {
      config.parallel.tensor = cases[i].tensor;
      config.parallel.transport = cases[i].nccl ? "nccl" : "staged";
      SCOPED_TRACE(absl::StrFormat("%s, %d ranks, tensor %d, %s", name, size, cases[i].tensor,
                                   config.parallel.transport));
      const Outcome device = TrainOn(config, *group);
      EXPECT_TRUE(Same(device.initial, cpu.initial));
      EXPECT_EQ(device.skipped, 0);
      Apart d = Distance(cpu, device);
      d = {d.loss / unit.loss, d.gradient / unit.gradient, d.weight / unit.weight};
      CheckDistance(precision, d);
      distances[3 * i] = static_cast<float>(d.loss);
      distances[3 * i + 1] = static_cast<float>(d.gradient);
      distances[3 * i + 2] = static_cast<float>(d.weight);
    }
    Stream stream = Stream::Cpu();
    World().AllReduce(stream, Tensor::Of(distances.data(), {std::ssize(distances)}),
                      ReduceOp::kMax);
    for (size_t i = 0; i < cases.size(); ++i) {
      const char* const format = precision == Precision::kFp32
                                     ? "| %s | %d×%d | %s | %.1e | %.1e | %.1e |\n"
                                     : "| %s | %d×%d | %s | %.2f | %.2f | %.2f |\n";
      char row[200];
      std::snprintf(row, sizeof(row), format, name.c_str(), size / cases[i].tensor, cases[i].tensor,
                    cases[i].nccl ? "NCCL"
                    : size == 1   ? "none"
                                  : "staged",
                    distances[3 * i], distances[3 * i + 1], distances[3 * i + 2]);
      Rows() += row;
    }
  }
}

void TestPrecision(Precision precision) { TestOnDevices(Name(precision), DeviceConfig(precision)); }

TEST(DeviceEquivalence, Fp32) { TestPrecision(Precision::kFp32); }
TEST(DeviceEquivalence, Bf16) { TestPrecision(Precision::kBf16); }
TEST(DeviceEquivalence, Fp16) { TestPrecision(Precision::kFp16); }
TEST(DeviceEquivalence, Denoising) { TestOnDevices("fp32, denoising", DeviceDenoiser()); }

TEST(DeviceEquivalence, TableIsWritten) {
  if (Rows().empty()) GTEST_SKIP() << "no device";
  if (World().rank() != 0 || World().size() != 4) return;
  std::printf("%s", Rows().c_str());
#if defined(TL_SIMT)
  std::vector<std::string> paths = {TL_BINARY_DIR "/equivalence_devices.md"};
  if (std::getenv("TRUNKLINE_WRITE_DOCS") != nullptr)
    paths.push_back(TL_SOURCE_DIR "/docs/results/equivalence_devices.md");
  for (const std::string& path : paths) {
    std::ofstream file(path);
    file << R"(# The CUDA backend against the CPU's

Made by `tests/mpi/device_equivalence_test.cc` on the SIMT test machine, which runs the CUDA backend on
a CPU (`ctest -R simt4.device_equivalence`; `TRUNKLINE_WRITE_DOCS=1` writes this file): it proves the
backend's logic, not the hardware's arithmetic. NCCL is the stand-in of `tests/simt/nccl`, whose sums go
around a ring. No GPU has been measured so.

The machine is slow, so the model is a smaller one than that of [equivalence.md](equivalence.md): 2 layers,
hidden 64, 2 heads of 32, 1 key/value head (held twice on 2 tensor ranks), ffn 96, vocabulary 203; 3
steps of 4 sequences of 16 tokens in micro-batches of 1, in fp32 with a hidden dropout of 0.1. The denoiser
(EDM with 3 classes and an average of weights, from opened gates) has the same sizes and 6 patches. Each row is
the distance of a grid, data×tensor, from one rank on the CPU in the same precision: the largest |a-b|/|a|
of the losses, ‖a-b‖/‖a‖ of the first step's gradients and ‖Wa-Wb‖/‖Wa-W0‖ of the weights after the last
step. In fp32 the bounds are 1e-5, 1e-5 and 1e-3; bf16 and fp16 are multiples of how far the CPU's bf16
and fp16 are from its fp32, with bounds 2, √2 and 2. Initial weights are equal to the bit.

| precision | grid | transport | loss | gradient | weight |
|---|---|---|---|---|---|
)" << Rows();
    EXPECT_TRUE(file.flush().good()) << path;
  }
#endif
}

}  // namespace
}  // namespace tl::test
