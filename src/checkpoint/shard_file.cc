// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/shard_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/files.h"
#include "base/status.h"
#include "checkpoint/hdf5_image.h"

namespace tl {
namespace {

// Smaller datasets are packed: a model has many norms and biases.
constexpr int64_t kAlignFrom = 64 << 10;
// The kernel is told to begin writing after so many bytes, so that fsync finds little to do.
constexpr int64_t kWritebackBytes = 32 << 20;

// Upper bounds of what HDF5 adds: to a file, and to a dataset with its attributes and alignment.
constexpr int64_t kMostFileOverhead = 64 << 10, kMostPieceOverhead = 8 << 10;

// Creates the datasets and sets the pieces' offsets.
absl::Status LayOut(const Hdf5Image& image, const std::vector<TensorRecord>& tensors,
                    std::vector<Piece>& pieces) {
  const H5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(creation, H5D_CONTIGUOUS);
  H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER);
  const H5Handle links = MakeGroups();
  for (Piece& piece : pieces) {
    const TensorRecord& tensor = tensors[piece.tensor];
    const std::string name = DatasetName(tensor);
    const hsize_t size = static_cast<hsize_t>(piece.elements());
    const H5Handle space(H5Screate_simple(1, &size, nullptr), H5Sclose);
    const H5Handle dataset(H5Dcreate2(image.file(), name.c_str(), FloatType(tensor.dtype), space,
                                      links, creation, H5P_DEFAULT),
                           H5Dclose);
    if (dataset < 0 || !SetAttribute(dataset, "shape", Dims(tensor.shape)) ||
        !SetAttribute(dataset, "box_begin", Dims(piece.box.begin)) ||
        !SetAttribute(dataset, "box_size", Dims(piece.box.size)) ||
        !SetAttribute(dataset, "range", {piece.begin, piece.end}))
      return Hdf5Error("create dataset " + name);
    const haddr_t offset = H5Dget_offset(dataset);
    if (offset == HADDR_UNDEF) return Hdf5Error("place dataset " + name);
    piece.offset = static_cast<int64_t>(offset);
  }
  return absl::OkStatus();
}

class Writer {
 public:
  Writer(const File& file, const std::string& path, std::atomic<int64_t>* written)
      : file_(file), path_(path), written_(written) {}

  // What is in no piece: HDF5's own.
  absl::Status CopyRest(const File& image, int64_t begin, int64_t end, uint32_t* crc) {
    while (begin < end) {
      const int64_t n = std::min<int64_t>(end - begin, kBlockBytes);
      buffer_.resize(static_cast<size_t>(n));
      TL_RETURN_IF_ERROR(ReadAt(image, buffer_.data(), buffer_.size(), begin, path_));
      *crc = ExtendCrc32c(*crc, buffer_.data(), buffer_.size());
      TL_RETURN_IF_ERROR(WriteAt(file_, buffer_.data(), buffer_.size(), begin, path_));
      begin += n;
    }
    return absl::OkStatus();
  }

  absl::Status WritePiece(const ShardPiece& from, int64_t width, int64_t block_bytes,
                          Piece* piece) {
    const int64_t block = block_bytes / width, count = piece->elements();
    for (int64_t first = 0; first < count; first += block) {
      const int64_t n = std::min(block, count - first);
      const std::byte* data = nullptr;
      if (from.data != nullptr) {
        data = from.data + first * width;
      } else {
        buffer_.resize(static_cast<size_t>(n * width));
        TL_RETURN_IF_ERROR(from.fill(first, n, buffer_.data()));
        data = buffer_.data();
      }
      const auto bytes = static_cast<size_t>(n * width);
      piece->crcs.push_back(Crc32c(data, bytes));
      TL_RETURN_IF_ERROR(WriteAt(file_, data, bytes, piece->offset + first * width, path_));
      if (written_ != nullptr) *written_ += n * width;
      pending_ += n * width;
      if (pending_ >= kWritebackBytes) {
        const int64_t end = piece->offset + (first + n) * width;
        // A hint: errors show in fsync.
        sync_file_range(file_.fd(), end - pending_, pending_, SYNC_FILE_RANGE_WRITE);
        pending_ = 0;
      }
    }
    return absl::OkStatus();
  }

 private:
  const File& file_;
  const std::string& path_;
  std::atomic<int64_t>* written_;
  std::vector<std::byte> buffer_;
  int64_t pending_ = 0;
};

absl::Status Reserve(const File& file, int64_t bytes, const std::string& path) {
  int error = 0;
  do {
    error = fallocate(file.fd(), 0, 0, bytes) == 0 ? 0 : errno;
  } while (error == EINTR);
  // Some file systems cannot; then writing finds out.
  if (error == 0 || error == EOPNOTSUPP || error == ENOSYS) return absl::OkStatus();
  return SystemError(path, absl::StrCat("reserve ", bytes, " bytes"), error);
}

}  // namespace

absl::StatusOr<FileRecord> WriteShard(const std::string& folder, const std::string& name,
                                      const std::vector<TensorRecord>& tensors,
                                      const std::vector<ShardPiece>& pieces, int64_t block_bytes,
                                      std::atomic<int64_t>* written) {
  const std::string path = folder + "/" + name;
  FileRecord record;
  record.name = name;
  std::vector<const ShardPiece*> sources(tensors.size());
  for (const ShardPiece& piece : pieces) {
    record.pieces.push_back({.tensor = piece.tensor,
                             .box = piece.box,
                             .begin = piece.begin,
                             .end = piece.end,
                             .offset = 0,
                             .crcs = {}});
    TL_CHECK(sources[piece.tensor] == nullptr) << tensors[piece.tensor].name << " twice in a shard";
    sources[piece.tensor] = &piece;
  }
  int64_t most_bytes = kMostFileOverhead;
  for (const Piece& piece : record.pieces)
    most_bytes += kMostPieceOverhead +
                  piece.elements() * static_cast<int64_t>(SizeOf(tensors[piece.tensor].dtype));
  TL_ASSIGN_OR_RETURN(Hdf5Image image, Hdf5Image::Create(path, kAlignFrom, most_bytes));
  TL_RETURN_IF_ERROR(LayOut(image, tensors, record.pieces));
  TL_RETURN_IF_ERROR(image.Close());
  TL_ASSIGN_OR_RETURN(record.bytes, FileSize(image.bytes(), path));
  std::sort(record.pieces.begin(), record.pieces.end(),
            [](const Piece& a, const Piece& b) { return a.offset < b.offset; });
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_RDWR | O_CREAT | O_EXCL));
  TL_RETURN_IF_ERROR(Reserve(file, record.bytes, path));
  Writer writer(file, path, written);
  int64_t rest = 0;
  for (Piece& piece : record.pieces) {
    const auto width = static_cast<int64_t>(SizeOf(tensors[piece.tensor].dtype));
    TL_RETURN_IF_ERROR(writer.CopyRest(image.bytes(), rest, piece.offset, &record.rest_crc));
    TL_RETURN_IF_ERROR(writer.WritePiece(*sources[piece.tensor], width, block_bytes, &piece));
    rest = piece.offset + piece.elements() * width;
  }
  TL_RETURN_IF_ERROR(writer.CopyRest(image.bytes(), rest, record.bytes, &record.rest_crc));
  TL_RETURN_IF_ERROR(Sync(file, path));
  if (const int error = file.Close(); error != 0) return SystemError(path, "write", error);
  return record;
}

}  // namespace tl
