#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Puts into a bundle's folder the licences of what it packs: this project's, and for every Debian
# package that a packed file is of, or whose headers or archives are compiled in, its copyright file,
# as licenses/PACKAGE/copyright. licenses/packages.txt names them with their versions and sources,
# licenses/files.txt the package of each file. Reads from stdin the paths of what was packed.
#   launch/bundle_licenses.sh /FOLDER < PATHS
[[ $# == 1 && $1 == /* ]] || { echo "usage: launch/bundle_licenses.sh /FOLDER < PATHS" >&2; exit 2; }
# shellcheck source=launch/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Compiled in: HDF5's archive, libraries that are headers alone, and the tests' library.
compiled_in=(libhdf5-dev libabsl-dev libcli11-dev libhwy-dev libspdlog-dev nlohmann-json3-dev
  libtomlplusplus-dev libgtest-dev)

root=$1
licenses=$root/licenses
mkdir -p "$licenses"
cp LICENSE NOTICE "$root/"
sort -u > "$licenses/paths"

# Prints PATH TAB PACKAGE for every path of a package. dpkg knows a file by one of its names: with
# /usr or without, before or after links are followed.
packages_of_paths() {
  local path name
  while IFS= read -r path; do
    for name in "$path" "$(readlink -f "$path")"; do
      printf '%s\t%s\n%s\t%s\n' "${name#/usr}" "$path" "/usr${name#/usr}" "$path"
    done
  done < "$licenses/paths" | sort -u > "$licenses/names"
  cut -f1 "$licenses/names" | xargs -d '\n' -r dpkg-query -S 2> /dev/null |
    awk -F '\t' -v OFS='\t' '
      NR == FNR { paths[$1] = paths[$1] "\n" $2; next }
      {
        at = index($0, ": ")
        package = substr($0, 1, at - 1)
        sub(/[:,].*/, "", package)  # its architecture, and packages that share the file
        count = split(paths[substr($0, at + 2)], list, "\n")
        for (i = 2; i <= count; i++) print list[i], package
      }' "$licenses/names" - | sort -u || true
}
packages_of_paths > "$licenses/packages"

awk -F '\t' '
  NR == FNR { package[$1] = $2; next }
  { n = split($1, part, "/"); print part[n] "\t" (($1 in package) ? package[$1] : "?") }
' "$licenses/packages" "$licenses/paths" | sort -u > "$licenses/files.txt"
if unknown=$(grep $'\t?$' "$licenses/files.txt" | cut -f1 | paste -sd ' '); [[ -n $unknown ]]; then
  echo "warning: of no Debian package, so add the licence to $licenses: $unknown" >&2
fi

{
  cut -f2 "$licenses/packages"
  # shellcheck disable=SC2016
  dpkg-query -W -f='${db:Status-Abbrev}\t${Package}\n' "${compiled_in[@]}" 2> /dev/null |
    awk -F '\t' '$1 ~ /^ii/ {print $2}' || true
} | sort -u > "$licenses/names"
while IFS= read -r package; do
  notice=/usr/share/doc/$package/copyright
  [[ -s $notice ]] || die "$notice is missing: expected the licence of the packed $package"
  mkdir -p "$licenses/$package"
  cp -L "$notice" "$licenses/$package/copyright"
  # shellcheck disable=SC2016
  dpkg-query -W -f='${Package} ${Version}, source ${source:Package} ${source:Version}\n' "$package" |
    head -n 1
done < "$licenses/names" > "$licenses/packages.txt"

# The texts that those files refer to.
mkdir -p "$licenses/common-licenses"
grep -rohE '/usr/share/common-licenses/[A-Za-z0-9.-]*[A-Za-z0-9]' "$licenses" --include=copyright |
  sort -u | while IFS= read -r text; do
  if [[ -s $text ]]; then
    cp -L "$text" "$licenses/common-licenses/"
  fi
done

# CUDA's runtime is linked statically.
terms=${CUDA_HOME:-/usr/local/cuda}/EULA.txt
if [[ -s $terms ]]; then
  mkdir -p "$licenses/cuda"
  cp -L "$terms" "$licenses/cuda/"
fi
rm "$licenses/paths" "$licenses/names" "$licenses/packages"
[[ -s $licenses/files.txt ]] || rm "$licenses/files.txt"
