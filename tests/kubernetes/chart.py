"""Promise: every combination of settings of charts/session-guard renders objects that the cluster accepts. An
object that a kustomization also describes is equal in both.

Method: helm lints the chart and renders every combination of the settings below. Each object is compared
with the schema of its kind, and the filter's configuration with docs/configuration.schema.json.
"""

import concurrent.futures
import itertools
import json
import os
import subprocess
import tarfile
import tempfile
from pathlib import Path

import jsonschema
import yaml

from manifests import ROOT, build, find
from schemas import problems

CHART = ROOT / "charts/session-guard"
DIGEST = "sha256:" + "5" * 64
CONFIG = yaml.safe_load((ROOT / "envoy/istio/base/plugin.yaml").read_text())["spec"]["pluginConfig"]
GATEWAY = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}
ISTIO = ["TrafficExtension", "WasmPlugin"]

# The settings that are independent of each other: name of the dimension → name → values.
DIMENSIONS = {
    "filter": {
        "none": {"kind": "none"},
        **{f"{kind} by selector": {"kind": kind, "selector": {"app": "edge"}} for kind in ISTIO},
        **{f"{kind} by target": {"kind": kind, "targetRefs": [GATEWAY], "mode": ""}
           for kind in ISTIO},
        "EnvoyExtensionPolicy": {"kind": "EnvoyExtensionPolicy", "targetRefs": [GATEWAY],
                                 "envoyGateway": {"listeners": ["http", "https"]}},
    },
    "store": {
        "redb": {"kind": "redb"},
        "redb of a class": {"kind": "redb", "redb": {"size": "10Gi", "storageClassName": "fast"}},
        "redis": {"kind": "redis", "redis": {"replicas": 3}},
        "redis with TLS": {"kind": "redis", "redis": {"caSecret": "redis-ca", "prefix": "two"}},
    },
    "issuers": {"none": [], "one": [{"issuer": "https://id.example.com",
                                     "jwks": {"url": "https://id.example.com/jwks"}}]},
    "tls": {"off": {}, "on": {"secret": "signout-tls", "ca": (ROOT / "tests/tls/ca.pem").read_text()}},
    "monitoring": {on: {part: {"enabled": on == "on"} for part in
                        ["rules", "dashboard", "serviceMonitor"]} for on in ["off", "on"]},
    "pods": {"plain": {}, "placed": {
        "imagePullSecrets": [{"name": "pull"}], "capacity": 20000000,
        "tokensSecret": "signout-tokens",
        "image": {"digest": DIGEST, "pullPolicy": "Always"}, "priorityClassName": "high",
        "podAnnotations": {"a/b": "c"}, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a"]}]}}]}}}},
}
CLIENTS = {"principals": ["cluster.local/ns/session-guard/sa/edge"],
           "peers": [{"podSelector": {"matchLabels": {"app": "application"}}}]}


def helm(*arguments, values=None):
    program = os.environ.get("HELM") or ROOT / "target/kubernetes/bin/helm"
    return subprocess.run([program, *arguments], input=values and json.dumps(values),
                          capture_output=True, text=True)


def render(values):
    """Renders a release `guard` in the namespace session-guard. Returns its objects."""
    done = helm("template", "guard", CHART, "--namespace", "session-guard", "--values", "-",
                values=values)
    assert done.returncode == 0, f"{values}\n{done.stderr}"
    return [one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one]


def values_of(filter, store, issuers, tls, monitoring, pods):
    """Returns the chart's values for one value of each dimension."""
    config = {} if filter["kind"] == "none" else {"config": CONFIG_WITHOUT_UPSTREAM}
    return {
        "filter": {**filter, **config},
        "service": {"store": store, "issuers": issuers, "tls": tls, "clients": CLIENTS, **pods},
        "monitoring": monitoring,
        "externalHosts": [{"name": "issuer", "host": "id.example.com"}]
        if filter["kind"] in ISTIO else [],
    }


CONFIG_WITHOUT_UPSTREAM = {name: value for name, value in CONFIG.items() if name != "revocation"}


def combinations():
    for chosen in itertools.product(*(dimension.items() for dimension in DIMENSIONS.values())):
        names = dict(zip(DIMENSIONS, (name for name, _ in chosen)))
        if names["tls"] == "on" and names["filter"].split()[0] in ISTIO:
            continue  # the chart refuses it
        yield names, values_of(**dict(zip(DIMENSIONS, (value for _, value in chosen))))


def check_combination(names, values):
    """Returns the number of objects and their problems."""
    objects = render(values)
    found = [problem for one in objects for problem in problems(one)]
    keys = [(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]) for one in objects]
    found += [f"{key} twice" for key in set(keys) if keys.count(key) > 1]
    for plugin in plugins(objects):
        config = plugin["config"]
        found += [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(config)]
        if sorted(plugin["variables"]) != ["SESSION_SECRET", "SIGNOUT_TOKEN"]:
            found.append(f"the filter gets {plugin['variables']}")
    deployment = find(objects, "Deployment", "signout")["spec"]["template"]["spec"]
    found += volume_problems(deployment)
    return len(objects), [f"{names}: {problem}" for problem in found]


def volume_problems(pod):
    """Checks that every mount has a volume, and every file that an argument names is in a mount."""
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    container = pod["containers"][0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    found = [f"volumes {volumes}, mounts {mounts}"] if volumes != set(mounts) else []
    for argument in container.get("args", []):
        path = argument.removeprefix("redb:")
        if path.startswith("/") and not any(path.startswith(f"{it}/") for it in mounts.values()):
            found.append(f"{argument} lies in no mount")
    return found


def plugins(objects):
    """Returns the filter's configuration and its variables from any of the kinds that contain them."""
    for one in objects:
        spec = one["spec"] if "spec" in one else {}
        if one["kind"] == "TrafficExtension":
            spec = spec["wasm"]
        if one["kind"] in ISTIO:
            names = [variable["name"] for variable in spec["vmConfig"]["env"]]
            yield {"object": one, "config": spec["pluginConfig"], "variables": names}
        if one["kind"] == "EnvoyExtensionPolicy":
            wasm = spec["wasm"][0]
            yield {"object": one, "config": wasm["config"], "variables": wasm["env"]["hostKeys"]}


def without_helm(one):
    """Returns the object without the parts that only helm adds, and without empty parts."""
    one = json.loads(json.dumps(one))
    metadata = one["metadata"]
    for part in ["labels", "annotations"]:
        kept = {name: value for name, value in metadata.pop(part, {}).items() if "/" not in name}
        metadata.update({part: kept} if kept else {})
    return one


def check_equal(chart, kustomization, kinds):
    """Checks that both have equal objects of these kinds and names."""
    for kind, name in kinds:
        left, right = (without_helm(find(some, kind, name)) for some in [chart, kustomization])
        right["metadata"]["namespace"] = left["metadata"]["namespace"]
        assert left == right, f"{kind}/{name}:\n{yaml.dump(left)}\nkustomization:\n{yaml.dump(right)}"


SERVICE = [(kind, "signout") for kind in ["ServiceAccount", "Service", "Deployment"]]
STORE = [("PersistentVolumeClaim", "signout")]
MESH = [("PeerAuthentication", "signout"), ("AuthorizationPolicy", "signout")]


def check_against_kustomizations(with_component):
    plain = {"filter": {"kind": "none"}, "service": {"clients": CLIENTS}}
    check_equal(render(plain), build(ROOT / "envoy/kubernetes/sidecar"),
                SERVICE + STORE + [("NetworkPolicy", "signout")])
    redis = {**plain, "service": {"clients": CLIENTS, "store": {"kind": "redis"}}}
    check_equal(render(redis), build(with_component("kubernetes/sidecar", "kubernetes/redis")),
                SERVICE + [("PodDisruptionBudget", "signout")])
    gateway = {"filter": {"kind": "WasmPlugin", "selector": {"app": "edge"}, "config": CONFIG},
               "service": {"clients": CLIENTS}}
    mesh = build(ROOT / "envoy/istio/gateway")
    check_equal(render(gateway), mesh, SERVICE + STORE + MESH + [("WasmPlugin", "session-guard")])
    extension = {"filter": {"kind": "TrafficExtension", "selector": {"app": "edge"}, "config": CONFIG},
                 "service": {"clients": CLIENTS}}
    check_equal(render(extension), build(with_component("istio/gateway", "istio/traffic-extension")),
                [("TrafficExtension", "session-guard")])
    envoy_gateway = {
        "filter": {"kind": "EnvoyExtensionPolicy", "targetRefs": [GATEWAY],
                   "config": CONFIG_WITHOUT_UPSTREAM, "envoyGateway": {"listeners": ["http"]}},
        "service": {"clients": {"peers": [{
            "namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": "envoy-gateway-system"}},
            "podSelector": {"matchLabels": {
                "gateway.envoyproxy.io/owning-gateway-name": "edge"}}}]}},
    }
    check_equal(render(envoy_gateway), build(ROOT / "envoy/envoy-gateway"), SERVICE + STORE + [
        ("NetworkPolicy", "signout"),
        ("EnvoyExtensionPolicy", "session-guard"), ("EnvoyPatchPolicy", "session-guard")])
    outside = {"externalHosts": [{"name": "signout", "host": "signout.example.com"}],
               "service": {"enabled": False}}
    check_equal(render(outside), build(with_component("istio/gateway", "istio/external-service")),
                [("ServiceEntry", "signout"), ("DestinationRule", "signout")])
    issuer = {"externalHosts": [{"name": "issuer", "host": "id.example.com"}],
              "service": {"enabled": False}}
    check_equal(render(issuer), build(with_component("istio/gateway", "istio/issuer")),
                [("ServiceEntry", "issuer"), ("DestinationRule", "issuer")])


