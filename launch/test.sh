#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the tests.
#   launch/test.sh              format, layering, unit tests, tests on 2 and 4 ranks
#   launch/test.sh --long       and the long ones
#   launch/test.sh --sanitize   and the unit tests with AddressSanitizer and UBSan
#   launch/test.sh --peers      and the comparisons with PyTorch and others from PyPI, in .venv/
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

long=no
sanitize=no
peers=no
for option; do
  case $option in
    --long) long=yes ;;
    --sanitize) sanitize=yes ;;
    --peers) peers=yes ;;
    *) die "unknown option $option; see the top of launch/test.sh" ;;
  esac
done

launch/setup.sh --tests

say "checking the format"
git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' |
  xargs -0 -n 16 -P "$cores" clang-format-19 --dry-run -Werror

if command -v shellcheck > /dev/null; then
  git ls-files -z '*.sh' | xargs -0 shellcheck -x -S warning
fi

say "building"
launch/build.sh --ci

local_mpi_environment
# Two tests at a time share the cores: threads that spin would only take turns.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"

builder=
if [[ $sanitize == yes ]]; then
  # Many tests wait: the moments in which they do compile what is tested next.
  mkdir -p build-asan
  set -m
  nice -n 19 launch/build.sh --sanitize > build-asan/build.log 2>&1 &
  builder=$!
  set +m
  trap 'kill -- "-$builder" 2> /dev/null || true' EXIT
fi

say "testing"
ctest --test-dir build --output-on-failure -j "$cores" -LE long

if [[ $sanitize == yes ]]; then
  say "building with sanitizers"
  wait "$builder" || {
    tail -n 50 build-asan/build.log
    die "the build with sanitizers failed; see build-asan/build.log"
  }
  say "testing with sanitizers"
  ctest --test-dir build-asan --output-on-failure -j "$cores" -R '^unit\.' -LE long
fi

if [[ $long == yes ]]; then
  say "testing at length"
  ctest --test-dir build --output-on-failure -L long
fi

if [[ $peers == yes ]]; then
  say "comparing with others"
  launch/setup.sh --peers
  if [[ ! -x .venv/bin/python ]]; then
    python3 -m venv .venv
  fi
  .venv/bin/pip install --quiet -r tests/peers/requirements.txt
  tests/peers/run.sh
fi

say "all tests passed"
