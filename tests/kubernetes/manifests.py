"""Promise: Kubernetes, Istio and Envoy Gateway accept the manifests in envoy/kubernetes, envoy/istio and
envoy/envoy-gateway.

Method: kubectl builds each variant, and each object is compared with the schema of its kind: unknown
fields, wrong types, wrong words and wrong patterns fail. Then come the rules that a schema cannot express.
"""

import copy
import re
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
    "native/istio": ["istio/gateway"],
    "native/envoy-gateway": ["envoy-gateway"],
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
    plugins = plugins_of(documents)
    assert len(plugins) <= 1, "one filter"
    if plugins and plugins[0]["kind"] != "EnvoyExtensionPolicy":
        assert len(user_policies(documents)) == 1, "one policy that demands a user"
    for plugin in plugins:
        proxy, account = proxy_of(documents, plugin)
        check_variables(plugin, proxy)
        if module := module_of(documents, plugin):
            check_module(documents, plugin, module, proxy)
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


def plugins_of(documents):
    """The objects that add the filter to proxies. Other EnvoyFilters change other settings."""
    kinds = ["WasmPlugin", "TrafficExtension", "EnvoyExtensionPolicy"]
    is_module = lambda one: one["kind"] == "EnvoyFilter" and inserted_filter(one)
    return [one for one in documents if one["kind"] in kinds or is_module(one)]


def wasm_of(plugin):
    """The part of it that describes the proxy-wasm filter. None for the dynamic module."""
    spec = plugin["spec"]
    if plugin["kind"] == "EnvoyExtensionPolicy":
        return spec["wasm"][0] if "wasm" in spec else None
    return {"WasmPlugin": spec, "TrafficExtension": spec.get("wasm")}.get(plugin["kind"])


def inserted_filter(plugin):
    """The dynamic module that an EnvoyFilter adds. None if it adds none."""
    added = [one["patch"]["value"] for one in plugin["spec"]["configPatches"]]
    return next((one for one in added if one.get("typed_config", {}).get("@type") == MODULE_FILTER), None)


def config_of(plugin):
    """The filter's configuration."""
    if plugin["kind"] == "EnvoyFilter":
        return inserted_filter(plugin)["typed_config"]["filter_config"]["value"]
    if plugin["kind"] == "EnvoyExtensionPolicy":
        spec = plugin["spec"]
        return (wasm_of(plugin) or spec["dynamicModule"][0])["config"]
    return wasm_of(plugin)["pluginConfig"]


def module_of(documents, plugin):
    """Envoy's filter with the dynamic module, without its configuration. None for the proxy-wasm filter."""
    if plugin["kind"] == "EnvoyFilter":
        return {**inserted_filter(plugin)["typed_config"], "filter_config": None}
    if wasm_of(plugin):
        return None
    module, = plugin["spec"]["dynamicModule"]
    entry = registered_module(documents, module["name"])
    assert entry["source"]["type"] == "Local", "the image contains the module"
    patches = find(documents, "EnvoyPatchPolicy", plugin["metadata"]["name"])["spec"]["jsonPatches"]
    patch, = [one["operation"] for one in patches if one["type"].endswith(".Listener")]
    assert patch["jsonPath"].endswith(".dynamic_module_config"), patch["jsonPath"]
    return {
        "@type": MODULE_FILTER,
        "dynamic_module_config": {
            "module": {"local": {"filename": entry["source"]["local"]["path"]}},
            "do_not_close": entry.get("doNotClose", False),
            patch["path"].removeprefix("/"): patch["value"],
        },
        "filter_name": module["filterName"],
        "filter_config": None,
    }


MODULE_FILTER = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def registered_module(documents, name):
    """The entry of the EnvoyProxy to which a policy refers."""
    proxy, = [one for one in documents if one["kind"] == "EnvoyProxy"]
    found = [one for one in proxy["spec"].get("dynamicModules", []) if one["name"] == name]
    assert len(found) == 1, f"the EnvoyProxy registers {name} {len(found)} times"
    return found[0]


def user_policies(documents):
    """Returns the policies that demand a header with the user id."""
    return [one for one in documents if one["kind"] == "AuthorizationPolicy" and any(
        condition["key"].startswith("request.headers[") and condition.get("values") == ["*"]
        for rule in one["spec"]["rules"] for condition in rule.get("when", []))]


