//! How is each peer configured?
//!
//! Every peer is a listener of the same Envoy: the shipped one, hardened as it is, with another
//! filter in front of an answer that Envoy gives itself. The application behind it costs every peer
//! the same, so it is left out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::{Configuration, SESSION_SECRET};

use crate::tokens::{AUDIENCE, ISSUER};

/// Everything outside Envoy that the peers need.
pub(crate) struct Surroundings<'a> {
    /// A service that knows of no revocation.
    pub(crate) none: SocketAddr,
    /// One with a million.
    pub(crate) million: SocketAddr,
    /// Another one, for the dynamic module: Envoy's processor time is measured as a whole, so
    /// revocations for one build must not also arrive at the other.
    pub(crate) native_million: SocketAddr,
    /// One with ten million.
    pub(crate) ten_million: Option<SocketAddr>,
    /// What decides behind ext_authz.
    pub(crate) authz: SocketAddr,
    /// The RSA key: PEM and JWK Set.
    pub(crate) rsa: (&'a str, &'a str),
    /// The module that does nothing.
    pub(crate) empty_filter: &'a Path,
    /// The dynamic module that does nothing.
    pub(crate) empty_module: &'a Path,
    /// The filter as a dynamic module.
    pub(crate) native: &'a Path,
    /// Another build of the filter.
    pub(crate) before: Option<&'a Path>,
}

/// Makes the shipped configuration one with a listener for each peer.
pub(crate) fn configure(configuration: &mut Configuration, around: &Surroundings<'_>) {
    let manager = configuration.connection_manager();
    manager["access_log"] = Value::Array(Vec::new()); // costs every peer the same: left out
    answer_directly(manager);
    clusters(configuration, around);
    let filters = filters(configuration, around);
    let shipped = configuration.listener().clone();
    let listeners = filters.into_iter().map(|(name, filter)| {
        let mut listener = shipped.clone();
        listener["name"] = json!(name);
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
        match filter {
            Some(filter) => filters[0] = filter,
            None => drop(filters.remove(0)),
        }
        listener
    });
    let listeners: Vec<_> = listeners.collect();
    let all = &mut configuration.bootstrap["static_resources"]["listeners"];
    all.as_array_mut().expect("a list of listeners").extend(listeners);
    // The first listener is there for readiness alone.
    configuration.plugin()["vm_config"]["vm_id"] = json!("million");
    configuration.filter = ours(HS256_KEY, "million");
}

/// The shipped configuration, with an answer that Envoy gives itself and tokens of that issuer.
pub(crate) fn configure_alone(configuration: &mut Configuration) {
    let manager = configuration.connection_manager();
    manager["access_log"] = Value::Array(Vec::new());
    answer_directly(manager);
    configuration.set_address("application", NOBODY);
    configuration.filter["claims"] = json!({"issuer": ISSUER, "audiences": [AUDIENCE]});
}

/// Makes Envoy itself respond to everything that passes the filter.
pub(crate) fn answer_directly(manager: &mut Value) {
    let answer = json!({"status": 200, "body": {"inline_string": "a page\n"}});
    manager["route_config"]["virtual_hosts"][0]["routes"] =
        json!([{"match": {"prefix": "/"}, "direct_response": answer}]);
}

fn clusters(configuration: &mut Configuration, around: &Surroundings<'_>) {
    for (name, address, http2) in [
        ("none", around.none, false),
        ("million", around.million, false),
        ("native_million", around.native_million, false),
        ("ten_million", around.ten_million.unwrap_or(NOBODY), false),
        ("authz_http", around.authz, false),
        ("authz_grpc", around.authz, true),
    ] {
        let mut cluster = configuration.cluster("signout").clone();
        cluster["name"] = json!(name);
        cluster["load_assignment"]["cluster_name"] = json!(name);
        let clusters = &mut configuration.bootstrap["static_resources"]["clusters"];
        clusters.as_array_mut().expect("a list of clusters").push(cluster);
        configuration.set_address(name, address);
        if http2 {
            configuration.speak_http2(name);
        }
    }
    // Unused here; a name that nobody resolves would be looked up again and again.
    configuration.set_address("application", NOBODY);
    configuration.set_address("signout", NOBODY);
}

/// An address where nothing listens.
pub(crate) const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

const HS256_KEY: &str = r#"{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}"#;

/// The filter's own configuration: as its documents recommend, for that issuer.
fn ours(key: &str, service: &str) -> Value {
    let key: Value = serde_json::from_str(key).expect("a key");
    json!({
        "keys": [key],
        "claims": {"issuer": ISSUER, "audiences": [AUDIENCE]},
        "token_sources": [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "token"}],
        "forward": {"user_id": "x-user-id"},
        "routes": [
            {"path": "/", "access": "public"},
            {"path": "/login", "methods": ["POST"], "access": "public"},
            {"path": "/logout", "methods": ["POST"], "access": "signout"},
            {"path": "/.session-guard/ready", "access": "ready"}
        ],
        "revocation": {
            "upstream": {
                "cluster": service, "authority": service, "token": {"env": "SIGNOUT_TOKEN"}
            }
        }
    })
}

