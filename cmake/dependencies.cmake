# SPDX-License-Identifier: Apache-2.0
# Finds the libraries that every build needs, and refuses versions that do not serve.
include(CheckCSourceCompiles)

# trunkline_serves(NAME FOUND FIRST BELOW): versions from FIRST on serve, up to but without BELOW.
function(trunkline_serves name found first below)
  if(found VERSION_LESS first OR NOT found VERSION_LESS below)
    message(FATAL_ERROR
      "${name} ${found} does not serve: it must be ${first} or newer, and older than ${below}")
  endif()
endfunction()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "g++ ${CMAKE_CXX_COMPILER_VERSION} does not serve: 12 or newer is needed")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "clang ${CMAKE_CXX_COMPILER_VERSION} does not serve: 14 or newer is needed")
endif()

find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(MPI REQUIRED COMPONENTS C)
trunkline_serves(MPI ${MPI_C_VERSION} 3.1 5)
find_package(absl REQUIRED)
trunkline_serves(Abseil ${absl_VERSION} 20220623 20250000)
find_package(dnnl REQUIRED)
trunkline_serves(oneDNN ${dnnl_VERSION} 2.6 4)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy libhwy-contrib)
trunkline_serves(Highway ${hwy_libhwy_VERSION} 1.0 2)
pkg_search_module(hdf5 REQUIRED IMPORTED_TARGET hdf5-serial hdf5)
trunkline_serves(HDF5 ${hdf5_VERSION} 1.10 1.15)
# As an archive where that links: the shared library needs those of a whole web client. Debian 13's
# archive needs them too.
find_library(TRUNKLINE_HDF5_ARCHIVE libhdf5_serial.a)
find_library(TRUNKLINE_SZIP sz)
find_library(TRUNKLINE_ZLIB z)
add_library(trunkline_hdf5 INTERFACE)
if(TRUNKLINE_HDF5_ARCHIVE AND TRUNKLINE_SZIP AND TRUNKLINE_ZLIB)
  set(CMAKE_REQUIRED_INCLUDES ${hdf5_INCLUDE_DIRS})
  set(CMAKE_REQUIRED_LIBRARIES ${TRUNKLINE_HDF5_ARCHIVE} ${TRUNKLINE_SZIP} ${TRUNKLINE_ZLIB}
    ${CMAKE_DL_LIBS} m)
  check_c_source_compiles("
    #include <hdf5.h>
    int main(void) { return H5Fopen(\"file\", H5F_ACC_RDONLY, H5P_DEFAULT) < 0; }"
    TRUNKLINE_HDF5_ARCHIVE_LINKS)
  set(hdf5_archive ${CMAKE_REQUIRED_LIBRARIES})
  unset(CMAKE_REQUIRED_INCLUDES)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(TRUNKLINE_HDF5_ARCHIVE_LINKS)
  target_include_directories(trunkline_hdf5 SYSTEM INTERFACE ${hdf5_INCLUDE_DIRS})
  target_link_libraries(trunkline_hdf5 INTERFACE ${hdf5_archive})
else()
  target_link_libraries(trunkline_hdf5 INTERFACE PkgConfig::hdf5)
endif()
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(png REQUIRED IMPORTED_TARGET libpng)
trunkline_serves(libpng ${png_VERSION} 1.6 2)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
# Not by pkg-config: Debian 13's file asks for protobuf's headers, which only a static link needs.
find_path(TRUNKLINE_SENTENCEPIECE_HEADERS sentencepiece_processor.h)
find_library(TRUNKLINE_SENTENCEPIECE sentencepiece)
find_library(TRUNKLINE_SENTENCEPIECE_TRAIN sentencepiece_train)
foreach(part TRUNKLINE_SENTENCEPIECE_HEADERS TRUNKLINE_SENTENCEPIECE TRUNKLINE_SENTENCEPIECE_TRAIN)
  if(NOT ${part})
    message(FATAL_ERROR "SentencePiece is missing (${part}); Debian calls it libsentencepiece-dev")
  endif()
endforeach()
add_library(trunkline_sentencepiece INTERFACE)
target_include_directories(trunkline_sentencepiece SYSTEM INTERFACE
  ${TRUNKLINE_SENTENCEPIECE_HEADERS})
target_link_libraries(trunkline_sentencepiece INTERFACE
  ${TRUNKLINE_SENTENCEPIECE} ${TRUNKLINE_SENTENCEPIECE_TRAIN})
