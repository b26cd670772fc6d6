#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# launch/kjv_relabel.awk: one made-up name for a chapter, as long as the book's, and nothing else new.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
text='1Chr1:1 Adam, Sheth, Enosh,
1Chr1:2 Kenan, Mahalaleel, Jered,
1Chr2:1 These are the sons of Israel;
SSol1:1 The song of songs, which is Solomon'\''s.
no verse'
renamed=$(awk -f "$root/launch/kjv_relabel.awk" <<< "$text")
fail() { echo "$1:"; echo "$renamed"; exit 1; }

[[ ${#renamed} == "${#text}" ]] || fail "the size has changed"
[[ $(sed -E 's/^(1?)[A-Za-z]+/\1/' <<< "$renamed") == "$(sed -E 's/^(1?)[A-Za-z]+/\1/' <<< "$text")" ]] ||
  fail "more than names has changed"
[[ $(tail -n 1 <<< "$renamed") == "no verse" ]] || fail "a line without a verse has changed"
mapfile -t names < <(grep -oE '^[1-3]?[A-Za-z]+[0-9]+:' <<< "$renamed" | sed -E 's/[0-9]+:$//')
[[ ${names[0]} == "${names[1]}" && ${names[0]} != "${names[2]}" ]] || fail "not a name for a chapter"
[[ ${names[0]} != 1Chr && ${names[3]} != SSol ]] || fail "a book has kept its name"
[[ $renamed == "$(awk -f "$root/launch/kjv_relabel.awk" <<< "$text")" ]] || fail "another run differs"
echo "passed"
