// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/hdf5_image.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tl {

absl::Status Hdf5Error(const std::string& what) {
  return absl::InternalError("HDF5: cannot " + what);
}

absl::StatusOr<Hdf5Image> Hdf5Image::Create(const std::string& path, int64_t align_from,
                                            int64_t most_bytes) {
  TL_RETURN_IF_ERROR(CheckFileSizeLimit(path, most_bytes));
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // statuses say what failed
  File memory(memfd_create("hdf5", MFD_CLOEXEC));
  if (!memory) return SystemError("memory for an HDF5 file", "get it", errno);
  const H5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // The default driver wants a name that realpath knows; this one takes any.
  H5Pset_fapl_stdio(access);
  H5Pset_alignment(access, static_cast<hsize_t>(align_from), 4096);
  const std::string name = absl::StrCat("/proc/self/fd/", memory.fd());
  const hid_t file = H5Fcreate(name.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access);
  if (file < 0) return Hdf5Error("create a file in memory");
  return Hdf5Image(std::move(memory), file);
}

absl::Status Hdf5Image::Close() {
  const H5Handle file = std::exchange(file_, H5Handle(-1, H5Fclose));
  if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0) return Hdf5Error("finish a file");
  return absl::OkStatus();
}

H5Handle FloatType(DType dtype) {
  H5Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  if (dtype == DType::kBF16) {
    H5Tset_fields(type, 15, 7, 8, 0, 7);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 127);
  } else if (dtype == DType::kF16) {
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
  }
  return type;
}

bool SetAttribute(hid_t object, const char* name, const std::vector<int64_t>& values) {
  const hsize_t size = values.size();
  const H5Handle space(H5Screate_simple(1, &size, nullptr), H5Sclose);
  const H5Handle attribute(H5Acreate2(object, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT),
                           H5Aclose);
  return attribute >= 0 && H5Awrite(attribute, H5T_NATIVE_INT64, values.data()) >= 0;
}

H5Handle MakeGroups() {
  H5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links, 1);
  return links;
}

}  // namespace tl
