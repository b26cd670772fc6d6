#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every test that docs/internals/faults.md names is there: `Suite.Name` of GoogleTest, or a test of
# CTest as `program.relabel`.
# faults_test.sh TABLE checks another table. Without TABLE it also shows that it would notice one.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

# Prints the names of TABLE's last columns.
names() { awk -F'|' '/^\|/ && NF > 5 { print $(NF - 1) }' "$1" | grep -o '`[^`]*`' | tr -d '`'; }

there() {
  local suite=${1%%.*} name=${1#*.} source
  if [[ $suite == [A-Z]* ]]; then
    [[ $all == *"($suite, $name)"* ]]
  else
    for source in "$root"/tests/*/"${name##*.}"_{test,long_test}.{cc,sh}; do
      [[ -e $source ]] && return
    done
    return 1
  fi
}

check() {
  local name count=0 bad=0
  while read -r name; do
    count=$((count + 1))
    there "$name" || { echo "$1: there is no test $name"; bad=1; }
  done < <(names "$1")
  ((count > 0)) || { echo "$1 names no test"; bad=1; }
  return $bad
}

all=$(grep -rhoE --include='*_test.cc' '^(TYPED_)?TEST(_[FP])?\(.*' "$root/tests" | tr -d '\n' |
  sed 's/, */, /g')
if (($# == 1)); then
  check "$1"
  exit
fi
table=$root/docs/internals/faults.md
check "$table"
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
for name in CgroupTest.NoSuchTest NoSuchSuite.Version1WithoutQuota program.no_such; do
  sed "s/CgroupTest.Version1WithoutQuota/$name/" "$table" > "$scratch"
  ! check "$scratch" > /dev/null || { echo "a missing $name was not noticed"; exit 1; }
done
