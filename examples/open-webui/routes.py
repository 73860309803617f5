"""Compares the preset with the routes of the installed application.

As a program, `routes.py` prints the application's routes as JSON. It imports the application, so it needs its
environment. `compare` uses `signout check` to find the preset's rule for each route.
"""

import json
import re
import subprocess
from typing import Callable, Iterable

# FastAPI dependencies with which Open WebUI requires a user.
REQUIRE_A_USER = {"get_current_user", "get_verified_user", "get_admin_user"}
OPEN = {"public", "optional", "signout"}


def routes_of(routes: Iterable, prefix: str = "") -> list[dict]:
    """Returns every route below these: its method, an example path, and whether it needs a user."""
    found = []
    for route in routes:
        path = prefix + getattr(route, "path", "")
        methods = getattr(route, "methods", None)
        if hasattr(route, "endpoint") and methods is None:
            found.append({"method": "WEBSOCKET", "path": example(path), "needs_user": True})
        elif hasattr(route, "endpoint"):
            user = needs_user(getattr(route, "dependant", None))
            found += [{"method": method, "path": example(path), "needs_user": user}
                      for method in sorted(methods) if method not in ("HEAD", "OPTIONS")]
        elif getattr(route, "routes", None):
            found += routes_of(route.routes, path)
        else:  # a mounted application that does not list its routes: Socket.IO, static files
            is_socket = "socket" in type(getattr(route, "app", None)).__module__
            method = "WEBSOCKET" if is_socket else "GET"
            found.append({"method": method, "path": example(path + "/x"), "needs_user": is_socket})
    return found


def example(path: str) -> str:
    """Returns a path that the route matches: `/users/{id}` becomes `/users/x`."""
    return re.sub(r"\{[^}]*\}", "x", path) or "/"


def needs_user(dependant) -> bool:
    if dependant is None:
        return False
    own = getattr(dependant, "call", None)
    return getattr(own, "__name__", "") in REQUIRE_A_USER or any(
        needs_user(below) for below in getattr(dependant, "dependencies", []))


def compare(routes: list[dict], access_of: Callable[[list[str]], list[str]],
            rules: list[dict]) -> list[str]:
    """Returns the differences between the preset and the application's routes, as sentences."""
    differences = []
    if any(route["method"] == "WEBSOCKET" for route in routes) and not upgrades_are_protected(rules):
        differences.append("the application has WebSockets, and no rule protects every upgrade")
    http = [route for route in routes if route["method"] != "WEBSOCKET"]
    requests = [f"{route['method']} {route['path']}" for route in http]
    for request, route, access in zip(requests, http, access_of(requests), strict=True):
        if route["needs_user"] and access in OPEN - {"signout"}:
            differences.append(f"{request} needs a user, and the preset has it {access}")
        if not route["needs_user"] and access not in OPEN:
            differences.append(f"{request} needs no user, and the preset has it {access}")
    return differences


def upgrades_are_protected(rules: list[dict]) -> bool:
    """Returns whether a rule that protects every upgrade precedes all rules that open a route."""
    for rule in rules:
        if rule.get("preflight") or rule["access"] == "ready":
            continue
        is_for_all = rule.get("prefix") == "/" and not {"methods", "hosts"} & rule.keys()
        return bool(rule.get("upgrade")) and is_for_all and rule["access"] == "protected"
    return False


class Preset:
    """The preset as `signout check` reads it."""

    def __init__(self, signout):
        self._signout = signout
        self.rules = self._check([])["configuration"]["routes"]

    def access_of(self, requests: list[str]) -> list[str]:
        return [asked["access"] for asked in self._check(requests)["requests"]]

    def _check(self, requests: list[str]) -> dict:
        options = [option for request in requests for option in ("--request", request)]
        output = subprocess.run([self._signout, "check", "-", "--json", *options],
                                input='{"preset": "open-webui"}', capture_output=True, text=True,
                                check=True).stdout
        return json.loads(output)["configurations"][0]


if __name__ == "__main__":
    from open_webui.main import app

    print("\n" + json.dumps(routes_of(app.routes)))  # the last line; the application logs before it
