//! Promise: the manifests in `envoy/istio` protect applications behind Istio's proxies.
//! Method: the test converts the WasmPlugin as Istio does, and a real Envoy receives the result by
//! extension discovery (ECDS) from a file. There is no vm_id, the configuration is a string, and
//! the module comes from the OCI image, as in pilot/pkg/model/extensions.go and
//! pkg/wasm/imagefetcher.go of Istio.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use session_guard_core::config::Config;
use tempfile::TempDir;
use testbed::{
    Application, Configuration, Envoy, EnvoySetup, Reply, Request, SignoutService, Token,
    eventually, repository,
};

#[test]
fn the_plugin_protects_as_istio_delivers_it() {
    let stage = IstioBed::start();
    let token = Token::of("ada");
    let mut workers = stage.envoy.connection_per_worker();
    for worker in &mut workers {
        assert_eq!(worker.send(&Request::get("/page")).code(), "missing_token");
        let seen = worker.send(&Request::get("/page").bearer(&token)).seen();
        assert_eq!(seen.headers("x-user-id"), ["ada"]);
    }
    assert_eq!(workers[0].send(&Request::post("/sign-out").bearer(&token)).status, 200);
    for worker in &mut workers {
        assert_eq!(worker.send(&Request::get("/page").bearer(&token)).code(), "revoked");
    }
    assert!(stage.service.holds(&token));
}

#[test]
fn a_plugin_update_keeps_requests_and_the_set() {
    let mut stage = IstioBed::start();
    let token = Token::of("ada");
    assert_eq!(stage.envoy.send(&Request::post("/sign-out").bearer(&token)).status, 200);
    stage.service.kill(); // so that the feed cannot be loaded again
    stage.plugin["spec"]["pluginConfig"]["routes"] = json!([{"path": "/new", "access": "public"}]);
    stage.deliver();
    eventually(SOON, || stage.envoy.send(&Request::get("/new")).status == 200);
    assert_eq!(stage.envoy.get("/page", &token).code(), "revoked");
    assert_eq!(stage.envoy.get("/page", &Token::of("ada")).status, 200);
}

#[test]
fn open_requests_end_after_a_plugin_update_when_revoked() {
    let mut stage = IstioBed::start();
    let events = Reply::events(Duration::from_millis(100));
    stage.application.on("/events", events);
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let open = |token: &Token| {
        let mut workers = stage.envoy.connection_per_worker();
        for connection in &mut workers {
            connection.send_bytes(&Request::get("/events").bearer(token).to_bytes());
            assert_eq!(connection.read_head().status, 200);
        }
        workers
    };
    let (mut revoked, mut going_on) = (open(&ada), open(&bob));
    stage.plugin["spec"]["pluginConfig"]["routes"] = json!([{"path": "/new", "access": "public"}]);
    stage.deliver();
    eventually(SOON, || stage.envoy.send(&Request::get("/new")).status == 200);
    stage.plugin["spec"]["pluginConfig"]["routes"] =
        json!([{"path": "/sign-out", "access": "signout"}]);
    stage.module = "new.wasm"; // different code, so new VMs
    fs::copy(stage.folder.path().join(MODULE), stage.folder.path().join(stage.module)).unwrap();
    let sign_out = Request::post("/sign-out").bearer(&ada);
    assert_eq!(stage.envoy.send(&Request::post("/sign-out")).status, 401);
    stage.deliver();
    eventually(SOON, || stage.envoy.send(&Request::post("/sign-out")).status == 200);
    assert_eq!(stage.envoy.send(&sign_out).status, 200);
    for connection in &mut revoked {
        eventually(SOON, || connection.arrived() > 0 && connection.is_closed());
    }
    for connection in &mut going_on {
        let before = connection.arrived();
        eventually(SOON, || connection.arrived() > before);
    }
}

#[test]
fn a_plugin_that_does_not_load_changes_nothing() {
    let mut stage = IstioBed::start();
    stage.plugin["spec"]["pluginConfig"]["unknown"] = json!(1);
    stage.deliver();
    eventually(SOON, || stage.envoy.log().contains("unknown"));
    assert_eq!(stage.envoy.get("/page", &Token::of("ada")).status, 200);
    assert_eq!(stage.envoy.send(&Request::get("/page")).code(), "missing_token");
}

