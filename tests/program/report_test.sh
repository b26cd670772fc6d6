#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The report of real trainings: when `train` writes it, and when not; `trunkline report` of several.
# With --chromium, how Chromium shows it: no message on its console, curves and the labels of axes in
# their places on pages 1200 and 400 pixels wide, light and dark. Skipped without Chromium.
# report_test.sh BUILD_FOLDER [--chromium]
set -euo pipefail
trunkline=$(realpath "$1")/trunkline
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [[ ${2:-} == --chromium && -z $browser ]]; then
  echo "skipped: no Chromium (Debian's package chromium)"
  exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export OMP_NUM_THREADS=1

fail() { echo "$*"; exit 1; }

for ((i = 0; i < 400; i++)); do echo "And it came to pass in the days of $i, that he said unto them."; done > text
"$trunkline" tokenize --tokenizer bytes --out train.tok --holdout 0.1 --holdout-out eval.tok text > /dev/null
cat > config.toml << END
[model]
layers = 1
hidden = 64
heads = 2
ffn = 64
vocab = 256
[objective]
name = "independent_heads"
heads = 2
[data]
train = "train.tok"
eval = "eval.tok"
[train]
steps = 24
sequence_length = 16
global_batch_size = 4
micro_batch_size = 4
eval_every = 8
eval_batches = 1
[checkpoint]
every = 8
[optimizer]
lr = 1e-3
END
train() { "$trunkline" train config.toml --set "$@" > out 2> err; }

# A name that would end an attribute, and begin an element.
run="run'\"><b>&"
train "run.dir=$run" || fail "training: $(cat err)"
[[ -s $run/report.html ]] || fail "no report of a training that ended"
grep -q '<figure id="accepted-length"' "$run/report.html" || fail "no accepted length"
grep -q 'finished after step 24 of 24' "$run/report.html" || fail "no outcome"
grep -q '<title>saved after step 16</title>' "$run/report.html" || fail "no save"
[[ $(grep -c '"event":"save"' "$run/events.jsonl") == 3 ]] || fail "events: $(cat "$run/events.jsonl")"

if [[ ${2:-} != --chromium ]]; then

  exit
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export OMP_NUM_THREADS=1

fail() { echo "$*"; exit 1; }

for ((i = 0; i < 400; i++)); do echo "And it came to pass in the days of $i, that he said unto them."; done > text
"$trunkline" tokenize --tokenizer bytes --out train.tok --holdout 0.1 --holdout-out eval.tok text > /dev/null
cat > config.toml << END
[model]
layers = 1
hidden = 64
heads = 2
ffn = 64
vocab = 256
[objective]
name = "independent_heads"
heads = 2
[data]
train = "train.tok"
eval = "eval.tok"
[train]
steps = 24
sequence_length = 16
global_batch_size = 4
micro_batch_size = 4
eval_every = 8
eval_batches = 1
[checkpoint]
every = 8
[optimizer]
lr = 1e-3
END
train() { "$trunkline" train config.toml --set "$@" > out 2> err; }

# A name that would end an attribute, and begin an element.
run="run'\"><b>&"
train "run.dir=$run" || fail "training: $(cat err)"
[[ -s $run/report.html ]] || fail "no report of a training that ended"
grep -q '<figure id="accepted-length"' "$run/report.html" || fail "no accepted length"
grep -q 'finished after step 24 of 24' "$run/report.html" || fail "no outcome"
grep -q '<title>saved after step 16</title>' "$run/report.html" || fail "no save"
[[ $(grep -c '"event":"save"' "$run/events.jsonl") == 3 ]] || fail "events: $(cat "$run/events.jsonl")"