# Values that the chart refuses, and a word of the message.
REFUSED = [
    ({"service": {"clients": {"principals": [], "peers": []}}}, "service.clients.peers"),
    ({"filter": {"kind": "WasmPlugin", "selector": {"app": "edge"}, "config": CONFIG}},
     "service.clients.principals"),
    ({"filter": {"kind": "WasmPlugin", "config": CONFIG}}, "selector and targetRefs"),
    ({"filter": {"kind": "WasmPlugin", "config": CONFIG, "selector": {"app": "edge"},
                 "targetRefs": [GATEWAY]}}, "selector and targetRefs"),
    ({"filter": {"kind": "WasmPlugin", "config": CONFIG, "selector": {"app": "signout"}}},
     "selects the signout service"),
    ({"filter": {"kind": "WasmPlugin", "selector": {"app": "edge"}}}, "keys"),
    ({"filter": {"kind": "EnvoyExtensionPolicy", "config": CONFIG,
                 "targetRefs": [{**GATEWAY, "kind": "HTTPRoute"}]}}, "x-user-id"),
    ({"filter": {"kind": "WasmPlugin", "selector": {"app": "edge"}, "config": CONFIG},
      "service": {"clients": CLIENTS, "tls": {"secret": "signout-tls"}}}, "the mesh adds TLS"),
    ({"filter": {"kind": "EnvoyExtensionPolicy", "config": CONFIG, "targetRefs": [GATEWAY]},
      "service": {"clients": CLIENTS, "tls": {"secret": "signout-tls"}}}, "service.tls.ca"),
    ({"filter": {"kind": "EnvoyPlugin"}}, "kind"),
    ({"filter": {"image": {"digest": "sha256:12"}}}, "digest"),
    ({"services": {}}, "services"),
    ({"service": {"store": {"kind": "redis", "redis": {"replicas": 1}}}}, "replicas"),
]


