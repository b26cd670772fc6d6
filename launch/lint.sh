#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Reads the code with clang-tidy 19, as .clang-tidy says. src/ and kernels/ take half an hour of a core,
# the tests some hours.
#   launch/lint.sh                src/ and kernels/, in the batches of the build
#   launch/lint.sh --tests        and the tests
#   launch/lint.sh FILE...        these files, and the project's headers that they include
#   launch/lint.sh --jobs N ...   so many at a time; as many as there are cores by default
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

jobs=$cores
skip='/(generated|CMakeFiles|tests)/'
while [[ ${1:-} == --* ]]; do
  case $1 in
    --jobs)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--jobs ${2:-}: expected a number"
      jobs=$2
      shift
      ;;
    --tests) skip='/(generated|CMakeFiles)/' ;;
    *) die "unknown option $1; see the top of launch/lint.sh" ;;
  esac
  shift
done

launch/setup.sh --tests --lint
command -v clang-tidy-19 > /dev/null || die "clang-tidy-19 is missing"

# The kernels of cuda/ are read as the SIMT machine of the tests has them compiled, by a C++ compiler.
directory=build-lint
mkdir -p "$directory"
cmake --preset ci -B "$directory" -DTRUNKLINE_CUDA=OFF > "$directory/configure.log" || {
  cat "$directory/configure.log"
  die "cmake could not configure $directory"
}
cmake --build "$directory" --target trunkline_version > /dev/null

# Each file once: the kernels' tests are compiled for the SIMT machine too.
mkdir -p "$directory/lint"
awk '
  /^{/ { entry = ""; next }
  /^}/ { if (!(file in seen)) { printf "%s{\n%s}", count++ ? ",\n" : "[\n", entry; seen[file] = 1 } next }
  /^  "file":/ { file = $0; sub(/^  "file": "/, "", file); sub(/",?$/, "", file) }
  /^  / { entry = entry $0 "\n" }
  END { print "\n]" }
' "$directory/compile_commands.json" > "$directory/lint/compile_commands.json"

# Of generated files the batches alone.
if (($#)); then
  files=("$@")
else
  mapfile -t files < <(sed -n 's/^  "file": "\(.*\)",\?$/\1/p' "$directory/lint/compile_commands.json" |
    sed "s|^$PWD/||" |
    awk -v skip="$skip" '/\/Unity\/unity_/ || ("/" $0) !~ skip')
fi

export findings=$directory/lint/findings.txt
: > "$findings"
# Prints what is found in a file, or why it cannot be read.
read_one() {
  local said
  if ! said=$(clang-tidy-19 -p build-lint/lint --quiet "$1" 2>&1); then
    grep -vE '^[0-9]+ warnings? ' <<< "$said" | tee -a "$findings"
    return 1
  fi
}
export -f read_one
say "reading ${#files[@]} files"
# shellcheck disable=SC2016
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$jobs" bash -c 'read_one "$1"' _ ||
  die "clang-tidy found $(grep -E '(error|warning): ' "$findings" | sort -u | wc -l) things: $findings"
say "clang-tidy found nothing"
