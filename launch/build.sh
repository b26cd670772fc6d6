#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the program as build/trunkline.
#   launch/build.sh                the program
#   launch/build.sh --tests        and the tests
#   launch/build.sh --ci           the same, warnings as errors
#   launch/build.sh --sanitize     the unit tests with AddressSanitizer and UBSan, in build-asan/
# What follows "--" goes to cmake's configure step: launch/build.sh -- -DCMAKE_CXX_COMPILER=clang++
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=release
directory=build
target=trunkline
options=()
configure=no
while (($#)); do
  case $1 in
    --tests) target=all ;;
    --ci)
      preset=ci
      target=all
      ;;
    --sanitize)
      preset=sanitize
      directory=build-asan
      target=unit_tests
      ;;
    --)
      shift
      options+=("$@")
      configure=yes
      break
      ;;
    *) die "unknown option $1; see the top of launch/build.sh" ;;
  esac
  shift
done

# ninja configures again by itself when a CMake file changes. A first build of the program alone
# must not need the packages of the tests; once the tests are on, they stay on.
cache=$directory/CMakeCache.txt
if [[ ! -f $directory/build.ninja ]]; then
  configure=yes
  if [[ $target == trunkline ]]; then
    options+=(-DTRUNKLINE_TESTS=OFF)
  fi
  if command -v ccache > /dev/null; then
    options+=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
fi
if [[ $target != trunkline ]] && ! grep -qs '^TRUNKLINE_TESTS:BOOL=ON' "$cache"; then
  configure=yes
  options+=(-DTRUNKLINE_TESTS=ON)
fi
if [[ $preset == ci ]] && ! grep -qs '^TRUNKLINE_WARNINGS_AS_ERRORS:.*=ON' "$cache"; then
  configure=yes
fi
if [[ $configure == yes ]]; then
  mkdir -p "$directory"
  cmake --preset "$preset" "${options[@]}" > "$directory/configure.log" || {
    cat "$directory/configure.log"
    die "cmake could not configure $directory"
  }
fi
exec cmake --build "$directory" --target "$target"
