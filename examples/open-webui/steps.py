"""Did each step come as expected? Prints them as they come and keeps them for the record."""

import base64
import json
import time
from typing import Callable


class Steps:
    """What was done, what was expected, what came."""

    def __init__(self):
        self.parts: list[tuple[str, list]] = []
        self.pictures: list[tuple[str, str]] = []

    def part(self, title: str):
        self.parts.append((title, []))
        print(f"\n{title}\n")

    def check(self, step: str, expected: str, came: str):
        """Expected and come, as a reader is to see them."""
        good = expected == came
        self.parts[-1][1].append((good, step, expected, came))
        print(f"{'✓' if good else '✗'} {step:<62} {expected:<24} {came}", flush=True)

    @property
    def as_expected(self) -> bool:
        return all(good for _, steps in self.parts for good, *_ in steps)


def told(answer) -> str:
    """Status and what the filter, or else the application, calls it."""
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
    """How long it takes until that holds; `None`: longer."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > at_most:
            return None
        time.sleep(0.01)
    return time.monotonic() - start
