# SPDX-License-Identifier: Apache-2.0
# Prints the figures in the output of a line of tests/gpu/run.sh as "NAME VALUE UNIT".
#   awk -v name=LINE -f tests/gpu/values.awk LOG
function tell(what, value, unit) { print name "_" what, value, unit }
function word(text) {
  gsub(/[^A-Za-z0-9]+/, "_", text)
  sub(/^_/, "", text)
  sub(/_$/, "", text)
  return text
}

# Programs that name their figures themselves: tests/gpu/checks.sh and torch_speed.py.
$1 == "value" && NF == 4 { tell($2, $3, $4) }

# Op tests: error over bound.
$1 == "ratio" && NF >= 3 {
  rated = 1
  if ($NF !~ /^[-+0-9.e]+$/) not_finite = $NF
  if ($NF + 0 > ratio) ratio = $NF + 0
}

# trunkline bench.
$1 == "step" && $3 == "ms" { tell("step", $2, "ms") }
$1 == "phases" {
  tell("forward", $2, "ms")
  tell("backward", $5, "ms")
  tell("update", $7, "ms")
}
$1 == "tokens/s" { tell("tokens", $2, "tokens/s") }
$1 == "MFU" { tell("mfu", $2, "%") }
$1 == "matrix" && $2 == "products" { tell("products", $3 / 1000, "TFLOP/s") }
$1 == "roof" && name ~ /^bench/ { tell("roof", $2 / 1000, "TFLOP/s") }
$1 == "copy" { tell("copy", $2, "GB/s") }
$1 == "memory" && $4 == "planned," {
  tell("planned", $2, $3)
  tell("allocated", $5, $6)
}
$1 == "attention" && $3 == "TFLOP/s" {
  for (i = 4; i < NF; ++i) {
    if ($i == "heads") heads = $(i + 2) + 0
    if ($i == "length") rows = $(i + 1) + 0
  }
  shape = "attention_d" heads "_t" rows "_" $NF
  tell(shape "_forward", $2, "TFLOP/s")
  tell(shape "_backward", $5, "TFLOP/s")
}
$1 == "device" && $2 == "memory" && $5 == "taken" { tell("taken", $3, $4) }
# Its table of cuBLASLt's choices: "CALLS M N K OP .. TFLOP/s GAIN %".
/^ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[NT][NT] .* % / {
  for (i = 6; $i != "%"; ++i) continue
  tell("product_" $2 "x" $3 "x" $4 "_" tolower($5) "_gain", $(i - 1), "%")
}
/^ +in all, by their calls: / {
  for (i = 5; i < NF && $i != "%"; ++i) continue
  tell("products_gain", $(i - 1), "%")
}
# The host's time of a call of NCCL.
$1 == "nccl_host_us" { tell($1, $2, "us") }

# compute-sanitizer.
/ERROR SUMMARY: / { tell("errors", $4, "errors") }
/RACECHECK SUMMARY: / { tell("hazards", $4, "hazards") }

# ncu --csv: time by kernel.
/^"[0-9]/ && /gpu__time_duration/ {
  n = split($0, field, "\",\"")
  sub(/"$/, "", field[n])
  gsub(/,/, "", field[n])
  kernel = word(field[5])
  time[kernel] += field[n] / 1e6
  total += field[n] / 1e6
}

END {
  if (rated) {
    sub(/^test_/, "", name)
    print "ratio_" name, not_finite != "" ? not_finite : ratio, "of_bound"
  }
  if (total > 0) {
    tell("total", total, "ms")
    for (shown = 0; shown < 20; ++shown) {
      most = ""
      for (kernel in time) if (most == "" || time[kernel] > time[most]) most = kernel
      if (most == "") break
      tell(most, time[most], "ms")
      delete time[most]
    }
  }
}
