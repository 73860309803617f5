"""Promise: the filter protects in the form in which Istio and Envoy Gateway deliver it from our manifests and
from the Helm chart.

Method: the test translates each resource into Envoy's configuration as its control plane does, and a real
Envoy runs it with the real signout service. `make kubernetes-envoy` runs this. It uses no live control plane,
so it cannot show whether Istio and Envoy Gateway still translate in this way.

- Istio (pilot/pkg/model/extensions.go): extension discovery (ECDS), no vm_id, the configuration as a
  string. Envoy gets the resource from a file.
- Istio (pilot/pkg/security/authz/model): the AuthorizationPolicy of the application as RBAC behind the
  filter. The test of the policy alone runs it without the filter. Principals are left out: they need
  certificates of a mesh.
- Istio (pilot/pkg/networking/core/envoyfilter): the EnvoyFilter with the dynamic module puts its filter
  before all others.
- Envoy Gateway (internal/xds/translator/wasm.go, dynamicmodule.go, jsonpatch.go): the filter is disabled in
  the connection manager and enabled by each route. A proxy-wasm filter has its own vm_id, and its module
  comes from an HTTP server. The file and the other settings of a dynamic module come from the EnvoyProxy.
  Our EnvoyPatchPolicy is applied to the result.

The images have the dynamic module below the folder of the Dockerfile; here it is the one that `make native`
has built.
"""

import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import jsonpath_ng.ext
import yaml

import chart
import manifests
import schemas
from manifests import ROOT, build, find

WASM = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"
HOST = "127.0.0.1"
SECRETS = {"SESSION_SECRET": uuid.uuid4().hex, "SIGNOUT_TOKEN": uuid.uuid4().hex}
DEADLINE_SECONDS = 120


def artifact(path, newer_than=()):
    """Returns a file that `make` has built. Fails if it is older than its sources."""
    hint = "run `make kubernetes-envoy`"
    assert path.exists(), f"{path} is missing: {hint}"
    sources = [file for folder in newer_than for file in (ROOT / folder).rglob("*.rs")]
    stale = [file for file in sources if file.stat().st_mtime > path.stat().st_mtime]
    assert not stale, f"{path} is older than {stale[0]}: {hint}"
    return path


def eventually(what, condition):
    """Waits until the condition holds. Fails with the name of the condition."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if result := condition():
                return result
        time.sleep(0.05)
    raise AssertionError(f"not within {DEADLINE_SECONDS} s: {what}")


def free_port():
    with socket.socket() as one:
        one.bind((HOST, 0))
        return one.getsockname()[1]


def encode(part):
    return base64.urlsafe_b64encode(part).rstrip(b"=")


class Application:
    """Signs tokens with the session secret that it shares with the filter."""

    header = {"alg": "HS256"}

    def token_of(self, user):
        """Returns a new token of that user."""
        now = int(time.time())
        claims = {"jti": uuid.uuid4().hex, "iat": now, "exp": now + 3600, **self.claims(user)}
        parts = [encode(json.dumps(part).encode()) for part in [self.header, claims]]
        signed = b".".join(parts)
        return (signed + b"." + encode(self.signature(signed))).decode()

    def claims(self, user):
        return {"id": user}

    def signature(self, signed):
        return hmac.digest(SECRETS["SESSION_SECRET"].encode(), signed, hashlib.sha256)


class Issuer(Application):
    """An identity provider with an RSA key and a JWK Set. It signs with the program openssl."""

    header = {"alg": "RS256", "kid": "1"}

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.key = f"{self.folder.name}/key.pem"
        openssl = lambda *arguments: subprocess.run(
            ["openssl", *arguments], check=True, capture_output=True).stdout
        openssl("genrsa", "-out", self.key, "2048")
        modulus = bytes.fromhex(openssl("rsa", "-in", self.key, "-modulus", "-noout").decode()[8:].strip())
        key = {"kty": "RSA", "kid": "1", "alg": "RS256", "n": encode(modulus).decode(), "e": "AQAB"}
        self.server = WebServer(lambda *_: json.dumps({"keys": [key]}).encode())

    def claims(self, user):
        return {"iss": "https://id.example.com", "aud": "application", "sub": user}

    def signature(self, signed):
        return subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key],
                              input=signed, check=True, capture_output=True).stdout


class WebServer:
    """Serves responses from a function (method, path, headers) → bytes."""

    def __init__(self, respond, content_type="application/json"):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = respond(self.command, self.path, self.headers)
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.send_header("content-type", content_type)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_OPTIONS = do_GET

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def application(method, path, headers):
    """Returns the request's headers as JSON, duplicates included."""
    return json.dumps({"headers": [[name.lower(), value] for name, value in headers.items()]}).encode()


