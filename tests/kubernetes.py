"""Promise: what envoy/kubernetes and envoy/istio hold is what Kubernetes and Istio take.

Method: kubectl builds each variant, and each object is held against the schema that Istio or
Kubernetes publishes for it: unknown fields, wrong types, wrong words and wrong patterns fail. Then a
handful of sentences that a schema cannot say. `make kubernetes` runs this.
"""

import ast
import copy
import subprocess
import sys
import sysconfig
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ["kubernetes/sidecar", "istio/gateway", "istio/sidecar"]


class Model(pydantic.BaseModel):
    """As the resource definitions mean it: what they do not name is not there."""

    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=False)


class ObjectMeta(Model):
    """Kubernetes' ObjectMeta, as far as a manifest says it."""

    name: Annotated[
        str | None, pydantic.Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    ] = None  # templates of pods have none
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Requirement(Model):
    """Of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class LabelSelector(Model):
    """Kubernetes' LabelSelector."""

    match_labels: Annotated[dict[str, str] | None, pydantic.Field(alias="matchLabels")] = None
    match_expressions: Annotated[
        list[Requirement] | None, pydantic.Field(alias="matchExpressions")
    ] = None


# What the models take from Kubernetes' own machinery; what no manifest here uses may be anything.
MACHINERY = {
    "IntOrString": int | str,
    "LabelSelector": LabelSelector,
    "ObjectMeta": ObjectMeta,
    "Quantity": Annotated[str, pydantic.Field(pattern=r"^[0-9.]+([numkKMGTPE]|[KMGTPE]i)?$")],
}


def load(name):
    """A module of models, without their builders, which need the library that made them."""
    if name in sys.modules:
        return sys.modules[name]
    path = Path(sysconfig.get_path("purelib"), *name.split(".")).with_suffix(".py")
    module = sys.modules[name] = types.ModuleType(name)
    space = module.__dict__
    space.update(BaseModel=Model, Resource=Model)
    kept = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:  # from ..core import v1
            package = ".".join(name.split(".")[: -node.level])
            for one in node.names:
                place = ".".join(filter(None, [package, node.module, one.name]))
                space[one.asname or one.name] = load(place)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("cloudcoil."):
            for one in node.names:
                space.setdefault(one.name, MACHINERY.get(one.name, Any))
        elif isinstance(node, ast.ClassDef):
            node.body = [part for part in node.body if is_field(part)] or [ast.Pass()]
            kept.append(node)
        elif not (isinstance(node, ast.Assign) and "ResourceList" in ast.unparse(node)):
            kept.append(node)
    lazy = __import__("__future__").annotations.compiler_flag
    tree = ast.fix_missing_locations(ast.Module(kept, []))
    exec(compile(tree, str(path), "exec", lazy, dont_inherit=True), space)
    for model in list(space.values()):
        if isinstance(model, type) and issubclass(model, pydantic.BaseModel):
            model.model_rebuild(_types_namespace=space)
    return module


def is_field(part):
    if not isinstance(part, ast.AnnAssign):
        return False
    return not ast.unparse(part.annotation).startswith("ClassVar")


def model_of(document):
    group, _, version = document["apiVersion"].rpartition("/")
    if group.endswith(".istio.io"):
        module = f"cloudcoil.models.istio.{group.split('.')[0]}.{version}"
    else:
        module = f"cloudcoil.models.kubernetes.{(group or 'core').split('.')[0]}.{version}"
    return getattr(load(module), document["kind"])


def problems(document):
    """What the schema has against it."""
    try:
        model_of(document).model_validate(document)
    except pydantic.ValidationError as error:
        name = f"{document['kind']}/{document['metadata']['name']}"
        return [f"{name}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


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
    """What no schema says."""
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
    """The check itself: each of these must be found."""
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


def main():
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
    if found:
        sys.exit("\n".join(found))
    check_that_mistakes_are_seen(build(ROOT / "envoy/istio/gateway"))
    print(f"{count} objects are as Istio 1.31 and Kubernetes 1.37 want them")


def with_component(variant, component):
    """A folder that builds the variant with the component in it, as an overlay of somebody's own."""
    folder = ROOT / "target/kubernetes-component"
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "resources": [f"../../envoy/{variant}"],
        "components": [f"../../envoy/{component}"],
    }))
    return folder


if __name__ == "__main__":
    main()
