// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/files.h"
#include "base/status.h"
#include "checkpoint/hdf5_image.h"
#include "checkpoint/shard_file.h"

namespace tl {
namespace {

// Upper bounds of what a file, a tensor and the map of a piece take.
constexpr int64_t kMostFileBytes = 64 << 10, kMostTensorBytes = 8 << 10, kMostPieceBytes = 4 << 10;

// Elements [begin, end) of a box of rows x columns are at most three rectangles: the end of a row,
// whole rows, the start of a row. For a vector columns is 1. Calls visit(row, column, rows,
// columns, first), first being the rectangle's first element within the range.
template <typename Visit>
bool ForEachRectangle(int64_t columns, int64_t begin, int64_t end, const Visit& visit) {
  for (int64_t at = begin; at < end;) {
    const int64_t row = at / columns, column = at % columns;
    int64_t rows = 1, width = std::min(columns - column, end - at);
    if (column == 0 && end - at >= columns) {
      rows = (end - at) / columns;
      width = columns;
    }
    if (!visit(row, column, rows, width, at - begin)) return false;
    at += rows * width;
  }
  return true;
}

absl::Status AddPiece(hid_t creation, hid_t whole_space, const TensorRecord& tensor,
                      const std::string& file, const Piece& piece) {
  const int rank = tensor.shape.rank();
  const int64_t columns = rank == 1 ? 1 : piece.box.size[1];
  const hsize_t size = static_cast<hsize_t>(piece.elements());
  const H5Handle source(H5Screate_simple(1, &size, nullptr), H5Sclose);
  const H5Handle target(H5Scopy(whole_space), H5Sclose);
  const std::string name = DatasetName(tensor);
  const bool ok = ForEachRectangle(
      columns, piece.begin, piece.end,
      [&](int64_t row, int64_t column, int64_t rows, int64_t width, int64_t first) {
        const hsize_t start[] = {static_cast<hsize_t>(piece.box.begin[0] + row),
                                 static_cast<hsize_t>(rank == 1 ? 0 : piece.box.begin[1] + column)};
        const hsize_t count[] = {static_cast<hsize_t>(rows), static_cast<hsize_t>(width)};
        const auto from = static_cast<hsize_t>(first), n = static_cast<hsize_t>(rows * width);
        return H5Sselect_hyperslab(target, H5S_SELECT_SET, start, nullptr, count, nullptr) >= 0 &&
               H5Sselect_hyperslab(source, H5S_SELECT_SET, &from, nullptr, &n, nullptr) >= 0 &&
               H5Pset_virtual(creation, target, file.c_str(), name.c_str(), source) >= 0;
      });
  return ok ? absl::OkStatus() : Hdf5Error("map " + name + " of " + file);
}

absl::Status AddTensor(hid_t file, const Manifest& manifest, int index) {
  const TensorRecord& tensor = manifest.tensors[index];
  if (tensor.shape.rank() > 2)
    return absl::UnimplementedError(tensor.name + ": model.h5 takes vectors and matrices");
  const hsize_t dims[] = {static_cast<hsize_t>(tensor.shape[0]),
                          static_cast<hsize_t>(tensor.shape.rank() == 1 ? 1 : tensor.shape[1])};
  const H5Handle space(H5Screate_simple(tensor.shape.rank(), dims, nullptr), H5Sclose);
  const H5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  for (const FileRecord& shard : manifest.files) {
    for (const Piece& piece : shard.pieces) {
      if (piece.tensor == index)
        TL_RETURN_IF_ERROR(AddPiece(creation, space, tensor, shard.name, piece));
    }
  }
  const H5Handle dataset(H5Dcreate2(file, tensor.name.c_str(), FloatType(tensor.dtype), space,
                                    H5P_DEFAULT, creation, H5P_DEFAULT),
                         H5Dclose);
  return dataset >= 0 ? absl::OkStatus() : Hdf5Error("create dataset " + tensor.name);
}

}  // namespace

absl::StatusOr<FileRecord> WriteModelFile(const std::string& folder, const Manifest& manifest) {
  const std::string path = folder + "/" + kModelFileName;
  int64_t most_bytes =
      kMostFileBytes + kMostTensorBytes * static_cast<int64_t>(manifest.tensors.size());
  for (const FileRecord& shard : manifest.files)
    most_bytes += kMostPieceBytes * static_cast<int64_t>(shard.pieces.size());
  TL_ASSIGN_OR_RETURN(Hdf5Image image, Hdf5Image::Create(path, kBlockBytes, most_bytes));
  for (size_t i = 0; i < manifest.tensors.size(); ++i) {
    if (manifest.tensors[i].is_weight())
      TL_RETURN_IF_ERROR(AddTensor(image.file(), manifest, static_cast<int>(i)));
  }
  TL_RETURN_IF_ERROR(image.Close());
  TL_ASSIGN_OR_RETURN(const std::string bytes,
                      ReadWholeFile(image.bytes(), int64_t{1} << 30, path));
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
  TL_RETURN_IF_ERROR(WriteAll(file, bytes.data(), bytes.size(), path));
  TL_RETURN_IF_ERROR(Sync(file, path));
  return FileRecord{.name = kModelFileName,
                    .bytes = static_cast<int64_t>(bytes.size()),
                    .rest_crc = Crc32c(bytes.data(), bytes.size()),
                    .pieces = {}};
}

absl::Status FinishCheckpoint(const std::string& folder, Manifest* manifest) {
  TL_RETURN_IF_ERROR(CheckCoverage(*manifest));
  for (const FileRecord& file : manifest->files) {
    const std::string path = folder + "/" + file.name;
    TL_ASSIGN_OR_RETURN(const File shard, OpenFile(path, O_RDONLY));
    TL_ASSIGN_OR_RETURN(const int64_t bytes, FileSize(shard, path));
    if (bytes != file.bytes)
      return absl::DataLossError(
          absl::StrCat(path, ": has ", bytes, " bytes, expected ", file.bytes));
  }
  TL_ASSIGN_OR_RETURN(FileRecord model, WriteModelFile(folder, *manifest));
  manifest->files.push_back(std::move(model));
  const std::string path = absl::StrCat(folder, "/", kManifestName);
  const std::string text = WriteManifest(*manifest);
  if (static_cast<int64_t>(text.size()) > kMaxManifestBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": expected at most ", kMaxManifestBytes, " bytes, found ", text.size(),
                     ": a tensor on a rank takes some 130; larger [parallel] bucket_elements and "
                     "fewer ranks make fewer pieces"));
  }
  TL_ASSIGN_OR_RETURN(File file, OpenFile(path, O_WRONLY | O_CREAT | O_EXCL));
  TL_RETURN_IF_ERROR(WriteAll(file, text.data(), text.size(), path));
  return Sync(file, path);
}

}  // namespace tl
