"""The fields and values that Istio, Kubernetes, Envoy Gateway and Prometheus accept.

The models of Istio, Kubernetes and the Prometheus operator come from PyPI packages, which are generated from
the resource definitions of one version. There is no such package for Envoy Gateway and the Gateway API. The
models below follow their API references for the fields that we use; any other field is an error.
"""

import ast
import sys
import sysconfig
import threading
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic


class Model(pydantic.BaseModel):
    """A model that rejects unknown fields, as the resource definitions do."""

    model_config = pydantic.ConfigDict(extra="forbid", populate_by_name=False)


class ObjectMeta(Model):
    """The fields of Kubernetes' ObjectMeta that a manifest may set."""

    name: Annotated[
        str | None, pydantic.Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)
    ] = None  # pod templates have no name
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Requirement(Model):
    """A requirement of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None


class LabelSelector(Model):
    """Kubernetes' LabelSelector."""

    match_labels: Annotated[dict[str, str] | None, pydantic.Field(alias="matchLabels")] = None
    match_expressions: Annotated[
        list[Requirement] | None, pydantic.Field(alias="matchExpressions")
    ] = None


# Types that the models import from Kubernetes' machinery. Other imported types accept any value, because no
# manifest uses them.
MACHINERY = {
    "IntOrString": int | str,
    "LabelSelector": LabelSelector,
    "ObjectMeta": ObjectMeta,
    "Quantity": Annotated[str, pydantic.Field(pattern=r"^[0-9.]+([numkKMGTPE]|[KMGTPE]i)?$")],
}


LOADING = threading.RLock()


def load(name):
    """Loads a module of models without its builders, which need the library that generated them."""
    with LOADING:
        return sys.modules.get(name) or load_once(name)


def load_once(name):
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
    if group in ["gateway.envoyproxy.io", "gateway.networking.k8s.io"]:
        return OURS[document["kind"]]
    if group.endswith(".istio.io"):
        module = f"cloudcoil.models.istio.{group.split('.')[0]}.{version}"
    elif group == "monitoring.coreos.com":
        module = f"cloudcoil.models.prometheus_operator.{version}"
    else:
        module = f"cloudcoil.models.kubernetes.{(group or 'core').split('.')[0]}.{version}"
    return getattr(load(module), document["kind"])


