"""Tests session-guard with the real Open WebUI. `make open-webui` installs what this needs.

Starts everything, runs the scenario through Open WebUI's interface and in a browser, and writes a dated
record. The exit code is 0 only if every step had the expected result.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version

from browser import CHROMIUM, Browser
from routes import Preset, compare
from stack import HERE, HOME, OPEN_WEBUI, ROOT, Stack
from steps import Steps
from story import Story


def main() -> int:
    record = HERE / "record" / date.today().isoformat()
    record.mkdir(parents=True, exist_ok=True)
    steps = Steps()
    compare_routes(steps)
    print(f"starting Open WebUI, a minute or two; logs in {HOME.relative_to(ROOT)}/ …")
    with Stack() as stack:
        story = Story(stack, steps)
        story.tell()
        Browser(stack, steps, record).tell()
    (record / "README.md").write_text(written(steps))
    print(f"\n{'All came as expected' if steps.as_expected else 'Not as expected (✗)'}: "
          f"{(record / 'README.md').relative_to(ROOT)}")
    return 0 if steps.as_expected else 1


def compare_routes(steps: Steps):
    """Compares the preset with the list of routes of the installed application."""
    steps.part("The preset and the application's own routes")
    with tempfile.TemporaryDirectory(prefix="open-webui-") as data:
        environment = os.environ | OPEN_WEBUI | {
            "DATA_DIR": data, "WEBUI_SECRET_KEY": secrets.token_hex(32),
            "FROM_INIT_PY": "true"}  # as `open-webui serve` sets it: the package has its own pages
        output = subprocess.run([sys.executable, HERE / "routes.py"], env=environment, check=True,
                                stdout=subprocess.PIPE, text=True).stdout
    routes = json.loads(output.splitlines()[-1])
    preset = Preset(ROOT / "target/debug/signout")
    differences = compare(routes, preset.access_of, preset.rules)
    for difference in differences:
        print(difference)
    steps.check(f"{len(routes)} routes, HTTP and WebSocket", "0 differences",
                f"{len(differences)} differences")


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
    last = ["git", "-C", ROOT, "log", "-1", "--format=%h", "--"]  # the last commit of the sources
    yield "session-guard", said(*last, "core", "src", "signout", "Cargo.lock", "envoy")
    yield "Chromium", said(CHROMIUM, "--version").removeprefix("Chromium ").split(" built")[0]
    yield "Python", sys.version.split()[0]


if __name__ == "__main__":
    sys.exit(main())