if [[ ${2:-} != --chromium ]]; then
# Not on a stop, here by a time limit that comes long before the last step.
code=0
train run.dir=stopped train.steps=1000000 checkpoint.time_limit=2 || code=$?
((code == 85)) || fail "a training with a time limit ended with $code: $(cat err)"
[[ ! -e stopped/report.html ]] || fail "a report of a training that stopped"
# Gone on, it has one, that says so.
at=$((10#$(sed 's/step_//' stopped/LATEST)))
train run.dir=stopped train.steps=1000000 run.stop_after=$((at + 3)) || fail "going on: $(cat err)"
grep -q '<title>stopped by' stopped/report.html || fail "no stop: $(cat stopped/events.jsonl)"
grep -q '<title>resumed after step' stopped/report.html || fail "no resume"

# Somebody's own page stays, and the training is no worse for it.
mkdir own
echo mine > own/report.html
train run.dir=own || fail "a training whose report cannot be written fails: $(cat err)"
grep -q 'no report: .*report.html' out err || fail "no warning"
[[ $(< own/report.html) == mine ]] || fail "another file was replaced"

"$trunkline" report "$run" stopped --out both.html > /dev/null || fail "no report of two runs"
"$trunkline" report "$run" stopped 2> err && fail "several runs without --out"
grep -q -- '--out is required' err || fail "$(cat err)"
"$trunkline" report nowhere --out x.html 2> err && fail "a report of no run"
grep -q 'nowhere' err || fail "$(cat err)"
[[ ! -e x.html ]] || fail "a report of no run"
exit
fi

train run.dir=slow optimizer.lr=1e-4 || fail "training: $(cat err)"
"$trunkline" report "$run" slow --out both.html > /dev/null || fail "no report of two runs"
cp "$run/report.html" one.html
cat > look.html << 'END'
<!DOCTYPE html><body><pre id="found">the page was not loaded</pre><script>
const [, page, width] = location.hash.split(":");
const frame = document.createElement("iframe");
frame.style.cssText = `width:${width}px;height:900px;border:0`;
frame.onload = () => {
  const doc = frame.contentDocument, bad = [];
  const box = e => e.getBoundingClientRect();
  const check = (good, what) => { if (!good) bad.push(what); };
  check(doc.documentElement.scrollWidth <= width, "the page is wider than its window: " + doc.documentElement.scrollWidth);
  const figures = [...doc.querySelectorAll("figure")];
  check(figures.length >= 8, figures.length + " figures");
  for (const figure of figures) {
    const plots = [...figure.querySelectorAll(".plot")].filter(p => box(p).height > 0);
    check(plots.length == 1, figure.id + ": one plot is to be seen, not " + plots.length);
    const area = box(plots[0].querySelector(".area"));
    check(area.width > 0.55 * width && area.height > 150, figure.id + ": " + area.width + " x " + area.height);
    const curves = [...plots[0].querySelectorAll(".curve")];
    check(curves.length > 0, figure.id + ": no curve");
    for (const curve of curves) {
      const b = box(curve), stroke = frame.contentWindow.getComputedStyle(curve).stroke;
      check(b.width > 0.3 * area.width && b.left >= area.left - 2 && b.right <= area.right + 2 &&
            b.top >= area.top - 2 && b.bottom <= area.bottom + 2, figure.id + ": a curve outside its plot");
      check(stroke != "none", figure.id + ": a curve without colour");
    }
    for (const axis of ["x", "y"]) {
      const labels = [...plots[0].querySelectorAll("." + axis)].map(box).filter(b => b.width > 0);
      check(labels.length >= 2, figure.id + ": " + labels.length + " labels on " + axis);
      for (const b of labels) check(b.left >= 0 && b.right <= width, figure.id + ": a label outside the page");
      labels.sort((a, b) => axis == "x" ? a.left - b.left : a.top - b.top);
      for (let i = 1; i < labels.length; ++i)
        check(axis == "x" ? labels[i - 1].right <= labels[i].left : labels[i - 1].bottom <= labels[i].top + 1,
              figure.id + ": labels on " + axis + " overlap");
    }
    const names = [...plots[0].querySelectorAll(".name")].map(box).filter(b => b.width > 0);
    names.sort((a, b) => a.top - b.top);
    for (let i = 1; i < names.length; ++i)
      check(names[i - 1].bottom <= names[i].top + 1, figure.id + ": names of curves overlap");
    check(figure.querySelectorAll("table tbody tr").length > 0, figure.id + ": no numbers");
  }
  const ground = frame.contentWindow.getComputedStyle(doc.body).backgroundColor;
  document.getElementById("found").textContent = bad.length ? bad.join("\n") : "good on " + ground;
};
frame.src = page;
document.body.append(frame);
</script>
END
# Settings that keep a browser to itself, and root's without a sandbox.
look() {  # page, width, further options
  timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$folder/profile" --allow-file-access-from-files --enable-logging=stderr \
    --window-size=1300,1000 "${@:3}" --dump-dom "file://$folder/look.html#:$1:$2" > dom 2> console ||
    fail "Chromium ended with $?: $(tail -3 console)"
  grep 'CONSOLE' console && fail "$1 at $2: a message on the console"
  grep -q '"found">good on ' dom || fail "$1 at $2: $(sed -n '/"found">/,/<\/pre>/p' dom)"
  sed -n 's/.*"found">\(good on [^<]*\).*/\1/p' dom
}
look one.html 1200 > light
look one.html 400 >> light
look both.html 400 >> light
look both.html 1200 --blink-settings=preferredColorScheme=0 > dark
[[ $(sort -u light | wc -l) == 1 ]] || fail "several grounds: $(cat light)"
grep -qxFf light dark && fail "dark is as light: $(cat dark)"
# It would notice a figure without curves.
sed 's/class="curve /class="curved /g' one.html > bare.html
(look bare.html 1200) > bare && fail "nobody notices missing curves"
grep -q 'loss: no curve' bare || fail "$(cat bare)"