class Stage:
    """A signout service, an application, a module server and one Envoy for a test."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="session-guard-kubernetes-"))
        self.module = self.folder / "module.wasm"
        shutil.copy(artifact(ROOT / "target/session_guard.wasm", ["src", "core/src"]), self.module)
        self.application = WebServer(application)
        self.modules = WebServer(lambda *_: self.module.read_bytes(), "application/wasm")
        self.admin = self.folder / "admin.sock"
        self.processes = []
        self.ports = {name: free_port() for name in ["edge", "metrics", "service"]}

    def library(self, path):
        """Returns the dynamic module that the image has at this path."""
        assert path.startswith(manifests.IMAGE_FOLDER), path
        return str(artifact(ROOT / path.removeprefix(f"{manifests.IMAGE_FOLDER}/"),
                            ["native/src", "core/src"]))

    def run(self, name, command, **environment):
        log = (self.folder / f"{name}.log").open("wb")
        self.processes.append(subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}))

    def start_service(self, deployment):
        """Starts the service with the arguments of its container. Its mounts are folders here."""
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        program = artifact(Path(os.environ.get("SIGNOUT", target / "debug/signout")))
        arguments = arguments_of(deployment)[1:]
        tls = self.folder / "etc/signout/tls"
        tls.mkdir(parents=True)
        (self.folder / "var/lib/signout").mkdir(parents=True)
        shutil.copy(ROOT / "tests/tls/server.pem", tls / "tls.crt")
        shutil.copy(ROOT / "tests/tls/server.key", tls / "tls.key")
        here = lambda argument: argument.replace("/var/lib", f"{self.folder}/var/lib").replace(
            "/etc/signout", f"{self.folder}/etc/signout").replace(
            "0.0.0.0:8090", f"{HOST}:{self.ports['service']}")
        self.run("signout", [program, *map(here, arguments)],
                 SIGNOUT_TOKEN=SECRETS["SIGNOUT_TOKEN"])
        tls = "--tls-cert" in arguments
        path = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
        eventually("the service is ready", lambda: self.service(path, tls) == 200)

    def service(self, path, tls):
        if tls:
            trust = ssl.create_default_context(cafile=ROOT / "tests/tls/ca.pem")
            connection = http.client.HTTPSConnection("localhost", self.ports["service"], context=trust)
        else:
            connection = http.client.HTTPConnection(HOST, self.ports["service"])
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status

    def start_envoy(self, configuration, variables, ready="/.session-guard/ready"):
        """Starts Envoy with these environment variables only, as its container has them."""
        path = self.folder / "envoy.json"
        path.write_text(json.dumps(configuration))
        envoy = os.environ.get("ENVOY") or artifact(ROOT / "target/envoy")
        self.run("envoy", [envoy, "--config-path", path, "--use-dynamic-base-id", "--concurrency", "2"],
                 **{name: SECRETS[name] for name in variables})
        eventually("Envoy is ready",
                   lambda: self.send("GET", ready)[0] == 200)

    def send(self, method, path, token=None, **headers):
        """Returns status and body as JSON, if it is JSON."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["authorization"] = f"Bearer {token}"
        with contextlib.closing(http.client.HTTPConnection(HOST, self.ports["edge"])) as connection:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if body.startswith(b"{") else body

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait()
        for server in [self.application, self.modules]:
            server.server.shutdown()
        shutil.rmtree(self.folder)

    def logs(self):
        return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}"
                         for log in self.folder.glob("*.log"))


