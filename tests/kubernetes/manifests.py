"""Promise: Kubernetes, Istio and Envoy Gateway accept the manifests in envoy/kubernetes, envoy/istio and
envoy/envoy-gateway.

Method: kubectl builds each variant, and each object is compared with the schema of its kind: unknown
fields, wrong types, wrong words and wrong patterns fail. Then come the rules that a schema cannot express.
"""

import copy
import subprocess
from pathlib import Path

import yaml

from schemas import problems

ROOT = Path(__file__).resolve().parent.parent.parent
VARIANTS = [
    "kubernetes/sidecar", "istio/gateway", "istio/sidecar", "istio/waypoint", "envoy-gateway",
]
# Each component, and the variants that it is made for.
COMPONENTS = {
    "istio/external-service": ["istio/gateway", "istio/sidecar"],
    "istio/traffic-extension": ["istio/gateway", "istio/sidecar", "istio/waypoint"],
    "istio/issuer": ["istio/gateway", "istio/sidecar"],
    "kubernetes/redis": ["kubernetes/sidecar", "istio/gateway", "envoy-gateway"],
}


def build(folder):
    kubectl = ROOT / "target/kubernetes/bin/kubectl"
    built = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True)
    assert built.returncode == 0, f"{folder}: {built.stderr}"
    return list(yaml.safe_load_all(built.stdout))


def find(documents, kind, name):
    found = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} {kind}/{name}"
    return found[0]


def check_sentences(documents):
    """Checks rules that a schema cannot express."""
    if has_service := any(one["kind"] == "PersistentVolumeClaim" for one in documents):
        deployment = find(documents, "Deployment", "signout")["spec"]
        assert deployment["replicas"] == 1, "the embedded store belongs to one process"
        assert deployment["strategy"] == {"type": "Recreate"}
    check_disruption(documents)
    plugins = [one for one in documents if one["kind"] in PLUGINS]
    assert len(plugins) <= 1, "one filter"
    if plugins and plugins[0]["kind"] != "EnvoyExtensionPolicy":
        assert len(user_policies(documents)) == 1, "one policy that demands a user"
    for plugin in plugins:
        proxy, account = proxy_of(documents, plugin)
        check_variables(plugin, proxy)
        if has_service and plugin["kind"] != "EnvoyExtensionPolicy":
            check_service(documents, plugin, account)
    for one in documents:
        if one["kind"] == "Deployment" and one["metadata"]["name"] != "signout":
            check_probes(one, has_filter=not plugins or selects(plugins[0], one))
            if not plugins:
                check_admin(one)


def check_admin(deployment):
    """Only Envoy's own container can open the file of its admin interface."""
    folder = envoy_yaml()["admin"]["address"]["pipe"]["path"].rpartition("/")[0]
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        mounts = [one["mountPath"] for one in container.get("volumeMounts", [])]
        assert (folder in mounts) == (container["name"] == "envoy"), f"{container['name']}: {mounts}"


def envoy_yaml():
    return yaml.safe_load((ROOT / "envoy/envoy.yaml").read_text())


PLUGINS = ["WasmPlugin", "TrafficExtension", "EnvoyExtensionPolicy"]


def wasm_of(plugin):
    """The part of it that Istio's two kinds share."""
    return plugin["spec"]["wasm"] if plugin["kind"] == "TrafficExtension" else plugin["spec"]


def user_policies(documents):
    """Returns the policies that demand a header with the user id."""
    return [one for one in documents if one["kind"] == "AuthorizationPolicy" and any(
        condition["key"].startswith("request.headers[") and condition.get("values") == ["*"]
        for rule in one["spec"]["rules"] for condition in rule.get("when", []))]


