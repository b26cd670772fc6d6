#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the time line of a plan: the arena of a model of two blocks, over the ticks of a step.

    docs/pictures/plan.py > docs/pictures/plan.svg

Lifetimes and offsets are found as src/nn/plan.cc finds them, for slots like those that
src/nn/block.cc, src/nn/attention.cc and src/nn/mlp.cc declare, without those of a tensor group.
Sizes are in units of [rows, hidden], with 4 for q|k|v and attention's own, and 2.75 for the MLP's
inner width.
"""
from xml.sax.saxutils import escape

WIDTH, TOP, ROW = 1000, 66, 13
STYLE = """
  svg { --page: #ffffff; --line: #8793a3; --ink: #1c2530; --soft: #566373;
        --saved: #8fb3dd; --forward: #cfd8e3; --backward: #f0b36a }
  @media (prefers-color-scheme: dark) {
    svg { --page: #10151c; --line: #6c7a8c; --ink: #e6ebf1; --soft: #a3b0bf;
          --saved: #2f5f96; --forward: #3c4857; --backward: #a8691d }
  }
  text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
  .title { font-weight: 600; font-size: 15px }
  .soft { fill: var(--soft) } .label { font-size: 12px }
  .page { fill: var(--page) }
  rect { stroke: var(--page); stroke-width: 1 }
  .saved { fill: var(--saved) } .forward { fill: var(--forward) } .backward { fill: var(--backward) }
  .middle { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 4 }
  .axis { stroke: var(--line) }
"""


class Plan:
    def __init__(self):
        self.tick = 0
        self.slots = []  # name, size, life, begin, end
        self.scopes = []

    def slot(self, name, size, life):
        self.tick += 1
        self.slots.append([name, size, life, self.tick, None])

    def enter(self):
        self.tick += 1
        self.scopes.append(len(self.slots))

    def leave(self):
        self.tick += 1
        for slot in self.slots[self.scopes.pop():]:
            slot[4] = slot[4] or self.tick

    def finish(self):
        self.tick += 1
        for slot in self.slots:
            slot[4] = slot[4] or self.tick

    def interval(self, slot):
        _, _, life, begin, end = slot
        last = 2 * self.tick + 1
        return {"forward": (begin, end), "saved": (begin, last - begin), "backward": (last - end, last - begin)}[life]

    def offsets(self):
        """First fit, largest first."""
        placed = []
        for slot in sorted(self.slots, key=lambda s: -s[1]):
            begin, end = self.interval(slot)
            taken = sorted((o, o + s[1]) for s, o in placed
                           if self.interval(s)[0] <= end and begin <= self.interval(s)[1])
            offset = 0
            for low, high in taken:
                if low - offset >= slot[1]:
                    break
                offset = max(offset, high)
            placed.append((slot, offset))
        return placed


def declare_block(plan, name, first):
    plan.enter()
    if not first:
        plan.slot(f"{name}.h1", 1, "saved")
    plan.slot(f"{name}.dy", 1, "backward")
    plan.slot(f"{name}.y1", 1, "saved")
    plan.enter()
    plan.slot(f"{name}.attention", 4, "saved")
    plan.slot(f"{name}.d_attention", 4, "backward")
    plan.leave()
    plan.slot(f"{name}.h2", 1, "saved")
    plan.slot(f"{name}.y2", 1, "saved")
    plan.enter()
    plan.slot(f"{name}.gate_up", 5.5, "saved")
    plan.slot(f"{name}.act", 2.75, "saved")
    plan.slot(f"{name}.d_act", 2.75, "backward")
    plan.leave()
    plan.leave()


def declare():
    plan = Plan()
    plan.slot("stem", 1, "saved")
    plan.slot("stream_delta", 1, "saved")
    plan.slot("d_stream", 1, "backward")
    declare_block(plan, "0", True)
    declare_block(plan, "1", False)
    plan.enter()
    plan.slot("logits", 6, "forward")
    plan.leave()
    plan.finish()
    return plan


def draw(plan):
    placed = plan.offsets()
    last = 2 * plan.tick + 1
    rows = max(offset + slot[1] for slot, offset in placed)
    left, right = 60, 20
    height = TOP + rows * ROW + 60

    def x(tick):
        return round(left + (tick - 1) * (WIDTH - left - right) / (last - 1), 1)

    def y(offset):
        return round(TOP + (rows - offset) * ROW, 1)

    bottom, middle = y(0), (x(plan.tick) + x(plan.tick + 1)) / 2
    parts = [f'<rect class="page" width="{WIDTH}" height="{round(height)}" rx="10"/>']
    for slot, offset in placed:
        begin, end = plan.interval(slot)
        x0, x1 = x(begin), x(end + 1) if end < last else x(last)
        y0, y1 = y(offset + slot[1]), y(offset)
        parts.append(f'<rect class="{slot[2]}" x="{x0}" y="{y0}" width="{round(x1 - x0, 1)}" '
                     f'height="{round(y1 - y0, 1)}" rx="3"/>')
        inside = x1 - x0 > 6.5 * len(slot[0]) + 10
        before = not inside and slot[2] == "forward"
        at, anchor = (x0 + 6, "start") if inside else (x0 - 5, "end") if before else (x1 + 5, "start")
        parts.append(f'<text x="{round(at, 1)}" y="{round((y0 + y1) / 2 + 3.5, 1)}" '
                     f'text-anchor="{anchor}">{escape(slot[0])}</text>')
    parts.append(f'<path class="middle" d="M{middle:.1f} {TOP - 18} V{bottom + 6}"/>')
    parts.append(f'<path class="axis" d="M{left} {bottom + 1} H{WIDTH - right}"/>')
    text = lambda x, y, words, kind="", anchor="middle": parts.append(
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')
    text(WIDTH / 2, 24, "one arena, from the lifetimes that layers declare", "title")
    text((left + middle) / 2, TOP - 12, "forward pass: in the order of the declarations", "label")
    text((middle + WIDTH - right) / 2, TOP - 12, "backward pass: its mirror image", "label")
    text(left - 10, TOP + 12, "bytes", "soft", "end")
    text(left, bottom + 20, "time", "soft", "start")
    at = left + 60
    for life, words in (("saved", "kept for the backward pass"), ("forward", "forward alone"),
                        ("backward", "backward alone")):
        parts.append(f'<rect class="{life}" x="{at}" y="{bottom + 26}" width="16" height="12" rx="2"/>')
        text(at + 22, bottom + 36, words, "soft", "start")
        at += 60 + 7 * len(words)
    print("\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {round(height)}" role="img" '
        'aria-labelledby="title">',
        '<title id="title">The arena of two blocks over the ticks of a step</title>',
        f"<style>{STYLE}</style>", *parts, "</svg>"]))


draw(declare())