def arguments_of(deployment):
    """The container's arguments, or the image's own command."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    if "args" in container:
        return container["args"]
    stage = (ROOT / "Dockerfile").read_text().split("FROM base AS signout", 1)[1].split("FROM ", 1)[0]
    return json.loads(re.search(r"^CMD (.+)$", stage, re.M)[1])


def base_configuration(stage):
    """envoy/envoy.yaml with the addresses of this test. Returns it, its connection manager and clusters."""
    envoy = yaml.safe_load((ROOT / "envoy/envoy.yaml").read_text())
    at = lambda port: {"socket_address": {"address": HOST, "port_value": port}}
    resources = envoy["static_resources"]
    for listener in resources["listeners"]:
        listener["address"] = at(stage.ports[listener["name"]])
    clusters = {cluster["name"]: cluster for cluster in resources["clusters"]}
    endpoint = lambda name: clusters[name]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    for name, port in [("application", stage.application.port), ("signout", stage.ports["service"])]:
        endpoint(name)["address"] = at(port)
    for address in [envoy["admin"]["address"], endpoint("admin")["address"]]:
        address["pipe"]["path"] = str(stage.admin)
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return envoy, manager, clusters


def istio(stage, resource):
    """Envoy's configuration with a TrafficExtension, a WasmPlugin or an EnvoyFilter, as Istio delivers it."""
    envoy, manager, clusters = base_configuration(stage)
    cluster = clusters["signout"]
    cluster["name"] = manifests.config_of(resource)["revocation"]["upstream"]["cluster"]
    cluster["load_assignment"]["cluster_name"] = cluster["name"]
    if wasm := manifests.wasm_of(resource):
        manager["http_filters"][0] = discovered_filter(stage, resource["metadata"], wasm)
    else:
        inserted = json.loads(json.dumps(manifests.inserted_filter(resource)))
        local = inserted["typed_config"]["dynamic_module_config"]["module"]["local"]
        local["filename"] = stage.library(local["filename"])
        manager["http_filters"][0] = inserted
    return envoy


def discovered_filter(stage, metadata, wasm):
    """A filter whose configuration Envoy discovers. Here it reads it from a file."""
    name = f"{metadata['namespace']}.{metadata['name']}"
    assert all(one["valueFrom"] == "HOST" for one in wasm["vmConfig"]["env"])
    discovered = {
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": {"@type": WASM, "config": {
            "name": name,
            "configuration": string_value(wasm["pluginConfig"]),
            "failure_policy": wasm["failStrategy"],
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(stage.module)}},
                "environment_variables": {
                    "host_env_keys": [one["name"] for one in wasm["vmConfig"]["env"]]},
            },
        }},
    }
    file = stage.folder / "ecds.json"
    file.write_text(json.dumps({"resources": [discovered]}))
    source = {"path_config_source": {"path": str(file)}, "resource_api_version": "V3",
              "initial_fetch_timeout": "0s"}
    return {"name": name, "config_discovery": {"config_source": source, "type_urls": [WASM]}}


def add_policy(envoy, policy):
    """Adds RBAC behind the filter, as Istio makes it of an AuthorizationPolicy."""
    manager = envoy["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"].insert(1, rbac(policy))


def rbac(policy):
    assert policy["spec"]["action"] == "ALLOW"
    return {"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {
            f"rule[{index}]": rbac_policy(rule) for index, rule in enumerate(policy["spec"]["rules"])}}}}


def rbac_policy(rule):
    """One rule: any of its operations, and all of its conditions on headers."""
    assert set(rule) <= {"from", "to", "when"}, rule
    rules_of = lambda name, rules: {name: {"rules": rules}}
    ids_of = lambda name, ids: {name: {"ids": ids}}
    operations = [rbac_operation(one["operation"]) for one in rule.get("to", [])]
    principals = []
    for condition in rule.get("when", []):
        header = re.fullmatch(r"request\.headers\[(.+)\]", condition["key"])[1]
        for member, is_not in [("values", False), ("notValues", True)]:
            if member in condition:
                found = ids_of("or_ids", [
                    {"header": rbac_header(header, value)} for value in condition[member]])
                principals.append({"not_id": found} if is_not else found)
    return {
        "permissions": [rules_of("or_rules", operations) if operations else {"any": True}],
        "principals": [ids_of("and_ids", principals) if principals else {"any": True}],
    }


def rbac_operation(operation):
    makers = {
        "paths": rbac_path,
        "methods": lambda method: {"header": rbac_header(":method", method)},
        "hosts": lambda host: {"header": rbac_header(":authority", host, ignore_case=True)},
    }
    rules = []
    for member, values in operation.items():
        is_not = member.startswith("not")
        make = makers[member[3:].lower() if is_not else member]
        found = {"or_rules": {"rules": [make(value) for value in values]}}
        rules.append({"not_rule": found} if is_not else found)
    return {"and_rules": {"rules": rules}}


