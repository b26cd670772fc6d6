#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the commands of README.md and of the guides, in the order in which docs/README.md lists them,
# one page after the other in a folder of their own that looks like the root of the project.
#   tests/program/pages_test.sh BUILD [PAGE..]   these alone, README.md first
#
# What is run:
# - README.md: in a block of ```console, a line "$ COMMAND", with its further lines after a \. What it
#   prints must have the shape of the lines below it (see `shape`); "..." there is any number of lines.
#   What a model writes is not compared, as another training writes another text: of `generate` the
#   lines on stderr must have the shapes of the last ones of the page, and there must be a text. Of
#   mpirun stdout alone counts: on stderr it speaks itself.
# - docs/guides/: each block of ```sh, by bash -eu. "```sh not run: WHY" is for what cannot run here:
#   only its syntax is checked, and the test names it.
#
# How it stays short: build/trunkline is a script here (see `make_trunkline`) that divides the numbers
# of steps of a training by 50 and gives it small batches; `calibrate` and `bench` measure less. The
# text is this project's pages, not the Bible. Llama-3.2-1B, which a guide takes from Hugging Face,
# is what `export` makes of the README's model.
set -euo pipefail
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/launch/common.sh"
local_mpi_environment
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_trunkline() {
  cat > "$work/root/build/trunkline" << SCRIPT
#!/bin/bash
program=$build/trunkline
SCRIPT
  cat >> "$work/root/build/trunkline" << 'SCRIPT'
# The value of section.key: what --set says last, else what the config file has.
value() {
  local set
  set=$(printf '%s\n' "${arguments[@]}" | sed -n "s/^$1=//p" | tail -n 1)
  echo "${set:-$(sed -n "/^\[${1%.*}\]/,/^\[/s/^${1#*.} *= *\([0-9]*\).*/\1/p" "$config")}"
}
arguments=("$@") config=${2:-}
case ${1:-} in
  train)
    fewer=(train.sequence_length=16 train.global_batch_size=2 train.micro_batch_size=1
      train.eval_batches=1)
    for key in train.steps run.stop_after checkpoint.every run.log_every train.eval_every \
      optimizer.warmup_steps objective.warmup_steps; do
      steps=$(value $key)
      ((${steps:-0} == 0)) || fewer+=("$key=$((steps < 50 ? 1 : steps / 50))")
    done
    exec "$program" "$@" --set "${fewer[@]}"
    ;;
  calibrate) exec "$program" "$@" --tokens 64 ;;
  bench) exec "$program" "$@" --steps 1 --warmup 0 --set train.sequence_length=16 train.global_batch_size=1 \
    train.micro_batch_size=1 ;;
  *) exec "$program" "$@" ;;
esac
SCRIPT
  chmod +x "$work/root/build/trunkline"
}

# As many ranks as the pages ask for, whatever cores and user are here.
make_mpirun() {
  mkdir "$work/bin"
  printf '#!/bin/bash\nexec %q --allow-run-as-root --oversubscribe "$@"\n' "$(command -v mpirun)" \
    > "$work/bin/mpirun"
  chmod +x "$work/bin/mpirun"
  PATH=$work/bin:$PATH
}

# The shape of lines: a number with its sign, and with the unit of size, time or count behind it, is 0,
# and so is a "-" in its place; blanks are one blank; lines of one shape in a row are one line.
shape() {
  sed -E 's/[-+]?[0-9]+([.,][0-9]+)*(e[-+]?[0-9]+)?( ?[KMGT]iB|[kMGT]?FLOP\/s|[kMGT]|(ms|[smh])([0-9]+[ms])?)?\b/0/g
    :again; s/(^| )-( |$)/\10\2/; tagain; s/[[:space:]]+/ /g; s/ $//' | uniq
}

# same_shapes PRINTED EXPECTED [TEXT]: whether the lines have the same shapes, where "..." in EXPECTED
# is any number of lines; its first TEXT lines, or more, are a text that is not compared.
same_shapes() {
  awk -v text="${3:-0}" '
    NR == FNR { got[++n] = $0; next }
    { want[++m] = $0 }
    function match_from(i, j) {
      for (; j <= m && want[j] != "..."; j++) if (i > n || got[i++] != want[j]) return 0
      if (j > m) return i > n
      for (; i <= n + 1; i++) if (match_from(i, j + 1)) return 1
      return 0
    }
    END {
      if (text == 0) exit !match_from(1, 1)
      for (j = text + 1; j <= m + 1; j++) if (want[j] != "..." && match_from(1, j)) exit 0
      exit 1
    }' <(shape < "$1") <(shape < "$2")
}

