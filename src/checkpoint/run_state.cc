#include "checkpoint/run_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "checkpoint/safetensors.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

std::vector<int64_t> Dims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

std::string StateName(const std::string& tensor, int i) {
  return tensor + ".state" + std::to_string(i);
}

// Calls visit(local, global, count) for every run of logical elements of a shard: `local` counts
// from the start of the parameter's local storage, `global` from that of the whole tensor.
void ForEachRun(const PartShard& shard,
                const std::function<void(int64_t, int64_t, int64_t)>& visit) {
  const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
  const int64_t count = shard.part->split_axis == 1 ? shard.valid : columns;
  for (int64_t r = 0; r < shard.local[0]; ++r) {
    const int64_t global = GlobalIndex(shard, r, 0);
    if (global >= 0 && count > 0) visit(shard.offset + r * columns, global, count);
  }
}

// The whole tensor's bits on every rank: each element is added by its one owner to zeros.
// state < 0: the master weights.
void GatherTensor(Mesh& mesh, Stream& stream, const Param& param, const PartShard& shard,
                  const ShardedState& from, int state, std::vector<int32_t>& whole) {
  whole.assign(shard.part->shape.elements(), 0);
  if (shard.counted) {
    ForEachRun(shard, [&](int64_t local, int64_t global, int64_t count) {
      for (int64_t i = 0, run = 0; i < count; i += run) {
        const int64_t flat = param.offset + local + i;
        const int64_t at = from.ShardOffset(flat, &run);
        run = std::min(run, count - i);
        if (at < 0) continue;
        const Tensor piece = state < 0 ? from.Master(flat, at, run) : from.State(state, at, run);
        CopyBytes(stream, reinterpret_cast<std::byte*>(whole.data() + global + i), piece.data,
                  run * static_cast<int64_t>(sizeof(float)));
      }
    });
  }
  mesh.world().AllReduce(stream, Tensor::Of(whole.data(), {static_cast<int64_t>(whole.size())}));
  stream.Synchronize();
}

// Collective; rank 0 writes. An error of rank 0 must not stop the others' collectives, so it is
// kept to the end.
absl::Status WriteTensors(const std::string& path, Mesh& mesh, Stream& stream,
                          const ParamTable& table, const ShardedState& state, int first, int last) {
  const bool root = mesh.world().rank() == 0;
  std::vector<TensorInfo> infos;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      for (int i = first; i < last; ++i) {
        const std::string& name = shard.part->name;
        infos.push_back({.name = i < 0 ? name : StateName(name, i),
                         .dtype = DType::kF32,
                         .shape = Dims(shard.part->shape)});
      }
    }
  }
  absl::Status status;
  std::unique_ptr<SafetensorsWriter> writer;
  if (root) {
    auto created = SafetensorsWriter::Create(path, infos, {});
    if (created.ok())
      writer = std::move(created).value();
    else
      status = created.status();
  }
  std::vector<int32_t> whole;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      for (int i = first; i < last; ++i) {
        GatherTensor(mesh, stream, table[id], shard, state, i, whole);
        if (root && status.ok())
          status = writer->Append(whole.data(), static_cast<int64_t>(whole.size() * sizeof(float)));
      }
    }
  }
  if (root && status.ok()) status = writer->Finish();
  return AgreeOnStatus(mesh.world(), status);
}

std::string SaveName(int64_t step) {
  std::string digits = std::to_string(step);
  return "step_" + std::string(digits.size() < 8 ? 8 - digits.size() : 0, '0') + digits;
}

// Complete saves of a run folder by step, oldest first.
std::vector<std::pair<int64_t, fs::path>> Saves(const std::string& run_dir) {
  std::vector<std::pair<int64_t, fs::path>> saves;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run_dir, error)) {
    const std::string name = entry.path().filename().string();
    const std::string digits = name.rfind("step_", 0) == 0 ? name.substr(5) : "";
    if (digits.empty() || digits.size() > 18 ||
        digits.find_first_not_of("0123456789") != std::string::npos)
      continue;
    if (fs::exists(entry.path() / "state.json", error))
      saves.emplace_back(std::stoll(digits), entry.path());
  }
  std::sort(saves.begin(), saves.end());
  return saves;
}

absl::Status WriteState(const std::string& path, const RunState& run) {
  const nlohmann::json json = {{"format", 1},
                               {"step", run.step},
                               {"updates", run.updates},
                               {"skipped", run.skipped},
                               {"loss_scale", run.scaler.scale},
                               {"clean_steps", run.scaler.clean_steps},
                               {"hysteresis_left", run.scaler.hysteresis_left}};
  std::ofstream file(path);
  file << json.dump(2) << "\n";
  file.flush();
  if (!file) return absl::InternalError(path + ": cannot write: " + std::strerror(errno));
  return absl::OkStatus();
}

void SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

absl::Status Commit(const std::string& run_dir, const std::string& temporary, int64_t step,
                    int keep) {
  const std::string final_name = run_dir + "/" + SaveName(step);
  std::error_code error;
  SyncFolder(temporary);
  fs::remove_all(final_name, error);
  fs::rename(temporary, final_name, error);
  if (error)
    return absl::InternalError(final_name + ": cannot rename into place: " + error.message());
  SyncFolder(run_dir);
  const auto saves = Saves(run_dir);
  for (size_t i = 0; i + keep < saves.size(); ++i) fs::remove_all(saves[i].second, error);
  return absl::OkStatus();
}