def rbac_path(path):
    if "{" in path:
        return {"uri_template": {"name": "uri-template", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
            "path_template": path.replace("{*}", "*")}}}
    return {"url_path": {"path": string_match(path)}}


def rbac_header(name, value, ignore_case=False):
    if value == "*":
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": {**string_match(value), "ignore_case": ignore_case}}


def string_match(text):
    if text.endswith("*"):
        return {"prefix": text[:-1]}
    return {"suffix": text[1:]} if text.startswith("*") else {"exact": text}


def envoy_gateway(stage, objects, extension, listener):
    """Envoy's configuration with an EnvoyExtensionPolicy and an EnvoyPatchPolicy, as Envoy Gateway makes it."""
    envoy, manager, clusters = base_configuration(stage)
    make = wasm_filter if manifests.wasm_of(extension) else module_filter
    name, typed_config = make(stage, objects, extension)
    manager["http_filters"][0] = {"name": name, "disabled": True, "typed_config": typed_config}
    for host in manager["route_config"]["virtual_hosts"]:
        for route in host["routes"]:
            route["typed_per_filter_config"] = {name: {
                "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}}
    envoy["static_resources"]["clusters"].remove(clusters["signout"])
    envoy["static_resources"]["clusters"].append({
        "name": "wasm_cluster", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "wasm_cluster", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {
                    "address": HOST, "port_value": stage.modules.port}}}}]}]}})
    envoy["static_resources"]["listeners"][0]["name"] = listener
    for patch in find(objects, "EnvoyPatchPolicy", extension["metadata"]["name"])["spec"]["jsonPatches"]:
        apply_patch(stage, envoy["static_resources"], patch)
    return envoy


def policy_name(extension):
    return f"envoyextensionpolicy/{extension['metadata']['namespace']}/{extension['metadata']['name']}"


def wasm_filter(stage, _, extension):
    """Name and configuration of the proxy-wasm filter of Envoy Gateway."""
    name, wasm = f"{policy_name(extension)}/wasm/0", manifests.wasm_of(extension)
    assert wasm["failOpen"] is False
    digest = hashlib.sha256(stage.module.read_bytes()).hexdigest()
    remote = {"http_uri": {"uri": f"http://{HOST}/{digest}.wasm", "cluster": "wasm_cluster",
                           "timeout": "10s"}, "sha256": digest}
    return f"envoy.filters.http.wasm/{name}", {"@type": WASM, "config": {
        "name": wasm["name"],
        "configuration": string_value(wasm["config"]),
        "vm_config": {
            "vm_id": name, "runtime": "envoy.wasm.runtime.v8", "code": {"remote": remote},
            "environment_variables": {"host_env_keys": wasm["env"]["hostKeys"]}},
    }}


def module_filter(stage, objects, extension):
    """Name and configuration of the dynamic module of Envoy Gateway."""
    module, = extension["spec"]["dynamicModule"]
    entry = manifests.registered_module(objects, module["name"])
    name = f"envoy.filters.http.dynamic_modules/{policy_name(extension)}/dynamic-module/0"
    return name, {
        "@type": manifests.MODULE_FILTER,
        "dynamic_module_config": {
            "do_not_close": entry.get("doNotClose", False),
            "load_globally": entry.get("loadGlobally", False),
            "module": {"local": {"filename": stage.library(entry["source"]["local"]["path"])}},
        },
        "filter_name": module.get("filterName", ""),
        "filter_config": string_value(module["config"]),
    }


def apply_patch(stage, resources, patch):
    operation = json.loads(json.dumps(patch["operation"]))
    if patch["type"].endswith(".Cluster"):
        assert (operation["op"], operation["path"]) == ("add", ""), operation
        cluster = operation["value"]
        assert cluster["name"] == patch["name"]
        address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
        assert address["socket_address"]["port_value"] == 8090
        address["socket_address"] = {"address": HOST, "port_value": stage.ports["service"]}
        resources["clusters"].append(cluster)
        return
    for listener in resources["listeners"]:
        if listener["name"] == patch["name"]:
            found = jsonpath_ng.ext.parse(f"$.{operation['jsonPath']}".replace("$...", "$..")).find(listener)
            assert len(found) == 1, f"{operation['jsonPath']} finds {len(found)} places"
            found[0].value[operation["path"].removeprefix("/")] = operation["value"]
            return
    raise AssertionError(f"no listener is called {patch['name']}")


def string_value(configuration):
    return {"@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": json.dumps(configuration)}


