"""Signs out at real identity providers, and measures when two Envoys refuse the session's tokens.

Started by `make identity-providers`; `PROVIDERS=glewlwyd` chooses one. Each round signs in at the provider, gets a
second access token by refresh, opens a stream through each Envoy, and logs out *at the provider*. Then both tokens must
be refused, both streams must have ended, and a new sign-in must work. Finally a token is revoked with authlib's client
(RFC 7009). A dated record is written if all rounds succeed.
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
from contextlib import ExitStack
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
from authlib.integrations.requests_client import OAuth2Session

from glewlwyd import Glewlwyd
from idpyoidc_sign_in import Idpyoidc
from provider import CLIENT, SECRET

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
ROUNDS = int(os.environ.get("ROUNDS") or "100")
PROVIDERS = [it for it in (Idpyoidc, Glewlwyd) if it.name in (os.environ.get("PROVIDERS") or "idpyoidc glewlwyd").split()]
TIMEOUT_SECONDS = 120  # also for a busy machine
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


class Stack:
    """The provider, the application, the service and two Envoys. They stop at the end of the `with` block."""

    def __init__(self, kind):
        self._stack = ExitStack()
        provider, application, service, *edges = free_ports(7)
        self.provider = kind(provider)
        self.service = f"http://127.0.0.1:{service}"
        self.ports = {"application": application, "service": service}
        self.envoys = [edges[:2], edges[2:]]
        self.edges = [f"http://127.0.0.1:{ports[0]}" for ports in self.envoys]
        self.environment = os.environ | {"SIGNOUT_TOKEN": secrets.token_hex(16), "SESSION_SECRET": secrets.token_hex(32)}

    def __enter__(self):
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="identity-provider-")))
        try:
            self.start_all(folder)
        except BaseException:
            for log in folder.glob("*.log"):
                print(f"{log.name}:\n{log.read_text()[-2000:]}", file=sys.stderr)
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    eventually = staticmethod(eventually)

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
        self.provider.start(self, folder, f"{self.service}/v1/backchannel-logout")
        issuers = {
            "issuer": self.provider.issuer,
            "jwks": {"url": self.provider.jwks},
            "algorithms": self.provider.algorithms,
            "max_lifetime_seconds": 3600,
            "backchannel_logout": {"audiences": [self.provider.client]},
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
        keys = requests.get(self.provider.jwks, timeout=TIMEOUT_SECONDS).json()
        of_rsa = [{"algorithm": name} for name in self.provider.algorithms if name.startswith("RS")]  # keys without `alg`
        filter_configuration = {
            "keys": [{"jwks": {"inline": keys}, "issuer": self.provider.issuer} | (of_rsa or [{}])[0]],
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
    """Returns the milliseconds from the logout to the last refusal, to the end of the last stream, and to a new sign-in
    that works."""
    browser = stack.provider.sign_in()
    tokens = browser.two_tokens()
    streams = [Stream(f"{edge}/stream", tokens[0]) for edge in stack.edges]
    assert all(stream.response.status_code == 200 for stream in streams)
    refusals = [Refusal(edge, token) for edge in stack.edges for token in tokens]
    began = time.monotonic()
    browser.log_out()
    eventually("both tokens are refused on both Envoys", lambda: all(it.refused_at for it in refusals))
    eventually("both streams have ended", lambda: all(it.ended_at for it in streams))
    eventually("a new sign-in works", lambda: is_signed_in(stack, stack.provider.sign_in()))
    milliseconds = lambda at: (at - began) * 1000
    refused = max(it.refused_at for it in refusals)
    ended = max(it.ended_at for it in streams)
    return milliseconds(refused), milliseconds(ended), milliseconds(time.monotonic())


def is_signed_in(stack, browser):
    return all(status(edge, browser.tokens["access_token"]) == 200 for edge in stack.edges)


def revoke_with_authlib(stack):
    """RFC 7009 with a client of somebody else."""
    token = stack.provider.sign_in().tokens["access_token"]
    assert all(status(edge, token) == 200 for edge in stack.edges)
    client = OAuth2Session(CLIENT, SECRET)
    response = client.revoke_token(f"{stack.service}/oauth/revoke", token=token, token_type_hint="access_token")
    assert response.status_code == 200, response.text
    eventually("the revoked token is refused", lambda: all(status(edge, token) == 401 for edge in stack.edges))


def measured(kind):
    """Returns the lines of the record about one provider."""
    with Stack(kind) as stack:
        provider = stack.provider
        print(f"{provider.name} {provider.version()}, {ROUNDS} rounds", flush=True)
        rounds = [one_round(stack) for _ in range(ROUNDS)]
        revoke_with_authlib(stack)
    lines = [f"## {provider.name} {provider.version()}", "", *provider.says.splitlines(), "",
             "| from the logout at the provider | p50 | p99 | max |", "| --- | --- | --- | --- |"]  # fmt: skip
    names = ["until both tokens are refused on two Envoys", "until both streams have ended", "until a new sign-in works"]
    for name, values in zip(names, zip(*rounds)):
        values = sorted(values)
        at = [values[math.ceil(part * len(values)) - 1] for part in (0.5, 0.99, 1)]
        lines.append(f"| {name} | " + " | ".join(f"{it:.0f} ms" for it in at) + " |")
    return lines + ["", "A token revoked with authlib's client (RFC 7009) was refused on both Envoys."]


def versions():
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()

    yield "Envoy", said("target/envoy", "--version").split("version: ")[-1].split("/")[1]
    yield "session-guard", said("git", "log", "-1", "--format=%h", "--", "core", "src", "signout", "Cargo.lock", "envoy")
    yield "Python", sys.version.split()[0]


def main():
    load = os.getloadavg()[0]
    parts = [measured(kind) for kind in PROVIDERS]
    busy = max(load, os.getloadavg()[0]) > (os.cpu_count() or 1)
    lines = [f"# Sign-outs at identity providers, {date.today().isoformat()}", "",
             f"Written by `make identity-providers`, {ROUNDS} rounds for each provider.{BUSY if busy else ''}", "",
             "| part | version |", "| --- | --- |", *(f"| {part} | {number} |" for part, number in versions())]  # fmt: skip
    for part in parts:
        lines += ["", *part]
    record = HERE / "record" / f"{date.today().isoformat()}.md"
    record.parent.mkdir(exist_ok=True)
    record.write_text("\n".join(lines) + "\n")
    print("\n".join(lines[3:]), f"\n\nAll came as expected: {record.relative_to(ROOT)}")


BUSY = " The machine was busy with other programs."

if __name__ == "__main__":
    main()
