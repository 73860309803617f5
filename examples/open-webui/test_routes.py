"""Tests of routes.py. Run `python3 -m unittest` in this directory.

The test routes have the attributes of Starlette's and FastAPI's routes, so no package is needed.
"""

import unittest
from pathlib import Path
from types import SimpleNamespace

from routes import Preset, compare, routes_of

SIGNOUT = Path(__file__).resolve().parents[2] / "target/debug/signout"


def get_verified_user():
    pass


def http(path, *methods, user=False):
    dependencies = [SimpleNamespace(call=get_verified_user, dependencies=[])] if user else []
    return SimpleNamespace(path=path, methods=set(methods), endpoint=print,
                           dependant=SimpleNamespace(call=print, dependencies=dependencies))


def websocket(path):
    return SimpleNamespace(path=path, endpoint=print)


APPLICATION = [
    http("/api/v1/chats/", "GET", user=True),
    http("/api/v1/users/{id}", "DELETE", user=True),
    http("/api/v1/auths/signin", "POST"),
    http("/api/v1/auths/signout", "POST"),
    http("/api/config", "GET"),
    http("/health", "GET", "HEAD"),
    SimpleNamespace(path="/ollama", routes=[http("/", "GET"), http("/api/tags", "GET", user=True)]),
    websocket("/api/v1/audio/realtime"),
    SimpleNamespace(path="/static", app=SimpleNamespace()),
]


class Routes(unittest.TestCase):
    def test_every_route_is_listed_with_what_it_needs(self):
        listed = {(route["method"], route["path"]): route["needs_user"]
                  for route in routes_of(APPLICATION)}
        self.assertEqual(listed[("DELETE", "/api/v1/users/x")], True)
        self.assertEqual(listed[("GET", "/ollama/api/tags")], True)
        self.assertEqual(listed[("GET", "/ollama/")], False)
        self.assertEqual(listed[("WEBSOCKET", "/api/v1/audio/realtime")], True)
        self.assertEqual(listed[("GET", "/static/x")], False)

    def test_a_route_that_the_preset_opens_or_blocks_is_found(self):
        def compared(route, access):
            return compare(routes_of([route]), lambda requests: [access] * len(requests), [])

        self.assertEqual(compared(http("/a", "GET", user=True), "protected"), [])
        self.assertEqual(len(compared(http("/a", "GET", user=True), "optional")), 1)
        self.assertEqual(len(compared(http("/a", "GET"), "protected")), 1)
        self.assertEqual(compared(http("/a", "GET"), "public"), [])
        self.assertEqual(len(compared(websocket("/a"), "")), 1)

    @unittest.skipUnless(SIGNOUT.exists(), "needs `cargo build -p signout`")
    def test_the_preset_knows_the_recorded_routes(self):
        preset = Preset(SIGNOUT)
        self.assertEqual(compare(routes_of(APPLICATION), preset.access_of, preset.rules), [])


if __name__ == "__main__":
    unittest.main()
