#include <algorithm>
#include <cstdlib>
#include <vector>

#include "tests/simt/machine.h"
#include "tests/simt/runtime.h"

namespace tl::simt {
namespace {

std::vector<cudaStream_t>& Streams() {
  static auto* streams = new std::vector<cudaStream_t>;
  return *streams;
}

cudaStream_t OrDefault(cudaStream_t stream) {
  static auto* standard = new CUstream_st;
  return stream == nullptr ? standard : stream;
}

bool CanRun(cudaStream_t s) {
  return !s->queue.empty() &&
         (s->queue.front().after == nullptr || s->queue.front().after->complete);
}

void RunHead(cudaStream_t s) {
  const Work work = std::move(s->queue.front());
  s->queue.pop_front();
  if (work.run) work.run();
}

// One step towards the moment or the stream's end: the work itself, or what it waits for.
void StepNeeded(cudaStream_t s) {
  for (int depth = 0; depth < 1000; ++depth) {
    if (s->queue.empty()) break;
    if (CanRun(s)) return RunHead(s);
    s = s->queue.front().after->stream;
  }
  Report("streams wait for each other and none can run");
  std::abort();
}

void Step(cudaStream_t wanted) {
  std::vector<cudaStream_t> ready;
  for (cudaStream_t s : Streams())
    if (CanRun(s)) ready.push_back(s);
  if (CurrentOrder() == Order::kAscending || ready.empty()) return StepNeeded(wanted);
  if (CurrentOrder() == Order::kRandom) return RunHead(ready[Random() % ready.size()]);
  for (cudaStream_t s : ready)
    if (s != wanted) return RunHead(s);
  RunHead(wanted);
}

}  // namespace

cudaStream_t Push(cudaStream_t stream, Work work) {
  stream = OrDefault(stream);
  auto& all = Streams();
  if (std::find(all.begin(), all.end(), stream) == all.end()) all.push_back(stream);
  stream->queue.push_back(std::move(work));
  return stream;
}

void Drain(cudaStream_t stream) {
  stream = OrDefault(stream);
  while (!stream->queue.empty()) Step(stream);
}

void DrainAll() {
  for (size_t i = 0; i < Streams().size(); ++i) Drain(Streams()[i]);
}

void DrainTo(const std::shared_ptr<Moment>& moment) {
  while (!moment->complete) Step(moment->stream);
}

void Progress() {
  std::vector<cudaStream_t> ready;
  for (cudaStream_t s : Streams())
    if (CanRun(s)) ready.push_back(s);
  if (!ready.empty()) RunHead(ready[Random() % ready.size()]);
}

bool IsIdle(cudaStream_t stream) { return OrDefault(stream)->queue.empty(); }

void Forget(cudaStream_t stream) {
  auto& all = Streams();
  all.erase(std::remove(all.begin(), all.end(), stream), all.end());
}

}  // namespace tl::simt
