"""Writes docs/sign-out.svg, the README's picture: a part of the demo's output, like a recorded terminal.

`make picture` builds the demo and runs this: picture.py DEMO
"""

import html
import re
import subprocess
import sys
from pathlib import Path

PARTS = ["Ada is signed in", "She signs out"]
PICTURE = Path(__file__).resolve().parents[2] / "docs/sign-out.svg"

WIDTH, LINE, LEFT, TOP = 760, 21, 20, 52
COLUMNS = {"step": 44, "expected": 350, "actual": 510}
SECONDS_PER_LINE, SECONDS_PER_PART = 0.25, 0.9


def main():
    output = subprocess.run([sys.argv[1]], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows, seconds = [], 0.5
    for title, steps in parts(output):
        if not title.startswith(tuple(PARTS)):
            continue
        seconds += SECONDS_PER_PART
        rows.append((seconds, f'<tspan class="title" x="{LEFT}">{html.escape(title)}</tspan>'))
        for step in steps:
            seconds += SECONDS_PER_LINE
            rows.append((seconds, cells(step)))
        rows.append((seconds, ""))
    PICTURE.write_text(picture(rows[:-1]))


def parts(output: str):
    """Returns the title and the steps of each part of the output."""
    for part in output.split("\n\n"):
        title, *steps = part.strip().splitlines()
        if steps and steps[0].startswith("✓"):
            yield title, steps


def cells(step: str) -> str:
    *texts, milliseconds = re.split(r"\s{2,}", step.removeprefix("✓ "))
    row = f'<tspan class="good" x="{LEFT}">✓</tspan>'
    for (name, left), text in zip(COLUMNS.items(), texts, strict=True):
        row += f'<tspan class="{name}" x="{left}">{html.escape(text)}</tspan>'
    return row + f'<tspan class="time" x="{WIDTH - LEFT}">{milliseconds} ms</tspan>'


def picture(rows: list) -> str:
    height = TOP + LINE * len(rows) + 16
    lines = "\n".join(
        f'<text y="{TOP + LINE * (number + 1) - 6}" style="animation-delay:{seconds:.2f}s">{row}</text>'
        for number, (seconds, row) in enumerate(rows) if row
    )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>The demo: a sign-out ends a token, its WebSocket and its event stream at two proxies</title>
<style>
text {{ font: 14px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #c9d1d9; animation: show .01s both }}
@keyframes show {{ from {{ opacity: 0 }} }}
@media (prefers-reduced-motion: reduce) {{ text {{ animation: none }} }}
.title {{ font-weight: bold; fill: #fff }}
.good, .actual {{ fill: #56d364 }}
.expected, .time {{ fill: #8b949e }}
.time {{ text-anchor: end }}
</style>
<rect width="{WIDTH}" height="{height}" rx="8" fill="#0d1117"/>
<circle cx="22" cy="20" r="6" fill="#f85149"/><circle cx="42" cy="20" r="6" fill="#d29922"/><circle cx="62" cy="20" r="6" fill="#3fb950"/>
<text x="{WIDTH / 2}" y="25" text-anchor="middle" style="animation:none">make demo</text>
{lines}
</svg>
"""


if __name__ == "__main__":
    main()
