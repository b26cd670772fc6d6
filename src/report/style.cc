// SPDX-License-Identifier: Apache-2.0
#include "report/style.h"

namespace tl {

// The colours of curves are Okabe and Ito's, made darker or lighter for the ground they are on.
const char* StyleSheet() {
  return R"css(:root {
  color-scheme: light dark;
  --ground: #ffffff; --panel: #ffffff; --line: #e3e6ea; --grid: #eceff2;
  --text: #1b2129; --quiet: #667180; --fault: #c2183a; --accent: #0067a5;
  --c0: #0072b2; --c1: #d55e00; --c2: #008a65; --c3: #b6548f; --c4: #9a7300; --c5: #3d94cf;
  --c6: #3c4450;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1317; --panel: #151a20; --line: #262d36; --grid: #222932;
    --text: #e4e8ec; --quiet: #8d98a5; --fault: #ff6b81; --accent: #63b7ee;
    --c0: #4fabe8; --c1: #ff8a45; --c2: #35c79a; --c3: #e494c4; --c4: #e8b93c; --c5: #9ad0f5;
    --c6: #c3cad2;
  }
}
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; padding: 28px 32px 64px; max-width: 1180px;
  background: var(--ground); color: var(--text);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans",
    sans-serif;
  font-variant-numeric: tabular-nums;
}
header p { margin: 0; color: var(--quiet); }
header > p:first-child { font-size: 12px; letter-spacing: .04em; }
h1 { margin: 2px 0 2px; font-size: 26px; line-height: 1.2; letter-spacing: -.01em;
  overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 17px; letter-spacing: -.005em; }
h3 { margin: 0; font-size: 14px; }
h4 { margin: 24px 0 6px; font-size: 13px; font-weight: 600; }
small { color: var(--quiet); font-size: inherit; font-weight: 400; }
code { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere; unicode-bidi: isolate; }
.tiles { display: grid; grid-template-columns: repeat(5, 1fr); gap: 1px; margin: 24px 0 0;
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; background: var(--panel); }
.tiles div { padding: 14px 16px 12px; background: var(--panel); box-shadow: 0 0 0 1px var(--line); }
.tiles b { display: block; font-size: 21px; font-weight: 600; line-height: 1.25;
  letter-spacing: -.01em; }
.tiles span { color: var(--quiet); font-size: 12px; }
#curves > h2 { display: inline-block; margin-right: 16px; }
input[name=over] { position: absolute; opacity: 0; pointer-events: none; }
.choice { display: inline-flex; align-items: center; margin: 0; color: var(--quiet);
  font-size: 13px; }
.choice label { padding: 2px 12px; border: 1px solid var(--line); cursor: pointer; }
.choice label:first-of-type { margin-left: 8px; border-radius: 6px 0 0 6px; }
.choice label:last-of-type { margin-left: -1px; border-radius: 0 6px 6px 0; }
#over-tokens:checked ~ main label[for=over-tokens], #over-time:checked ~ main label[for=over-time] {
  background: var(--grid); color: var(--text); font-weight: 600; }
#over-tokens:focus-visible ~ main label[for=over-tokens],
#over-time:focus-visible ~ main label[for=over-time] { outline: 2px solid var(--accent); }
#over-tokens:checked ~ main .by-time, #over-time:checked ~ main .by-tokens { display: none; }
.figures { display: grid; gap: 20px; margin-top: 8px; }
figure { margin: 0; padding: 18px 20px 16px; border: 1px solid var(--line); border-radius: 10px;
  background: var(--panel); min-width: 0; }
figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 12px; }
figcaption p { margin: 0; color: var(--quiet); font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0;
  list-style: none; color: var(--quiet); font-size: 12px; }
.legend svg { width: 22px; height: 8px; margin-right: 6px; overflow: visible; }
.legend path { stroke: var(--c); stroke-width: 2; fill: none; }
.legend i { display: inline-block; width: 0; height: 10px; margin-right: 6px;
  vertical-align: -1px; border-left: 2px solid var(--quiet); }
.legend .m-resume i { border-left-style: dotted; }
.legend .m-save i { height: 5px; vertical-align: 0; }
.legend .m-skip i { height: 5px; vertical-align: 5px; border-color: var(--fault); }
.plot { padding: 14px 150px 34px 58px; }
.area { position: relative; height: 220px; }
.area > svg { display: block; width: 100%; height: 100%; overflow: visible; }
.area path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round;
  stroke-linecap: round; }