absl::Status WriteSave(const std::string& run_dir, const std::string& temporary, Mesh& mesh,
                       Stream& stream, const ParamTable& table, const ShardedState& state,
                       const RunState& run, int keep) {
  const bool root = mesh.world().rank() == 0;
  absl::Status status;
  if (root) {
    std::error_code error;
    fs::remove_all(temporary, error);
    fs::create_directories(temporary, error);
    if (error)
      status = absl::InternalError(temporary + ": cannot create the folder: " + error.message());
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(mesh.world(), status));
  TL_RETURN_IF_ERROR(
      WriteTensors(temporary + "/weights.safetensors", mesh, stream, table, state, -1, 0));
  TL_RETURN_IF_ERROR(WriteTensors(temporary + "/optimizer.safetensors", mesh, stream, table, state,
                                  0, state.states()));
  if (root) {
    status = WriteState(temporary + "/state.json", run);
    if (status.ok()) status = Commit(run_dir, temporary, run.step, keep);
  }
  return AgreeOnStatus(mesh.world(), status);
}

}  // namespace

absl::Status SaveRun(const std::string& run_dir, Mesh& mesh, Stream& stream,
                     const ParamTable& table, const ShardedState& state, const RunState& run,
                     int keep) {
  const std::string temporary = run_dir + "/" + SaveName(run.step) + ".tmp";
  const absl::Status status = WriteSave(run_dir, temporary, mesh, stream, table, state, run, keep);
  if (!status.ok() && mesh.world().rank() == 0) {
    // Gives a full disk its space back.
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
  }
  return status;
}

absl::StatusOr<std::string> NewestSave(const std::string& run_dir) {
  const auto saves = Saves(run_dir);
  if (saves.empty())
    return absl::NotFoundError(run_dir + ": no complete save (step_*/state.json) in this folder");
  return saves.back().second.string();
}

absl::Status LoadRunState(const std::string& save, RunState* run) {
  const std::string path = save + "/state.json";
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(path + ": cannot open: " + std::strerror(errno));
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  const auto expected = [&](const std::string& what) {
    return absl::InvalidArgumentError(path + ": expected " + what);
  };
  for (const char* key : {"format", "step", "updates", "skipped", "clean_steps"}) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_unsigned() ||
        json[key] > std::numeric_limits<int64_t>::max())
      return expected(std::string("a whole number \"") + key + "\"");
  }
  if (!json.contains("hysteresis_left") || !json["hysteresis_left"].is_number_integer())
    return expected("a whole number \"hysteresis_left\"");
  if (!json.contains("loss_scale") || !json["loss_scale"].is_number() || !(json["loss_scale"] > 0))
    return expected("a positive number \"loss_scale\"");
  if (json["format"] != 1)
    return absl::InvalidArgumentError(path + ": format " + json["format"].dump() + ", expected 1");
  run->step = json["step"];
  run->updates = json["updates"];
  run->skipped = json["skipped"];
  run->scaler.scale = json["loss_scale"];
  run->scaler.clean_steps = json["clean_steps"];
  run->scaler.hysteresis_left = json["hysteresis_left"];
  return absl::OkStatus();
}

namespace {

// Fills a local parameter from whole tensors; padding is zero.
absl::Status ReadParam(const SafetensorsReader& reader, const Param& param, int state,
                       std::vector<float>& values) {
  values.assign(param.local.elements(), 0.0f);
  for (const PartShard& shard : param.shards) {
    const std::string& name = shard.part->name;
    TL_ASSIGN_OR_RETURN(
        const TensorInfo* tensor,
        reader.Find(state < 0 ? name : StateName(name, state), Dims(shard.part->shape)));
    absl::Status status;
    // Rows that are whole are contiguous in the file too: one read.
    if (shard.part->split_axis != 1) {
      const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
      if (shard.valid > 0)
        status = reader.Read(*tensor, shard.begin * columns, shard.valid * columns,
                             values.data() + shard.offset);
    } else {
      std::vector<float> whole(shard.part->shape.elements());
      status = reader.Read(*tensor, 0, static_cast<int64_t>(whole.size()), whole.data());
      ForEachRun(shard, [&](int64_t local, int64_t global, int64_t count) {
        std::copy_n(whole.data() + global, count, values.data() + local);
      });
    }
    TL_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status LoadOptimizer(const std::string& save, const ParamTable& table, ShardedState& state) {
  TL_ASSIGN_OR_RETURN(const auto reader, SafetensorsReader::Open(save + "/optimizer.safetensors"));
  std::vector<float> values;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (int i = 0; i < state.states(); ++i) {
      TL_RETURN_IF_ERROR(ReadParam(*reader, table[id], i, values));
      state.SetState(i, id, values.data());
    }
  }
  return absl::OkStatus();
}

absl::Status LoadWeights(const std::string& where, const ParamTable& table,
                         const std::function<void(ParamId, const float*)>& set) {
  std::string path = where;
  std::error_code error;
  if (fs::is_directory(where, error)) {
    path = where + "/weights.safetensors";
    if (!fs::exists(path, error)) {
      TL_ASSIGN_OR_RETURN(const std::string save, NewestSave(where));
      path = save + "/weights.safetensors";
    }
  }
  TL_ASSIGN_OR_RETURN(const auto reader, SafetensorsReader::Open(path));
  std::vector<float> values;
  for (ParamId id = 0; id < table.size(); ++id) {
    TL_RETURN_IF_ERROR(ReadParam(*reader, table[id], -1, values));
    set(id, values.data());
  }
  return absl::OkStatus();
}

}  // namespace tl
