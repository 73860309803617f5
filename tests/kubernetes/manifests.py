"""Promise: Kubernetes, Istio and Envoy Gateway accept the manifests in envoy/kubernetes, envoy/istio and
envoy/gateway.

Method: kubectl builds each variant, and each object is compared with the schema of its kind: unknown
fields, wrong types, wrong words and wrong patterns fail. Then come the rules that a schema cannot express.
"""

import copy
import subprocess
from pathlib import Path

import yaml

from schemas import problems

ROOT = Path(__file__).resolve().parent.parent.parent
VARIANTS = ["kubernetes/sidecar", "istio/gateway", "istio/sidecar"]


def build(folder):
    kubectl = ROOT / "target/kubernetes/bin/kubectl"
    built = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert built.returncode == 0, f"{folder}: {built.stderr}"
    return list(yaml.safe_load_all(built.stdout))


def find(documents, kind, name):
    found = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} {kind}/{name}"
    return found[0]


def check_sentences(variant, documents):
    """Checks rules that a schema cannot express."""
    if variant_has_service := any(one["kind"] == "PersistentVolumeClaim" for one in documents):
        deployment = find(documents, "Deployment", "signout")["spec"]
        assert deployment["replicas"] == 1, "the embedded store belongs to one process"
        assert deployment["strategy"] == {"type": "Recreate"}
    check_disruption(documents)
    if not variant.startswith("istio/"):
        check_probes(find(documents, "Deployment", "application"))
        return
    plugin = find(documents, "WasmPlugin", "session-guard")
    selected = plugin["spec"]["selector"]["matchLabels"]
    assert selected and selected != {"app": "signout"}, "never the service's own sidecar"
    namespace = plugin["metadata"]["namespace"]
    pods = [one for one in documents if one["kind"] == "Deployment"
            and one["metadata"]["namespace"] == namespace
            and selected.items() <= one["spec"]["template"]["metadata"]["labels"].items()]
    assert len(pods) == 1, "the plugin selects one workload"
    proxy = [one for one in pods[0]["spec"]["template"]["spec"]["containers"]
             if one["name"] == "istio-proxy"][0]
    check_probes(pods[0])
    has = {one["name"] for one in proxy["env"] if "secretKeyRef" in one["valueFrom"]}
    wants = {one["name"] for one in plugin["spec"]["vmConfig"]["env"]}
    assert wants <= has, f"the proxy's container lacks {wants - has}"
    if variant_has_service:
        port, host = plugin["spec"]["pluginConfig"]["revocation"]["upstream"]["cluster"].split("||")
        service = find(documents, "Service", "signout")
        assert host == f"signout.{service['metadata']['namespace']}.svc.cluster.local", host
        assert port == f"outbound|{service['spec']['ports'][0]['port']}", port
        allowed = find(documents, "AuthorizationPolicy", "signout")["spec"]["rules"][0]
        account = pods[0]["spec"]["template"]["spec"]["serviceAccountName"]
        principal = f"cluster.local/ns/{namespace}/sa/{account}"
        assert allowed["from"][0]["source"]["principals"] == [principal], "who may call the service"


def check_probes(deployment):
    """The `ready` route is a startup probe. A readiness or liveness probe on it would take all pods out
    while the signout service is away."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    ready = "/.session-guard/ready"
    path_of = lambda container, probe: container.get(probe, {}).get("httpGet", {}).get("path")
    assert [one for one in containers if path_of(one, "startupProbe") == ready], "no startup probe"
    for container in containers:
        for probe in ["readinessProbe", "livenessProbe"]:
            assert path_of(container, probe) != ready, f"{container['name']}: {probe}"


def check_disruption(documents):
    """Replicas are on several nodes, and a drained node does not stop all of them."""
    for one in documents:
        if one["kind"] != "Deployment" or one["spec"]["replicas"] == 1:
            continue
        budget = find(documents, "PodDisruptionBudget", one["metadata"]["name"])
        assert budget["spec"]["selector"] == one["spec"]["selector"], one["metadata"]["name"]
        spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
        assert spread["labelSelector"] == one["spec"]["selector"], one["metadata"]["name"]


def check_that_mistakes_are_seen(documents):
    """Tests the check itself: it must find each of these mistakes."""
    plugin = find(documents, "WasmPlugin", "session-guard")
    deployment = find(documents, "Deployment", "signout")
    for document, path, value in [
        (plugin, ["spec", "failStrategy"], "FAIL_SOMEHOW"),
        (plugin, ["spec", "phase"], "AUTH"),
        (plugin, ["spec", "pluginConfiguration"], {}),
        (plugin, ["spec", "sha256"], "sha256:00"),
        (plugin, ["spec", "match", 0, "mode"], "INBOUND"),
        (deployment, ["spec", "strategy", "typ"], "Recreate"),
        (deployment, ["spec", "replicas"], "one"),
        (deployment, ["spec", "template", "spec", "containers", 0, "readinessprobe"], {}),
        (deployment, ["spec", "template", "spec", "containers", 0, "image"], None),
        (deployment, ["spec", "template", "metadata", "label"], {}),
    ]:
        changed = place = copy.deepcopy(document)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        if value is None:
            place[path[-1]] = 1
        assert problems(changed), f"not seen: {path} = {value}"


def check():
    """Checks every variant and component. Returns what is wrong, and the number of objects."""
    found, count = [], 0
    for variant in VARIANTS:
        documents = build(ROOT / "envoy" / variant)
        for document in documents:
            found += [f"{variant}: {problem}" for problem in problems(document)]
            count += 1
        check_sentences(variant, documents)
    for component in ["istio/external-service", "kubernetes/redis"]:
        documents = build(with_component("istio/gateway", component))
        found += [f"{component}: {problem}" for one in documents for problem in problems(one)]
        count += len(documents)
        assert not [one for one in documents if one["kind"] == "PersistentVolumeClaim"], component
    assert find(documents, "Deployment", "signout")["spec"]["strategy"]["type"] == "RollingUpdate"
    check_that_mistakes_are_seen(build(ROOT / "envoy/istio/gateway"))
    return found, count


def with_component(variant, component):
    """Creates a directory with an overlay that adds the component to the variant."""
    folder = ROOT / "target/kubernetes-component"
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "resources": [f"../../envoy/{variant}"],
        "components": [f"../../envoy/{component}"],
    }))
    return folder
