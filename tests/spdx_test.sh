#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every source file names its licence within its first three lines (a shebang and what else must come
# first may stand before it).
# spdx_test.sh ROOT prints every file of ROOT that does not, and fails if there is one. Without ROOT
# it checks this project, after showing on a made-up tree that it would notice.
set -euo pipefail

check() (
  cd "$1"
  bad=$(find . \( -name '.?*' -o -path './build*' -o -path './runs' -o -path './data' -o \
      -path './checkpoints' \) -prune -o -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o \
      -name '*.cuh' -o -name '*.h.in' -o -name '*.sh' -o -name '*.py' -o -name '*.awk' -o \
      -name '*.cmake' -o -name CMakeLists.txt -o -path './configs/*.toml' \) -print0 | sort -z |
    xargs -0 -r awk '
      FNR == 1 { if (file != "" && !found) print file; file = FILENAME; found = 0 }
      FNR <= 3 && /^(\/\/|#) SPDX-License-Identifier: Apache-2\.0$/ { found = 1 }
      FNR == 3 { nextfile }
      END { if (file != "" && !found) print file }')
  while read -r file; do
    [[ -z $file ]] || echo "${file#./}: expected the line SPDX-License-Identifier: Apache-2.0"
  done <<< "$bad"
  [[ -z $bad ]]
)

if (($# == 1)); then
  check "$1"
  exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{src,launch,build-x,configs}
printf '// SPDX-License-Identifier: Apache-2.0\n#pragma once\n' > "$scratch/src/x.h"
printf '#!/bin/bash\n# SPDX-License-Identifier: Apache-2.0\n' > "$scratch/launch/x.sh"
printf '#pragma once\n' > "$scratch/build-x/x.h"
check "$scratch" || { echo "control: a tree of files with the line is refused"; exit 1; }
for name in src/y.cc src/y.cu src/y.h.in launch/y.py configs/y.toml CMakeLists.txt; do
  for text in 'int x;' '// SPDX-License-Identifier: MIT' $'\n\n\n// SPDX-License-Identifier: Apache-2.0'; do
    echo "$text" > "$scratch/$name"
    if check "$scratch" > /dev/null; then
      echo "negative control: $name with \"$text\" is accepted"
      exit 1
    fi
  done
  rm "$scratch/$name"
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."
check .