# Shows that `same_shapes` tells lines apart, and no more than it should.
check_shapes() {
  local printed=$'step 1/4  lr 1e-3  2.9 ms  ETA 1m02s\nstep  2/4  lr 2e-3  910 ms  ETA 0s\nin all 11.0 GiB'
  local same other
  for same in $'step 1/9 lr - 3 ms ETA 8.5ms\nin all 7 MiB' $'...\nin all 7 MiB' '...'; do
    same_shapes <(echo "$printed") <(echo "$same") || { echo "not the same: $same"; exit 1; }
  done
  for other in $'step 1/9 lr - 3 ms ETA 8.5ms' $'...\nin most 7 MiB' $'in all 7 MiB\n...' ''; do
    ! same_shapes <(echo "$printed") <(echo "$other") || { echo "the same: $other"; exit 1; }
  done
  same_shapes <(echo 'tau 1.5') <(printf 'a text\n\ntau 2\n') 1 || { echo "a text is no text"; exit 1; }
  ! same_shapes <(printf 'tau 1\nb\n') <(printf 'a text\nsum 1\n...\nb\n') 1 || { echo "any report"; exit 1; }
  ! same_shapes <(echo 'tau 1.5') <(echo 'tau 2') 1 || { echo "no text is a text"; exit 1; }
}

fail() {
  echo "$page:$line: $1"
  sed 's/^/    /' "$work/printed"
  failed=1
}

run() { (cd "$work/root" && exec bash -euo pipefail -c "$1") < /dev/null > "$2" 2> "$3"; }

# One command of README.md: $command, printing what has the shape of $work/expected.
run_command() {
  [[ -n $command ]] || return 0
  local started=$SECONDS
  local ok=yes text=0
  run "$command" "$work/stdout" "$work/stderr" || ok=no
  if [[ $command == *" generate "* && -s $work/stdout ]]; then
    cp "$work/stderr" "$work/printed"
    text=1
  elif [[ $command == mpirun* ]]; then
    cp "$work/stdout" "$work/printed"
  else
    cat "$work/stdout" "$work/stderr" > "$work/printed"
  fi
  if [[ $ok == no ]]; then
    cat "$work/stderr" >> "$work/printed"
    fail "fails: $command"
  elif ! same_shapes "$work/printed" "$work/expected" $text; then
    fail "prints other lines than the page has: $command"
  fi
  echo "$page:$line: $((SECONDS - started)) s: ${command%%$'\n'*}"
  commands=$((commands + 1)) command=
}

check_readme() {
  local text inside=no continued=no
  while IFS= read -r text; do
    number=$((number + 1))
    if [[ $text == '```console' ]]; then
      inside=yes
    elif [[ $inside == yes && $text == '```' ]]; then
      run_command
      inside=no
    elif [[ $inside == no ]]; then
      :
    elif [[ $continued == yes || $text == '$ '* ]]; then
      if [[ $continued == no ]]; then
        run_command
        line=$number
        : > "$work/expected"
      fi
      command+=${command:+$'\n'}${text#'$ '}
      [[ $text == *\\ ]] && continued=yes || continued=no
    else
      echo "$text" >> "$work/expected"
    fi
  done < "$root/README.md"
}

# One block of a guide.
run_block() {
  local started=$SECONDS
  if [[ -n $why ]]; then
    bash -n <<< "$block" 2> "$work/printed" || fail "is no shell"
    echo "$page:$line: not run: $why"
  elif ! run "$block" "$work/printed" "$work/printed.err"; then
    cat "$work/printed.err" >> "$work/printed"
    fail "fails"
  else
    echo "$page:$line: $((SECONDS - started)) s"
  fi
  commands=$((commands + 1))
}

check_guide() {
  local text inside=no block='' why=''
  while IFS= read -r text; do
    number=$((number + 1))
    if [[ $inside == yes && $text == '```' ]]; then
      run_block
      inside=no
    elif [[ $inside == yes ]]; then
      block+=$text$'\n'
    elif [[ $text == '```sh' || $text == '```sh not run: '?* ]]; then
      inside=yes line=$number block='' why=${text#'```sh'} why=${why#' not run: '}
    elif [[ $text == '```sh'* ]]; then
      line=$number
      : > "$work/printed"
      fail "expected \`\`\`sh or \`\`\`sh not run: WHY"
    fi
  done < "$root/$page"
}

check_page() {
  page=$1 number=0 line=0 command='' commands=0
  if [[ $page == README.md ]]; then check_readme; else check_guide; fi
  ((commands > 0)) || { echo "$page has no commands"; failed=1; }
}

check_shapes
mkdir -p "$work"/root/{build,data}
ln -s "$root"/{configs,launch,tests,docs} "$work/root/"
find "$root/docs" -name '*.md' -print0 | sort -z | xargs -0 cat > "$work/root/data/kjv.txt"
make_trunkline
make_mpirun
failed=0
mapfile -t guides < <(grep -oP '\]\(\Kguides/[^)#]+' "$root/docs/README.md" | sed 's|^|docs/|')
if (($# > 1)); then guides=("${@:2}"); fi
check_page README.md
(cd "$work/root" && build/trunkline export checkpoints/quickstart --out Llama-3.2-1B > "$work/printed")
for guide in "${guides[@]}"; do check_page "$guide"; done
exit $failed
