"""Checks and prints the result of each step, and keeps all of them for the record."""

import base64
import json
import time
from typing import Callable


class Steps:
    """The steps so far, each with the expected and the actual result."""

    def __init__(self):
        self.parts: list[tuple[str, list]] = []
        self.pictures: list[tuple[str, str]] = []

    def part(self, title: str):
        self.parts.append((title, []))
        print(f"\n{title}\n")

    def check(self, step: str, expected: str, came: str):
        """Compares the expected with the actual result, prints and records them."""
        good = expected == came
        self.parts[-1][1].append((good, step, expected, came))
        print(f"{'✓' if good else '✗'} {step:<62} {expected:<24} {came}", flush=True)

    @property
    def as_expected(self) -> bool:
        return all(good for _, steps in self.parts for good, *_ in steps)


def told(answer) -> str:
    """Returns the status and the code of the filter, or the detail of the application."""
    try:
        body = answer.json()
    except ValueError:
        return str(answer.status_code)
    name = body.get("code") or body.get("detail") if isinstance(body, dict) else ""
    return f"{answer.status_code} {name or ''}".strip()


def claims(token: str) -> dict:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def seconds_until(condition: Callable[[], bool], at_most: float) -> float | None:
    """Returns how long it takes until the condition holds; `None` if it takes too long."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > at_most:
            return None
        time.sleep(0.01)
    return time.monotonic() - start
