#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the pages name is there.
# - In all pages: what their links lead to, the heading after a # too; every path below src/,
#   kernels/, tests/, docs/, configs/, launch/ or cmake/, with or without its extension. A name that
#   is only an example's is called x (kernels/x.h), and its folder must be there.
# - In those for developers (docs/internals/) and the glossary (docs/README.md): every file named alone
#   in backticks (`trunk.h`); every class, function and member in backticks (`Plan`, `Plan::Slot`),
#   somewhere in the code.
# - docs/README.md leads to every page. README.md has at most 120 lines, a guide fewer than 150.
# - Pictures are as their scripts draw them, where there is a Python.
# docs_test.sh PAGE checks one page. Without PAGE it also shows that it would notice what is missing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

readonly kPath='(?<![\w/.~-])(src|kernels|tests|docs|configs|launch|cmake)/[\w./{},*-]*[\w}*]'

# Prints the missing paths of those named on stdin.
missing_paths() {
  local path one
  while read -r path; do
    [[ $path == *"{"*"}"* ]] && path=$(eval "echo $path")  # letters, dots, commas and braces alone
    for one in $path; do
      [[ ${one##*/} =~ ^(x|[a-z]+_x)([._]|$) ]] && one=${one%/*}
      compgen -G "$one" > /dev/null || compgen -G "$one.*" > /dev/null || echo "$one"
    done
  done
}

# Prints the missing ones of the names on stdin, `Class`, `Class::Member` or `file.h`.
missing_names() {
  local name class member
  while read -r name; do
    if [[ $name == *.* ]]; then
      [[ ${name%%.*} == x || $'\n'$files$'\n' == *$'\n'"$name"$'\n'* ]] || echo "$name"
      continue
    fi
    class=${name%%::*} member=${name##*::}
    grep -qxF -e "$class" <<< "$words" || { echo "$name"; continue; }
    [[ $member == "$class" ]] ||
      grep -rlwF --include='*.h' --include='*.cc' --include='*.cuh' -e "$class" src kernels |
        xargs -r grep -qwF -e "$member" || echo "$name"
  done
}

# Prints a page without its blocks of code.
prose() { awk '/^ *```/ { code = !code; next } !code' "$1"; }

# Prints what the headings of a page are called after a #, as GitHub makes it.
anchors() {
  prose "$1" | sed -nE 's/^#+ //p' | tr '[:upper:]' '[:lower:]' | sed -E 's/[^[:alnum:] _-]//g; s/ /-/g'
}

# Prints the links of a page, without those to other hosts.
links() { prose "$1" | { grep -oP '\]\(\K[^)\s]+' || true; } | { grep -vE '^[a-z]+:' || true; }; }

# Prints the links of a page that lead nowhere.
broken_links() {
  local page=$1 link path
  while read -r link; do
    path=${link%%#*}
    path=${path:+$(dirname "$page")/$path}
    path=${path:-$page}
    if [[ ! -e $path ]]; then
      echo "$link"
    elif [[ $link == *"#"* ]] && ! grep -qxF -e "${link#*#}" <<< "$(anchors "$path")"; then
      echo "$link"
    fi
  done < <(links "$page")
}

check() {
  local page=$1 found bad=0
  found=$(grep -oP "$kPath" "$page" | sort -u | missing_paths)
  found+=$'\n'$(broken_links "$page")
  if [[ $page == docs/internals/* || $page == docs/README.md || $page == "$scratch" ]]; then
    found+=$'\n'$(grep -oP '`\K([A-Z]\w*[a-z]\w*(::\w+)*(?=(\(\))?`)|\w+\.(h|cc|cu|cuh|sh|py|md)(?=`))' \
      "$page" | sort -u | missing_names)
  fi
  while read -r name; do
    [[ -z $name ]] || { echo "$page names $name, which is not there"; bad=1; }
  done <<< "$found"
  return $bad
}

words=$(grep -rohE --include='*.h' --include='*.cc' --include='*.cu' --include='*.cuh' \
  '[A-Za-z_][A-Za-z0-9_]*' src kernels tests | sort -u)
files=$(find src kernels tests docs launch cmake configs -type f -printf '%f\n' | sort -u)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
scratch=$folder/page.md
if (($# == 1)); then
  check "$1"
  exit
fi
bad=0
mapfile -t pages < <(find README.md CONTRIBUTING.md CHANGELOG.md SECURITY.md docs \
  tests/simt/README.md -name '*.md' | sort)
for page in "${pages[@]}"; do check "$page" || bad=1; done

index=$(links docs/README.md)
for page in "${pages[@]}"; do
  [[ $page != docs/* || $page == docs/README.md ]] || grep -qxF -e "${page#docs/}" <<< "$index" ||
    { echo "docs/README.md does not lead to $page"; bad=1; }
done
(($(wc -l < README.md) <= 120)) || { echo "README.md has more than 120 lines"; bad=1; }
for page in docs/guides/*.md; do
  (($(wc -l < "$page") < 150)) || { echo "$page has 150 lines or more"; bad=1; }
done

if type -P python3 > /dev/null; then
  for script in docs/pictures/*.py; do
    cmp -s "${script%.py}.svg" <(python3 "$script") || { echo "$script draws another picture"; bad=1; }
  done
fi

echo '# Somewhere' > "$folder/other.md"
for name in src/nn/no_such.h src/nowhere/x.hh '`NoSuchClass`' '`Plan::NoSuchMember`' '`no_such.h`' \
  '[a page](nowhere.md)' '[a heading](#nowhere)' '[another](other.md#nowhere)'; do
  printf '# A page\n\nSee %s.\n' "$name" > "$scratch"
  ! check "$scratch" > /dev/null || { echo "a missing $name was not noticed"; bad=1; }
done
cat > "$scratch" << 'PAGE'
# A page: its `heading`

See src/nn/plan.h, src/nn/plan, `Plan::Slot`, `plan.h`, kernels/x.{h,cc}, kernels/*.h, [a
heading](#a-page-its-heading), [another](other.md#somewhere) and [a host](https://nowhere.test/#x).
```sh
[a link](nowhere.md)
```
PAGE
check "$scratch" || bad=1
exit $bad