/// Every listener with its filter.
fn filters(
    configuration: &mut Configuration,
    around: &Surroundings<'_>,
) -> Vec<(&'static str, Option<Value>)> {
    let shipped = configuration.connection_manager()["http_filters"][0].clone();
    // A VM for each set: one with a million records must not lie in the other's map.
    let plugin_of = |module: Option<&Path>, vm_id: &str, filter: &Value| {
        let mut plugin = shipped.clone();
        let config = &mut plugin["typed_config"]["config"];
        if let Some(module) = module {
            config["vm_config"]["code"]["local"]["filename"] = json!(module);
        }
        config["vm_config"]["vm_id"] = json!(vm_id);
        config["configuration"]["value"] = json!(filter.to_string());
        Some(plugin)
    };
    let plugin = |vm_id: &str, filter: &Value| plugin_of(None, vm_id, filter);
    // All of them share the store of their process, where each cluster has a set of its own.
    let native = |filter: &Value| plugin_of(Some(around.native), "", filter);
    let empty = |filter: &str| plugin_of(Some(around.empty_filter), "empty", &json!(filter));
    let empty_module = |filter: &str| plugin_of(Some(around.empty_module), "", &json!(filter));
    let before = |module| plugin_of(Some(module), "before", &ours(HS256_KEY, "million"));
    let ten_million = |_| plugin("ten_million", &ours(HS256_KEY, "ten_million"));
    let rs256_key = json!({"algorithm": "RS256", "public_key_pem": around.rsa.0}).to_string();
    let secret = URL_SAFE_NO_PAD.encode(SESSION_SECRET);
    let hs256 = format!(r#"{{"keys":[{{"kty":"oct","alg":"HS256","k":"{secret}"}}]}}"#);
    vec![
        ("bare", None),
        ("empty", empty("")),
        ("crossings", empty("crossings")),
        ("crossings_of_first_sight", empty("crossings of a first sight")),
        ("calls_headers", empty("ten headers")),
        ("calls_clock", empty("ten clocks")),
        ("calls_empty_value", empty("ten empty values")),
        ("calls_add", empty("ten added headers")),
        ("empty_module", empty_module("")),
        ("module_crossings", empty_module("crossings")),
        ("jwt_hs256", Some(jwt_authn(&hs256, None))),
        ("jwt_hs256_cached", Some(jwt_authn(&hs256, Some(CACHED_TOKENS)))),
        ("jwt_rs256", Some(jwt_authn(around.rsa.1, None))),
        ("authz_http", Some(ext_authz(&http_service(around.authz)))),
        ("authz_grpc", Some(ext_authz(&grpc_service()))),
        ("none", plugin("none", &ours(HS256_KEY, "none"))),
        ("million", plugin("million", &ours(HS256_KEY, "million"))),
        ("before", around.before.and_then(before)),
        ("million_rs256", plugin("million", &ours(&rs256_key, "million"))),
        ("ten_million", around.ten_million.and_then(ten_million)),
        ("native_million", native(&ours(HS256_KEY, "native_million"))),
        ("native_million_rs256", native(&ours(&rs256_key, "native_million"))),
    ]
}

/// As its documentation recommends, with the user in a header as ours has it.
fn jwt_authn(jwks: &str, cached_tokens: Option<u32>) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "forward": true,
        "local_jwks": {"inline_string": jwks},
        "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "sub"}]
    });
    if let Some(size) = cached_tokens {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": size});
    }
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"issuer": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}]
        }
    })
}

fn ext_authz(service: &Value) -> Value {
    let mut config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3"
    });
    for (name, value) in service.as_object().expect("an object") {
        config[name] = value.clone();
    }
    json!({"name": "envoy.filters.http.ext_authz", "typed_config": config})
}

fn http_service(address: SocketAddr) -> Value {
    json!({"http_service": {
        "server_uri": {
            "uri": format!("http://{address}"), "cluster": "authz_http", "timeout": "5s"
        },
        "authorization_response": {
            "allowed_upstream_headers": {"patterns": [{"exact": "x-user-id"}]}
        }
    }})
}

fn grpc_service() -> Value {
    json!({"grpc_service": {"envoy_grpc": {"cluster_name": "authz_grpc"}, "timeout": "5s"}})
}

/// Room for every token that is sent in a circle.
const CACHED_TOKENS: u32 = 5_000;

/// Listeners whose set must be loaded before anything is measured.
pub(crate) const LISTENERS_WITH_A_SET: [&str; 7] = [
    "none",
    "million",
    "million_rs256",
    "native_million",
    "native_million_rs256",
    "ten_million",
    "before",
];

/// What decides behind ext_authz judges by: ours without revocation, which it looks after itself.
pub(crate) fn authz_configuration() -> Value {
    json!({
        "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "claims": {"issuer": ISSUER, "audiences": [AUDIENCE]}
    })
}
