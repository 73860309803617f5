"""Signs out at a real identity provider, and measures when two Envoys refuse the session's tokens.

Started by `make identity-providers`. Each round signs in at the provider, gets a second access token by refresh, opens
a stream through each Envoy, and logs out *at the provider*. Then both tokens must be refused, both streams must have
ended, and a new sign-in must work. Finally a token is revoked with authlib's client (RFC 7009).
"""

import json
import math
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
from authlib.integrations.requests_client import OAuth2Session

from provider import CLIENT, REDIRECT, SECRET

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ROUNDS = int(os.environ.get("ROUNDS", "100"))
TIMEOUT_SECONDS = 30
ADMIN = "/tmp/session-guard-admin.sock"


def free_ports(count):
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def eventually(what, condition):
    """Waits until a condition holds."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen: {what}")
        time.sleep(0.002)


class Application(BaseHTTPRequestHandler):
    """Responds 200, and streams a line every 20 ms at /stream."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        if self.path != "/stream":
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"9\r\ndata: x\n\n\r\n")
                self.wfile.flush()
                time.sleep(0.02)
        except OSError:
            self.close_connection = True


class Stream(threading.Thread):
    """A request that stays open; notes when it has ended."""

    def __init__(self, url, token):
        super().__init__(daemon=True)
        self.response = requests.get(url, headers=bearer(token), stream=True, timeout=TIMEOUT_SECONDS)
        self.ended_at = None
        self.start()

    def run(self):
        try:
            for _ in self.response.iter_content(chunk_size=64):
                pass
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
            pass
        self.ended_at = time.monotonic()


class Refusal(threading.Thread):
    """Sends requests with a token until one is refused; notes when."""

    def __init__(self, url, token):
        super().__init__(daemon=True)
        self.url, self.token, self.refused_at = url, token, None
        self.start()

    def run(self):
        with requests.Session() as session:
            while True:
                response = session.get(self.url, headers=bearer(self.token), timeout=TIMEOUT_SECONDS)
                if response.status_code == 401:
                    self.refused_at = time.monotonic()
                    return
                assert response.status_code == 200, response.status_code
                time.sleep(0.001)


def bearer(token):
    return {"authorization": f"Bearer {token}"}


