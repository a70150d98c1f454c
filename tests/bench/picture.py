# SPDX-License-Identifier: MIT
"""The ratios of results.md as a picture: a small chart for each kind of work, a bar for each configuration, from 1 (the
bare program) to the right on a logarithmic scale. Readable on light and on dark ground."""
import html
import math

ROW, BAR, CHART, LABELS, GAP, TITLE = 17, 11, 200, 190, 62, 34
LEAST, MOST = 0.25, 400
STYLE = """
text { font: 11px sans-serif; fill: #1f2328 } .title { font-weight: bold } .own { font-weight: bold }
.ground { fill: #ffffff } .bar { fill: #8c959f } .own-bar { fill: #0969da } .axis { stroke: #1f2328; stroke-width: 1 } .note { fill: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .ground { fill: #0d1117 } .bar { fill: #6e7681 } .own-bar { fill: #58a6ff } .axis { stroke: #e6edf3 } .note { fill: #9198a1 }
}
"""


def across(ratio):
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return share * CHART


def own(name):
    return name.startswith("**")


def chart(x, y, title, rows, names):
    lines = [f'<text class="title" x="{x}" y="{y}">{html.escape(title)}</text>']
    one = x + across(1)
    for number, name in enumerate(names):
        row, top = rows.get(name, {"failed": "not measured"}), y + 10 + number * ROW
        if "failed" in row:
            lines.append(f'<text class="note" x="{one + 4:.1f}" y="{top + BAR - 1}">cannot be run</text>')
            continue
        end = x + across(row["ratio"])
        kind = "own-bar" if own(name) else "bar"
        lines.append(f'<rect class="{kind}" x="{min(one, end):.1f}" y="{top}" width="{max(abs(end - one), 1):.1f}" '
                     f'height="{BAR}"/>')
        number = f"{row['ratio']:.2f}" if row["ratio"] < 9.95 else f"{row['ratio']:.0f}"
        lines.append(f'<text x="{max(one, end) + 4:.1f}" y="{top + BAR - 1}">{number}</text>')
    bottom = y + 10 + len(names) * ROW
    lines.append(f'<line class="axis" x1="{one:.1f}" y1="{y + 6}" x2="{one:.1f}" y2="{bottom}"/>')
    return lines


def draw(peers, caption):
    """SVG text. `caption`: lines under the charts."""
    names = [name for name in peers["configurations"] if name != "bare"]
    height = TITLE + len(names) * ROW + 14
    columns = 3
    rows = -(-len(peers["works"]) // columns)
    width, total = LABELS + columns * (CHART + GAP), rows * height + 16 + 14 * len(caption)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}">',
             f"<title>Time beside the bare program</title><style>{STYLE}</style>",
             f'<rect class="ground" width="{width}" height="{total}"/>']
    for index, (work, content) in enumerate(peers["works"].items()):
        x = LABELS + index % columns * (CHART + GAP)
        y = TITLE - 14 + index // columns * height
        if index % columns == 0:
            for number, name in enumerate(names):
                kind = "own" if own(name) else "plain"
                lines.append(f'<text class="{kind}" x="{LABELS - 10}" y="{y + 9 + BAR + number * ROW}" text-anchor="end">'
                             f'{html.escape(name.strip("*"))}</text>')
        lines += chart(x, y, work, content["rows"], names)
    for number, line in enumerate(caption):
        lines.append(f'<text class="note" x="10" y="{rows * height + 14 * (number + 1)}">{html.escape(line)}</text>')
    return "\n".join(lines) + "\n</svg>\n"