def selected_labels(plugin):
    """The labels of the pods that it selects. None for those that target another object."""
    spec = plugin["spec"]
    if plugin["kind"] == "EnvoyFilter":
        return spec["workloadSelector"]["labels"]
    return spec.get("selector", {}).get("matchLabels")


def selects(plugin, deployment):
    wanted = selected_labels(plugin)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    is_near = plugin["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    return bool(wanted) and is_near and wanted.items() <= labels.items()


def proxy_of(documents, plugin):
    """Returns the proxy's container and its service account: of a pod, a waypoint or Envoy Gateway."""
    targets = plugin["spec"].get("targetRefs", [])
    namespace = plugin["metadata"]["namespace"]
    if not targets:
        assert selected_labels(plugin) != {"app": "signout"}, "never the service"
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
    wants = passed_variables(plugin, has)
    assert wants == has, f"the proxy's container has {has}, the filter reads {wants}"
    keys = config_of(plugin)["keys"]
    uses = {key["secret"]["env"] for key in keys if "secret" in key} | {"SIGNOUT_TOKEN"}
    assert wants == uses, f"the configuration uses {uses}, the filter reads {wants}"


def passed_variables(plugin, environment):
    """The variables that the filter may read. The dynamic module reads the whole environment of Envoy."""
    wasm = wasm_of(plugin)
    if wasm is None:
        return environment
    if plugin["kind"] == "EnvoyExtensionPolicy":
        return set(wasm["env"]["hostKeys"])
    return {one["name"] for one in wasm["vmConfig"]["env"]}


def check_module(documents, plugin, module, container):
    """The dynamic module is configured as in envoy/native/envoy.yaml, and runs in an image that has it."""
    native = yaml.safe_load((ROOT / "envoy/native/envoy.yaml").read_text())
    manager = native["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    shipped = manager["http_filters"][0]["typed_config"]
    library = shipped["dynamic_module_config"]["module"]["local"]
    library["filename"] = f"{IMAGE_FOLDER}/{library['filename']}"
    assert module == {**shipped, "filter_config": None}, f"{module}, but shipped is {shipped}"
    assert "-native:" in container["image"], f"{container['image']} has no module"
    if plugin["kind"] == "EnvoyFilter":
        patch, = plugin["spec"]["configPatches"]
        assert patch["patch"]["operation"] == "INSERT_FIRST", "before Istio's own filters"
        return
    proxy, = [one for one in documents if one["kind"] == "EnvoyProxy"]
    order = [(one["name"], one.get("before")) for one in proxy["spec"]["filterOrder"]]
    wanted = ("envoy.filters.http.dynamic_modules", "envoy.filters.http.jwt_authn")
    assert wanted in order, f"{order}: jwt_authn may remove the token"


# The working directory of the images of Envoy.
IMAGE_FOLDER = re.search(r" AS proxy\n.*?^WORKDIR (\S+)", (ROOT / "Dockerfile").read_text(), re.M | re.S)[1]


def check_service(documents, plugin, account):
    """The filter calls the service's port, and the service admits this filter's proxies."""
    upstream = config_of(plugin)["revocation"]["upstream"]
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


def check_that_mistakes_are_seen(built):
    """Tests the check itself: it must find each of these mistakes."""
    in_gateway = built["istio/gateway"]
    plugin = find(in_gateway, "WasmPlugin", "session-guard")
    deployment = find(in_gateway, "Deployment", "signout")
    extension = find(built["envoy-gateway"], "EnvoyExtensionPolicy", "session-guard")
    traffic = find(
        built["istio/gateway with istio/traffic-extension"], "TrafficExtension", "session-guard")
    of_module = built["envoy-gateway with native/envoy-gateway"]
    policy = find(of_module, "EnvoyExtensionPolicy", "session-guard")
    proxy = find(of_module, "EnvoyProxy", "edge")
    inserted = find(built["istio/gateway with native/istio"], "EnvoyFilter", "session-guard")
    for document, path, value in [
        (plugin, ["spec", "failStrategy"], "FAIL_SOMEHOW"),
        (plugin, ["spec", "phase"], "AUTH"),
        (plugin, ["spec", "pluginConfiguration"], {}),
        (plugin, ["spec", "sha256"], "sha256:00"),
        (plugin, ["spec", "match", 0, "mode"], "INBOUND"),
        (deployment, ["spec", "strategy", "typ"], "Recreate"),
        (deployment, ["spec", "replicas"], "one"),
        (deployment, ["spec", "template", "spec", "containers", 0, "readinessprobe"], {}),
        (deployment, ["spec", "template", "spec", "containers", 0, "image"], 1),
        (deployment, ["spec", "template", "metadata", "label"], {}),
        (extension, ["spec", "wasm", 0, "failurePolicy"], "FAIL_RELOAD"),
        (extension, ["spec", "wasm", 0, "env", "host_keys"], []),
        (extension, ["spec", "wasm", 0, "code", "type"], "HTTP"),
        (traffic, ["spec", "wasm", "phase"], "AUTHN"),
        (traffic, ["spec", "failStrategy"], "FAIL_RELOAD"),
        (policy, ["spec", "dynamicModule", 0, "name"], "session_guard"),
        (policy, ["spec", "dynamicModule", 0, "doNotClose"], True),
        (proxy, ["spec", "dynamicModules", 0, "source", "type"], "Remote"),
        (proxy, ["spec", "dynamicModules", 0, "source", "local", "path"], ""),
        (proxy, ["spec", "dynamicModules", 0, "path"], "/module.so"),
        (inserted, ["spec", "configPatches", 0, "patch", "operation"], "INSERT"),
        (inserted, ["spec", "configPatches", 0, "match", "context"], "INGRESS"),
    ]:
        changed = copy.deepcopy(document)
        put(changed, path, value)
        assert problems(changed), f"not seen: {path} = {value}"
    check_that_wrong_modules_are_seen(built)


def check_that_wrong_modules_are_seen(built):
    """The same for the rules about the dynamic module, which no schema has."""
    gateway, mesh = "envoy-gateway with native/envoy-gateway", "istio/gateway with native/istio"
    container = ["provider", "kubernetes", "envoyDeployment", "container"]
    value = ["configPatches", 0, "patch", "value", "typed_config"]
    config = [*value, "filter_config", "value"]
    edge = ["template", "spec", "containers", 0]
    for variant, kind, name, path, wrong in [
        (gateway, "EnvoyProxy", "edge", ["dynamicModules", 0, "doNotClose"], False),
        (gateway, "EnvoyProxy", "edge", ["dynamicModules", 0, "name"], "another"),
        (gateway, "EnvoyProxy", "edge", ["dynamicModules", 0, "source", "local", "path"], "/module.so"),
        (gateway, "EnvoyProxy", "edge", ["filterOrder", 0, "name"], "envoy.filters.http.wasm"),
        (gateway, "EnvoyProxy", "edge", [*container, "image"], "envoyproxy/envoy:v1.40.0"),
        (gateway, "EnvoyProxy", "edge", [*container, "env"], []),
        (gateway, "EnvoyExtensionPolicy", "session-guard", ["dynamicModule", 0, "filterName"], "filter"),
        (gateway, "EnvoyPatchPolicy", "session-guard", ["jsonPatches", 1, "operation", "value"], "custom"),
        (mesh, "EnvoyFilter", "session-guard", [*value, "dynamic_module_config", "do_not_close"], False),
        (mesh, "EnvoyFilter", "session-guard", ["configPatches", 0, "patch", "operation"], "ADD"),
        (mesh, "EnvoyFilter", "session-guard", ["workloadSelector", "labels", "app"], "other"),
        (mesh, "EnvoyFilter", "session-guard", [*config, "keys", 0, "secret", "env"], "OTHER"),
        (mesh, "EnvoyFilter", "session-guard", [*config, "revocation", "upstream", "cluster"], "a||b"),
        (mesh, "Deployment", "edge", [*edge, "image"], "auto"),
        (mesh, "Deployment", "edge", [*edge, "startupProbe"], {}),
    ]:
        changed = copy.deepcopy(built[variant])
        put(find(changed, kind, name)["spec"], path, wrong)
        assert is_seen(changed), f"not seen: {kind} {path} = {wrong}"


def put(place, path, value):
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value


def is_seen(documents):
    try:
        check_sentences(documents)
    except AssertionError:
        return True
    return False


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
    check_that_mistakes_are_seen(built)
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
