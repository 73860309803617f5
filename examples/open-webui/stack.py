"""Starts the signout service, Open WebUI and Envoy on free ports, with logs below target/.

Envoy gets the configuration that `envoy.sh` prints, as the README describes.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HOME = ROOT / "target/open-webui-run"

# Open WebUI fetches nothing from the network, and its only model is model.py.
OPEN_WEBUI = {
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",
    "ENABLE_OLLAMA_API": "false",
    "ENABLE_OPENAI_API": "true",
    "OPENAI_API_KEY": "none",
    "ENABLE_API_KEYS": "true",
    "ENABLE_TITLE_GENERATION": "false",
    "ENABLE_TAGS_GENERATION": "false",
    "ENABLE_FOLLOW_UP_GENERATION": "false",
    "SCARF_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "false",
}


class Stack:
    """The running processes. They stop at the end of the `with` block."""

    def __init__(self):
        self._stack = ExitStack()
        ports = free_ports(5)
        self.edge, self.metrics, self.application, self.service, self.model = (
            f"127.0.0.1:{port}" for port in ports
        )
        self.secret = secrets.token_hex(32)
        self.api_token = secrets.token_hex(32)

    def __enter__(self):
        HOME.mkdir(parents=True, exist_ok=True)
        data = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="open-webui-")))
        try:
            self._start_all(data)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _start_all(self, data: Path):
        self._start("model", [sys.executable, HERE / "model.py", self.model])
        store = f"redb:{data / 'revocations.redb'}"
        serve = ["serve", "--listen", self.service, "--store", store]
        signout = [ROOT / "target/debug/signout", *serve]
        self._start("signout", signout, SIGNOUT_TOKEN=self.api_token)
        host, port = self.application.split(":")
        serve = ["serve", "--host", host, "--port", port]
        program = [Path(sys.executable).parent / "open-webui", *serve]
        own = {"DATA_DIR": str(data), "OPENAI_API_BASE_URL": f"http://{self.model}/v1"}
        own |= {"WEBUI_SECRET_KEY": self.secret}
        application = self._start("open-webui", program, **OPEN_WEBUI, **own)
        wait_for(f"http://{self.application}/ready", application, 600)
        envoy = self._start("envoy", self._envoy(data), **self._secrets())
        wait_for(f"http://{self.edge}/.session-guard/ready", envoy, 120)

    def signout(self, *arguments: str, text: str = ""):
        """Runs a command of the operator's tool, with this text as its standard input."""
        own = {"SIGNOUT_URL": f"http://{self.service}", "SIGNOUT_TOKEN": self.api_token}
        program = [ROOT / "target/debug/signout", *arguments]
        subprocess.run(program, input=text, text=True, env=os.environ | own, check=True,
                       stdout=subprocess.DEVNULL)

    def _secrets(self):
        return {"WEBUI_SECRET_KEY": self.secret, "SIGNOUT_TOKEN": self.api_token}

    def _envoy(self, data: Path):
        script = [HERE / "envoy.sh", self.application, self.service]
        made = subprocess.run(script, check=True, capture_output=True, text=True).stdout
        own = {f"port_value: {shipped}": f"port_value: {here.split(':')[1]}"
               for shipped, here in [("8080", self.edge), ("9902", self.metrics)]}
        own["/tmp/session-guard-admin.sock"] = str(data / "admin.sock")
        for shipped, here in own.items():
            assert shipped in made, shipped
            made = made.replace(shipped, here)
        (data / "envoy.yaml").write_text(made)
        program = os.environ.get("ENVOY") or ROOT / "target/envoy"
        return [program, "--config-path", data / "envoy.yaml", "--disable-hot-restart"] + [
            "--concurrency", "2", "--component-log-level", "wasm:debug"
        ]

    def _start(self, name: str, command: list, **environment: str):
        log = self._stack.enter_context(open(HOME / f"{name}.log", "w"))
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT,
        )
        process.name = name
        self._stack.callback(stop, process)
        return process


def stop(process: subprocess.Popen):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(url: str, process, seconds: int):
    """Waits until the address responds 200. Fails if the process ends."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.name} has ended: see {HOME / process.name}.log")
        try:
            if urllib.request.urlopen(url, timeout=2).status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{process.name} is not ready in {seconds} s: {HOME / process.name}.log")


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