def check_refusals():
    for values, word in REFUSED:
        done = helm("template", "guard", CHART, "--values", "-", values=values)
        assert done.returncode != 0, f"not refused: {values}"
        assert word in done.stderr, f"{values}: {done.stderr}"


def check_package():
    """Checks that the packaged chart contains the files of monitoring/, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        done = helm("package", CHART, "--destination", folder)
        assert done.returncode == 0, done.stderr
        package, = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            for name in ["rules.yaml", "dashboard.json"]:
                packed = archive.extractfile(f"session-guard/files/{name}").read()
                assert packed == (ROOT / "monitoring" / name).read_bytes(), name
            names = archive.getnames()
    assert not [name for name in names if "/tests/" in name or name.endswith(".orig")], names


def check_monitoring():
    """Checks that the PrometheusRule has every alert of monitoring/rules.yaml, and the ConfigMap the dashboard."""
    values = values_of(**{name: list(values.values())[-1] for name, values in DIMENSIONS.items()})
    objects = render(values)
    rules = yaml.safe_load((ROOT / "monitoring/rules.yaml").read_text())
    assert find(objects, "PrometheusRule", "session-guard")["spec"] == rules
    dashboard = find(objects, "ConfigMap", "session-guard-dashboard")["data"]["session-guard.json"]
    assert dashboard == (ROOT / "monitoring/dashboard.json").read_text()


def check_versions():
    """Checks that the chart, the crates and the kustomizations name the same version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    cargo = (ROOT / "Cargo.toml").read_text()
    version = cargo.split('\nversion = "', 1)[1].split('"', 1)[0]
    assert chart["version"] == chart["appVersion"] == version, f"Chart.yaml: {version} in Cargo.toml"


def check_lint():
    values = values_of(**{name: list(values.values())[0] for name, values in DIMENSIONS.items()})
    done = helm("lint", "--strict", "--quiet", CHART, "--values", "-", values=values)
    assert done.returncode == 0, done.stdout + done.stderr


def check(with_component):
    """Checks the chart. Returns the problems, the number of renderings and the number of objects."""
    check_lint()
    check_versions()
    check_refusals()
    check_package()
    check_monitoring()
    check_against_kustomizations(with_component)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        results = list(threads.map(lambda one: check_combination(*one), combinations()))
    found = [problem for _, some in results for problem in some]
    return found, len(results), sum(count for count, _ in results)


SCHEMA = jsonschema.Draft7Validator(
    json.loads((ROOT / "docs/configuration.schema.json").read_text()))
