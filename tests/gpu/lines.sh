# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154
# Runs the lines of tests/gpu/run.sh: commands with a name and a limit in seconds. Sourced, with
# `out`, the folder of the results, `work`, that of the run, `logs` in it, `limits` by name, what the
# other limits are multiplied with, `patience`, and `budget`, seconds from now, set.
passed=0 failed=0 skipped=0
deadline=$((SECONDS + budget))
absent=          # why no line can run
marks=0 mark=    # of the line that runs: its processes carry it in their environment
readonly grace=5      # from TERM to KILL
values_of=$(dirname "${BASH_SOURCE[0]}")/values.awk

tell() { printf '%s\n' "$*" | tee -a "$out/summary.txt"; }
skip() {  # NAME WHY
  skipped=$((skipped + 1))
  tell "$1 skipped $2"
}
fail() {  # NAME WHY
  failed=$((failed + 1))
  tell "$1 FAILED $2"
}

# Kills what a line has left behind, in whatever process group or session.
end_line() {
  local processes tries
  [[ -n $mark ]] || return 0
  for tries in 1 2 3 4 5; do
    mapfile -t processes < <(grep -lszFx "TL_GPU_LINE=$mark" /proc/[0-9]*/environ | cut -d / -f 3)
    ((${#processes[@]} > 0)) || break
    ((tries == 1)) || sleep 0.2
    kill -KILL "${processes[@]}" 2> /dev/null || true
  done
  mark=
}

# limited SECONDS LOG COMMAND...: its exit code. A signal to this script ends the wait for it.
limited() {
  local seconds=$1 log=$2 status=0
  shift 2
  marks=$((marks + 1)) mark=$$.$marks
  TL_GPU_LINE=$mark timeout -k "$grace" "$seconds" "$@" > "$log" 2>&1 < /dev/null &
  { wait $! || status=$?; } 2> /dev/null  # the shell's word of a signal
  end_line
  return "$status"
}

# line NAME LIMIT COMMAND...: tells ok or FAILED, and the figures in its output. Skipped where less
# than half of its limit is left of the budget; a command that exits with 77 says itself, in its
# last line, why it does nothing.
line() {
  local name=$1 limit=${limits[$1]:-$(($2 * patience))} log=$logs/$1.log begun=$SECONDS status=0 seconds took
  shift 2
  if [[ -n $absent ]]; then
    skip "$name" "$absent"
    return
  fi
  seconds=$((deadline - SECONDS - grace))
  ((seconds >= 0)) || seconds=0
  if ((2 * seconds < limit)); then
    skip "$name" "$seconds s of the budget are left, its limit is $limit s"
    return
  fi
  ((seconds <= limit)) || seconds=$limit

  limited "$seconds" "$log" "$@" || status=$?
  took=$((SECONDS - begun))

  if ((status == 0)); then
    passed=$((passed + 1))
    tell "$name ok $took s"
  elif ((status == 77)); then
    skip "$name" "$(tail -n 1 "$log")"
  elif ((status == 124 || status == 137)) && ((took >= seconds)); then
    if ((seconds < limit)); then
      skip "$name" "cut off after $took s, at the end of the budget"
    else
      fail "$name" "timed out after $limit s"
    fi
  elif ((status > 128)); then
    fail "$name" "signal $(kill -l "$status") after $took s"
  else
    fail "$name" "exit code $status after $took s"
  fi
  awk -v name="$name" -f "$values_of" "$log" | while IFS= read -r value; do tell "$value"; done
  if ((status != 0 && status != 77)); then
    awk '
      { text[NR] = "    " substr($0, 1, 300) }
      tolower($0) ~ /(^|[^a-z])(error|fatal|failure|failed)([^a-z]|$)/ && ++n <= 3 { says[NR] }
      END { for (i = 1; i <= NR; ++i) if (i in says || i > NR - 4) print text[i] }' "$log"
  fi
}

# Everything but checkpoints, weights and data, so far. tar exits with 1 where a file changes as it
# is read.
archive() {
  local status=0
  tar -C "$work" --exclude='step_*' --exclude='*.tok' --exclude='text.txt' -czf \
    "$out/results.part" . -C "$out" summary.txt || status=$?
  ((status <= 1)) || return "$status"
  mv "$out/results.part" "$out/results.tar.gz"
}

section() {  # TITLE
  archive
  tell "-- $1"
}