#[test]
fn every_secret_comes_from_the_proxys_environment() {
    let plugin = plugin();
    let names = host_variables(&plugin);
    let known = |name: &str| {
        let long_enough = "0123456789abcdef".repeat(4);
        names.iter().any(|known| known == name).then_some(long_enough)
    };
    let text = plugin["spec"]["pluginConfig"].to_string();
    Config::parse(text.as_bytes(), &known).expect("the plugin's configuration loads");
    for variable in plugin["spec"]["vmConfig"]["env"].as_array().unwrap() {
        assert_eq!(variable["valueFrom"], "HOST", "{variable}");
    }
}

struct IstioBed {
    envoy: Envoy,
    service: SignoutService,
    application: Application,
    folder: TempDir,
    plugin: Value,
    module: &'static str,
}

impl IstioBed {
    fn start() -> Self {
        let (application, service) = (Application::start(), SignoutService::start());
        let (folder, plugin) = (TempDir::with_prefix("session-guard-istio-").unwrap(), plugin());
        unpack_image(folder.path());
        deliver(&plugin, folder.path(), MODULE);
        let setup = Envoy::setup().application(application.address()).service(service.address());
        let envoy = discovering(setup, folder.path()).start();
        envoy.await_guarding();
        Self { envoy, service, application, folder, plugin, module: MODULE }
    }

    fn deliver(&self) {
        deliver(&self.plugin, self.folder.path(), self.module);
    }
}

/// Returns the WasmPlugin that both variants share; they add namespace, selector and mode.
fn plugin() -> Value {
    repository::documents("envoy/istio/base/plugin.yaml").remove(0)
}

/// Extracts the module from the image's last layer, as istio-agent does.
fn unpack_image(folder: &Path) {
    let image = folder.join("image");
    oci_image::write(&testbed::filter(), "0.1.0", &image).expect("an image");
    fs::write(folder.join(MODULE), oci_image::read(&image).expect("its module")).expect("written");
}

/// Writes the resource as istiod and istio-agent deliver it, by renaming the file.
fn deliver(plugin: &Value, folder: &Path, module: &str) {
    let spec = &plugin["spec"];
    assert_eq!(spec["failStrategy"], "FAIL_RELOAD");
    let text = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": spec["pluginConfig"].to_string(),
    });
    let variables = json!({"host_env_keys": host_variables(plugin)});
    let resource = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": RESOURCE,
        "typed_config": {
            "@type": WASM,
            "config": {
                "name": RESOURCE,
                "configuration": text,
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": folder.join(module)}},
                    "environment_variables": variables,
                },
                "failure_policy": spec["failStrategy"],
            },
        },
    });
    let (new, place) = (folder.join("new"), folder.join(DISCOVERY));
    fs::write(&new, json!({"resources": [resource]}).to_string()).expect("written");
    fs::rename(new, place).expect("moved");
}

fn host_variables(plugin: &Value) -> Vec<String> {
    let variables = plugin["spec"]["vmConfig"]["env"].as_array().expect("vmConfig.env");
    let names = variables.iter().map(|variable| variable["name"].as_str().expect("a name"));
    names.map(str::to_owned).collect()
}

/// Replaces the filter by a discovered one, and names the service's cluster as Istio does.
fn discovering(setup: EnvoySetup, folder: &Path) -> EnvoySetup {
    let source = json!({
        "path_config_source": {
            "path": folder.join(DISCOVERY),
            "watched_directory": {"path": folder},
        },
        "resource_api_version": "V3",
        "initial_fetch_timeout": "0s",
    });
    let filter = json!({
        "name": RESOURCE,
        "config_discovery": {"config_source": source, "type_urls": [WASM]},
    });
    let upstream = plugin()["spec"]["pluginConfig"]["revocation"]["upstream"]["cluster"].take();
    setup.edit(|configuration: &mut Configuration| {
        configuration.replacement = Some(filter);
        let cluster = configuration.cluster("signout");
        cluster["name"] = upstream.clone();
        cluster["load_assignment"]["cluster_name"] = upstream;
    })
}

const RESOURCE: &str = "session-guard.session-guard";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const MODULE: &str = "module.wasm";
const DISCOVERY: &str = "ecds.json";
const SOON: Duration = Duration::from_secs(20);