def check_that_it_protects(stage, issuer):
    token = issuer.token_of("ada")
    status, body = stage.send("GET", "/page")
    assert (status, body.get("code")) == (401, "missing_token"), (status, body)
    status, body = stage.send("GET", "/page", token, x_user_id="root")
    users = [value for name, value in body.get("headers", []) if name == "x-user-id"]
    assert (status, users) == (200, ["ada"]), (status, body)
    status, body = stage.send("GET", "/", x_user_id="root")
    assert status == 200 and "x-user-id" not in [name for name, _ in body["headers"]], body
    assert stage.send("POST", "/sign-out", token)[0] == 200
    status, body = stage.send("GET", "/page", token)
    assert (status, body.get("code")) == (401, "revoked"), (status, body)
    assert stage.send("GET", "/page", issuer.token_of("ada"))[0] == 200


class PipeConnection(http.client.HTTPConnection):
    """HTTP over a Unix domain socket."""

    def __init__(self, path):
        super().__init__("admin")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def check_admin(stage):
    """Only Envoy's user may open the admin interface, and the listener for metrics reads it."""
    assert stage.admin.stat().st_mode & 0o777 == 0o600, oct(stage.admin.stat().st_mode)

    def metrics():
        with contextlib.closing(http.client.HTTPConnection(HOST, stage.ports["metrics"])) as connection:
            connection.request("GET", "/stats/prometheus")
            return connection.getresponse().read().decode()

    eventually("metrics", lambda: 'session_guard_refused{code="revoked"' in metrics())


def check_dump(stage, setting):
    """Checks that Envoy's own configuration dump has this setting of the filter, and no secret."""
    with contextlib.closing(PipeConnection(stage.admin)) as connection:
        connection.request("GET", "/config_dump?include_eds")
        dump = connection.getresponse().read().decode()
    assert setting in dump, setting
    for secret in SECRETS.values():
        assert secret not in dump, "a secret in config_dump"


def run(name, objects, issuer=None):
    """Runs the filter that these objects contain."""
    plugin, = manifests.plugins_of(objects)
    issuer = issuer or Application()
    stage = Stage()
    try:
        stage.start_service(find(objects, "Deployment", "signout"))
        if plugin["kind"] == "EnvoyExtensionPolicy":
            listener = f"{plugin['metadata']['namespace']}/edge/http"
            configuration = envoy_gateway(stage, objects, plugin, listener)
        else:
            configuration = istio(stage, plugin)
            for policy in manifests.user_policies(objects):
                add_policy(configuration, policy)
        is_wasm = manifests.wasm_of(plugin) is not None
        variables = manifests.passed_variables(plugin, SECRETS)
        if isinstance(issuer, Issuer):
            add_issuer(configuration, issuer, find(objects, "ServiceEntry", "issuer"))
        stage.start_envoy(configuration, variables)
        check_that_it_protects(stage, issuer)
        check_dump(stage, '"failure_policy": "FAIL_RELOAD"' if is_wasm else '"do_not_close": true')
        check_admin(stage)
        print(f"{name}: protects", flush=True)
    except BaseException:
        print(f"{name}: failed\n{stage.logs()}", file=sys.stderr)
        raise
    finally:
        stage.stop()


POLICY_CONFIG = {
    "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
    "claims": {"user_id": "id"},
    "forward": {"user_id": "x-user-id"},
    "routes": [
        {"preflight": True, "access": "public"},
        {"path": "/sign-out", "access": "signout"},
        {"prefix": "/files/private", "access": "protected"},
        {"path": "/files/list", "methods": ["POST"], "access": "protected"},
        {"prefix": "/files", "access": "public"},
        {"template": "/users/{id}/picture", "methods": ["GET"], "access": "optional"},
        {"prefix": "/hosted/", "hosts": ["app.example.com", "*.app.example.com"], "access": "public"},
    ],
    "revocation": {},
}
# Requests without a user id, and whether the policy alone admits them.
POLICY_REQUESTS = [
    ("POST", "/sign-out", {}, True), ("POST", "/sign-out/", {}, True), ("GET", "/sign-out", {}, False),
    ("GET", "/files", {}, True), ("GET", "/files/a?b=c", {}, True), ("GET", "/filesystem", {}, False),
    ("GET", "/files/private", {}, False), ("GET", "/files/private/a", {}, False),
    ("GET", "/files/privately", {}, False), ("POST", "/files/list", {}, False),
    ("GET", "/users/1/picture", {}, True), ("GET", "/users/1/picture?size=2", {}, True),
    ("POST", "/users/1/picture", {}, False), ("GET", "/users//picture", {}, False),
    ("GET", "/users/1/2/picture", {}, False), ("GET", "/users/1/picture/", {}, False),
    ("GET", "/hosted/a", {"host": "App.Example.com"}, True),
    ("GET", "/hosted/a", {"host": "b.app.example.com"}, True),
    ("GET", "/hosted/a", {"host": "app.example.org"}, False),
    ("OPTIONS", "/page", {"origin": "https://a.example", "access-control-request-method": "PUT"}, True),
    ("OPTIONS", "/page", {"origin": "", "access-control-request-method": "PUT"}, False),
    ("OPTIONS", "/page", {}, False), ("GET", "/page", {}, False), ("GET", "/", {}, False),
]