def selects(plugin, deployment):
    wanted = plugin["spec"].get("selector", {}).get("matchLabels")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    is_near = plugin["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    return bool(wanted) and is_near and wanted.items() <= labels.items()


def proxy_of(documents, plugin):
    """Returns the proxy's container and its service account: of a pod, a waypoint or Envoy Gateway."""
    targets = plugin["spec"].get("targetRefs", [])
    namespace = plugin["metadata"]["namespace"]
    if not targets:
        assert plugin["spec"]["selector"]["matchLabels"] != {"app": "signout"}, "never the service"
        pods = [one for one in documents if one["kind"] == "Deployment" and selects(plugin, one)]
        assert len(pods) == 1, "the plugin selects one workload"
        pod = pods[0]["spec"]["template"]["spec"]
        container, = [one for one in pod["containers"] if one["name"] == "istio-proxy"]
        return container, pod["serviceAccountName"]
    target, = targets
    gateway = find(documents, target["kind"], target["name"])
    assert gateway["metadata"]["namespace"] == namespace, "a policy and its target share a namespace"
    parameters = gateway["spec"]["infrastructure"]["parametersRef"]
    settings = find(documents, parameters["kind"], parameters["name"])
    assert settings["metadata"]["namespace"] == namespace
    if settings["kind"] == "EnvoyProxy":
        return settings["spec"]["provider"]["kubernetes"]["envoyDeployment"]["container"], None
    assert set(settings["data"]) <= {"deployment", "podDisruptionBudget"}, "parts that Istio merges"
    deployment = yaml.safe_load(settings["data"]["deployment"])
    container, = deployment["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "istio-proxy"
    assert yaml.safe_load(settings["data"]["podDisruptionBudget"]) == {"spec": {"minAvailable": 1}}
    return container, gateway["metadata"]["name"]


def check_variables(plugin, container):
    """The proxy's container has the variables that the filter may read, and no others."""
    has = {one["name"] for one in container["env"] if "secretKeyRef" in one["valueFrom"]}
    if plugin["kind"] == "EnvoyExtensionPolicy":
        wants = set(plugin["spec"]["wasm"][0]["env"]["hostKeys"])
        config = plugin["spec"]["wasm"][0]["config"]
    else:
        wants = {one["name"] for one in wasm_of(plugin)["vmConfig"]["env"]}
        config = wasm_of(plugin)["pluginConfig"]
    assert wants == has, f"the proxy's container has {has}, the filter reads {wants}"
    uses = {key["secret"]["env"] for key in config["keys"] if "secret" in key} | {"SIGNOUT_TOKEN"}
    assert wants == uses, f"the configuration uses {uses}, the filter reads {wants}"


def check_service(documents, plugin, account):
    """The filter calls the service's port, and the service admits this filter's proxies."""
    upstream = wasm_of(plugin)["pluginConfig"]["revocation"]["upstream"]
    port, host = upstream["cluster"].split("||")
    service = find(documents, "Service", "signout")
    assert host == f"signout.{service['metadata']['namespace']}.svc.cluster.local", host
    assert port == f"outbound|{service['spec']['ports'][0]['port']}", port
    rules = find(documents, "AuthorizationPolicy", "signout")["spec"]["rules"]
    principal = f"cluster.local/ns/{plugin['metadata']['namespace']}/sa/{account}"
    assert rules[0]["from"][0]["source"]["principals"] == [principal], "who may call the service"
    if "targetRefs" in plugin["spec"]:  # a waypoint
        http = [name for rule in rules for to in rule["to"] for name in to["operation"]]
        assert set(http) == {"ports"}, "the node's proxy admits nobody by methods or paths"
        routes = find(documents, "VirtualService", "application")["spec"]["http"]
        known = [route["destination"]["host"] for rule in routes for route in rule["route"]]
        assert host in known, "a waypoint knows only hosts that its routes name"


def check_probes(deployment, has_filter):
    """Where the pod has the filter, the `ready` route is a startup probe. A readiness or liveness probe on
    it would take all pods out while the signout service is away."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    ready = "/.session-guard/ready"
    path_of = lambda container, probe: container.get(probe, {}).get("httpGet", {}).get("path")
    starts = [one for one in containers if path_of(one, "startupProbe") == ready]
    assert bool(starts) == has_filter, f"{deployment['metadata']['name']}: startup probes {starts}"
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
    extension = find(build(ROOT / "envoy/envoy-gateway"), "EnvoyExtensionPolicy", "session-guard")
    converted = build(with_component("istio/gateway", "istio/traffic-extension"))
    traffic = find(converted, "TrafficExtension", "session-guard")
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
        (extension, ["spec", "wasm", 0, "failurePolicy"], "FAIL_RELOAD"),
        (extension, ["spec", "wasm", 0, "env", "host_keys"], []),
        (extension, ["spec", "wasm", 0, "code", "type"], "HTTP"),
        (traffic, ["spec", "wasm", "phase"], "AUTHN"),
        (traffic, ["spec", "failStrategy"], "FAIL_RELOAD"),
    ]:
        changed = place = copy.deepcopy(document)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        if value is None:
            place[path[-1]] = 1
        assert problems(changed), f"not seen: {path} = {value}"


def check():
    """Checks every variant, alone and with each component. Returns what is wrong, and the number of objects."""
    found, count = [], 0
    built = {variant: build(ROOT / "envoy" / variant) for variant in VARIANTS}
    for component, variants in COMPONENTS.items():
        for variant in variants:
            built[f"{variant} with {component}"] = build(with_component(variant, component))
    for name, documents in built.items():
        found += [f"{name}: {problem}" for one in documents for problem in problems(one)]
        count += len(documents)
        try:
            check_sentences(documents)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
    for name in ["istio/gateway with istio/external-service", "kubernetes/sidecar with kubernetes/redis"]:
        assert not [one for one in built[name] if one["kind"] == "PersistentVolumeClaim"], name
    deployment = find(built["kubernetes/sidecar with kubernetes/redis"], "Deployment", "signout")
    assert deployment["spec"]["strategy"]["type"] == "RollingUpdate"
    check_that_mistakes_are_seen(built["istio/gateway"])
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
