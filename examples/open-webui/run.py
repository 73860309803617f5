"""Does session-guard protect the real Open WebUI? `make open-webui` installs what this needs.

Starts everything, goes through the story by its interface and in a browser, and writes the record
of the day. The exit code is 0 only if every step came as expected.
"""

import subprocess
import sys
from datetime import date
from importlib.metadata import version

from browser import CHROMIUM, Browser
from stack import HERE, HOME, ROOT, Stack
from steps import Steps
from story import Story


def main() -> int:
    record = HERE / "record" / date.today().isoformat()
    record.mkdir(parents=True, exist_ok=True)
    steps = Steps()
    print(f"starting Open WebUI, a minute or two; logs in {HOME.relative_to(ROOT)}/ …")
    with Stack() as stack:
        story = Story(stack, steps)
        story.tell()
        Browser(stack, steps, record).tell()
    (record / "README.md").write_text(written(steps))
    print(f"\n{'All came as expected' if steps.as_expected else 'Not as expected (✗)'}: "
          f"{(record / 'README.md').relative_to(ROOT)}")
    return 0 if steps.as_expected else 1


def written(steps: Steps) -> str:
    lines = [f"# Open WebUI behind session-guard, {date.today().isoformat()}", ""]
    lines += ["Written by `make open-webui`.", "", "| part | version |", "| --- | --- |"]
    lines += [f"| {part} | {number} |" for part, number in versions()]
    for title, part in steps.parts:
        lines += ["", f"## {title}", ""]
        lines += ["| | step | expected | came |", "| --- | --- | --- | --- |"]
        lines += [f"| {'✓' if good else '✗'} | {step} | {expected} | {came} |"
                  for good, step, expected, came in part]
    for name, text in steps.pictures:
        lines += ["", f"![{text}]({name})", "", text]
    return "\n".join(lines) + "\n"


def versions():
    def said(*command) -> str:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    envoy = said(ROOT / "target/envoy", "--version").split("version: ")[-1].split("/")
    yield "Open WebUI", version("open-webui")
    yield "Envoy", envoy[1] if len(envoy) > 1 else "?"
    last = ["git", "-C", ROOT, "log", "-1", "--format=%h", "--"]  # of what the filter is made of
    yield "session-guard", said(*last, "src", "signout", "Cargo.lock", "envoy")
    yield "Chromium", said(CHROMIUM, "--version").removeprefix("Chromium ").split(" built")[0]
    yield "Python", sys.version.split()[0]


if __name__ == "__main__":
    sys.exit(main())