def problems(document):
    """Returns the schema's errors for a document."""
    try:
        model_of(document).model_validate(document)
    except pydantic.ValidationError as error:
        name = f"{document['kind']}/{document['metadata']['name']}"
        return [f"{name}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return []


class TargetRef(Model):
    """The target of a policy: an object in the policy's namespace."""

    group: str
    kind: Annotated[str, pydantic.Field(min_length=1)]
    name: Annotated[str, pydantic.Field(min_length=1)]
    section_name: Annotated[str | None, pydantic.Field(alias="sectionName")] = None


class PullSecretRef(Model):
    """A Secret in the policy's namespace."""

    name: str


class WasmImage(Model):
    """An OCI image with a module; `repository@sha256:…` pins it."""

    url: str
    pull_secret_ref: Annotated[PullSecretRef | None, pydantic.Field(alias="pullSecretRef")] = None


class WasmHttp(Model):
    """A module from a web server."""

    url: Annotated[str, pydantic.Field(pattern="^https?://")]


class WasmCode(Model):
    """The source of a module: exactly the one that `type` names."""

    type: Literal["HTTP", "Image"]
    http: WasmHttp | None = None
    image: WasmImage | None = None
    sha256: Annotated[str | None, pydantic.Field(pattern="^[a-f0-9]{64}$")] = None
    pull_policy: Annotated[
        Literal["IfNotPresent", "Always"] | None, pydantic.Field(alias="pullPolicy")
    ] = None

    @pydantic.model_validator(mode="after")
    def has_its_source(self):
        assert (self.http is not None) == (self.type == "HTTP"), "http goes with type HTTP"
        assert (self.image is not None) == (self.type == "Image"), "image goes with type Image"
        return self


class WasmEnvironment(Model):
    """Variables of the proxy's container that the module may read."""

    host_keys: Annotated[list[str] | None, pydantic.Field(alias="hostKeys")] = None


class GatewayWasm(Model):
    """One module of an EnvoyExtensionPolicy."""

    name: str | None = None
    root_id: Annotated[str | None, pydantic.Field(alias="rootID")] = None
    code: WasmCode
    config: Any = None
    fail_open: Annotated[bool | None, pydantic.Field(alias="failOpen")] = None
    env: WasmEnvironment | None = None


ModuleName = Annotated[
    str, pydantic.Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", min_length=1, max_length=253)
]


class DynamicModule(Model):
    """One filter of a dynamic module that the EnvoyProxy registers under `name`."""

    name: ModuleName
    filter_name: Annotated[str | None, pydantic.Field(alias="filterName", max_length=253)] = None
    config: Any = None
    terminal_filter: Annotated[bool | None, pydantic.Field(alias="terminalFilter")] = None


class EnvoyExtensionPolicySpec(Model):
    """Envoy Gateway's extensions of a Gateway or of a route."""

    target_refs: Annotated[
        list[TargetRef], pydantic.Field(alias="targetRefs", min_length=1, max_length=16)
    ]
    wasm: Annotated[list[GatewayWasm] | None, pydantic.Field(max_length=16)] = None
    dynamic_module: Annotated[
        list[DynamicModule] | None, pydantic.Field(alias="dynamicModule", max_length=16)
    ] = None


class JsonPatchOperation(Model):
    """A JSON patch (RFC 6902), at a path, at the places that a JSONPath selects, or relative to them."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"]
    path: str | None = None
    json_path: Annotated[str | None, pydantic.Field(alias="jsonPath")] = None
    value: Any = None


class JsonPatch(Model):
    """A patch of one of the resources that Envoy Gateway sends to Envoy."""

    type: Literal[
        "type.googleapis.com/envoy.config.listener.v3.Listener",
        "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
    ]
    name: str
    operation: JsonPatchOperation


class EnvoyPatchPolicySpec(Model):
    """Patches of one Gateway."""

    type: Literal["JSONPatch"]
    target_ref: Annotated[TargetRef, pydantic.Field(alias="targetRef")]
    json_patches: Annotated[list[JsonPatch], pydantic.Field(alias="jsonPatches", min_length=1)]
    priority: int | None = None


class FilterOrder(Model):
    """Moves one kind of filter before or after another."""

    name: str
    before: str | None = None
    after: str | None = None


class EnvoyProxyContainer(Model):
    """The proxy's container: parts of Kubernetes' own types."""

    env: list[dict[str, Any]] | None = None
    resources: dict[str, Any] | None = None
    image: str | None = None


class EnvoyProxyPod(Model):
    """The proxies' pods."""

    topology_spread_constraints: Annotated[
        list[dict[str, Any]] | None, pydantic.Field(alias="topologySpreadConstraints")
    ] = None


class EnvoyProxyDeployment(Model):
    """The proxies' Deployment."""

    replicas: Annotated[int | None, pydantic.Field(ge=0)] = None
    container: EnvoyProxyContainer | None = None
    pod: EnvoyProxyPod | None = None


class EnvoyProxyDisruption(Model):
    """The proxies' PodDisruptionBudget."""

    min_available: Annotated[int | str | None, pydantic.Field(alias="minAvailable")] = None


class EnvoyProxyKubernetes(Model):
    """What Envoy Gateway creates."""

    deployment: Annotated[EnvoyProxyDeployment | None, pydantic.Field(alias="envoyDeployment")] = None
    disruption: Annotated[EnvoyProxyDisruption | None, pydantic.Field(alias="envoyPDB")] = None


class EnvoyProxyProvider(Model):
    """Where the proxies run."""

    type: Literal["Kubernetes"]
    kubernetes: EnvoyProxyKubernetes


class LocalModule(Model):
    """A shared library in the proxy's image, by its absolute path."""

    path: Annotated[str, pydantic.Field(min_length=1, max_length=4096)]


class RemoteModule(Model):
    """A shared library that Envoy downloads."""

    url: Annotated[
        str, pydantic.Field(pattern=r"^https?://[^/?#]+(?:[/?#].*)?$", min_length=1, max_length=4096)
    ]
    sha256: Annotated[str, pydantic.Field(pattern="^[a-f0-9]{64}$")]


class ModuleSource(Model):
    """The source of a shared library: exactly the one that `type` names."""

    type: Literal["Local", "Remote"] = "Local"
    local: LocalModule | None = None
    remote: RemoteModule | None = None

    @pydantic.model_validator(mode="after")
    def has_its_source(self):
        assert (self.local is not None) == (self.type == "Local"), "local goes with type Local"
        assert (self.remote is not None) == (self.type == "Remote"), "remote goes with type Remote"
        return self


class DynamicModuleEntry(Model):
    """A dynamic module that policies may use."""

    name: ModuleName
    source: ModuleSource
    do_not_close: Annotated[bool | None, pydantic.Field(alias="doNotClose")] = None
    load_globally: Annotated[bool | None, pydantic.Field(alias="loadGlobally")] = None


class EnvoyProxySpec(Model):
    """Settings of the proxies of one Gateway."""

    dynamic_modules: Annotated[
        list[DynamicModuleEntry] | None, pydantic.Field(alias="dynamicModules")
    ] = None
    filter_order: Annotated[list[FilterOrder] | None, pydantic.Field(alias="filterOrder")] = None
    provider: EnvoyProxyProvider


class ParametersRef(Model):
    """An object with settings of the implementation."""

    group: str
    kind: str
    name: str


class GatewayInfrastructure(Model):
    """What the implementation creates for a Gateway."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    parameters_ref: Annotated[ParametersRef | None, pydantic.Field(alias="parametersRef")] = None


class RouteNamespaces(Model):
    """Namespaces whose routes may use the listener."""

    origin: Annotated[Literal["All", "Same", "Selector"], pydantic.Field(alias="from")]


class AllowedRoutes(Model):
    """Routes that may use the listener."""

    namespaces: RouteNamespaces


class GatewayListener(Model):
    """A port of a Gateway. HBONE is Istio's."""

    name: str
    port: Annotated[int, pydantic.Field(ge=1, le=65535)]
    protocol: Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP", "HBONE"]
    hostname: str | None = None
    allowed_routes: Annotated[AllowedRoutes | None, pydantic.Field(alias="allowedRoutes")] = None


class GatewaySpec(Model):
    """Gateway API: a proxy."""

    class_name: Annotated[str, pydantic.Field(alias="gatewayClassName", min_length=1)]
    infrastructure: GatewayInfrastructure | None = None
    listeners: Annotated[list[GatewayListener], pydantic.Field(min_length=1, max_length=64)]


class GatewayClassSpec(Model):
    """Gateway API: an implementation."""

    controller: Annotated[
        str, pydantic.Field(alias="controllerName", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9/._~%-]+$")
    ]


class ParentRef(Model):
    """The Gateway of a route."""

    name: str


class BackendRef(Model):
    """A Service."""

    name: str
    port: int


class RouteTimeouts(Model):
    """0s: no limit."""

    request: Annotated[str, pydantic.Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]


class HeaderModifier(Model):
    """Changes of a request's headers."""

    remove: Annotated[list[str], pydantic.Field(max_length=16)]


class RouteFilter(Model):
    """One step of a route."""

    type: Literal["RequestHeaderModifier"]
    modifier: Annotated[HeaderModifier, pydantic.Field(alias="requestHeaderModifier")]


class RouteRule(Model):
    """Where matching requests go."""

    backends: Annotated[list[BackendRef], pydantic.Field(alias="backendRefs", max_length=16)]
    timeouts: RouteTimeouts | None = None
    filters: Annotated[list[RouteFilter] | None, pydantic.Field(max_length=16)] = None


class HttpRouteSpec(Model):
    """Gateway API: routes of a Gateway."""

    parents: Annotated[list[ParentRef], pydantic.Field(alias="parentRefs", max_length=32)]
    rules: Annotated[list[RouteRule], pydantic.Field(max_length=16)]


def resource(kind, version, spec):
    return pydantic.create_model(
        kind,
        __base__=Model,
        apiVersion=(Literal[version], ...),
        kind=(Literal[kind], ...),
        metadata=(ObjectMeta, ...),
        spec=(spec, ...),
    )


EXTENSIONS = "gateway.envoyproxy.io/v1alpha1"
GATEWAY_API = "gateway.networking.k8s.io/v1"
# The kinds without a package: those of Envoy Gateway and of the Gateway API.
OURS = {
    kind: resource(kind, version, spec)
    for kind, version, spec in [
        ("EnvoyExtensionPolicy", EXTENSIONS, EnvoyExtensionPolicySpec),
        ("EnvoyPatchPolicy", EXTENSIONS, EnvoyPatchPolicySpec),
        ("EnvoyProxy", EXTENSIONS, EnvoyProxySpec),
        ("Gateway", GATEWAY_API, GatewaySpec),
        ("GatewayClass", GATEWAY_API, GatewayClassSpec),
        ("HTTPRoute", GATEWAY_API, HttpRouteSpec),
    ]
}
