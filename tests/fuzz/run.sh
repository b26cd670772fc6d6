#!/bin/bash
# Fuzzes a parser with clang's libFuzzer, AddressSanitizer and UBSan.
#   tests/fuzz/run.sh NAME SECONDS     NAME of tests/fuzz/NAME_fuzz.cc
# What it finds of interest is kept in build-fuzz/corpus/NAME/ for the next time; an input that
# fails is left in build-fuzz/ and belongs into tests/fuzz/seeds/NAME/ with the fix.
source "$(dirname "${BASH_SOURCE[0]}")/../../launch/common.sh"

name=${1:?name of a target, e.g. safetensors}
seconds=${2:?seconds to run}
# What a target needs of the program, so that no more is instrumented.
declare -A sources=(
  [safetensors]="src/checkpoint/safetensors.cc src/base/json.cc src/base/check.cc
    src/device/tensor.cc"
  [hf_json]="src/convert/hf_config.cc src/convert/hf_index.cc src/model/config.cc src/base/json.cc
    src/base/check.cc"
)
[[ -n ${sources[$name]:-} ]] || die "no target $name; there are: ${!sources[*]}"
command -v clang++ > /dev/null || die "clang++ is not installed"

mkdir -p "build-fuzz/corpus/$name"
flags=(-std=c++20 -O1 -g -Isrc -I. -fsanitize=fuzzer,address,undefined
  -fno-sanitize-recover=undefined)
# shellcheck disable=SC2086
clang++ "${flags[@]}" -o "build-fuzz/$name" "tests/fuzz/${name}_fuzz.cc" ${sources[$name]} \
  $(pkg-config --cflags --libs absl_status absl_statusor absl_strings absl_str_format)
"build-fuzz/$name" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
  -artifact_prefix="build-fuzz/$name-" "build-fuzz/corpus/$name" "tests/fuzz/seeds/$name"