.grid { stroke: var(--grid); stroke-width: 1; }
.curve { stroke: var(--c); stroke-width: 1.75; }
.raw { stroke-width: 1; opacity: .32; }
.dots { stroke: var(--c); stroke-width: 6; }
.d1 { stroke-dasharray: 6 4; } .d2 { stroke-dasharray: 2 4; } .d3 { stroke-dasharray: 9 4 2 4; }
.dots.d1, .dots.d2, .dots.d3 { stroke-dasharray: none; }
.legend .d1 path { stroke-dasharray: 6 4; } .legend .d2 path { stroke-dasharray: 2 4; }
.legend .d3 path { stroke-dasharray: 9 4 2 4; }
.legend .d1, .legend .d2, .legend .d3 { stroke-dasharray: none; }
.mark { stroke: var(--quiet); stroke-width: 1; opacity: .8; }
.several .mark { stroke: var(--c); }
.mark.m-save { stroke-width: 2; opacity: .55; }
.mark.m-resume { stroke-dasharray: 3 4; }
.mark.m-skip, .fault { stroke: var(--fault); stroke-width: 2; opacity: 1; }
.area span { position: absolute; white-space: nowrap; font-size: 12px; line-height: 15px;
  color: var(--quiet); }
.area .y { right: 100%; margin-right: 10px; transform: translateY(-50%); }
.area .x { top: 100%; margin-top: 7px; transform: translateX(-50%); }
.area .over { top: 100%; left: 100%; margin: 7px 0 0 34px; font-style: italic; }
.area .name { left: 100%; max-width: 142px; margin-left: 10px; transform: translateY(-50%);
  overflow: hidden; text-overflow: ellipsis; color: var(--c); }
.area .name b { font-weight: 600; }
.area .markname { margin-left: 5px; font-size: 11px;
  text-shadow: 0 0 3px var(--panel), 0 0 3px var(--panel), 0 0 3px var(--panel); }
.area .markname.left { margin-left: -5px; transform: translateX(-100%); }
.col { position: absolute; top: 0; bottom: 0; width: 2%; }
.col::before { content: ""; position: absolute; inset: 0 50%; border-left: 1px solid transparent; }
.col:hover::before { border-color: var(--quiet); }
.tip { display: none; position: absolute; z-index: 2; top: 4px; left: calc(50% + 10px);
  padding: 7px 10px; border: 1px solid var(--line); border-radius: 7px; background: var(--panel);
  box-shadow: 0 4px 16px rgb(0 0 0 / .16); pointer-events: none; }
.tip.left { left: auto; right: calc(50% + 10px); }
.col:hover .tip { display: block; }
.tip em, .tip span { position: static; display: block; font-style: normal; font-size: 12px;
  white-space: nowrap; }
.tip em { color: var(--quiet); }
.area .tip span { color: var(--c); }
.tip b { display: inline-block; min-width: 56px; color: var(--text); font-weight: 600; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 5px 18px 5px 0; text-align: left; vertical-align: baseline; }
th { font-weight: 500; }
thead th { color: var(--quiet); font-weight: 400; font-size: 12px; white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
th i { display: inline-block; width: 10px; height: 3px; margin-right: 8px; border-radius: 2px;
  background: var(--c); vertical-align: 3px; }
.numbers { width: 100%; }
.numbers th { white-space: nowrap; }
.numbers td, .numbers thead th { text-align: right; white-space: nowrap; }
.numbers thead th:first-child { text-align: left; }
.numbers tr > :last-child { padding-right: 0; }
.numbers td b { font-weight: 600; }
.facts tbody th { color: var(--quiet); font-weight: 400; white-space: nowrap; }
.facts td { overflow-wrap: anywhere; min-width: 120px; }
tr.set th, tr.set td, tr.set code { font-weight: 700; color: var(--text); }
td.bar { width: 30%; min-width: 90px; }
td.bar i { display: block; height: 8px; border-radius: 2px; background: var(--c0); }
details { margin-top: 8px; }
summary { width: fit-content; color: var(--quiet); font-size: 12px; cursor: pointer; }
summary:hover { color: var(--text); }
@media (max-width: 760px) {
  body { padding: 18px 14px 40px; }
  figure { padding: 14px 14px 12px; }
  .plot { padding: 12px 10px 32px 46px; }
  .area .name, .area .over, .area .fine, .area .markname { display: none; }
  .area .y { margin-right: 7px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tip { max-width: 60vw; overflow: hidden; }
  th, td { padding-right: 12px; }
}
@media (max-width: 480px) {
  .numbers { font-size: 12px; }
  .numbers small { display: none; }
}
@media print {
  body { max-width: none; padding: 0; }
  figure { break-inside: avoid; }
  .choice, .col { display: none; }
}
)css";
}

}  // namespace tl