def run_policy():
    """Runs a generated AuthorizationPolicy without the filter: it admits what the filter opens."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = artifact(Path(os.environ.get("SIGNOUT", target / "debug/signout")))
    printed = subprocess.run(
        [program, "check", "-", "--authorization-policy", "--name", "application", "--selector",
         "app=application", "--principal", "cluster.local/ns/default/sa/edge"],
        input=json.dumps(POLICY_CONFIG).encode(), stdout=subprocess.PIPE, check=True).stdout
    policy = yaml.safe_load(printed)
    assert not schemas.problems(policy), schemas.problems(policy)
    stage = Stage()
    try:
        envoy, manager, _ = base_configuration(stage)
        manager["http_filters"][0] = rbac(policy)
        stage.start_envoy(envoy, [], ready="/files")
        for method, path, headers, admitted in POLICY_REQUESTS:
            status, _ = stage.send(method, path, **headers)
            assert status == (200 if admitted else 403), (method, path, headers, status)
            assert stage.send(method, path, **headers, x_user_id="ada")[0] == 200, (method, path)
        print("AuthorizationPolicy without the filter: admits what the filter opens", flush=True)
    except BaseException:
        print(f"AuthorizationPolicy: failed\n{stage.logs()}", file=sys.stderr)
        raise
    finally:
        stage.stop()


def add_issuer(envoy, issuer, entry):
    """Adds the cluster that Istio makes of a ServiceEntry. Only TLS is left out."""
    name = f"outbound|{entry['spec']['ports'][0]['number']}||{entry['spec']['hosts'][0]}"
    address = {"socket_address": {"address": HOST, "port_value": issuer.server.port}}
    envoy["static_resources"]["clusters"].append({
        "name": name, "connect_timeout": "5s", "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}})


def rendered(**filter):
    return chart.render({
        "filter": {"config": chart.CONFIG_WITHOUT_UPSTREAM, **filter},
        "service": {"clients": chart.CLIENTS},
    })


def main():
    run_policy()
    for kind in chart.ISTIO:
        run(f"chart, {kind}", rendered(kind=kind, selector={"app": "edge"}))
    gateway = {"kind": "EnvoyExtensionPolicy", "targetRefs": [chart.GATEWAY],
               "envoyGateway": {"listeners": ["http"]}}
    run("chart, EnvoyExtensionPolicy", rendered(**gateway))
    run("chart, EnvoyExtensionPolicy, service with TLS", chart.render({
        "filter": {"config": chart.CONFIG_WITHOUT_UPSTREAM, **gateway, "service": {"host": "localhost"}},
        "service": {"clients": chart.CLIENTS, "capacity": 100000,
                    "tls": {"secret": "signout-tls", "ca": (ROOT / "tests/tls/ca.pem").read_text()}},
    }))
    for variant in ["istio/gateway", "istio/sidecar", "istio/waypoint", "envoy-gateway"]:
        run(f"envoy/{variant}", build(ROOT / "envoy" / variant))
    run("envoy/istio/gateway with traffic-extension",
        build(manifests.with_component("istio/gateway", "istio/traffic-extension")))
    run("envoy/istio/gateway with issuer",
        build(manifests.with_component("istio/gateway", "istio/issuer")), Issuer())
    for variant, component in [("istio/gateway", "istio"), ("envoy-gateway", "envoy-gateway")]:
        run(f"envoy/{variant} with the dynamic module",
            build(manifests.with_component(variant, f"native/{component}")))


if __name__ == "__main__":
    main()