class Browser:
    """A user of the provider: one session."""

    def __init__(self, issuer):
        self.issuer = issuer
        query = {
            "client_id": CLIENT,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid offline_access",
            "state": "s",
            "nonce": secrets.token_hex(8),
            "prompt": "consent",
        }
        response = requests.get(f"{issuer}/authorization", params=query, allow_redirects=False, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 302, response.text
        self.cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in response.cookies)
        code = urllib.parse.parse_qs(urllib.parse.urlparse(response.headers["location"]).query)["code"][0]
        self.tokens = self.post({"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT})

    def post(self, form):
        form |= {"client_id": CLIENT, "client_secret": SECRET}
        response = requests.post(f"{self.issuer}/token", data=form, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200, response.text
        return response.json()

    def two_tokens(self):
        """An access token of the sign-in and one of a refresh."""
        renewed = self.post({"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]})
        return [self.tokens["access_token"], renewed["access_token"]]

    def log_out(self):
        response = requests.get(f"{self.issuer}/session", headers={"cookie": self.cookies}, timeout=TIMEOUT_SECONDS)
        assert response.status_code == 200, response.text


class Stack:
    """The provider, the application, the service and two Envoys. They stop at the end of the `with` block."""

    def __init__(self):
        self._stack = ExitStack()
        provider, application, service, *edges = free_ports(7)
        self.issuer = f"http://127.0.0.1:{provider}"
        self.service = f"http://127.0.0.1:{service}"
        self.ports = {"provider": provider, "application": application, "service": service}
        self.envoys = [edges[:2], edges[2:]]
        self.edges = [f"http://127.0.0.1:{ports[0]}" for ports in self.envoys]
        self.environment = os.environ | {"SIGNOUT_TOKEN": secrets.token_hex(16), "SESSION_SECRET": secrets.token_hex(32)}

    def __enter__(self):
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="identity-provider-")))
        try:
            self.start_all(folder)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def start(self, name, folder, *command):
        log = open(folder / f"{name}.log", "wb")
        self._stack.callback(log.close)
        process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return lambda: (folder / f"{name}.log").read_text()

    def start_all(self, folder):
        application = ThreadingHTTPServer(("127.0.0.1", self.ports["application"]), Application)
        threading.Thread(target=application.serve_forever, daemon=True).start()
        self._stack.callback(application.shutdown)
        logout = f"{self.service}/v1/backchannel-logout"
        provider = HERE / "provider.py"
        log = self.start("provider", folder, sys.executable, str(provider), str(self.ports["provider"]), logout)
        eventually("the provider is ready", lambda: "ready" in log())
        issuers = {
            "issuer": self.issuer,
            "jwks": {"url": f"{self.issuer}/jwks.json"},
            "algorithms": ["RS256", "ES256"],
            "max_lifetime_seconds": 3600,
            "backchannel_logout": {"audiences": [CLIENT]},
            "token_revocation": True,
        }
        (folder / "issuers.json").write_text(json.dumps({"issuers": [issuers]}))
        self.start(
            "signout", folder, "target/debug/signout", "serve", "--listen", f"127.0.0.1:{self.ports['service']}",
            "--store", f"redb:{folder}/store", "--issuers", str(folder / "issuers.json"),
        )  # fmt: skip
        for index, ports in enumerate(self.envoys):
            configuration = folder / f"envoy{index}.yaml"
            configuration.write_text(self.envoy(ports, folder / f"admin{index}.sock"))
            self.start(
                f"envoy{index}", folder, "target/envoy", "--config-path", str(configuration), "--base-id",
                str(ports[0]), "--concurrency", "1", "--log-level", "warn",
            )  # fmt: skip
        for edge in self.edges:
            eventually("Envoy is ready", lambda edge=edge: is_ready(edge))

    def envoy(self, ports, admin):
        """envoy/envoy.yaml with the keys of the provider, these ports and this file of the admin interface."""
        keys = requests.get(f"{self.issuer}/jwks.json", timeout=TIMEOUT_SECONDS).json()
        filter_configuration = {
            "keys": [{"jwks": {"inline": keys}, "algorithm": "RS256", "issuer": self.issuer}],
            "claims": {"user_id": "sub"},
            "routes": [{"path": "/.session-guard/ready", "access": "ready"}],
            "revocation": {"upstream": {"cluster": "signout", "authority": "signout", "token": {"env": "SIGNOUT_TOKEN"}}},
        }
        text = (ROOT / "envoy/envoy.yaml").read_text()
        lines, skipping = [], False
        for line in text.splitlines():
            if skipping and re.match(r"\s*- name:", line):
                skipping = False
            if skipping:
                continue
            if re.search(r"value: \|$", line):
                line = line[: line.index("value:")] + "value: " + json.dumps(json.dumps(filter_configuration))
                skipping = True
            lines.append(line)
        text = "\n".join(lines) + "\n"
        edge, metrics = ports
        for found, replaced in [
            ("0.0.0.0, port_value: 8080", f"127.0.0.1, port_value: {edge}"),
            ("0.0.0.0, port_value: 9902", f"127.0.0.1, port_value: {metrics}"),
            ("application, port_value: 3000", f"127.0.0.1, port_value: {self.ports['application']}"),
            ("signout, port_value: 8090", f"127.0.0.1, port_value: {self.ports['service']}"),
        ]:
            assert found in text, found
            text = text.replace(f"address: {found}", f"address: {replaced}")
        assert ADMIN in text, ADMIN
        return text.replace(ADMIN, str(admin))


def is_ready(edge):
    try:
        return requests.get(f"{edge}/.session-guard/ready", timeout=TIMEOUT_SECONDS).status_code == 200
    except requests.exceptions.ConnectionError:
        return False


def status(edge, token):
    return requests.get(edge, headers=bearer(token), timeout=TIMEOUT_SECONDS).status_code


def one_round(stack):
    """Returns the milliseconds from the logout to the last refusal, and to the end of the last stream."""
    browser = Browser(stack.issuer)
    tokens = browser.two_tokens()
    streams = [Stream(f"{edge}/stream", tokens[0]) for edge in stack.edges]
    assert all(stream.response.status_code == 200 for stream in streams)
    refusals = [Refusal(edge, token) for edge in stack.edges for token in tokens]
    began = time.monotonic()
    browser.log_out()
    eventually("both tokens are refused on both Envoys", lambda: all(it.refused_at for it in refusals))
    eventually("both streams have ended", lambda: all(it.ended_at for it in streams))
    again = Browser(stack.issuer).tokens["access_token"]
    assert all(status(edge, again) == 200 for edge in stack.edges), "a new sign-in works"
    milliseconds = lambda times: (max(times) - began) * 1000
    return milliseconds(it.refused_at for it in refusals), milliseconds(it.ended_at for it in streams)


def revoke_with_authlib(stack):
    """RFC 7009 with a client of somebody else."""
    token = Browser(stack.issuer).tokens["access_token"]
    assert all(status(edge, token) == 200 for edge in stack.edges)
    client = OAuth2Session(CLIENT, SECRET)
    response = client.revoke_token(f"{stack.service}/oauth/revoke", token=token, token_type_hint="access_token")
    assert response.status_code == 200, response.text
    eventually("the revoked token is refused", lambda: all(status(edge, token) == 401 for edge in stack.edges))


def shown(name, values):
    values = sorted(values)
    at = lambda part: values[math.ceil(part * len(values)) - 1]
    print(f"{name:<44} p50 {at(0.5):6.0f} ms   p99 {at(0.99):6.0f} ms   max {values[-1]:6.0f} ms")


def main():
    with Stack() as stack:
        measured = []
        for number in range(ROUNDS):
            measured.append(one_round(stack))
            if number == 0:
                print("logout at the provider: both tokens refused, both streams ended, a new sign-in works")
        shown("provider's logout -> refused on two Envoys", [it[0] for it in measured])
        shown("provider's logout -> streams ended", [it[1] for it in measured])
        revoke_with_authlib(stack)
        print("token revocation with authlib's client: refused on two Envoys")


if __name__ == "__main__":
    main()
