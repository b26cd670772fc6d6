#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws how far samples are from held-out pictures against the passes of the network they took.

    docs/pictures/samplers.py > docs/pictures/samplers.svg

Reads the table of docs/results/diffusion.md whose columns begin with run, sampler, samples, passes,
distance: a line for each sampler that the first run has at several numbers of passes. Rows without a
run are of real pictures.
"""
import math
import os
import re
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 360, 56, 130, 40, 48
STYLE = """
  svg { --page: #ffffff; --line: #c6cfda; --ink: #1c2530; --soft: #566373;
        --a: #2f6fb4; --b: #c2571a; --c: #3d8a4f; --d: #8a4fa8 }
  @media (prefers-color-scheme: dark) {
    svg { --page: #10151c; --line: #36414f; --ink: #e6ebf1; --soft: #a3b0bf;
          --a: #7fb2ea; --b: #f0a36a; --c: #84cf97; --d: #c79ae0 }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
  .title { font-weight: 600; font-size: 14px } .soft { fill: var(--soft) }
  .page { fill: var(--page) } .grid { stroke: var(--line) } .floor { stroke: var(--soft); stroke-dasharray: 4 4 }
  polyline { fill: none; stroke-width: 2 } circle { stroke: none }
"""
COLUMNS = ["run", "sampler", "samples", "passes", "distance"]


def rows(page):
    """Returns the cells of the table's rows."""
    found, inside = [], False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") else []
        if cells[: len(COLUMNS)] == COLUMNS:
            inside = True
        elif not cells and inside:
            return found
        elif inside and not cells[0].startswith("--"):
            found.append(cells)
    if not inside:
        sys.exit("docs/results/diffusion.md has no table of " + ", ".join(COLUMNS))
    return found


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../results/diffusion.md"), encoding="utf-8") as file:
        table = rows(file.read())
    run = next(cells[0] for cells in table if cells[0])
    series, floors = {}, {}
    for name, sampler, samples, passes, distance, *_ in table:
        known = re.fullmatch(r"([a-z0-9+-]+)(, --steps \d+)?", sampler)
        if not name:
            floors.setdefault(samples, float(distance))  # real pictures, the first row of each number
        elif name == run and known and passes.isdigit():
            series.setdefault((known[1], samples), set()).add((int(passes), float(distance)))
    series = {key: sorted(points) for key, points in series.items() if len(points) > 1}
    floor = next((floors[samples] for _, samples in series if samples in floors), None)
    series = {sampler: points for (sampler, _), points in series.items()}
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points] + ([floor] if floor else [])
    low, high = math.log(min(xs)), math.log(max(xs))
    bottom, top = math.log(min(ys) / 1.2), math.log(max(ys) * 1.1)

    def at(x, y):
        across = (math.log(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        up = (math.log(y) - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)
        return LEFT + across, HEIGHT - BOTTOM - up

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
           'aria-label="Distance of samples to held-out pictures against passes of the network">',
           f"<style>{STYLE}</style>", f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
           '<text class="title" x="16" y="22">Distance to held-out pictures, by passes a sample</text>']
    ticks = [m * 10 ** e for e in range(-2, 4) for m in (1, 2, 5)]
    for y in (tick for tick in ticks if bottom <= math.log(tick) <= top):
        _, place = at(max(xs), y)
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
                   f'<text class="soft" x="{LEFT - 8}" y="{place + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in sorted(set(xs)):
        place, _ = at(x, ys[0])
        out.append(f'<text class="soft" x="{place:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x}</text>')
    out.append(f'<text class="soft" x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 10}" '
               'text-anchor="middle">passes</text>')
    if floor:
        _, place = at(max(xs), floor)
        out.append(f'<line class="floor" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
                   f'<text class="soft" x="{WIDTH - RIGHT + 8}" y="{place + 4:.1f}">real pictures</text>')
    ends = sorted((at(*points[-1])[1], name) for name, points in series.items())
    labels, last = {}, -math.inf
    for place, name in ends:
        last = max(place, last + 15)
        labels[name] = last
    for colour, (name, points) in zip("abcd", series.items()):
        path = " ".join("{:.1f},{:.1f}".format(*at(*point)) for point in points)
        out.append(f'<polyline style="stroke: var(--{colour})" points="{path}"/>')
        for point in points:
            x, y = at(*point)
            out.append(f'<circle style="fill: var(--{colour})" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        out.append(f'<text style="fill: var(--{colour})" x="{WIDTH - RIGHT + 8}" '
                   f'y="{labels[name] + 4:.1f}">{name}</text>')
    print("\n".join(out + ["</svg>"]))


main()
