#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the README's picture: from text to a checkpoint, and to what is made of it.

    docs/pictures/overview.py > docs/pictures/overview.svg

Readable on light and on dark pages: colours follow the reader's preference.
"""
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1000, 392
STYLE = """
  svg { --page: #ffffff; --panel: #f4f6f9; --line: #8793a3; --ink: #1c2530; --soft: #566373;
        --token: #b9cbe3; --stem: #cfd8e3; --trunk: #8fb3dd; --head: #f0b36a; --shard: #a9cfb4;
        --good: #2c7a44; --bad: #b23b3b }
  @media (prefers-color-scheme: dark) {
    svg { --page: #10151c; --panel: #1a222d; --line: #6c7a8c; --ink: #e6ebf1; --soft: #a3b0bf;
          --token: #3f5878; --stem: #3c4857; --trunk: #2f5f96; --head: #a8691d; --shard: #356f49;
          --good: #6cc98a; --bad: #ee8080 }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink) }
  .title { font-weight: 600; font-size: 15px }
  .soft { fill: var(--soft); font-size: 12px }
  .small { font-size: 12px }
  .page { fill: var(--page) }
  .panel { fill: var(--panel); stroke: var(--line) }
  .token { fill: var(--token) } .stem { fill: var(--stem) } .trunk { fill: var(--trunk) }
  .head { fill: var(--head) } .shard { fill: var(--shard) } .bar { fill: var(--line) }
  .good { stroke: var(--good) } .bad { stroke: var(--bad) }
  .draft { fill: none; stroke: var(--head); stroke-width: 1.5 }
  .mark { fill: none; stroke-width: 2.5 }
  .arrow { fill: none; stroke: var(--ink); stroke-width: 1.6; marker-end: url(#tip) }
  .cut { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 4 }
  #tip path { fill: var(--ink) }
"""

parts = []


def box(x, y, width, height, kind, radius=4):
    parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"/>')


def text(x, y, words, kind="", anchor="middle"):
    parts.append(f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>')


def path(shape, kind):
    parts.append(f'<path class="{kind}" d="{shape}"/>')


def panel(x, y, width, height, title):
    box(x, y, width, height, "panel", 8)
    text(x + width / 2, y + 22, title, "title")


def draw_text_and_tokens():
    panel(20, 40, 150, 104, "text")
    for line, width in enumerate((116, 92, 108, 70)):
        box(37, 76 + 15 * line, width, 6, "bar", 3)
    path("M95 144 V204", "arrow")
    text(103, 178, "tokenize", "soft", "start")
    panel(20, 206, 150, 134, "tokens")
    for row in range(3):
        for column in range(6):
            box(32 + 21 * column, 242 + 20 * row, 17, 14, "token", 3)
    text(95, 322, "the same on any grid", "soft")
    path("M170 282 H216", "arrow")


def draw_copy(x, ranks):
    """One copy of the model, which two tensor ranks share."""
    for head in range(4):
        box(x, 48 + 22 * head, 148, 18, "head")
        text(x + 37, 61.5 + 22 * head, f"+{4 - head}")
    for block in range(4):
        box(x, 146 + 26 * block, 148, 22, "trunk")
    box(x, 256, 148, 22, "stem")
    path(f"M{x + 74} 42 V284", "cut")
    for side, rank in zip((37, 111), ranks):
        text(x + side, 300, f"rank {rank}", "soft")


def draw_grid():
    panel(218, 16, 384, 340, "train on a data × tensor grid of ranks")
    text(262, 95, "heads", "soft")
    text(262, 201, "trunk", "soft")
    text(262, 271, "stem", "soft")
    draw_copy(290, (0, 1))
    draw_copy(446, (2, 3))
    text(364, 324, "tensor: ranks", "soft")
    text(364, 340, "that share a copy", "soft")
    text(520, 324, "data: copies", "soft")
    text(520, 340, "that share the batch", "soft")
    path("M602 186 H644", "arrow")


def draw_checkpoint():
    panel(646, 96, 126, 180, "checkpoint")
    for shard in range(4):
        box(662 + 49 * (shard % 2), 132 + 34 * (shard // 2), 45, 28, "shard")
    box(662, 202, 94, 22, "shard")
    text(709, 218, "manifest")
    text(709, 246, "goes on", "soft")
    text(709, 262, "on any grid", "soft")
    path("M772 150 C795 150 785 104 812 104", "arrow")
    path("M772 222 C795 222 785 274 812 274", "arrow")


def draw_decoding():
    panel(814, 16, 166, 176, "draft and verify")
    text(897, 56, "one pass checks all drafts", "soft")
    for place, word in enumerate(("And", "God", "said", ",", "Let", "us", "go")):
        x, y = 828 + 35 * (place % 4), (70 if place < 4 else 108)
        x += 0 if place < 4 else 17
        box(x, y, 32, 22, "token" if place < 3 else "draft")
        text(x + 16, y + 16, word, "small" if len(word) > 3 else "")
        if place >= 3:
            good = place < 6
            mark = f"M{x + 10} {y + 28} l4 4 l8 -8" if good else f"M{x + 11} {y + 25} l8 8 m0 -8 l-8 8"
            path(mark, "mark " + ("good" if good else "bad"))
    text(897, 164, "4 tokens in one step;", "soft")
    text(897, 180, "the text stays the same", "soft")


def draw_export():
    panel(814, 214, 166, 142, "export")
    for line, engine in enumerate(("transformers", "vLLM", "SGLang", "llama.cpp")):
        box(834, 246 + 26 * line, 126, 21, "stem")
        text(897, 261 + 26 * line, engine)


def draw():
    box(0, 0, WIDTH, HEIGHT, "page", 10)
    draw_text_and_tokens()
    draw_grid()
    draw_checkpoint()
    draw_decoding()
    draw_export()
    text(WIDTH / 2, 380, "one program, C++20 on MPI, from a laptop to a cluster", "soft")
    words = ("Text becomes tokens. Stem, trunk and heads are trained on a grid of data times tensor ranks. A "
             "checkpoint of shards and a manifest goes on on any grid. From it drafts of the heads are "
             "verified, and models exported.")
    head = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
  aria-labelledby="title words">
<title id="title">From text to several tokens per step</title>
<desc id="words">{escape(words)}</desc>
<style>{STYLE}</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0 L8 4 L0 8 z"/></marker></defs>"""
    print("\n".join([head, *parts, "</svg>"]))


draw()
