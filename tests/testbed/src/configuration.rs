//! Edits the shipped Envoy configuration for a test, without a copy of it.
//!
//! Reads `envoy/envoy.yaml` into JSON values, lets a closure edit them, and gives the result to
//! Envoy as JSON.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::ports::free_address;
use crate::{artifacts, build};

/// The shipped configuration, editable.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The bootstrap without the filter's own configuration. Listeners after
    /// the first one reach Envoy unchanged, on free ports.
    pub bootstrap: Value,
    /// The filter's configuration. A string reaches the filter unchanged, JSON or not.
    pub filter: Value,
    /// More listeners like the first one, on other ports: the name and the filter's
    /// configuration of each.
    pub more_listeners: Vec<(String, Value)>,
    /// Whether the listener for Prometheus exists too. It needs the admin interface on
    /// a known port, so only the tests that use it enable it.
    pub scraped: bool,
    /// Replaces the plugin in the filter chain, for a plugin that is discovered (ECDS).
    pub replacement: Option<Value>,
    /// Replaces all filters of the first listener, for an Envoy without session-guard.
    pub filters: Option<Value>,
}

impl Configuration {
    /// Reads `envoy/envoy.yaml`.
    #[must_use]
    pub fn shipped() -> Self {
        let path = artifacts::root().join("envoy/envoy.yaml");
        Self::read(&fs::read_to_string(&path).expect("envoy/envoy.yaml"))
    }

    /// Reads a configuration from a text that was generated from it.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let bootstrap: Value = serde_saphyr::from_str(text).expect("YAML");
        let mut configuration = Self::of(bootstrap);
        let text = configuration.plugin()["configuration"]["value"].take();
        let text = text.as_str().expect("the filter's configuration is a string");
        configuration.filter =
            serde_json::from_str(text).expect("the filter's configuration is JSON");
        configuration
    }

    fn of(bootstrap: Value) -> Self {
        let (filter, more_listeners) = (Value::Null, Vec::new());
        Self { bootstrap, filter, more_listeners, scraped: false, replacement: None, filters: None }
    }

    /// Returns the listener.
    pub fn listener(&mut self) -> &mut Value {
        &mut self.bootstrap["static_resources"]["listeners"][0]
    }

    /// Returns the HTTP connection manager: paths, time-outs, routes, access log.
    pub fn connection_manager(&mut self) -> &mut Value {
        &mut self.listener()["filter_chains"][0]["filters"][0]["typed_config"]
    }

    /// Returns the plugin: VM, failure policy, and the configuration as Envoy sees it.
    pub fn plugin(&mut self) -> &mut Value {
        plugin_of(self.listener())
    }

    /// Returns the cluster with that name, `application` or `signout`.
    pub fn cluster(&mut self, name: &str) -> &mut Value {
        let clusters = self.bootstrap["static_resources"]["clusters"].as_array_mut();
        let mut clusters = clusters.expect("a list of clusters").iter_mut();
        clusters.find(|cluster| cluster["name"] == name).expect("a cluster of that name")
    }

    /// Adds a cluster, for an issuer of keys for example.
    pub fn add_cluster(&mut self, name: &str, address: SocketAddr) {
        let mut cluster = self.cluster("application").clone();
        cluster["name"] = json!(name);
        cluster["load_assignment"]["cluster_name"] = json!(name);
        let clusters = self.bootstrap["static_resources"]["clusters"].as_array_mut();
        clusters.expect("a list of clusters").push(cluster);
        self.set_address(name, address);
    }

    /// Sets the address of a cluster.
    pub fn set_address(&mut self, cluster: &str, address: SocketAddr) {
        let endpoints = &mut self.cluster(cluster)["load_assignment"]["endpoints"];
        endpoints[0]["lb_endpoints"][0]["endpoint"]["address"] = socket_address(address);
    }

    /// Speaks HTTP/2 to a cluster, so that request trailers reach it. Limits concurrent streams to the
    /// usual limit of servers: a server would refuse more before its settings have arrived.
    pub fn speak_http2(&mut self, cluster: &str) {
        let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
        let protocol = json!({
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": 100}},
        });
        self.cluster(cluster)["typed_extension_protocol_options"] = json!({options: protocol});
    }

    /// Inserts an HTTP filter before the plugin.
    pub fn add_http_filter(&mut self, filter: Value) {
        let filters = self.connection_manager()["http_filters"].as_array_mut();
        filters.expect("a list of filters").insert(0, filter);
    }

    /// Makes every route public for the plugin and adds Envoy's jwt_authn behind it, which requires a
    /// token of the given provider at `/page`.
    pub fn judge_by_jwt_authn(&mut self, provider: Value) {
        self.filter["default_access"] = json!("public");
        let filters = self.connection_manager()["http_filters"].as_array_mut();
        let kind = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
        let settings = json!({
            "@type": format!("type.googleapis.com/{kind}"),
            "providers": {"id": provider},
            "rules": [{"match": {"path": "/page"}, "requires": {"provider_name": "id"}}],
        });
        let filter = json!({"name": "envoy.filters.http.jwt_authn", "typed_config": settings});
        filters.expect("a list of filters").insert(1, filter);
    }

    /// Applies what every test needs: loopback, free ports, the filter's absolute path, connections
    /// balanced over the workers, and the access log in a file.
    pub(crate) fn prepare(&mut self, filter: &Path, access_log: &Path) {
        let free_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = if self.scraped { free_address() } else { free_port };
        self.bootstrap["admin"]["address"] = socket_address(admin);
        self.set_address("admin", admin);
        let listeners = self.bootstrap["static_resources"]["listeners"].as_array_mut();
        let listeners = listeners.expect("a list of listeners");
        listeners.retain(|listener| self.scraped || listener["name"] != METRICS);
        for listener in listeners {
            listener["address"] = socket_address(free_port);
            listener["connection_balance_config"] = json!({"exact_balance": {}});
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            for plugin in manager["http_filters"].as_array_mut().into_iter().flatten() {
                let code = plugin.pointer_mut(CODE_OF_PLUGIN);
                if let Some(name) = code.filter(|name| **name == SHIPPED_WASM) {
                    *name = json!(filter);
                }
            }
            if let Some(path) = manager.pointer_mut("/access_log/0/typed_config/path") {
                *path = json!(access_log);
            }
        }
    }

    /// Makes the first listener use this address, and fail if another process listens there.
    pub(crate) fn listen_at(&mut self, address: SocketAddr) {
        let listener = self.listener();
        listener["address"] = socket_address(address);
        // By default two Envoys of one user may listen at the same port.
        listener["enable_reuse_port"] = json!(false);
    }

    /// Returns the bootstrap with the filter's configuration.
    pub(crate) fn whole(&self) -> Value {
        let mut whole = self.clone();
        let shipped = whole.bootstrap["static_resources"]["listeners"].take();
        let Value::Array(mut listeners) = shipped else { panic!("a list of listeners") };
        let others = listeners.split_off(1);
        for (name, _) in &self.more_listeners {
            let mut listener = listeners[0].clone();
            listener["name"] = json!(name);
            listeners.push(listener);
        }
        let filters = self.more_listeners.iter().map(|(_, filter)| filter);
        for (listener, filter) in
            listeners.iter_mut().zip([&self.filter].into_iter().chain(filters))
        {
            let place = &mut plugin_of(listener)["configuration"];
            if place["@type"].as_str().is_some_and(|kind| kind.ends_with("StringValue")) {
                let text = filter.as_str().map_or_else(|| filter.to_string(), str::to_owned);
                place["value"] = Value::String(text);
            }
        }
        if let Some(replacement) = &self.replacement {
            let manager = &mut listeners[0]["filter_chains"][0]["filters"][0]["typed_config"];
            manager["http_filters"][0] = replacement.clone();
        }
        if let Some(filters) = &self.filters {
            let manager = &mut listeners[0]["filter_chains"][0]["filters"][0]["typed_config"];
            manager["http_filters"] = filters.clone();
        }
        listeners.extend(others);
        for listener in &mut listeners {
            let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
            let filters = manager["http_filters"].as_array_mut().into_iter().flatten();
            filters.for_each(build::replace_by_module);
        }
        whole.bootstrap["static_resources"]["listeners"] = Value::Array(listeners);
        whole.bootstrap
    }

    /// Returns the listener as a discovery response in a file.
    pub(crate) fn listener_resource(&self) -> Value {
        let mut listener = self.whole()["static_resources"]["listeners"][0].take();
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        json!({"resources": [listener]})
    }

    /// Returns the bootstrap without its listener, which Envoy reads from the file instead.
    pub(crate) fn without_listener(&self, directory: &Path, file: &Path) -> Value {
        let mut whole = self.whole();
        whole["static_resources"]["listeners"] = json!([]);
        let source = json!({"path": file, "watched_directory": {"path": directory}});
        whole["dynamic_resources"]["lds_config"] =
            json!({"path_config_source": source, "resource_api_version": "V3"});
        whole
    }
}

const METRICS: &str = "metrics";

fn plugin_of(listener: &mut Value) -> &mut Value {
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
    let is_plugin = |filter: &Value| filter.pointer("/typed_config/config").is_some();
    let plugin = filters.iter().position(is_plugin).unwrap_or(0);
    &mut filters[plugin]["typed_config"]["config"]
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

const CODE_OF_PLUGIN: &str = "/typed_config/config/vm_config/code/local/filename";

/// The name of the filter in `envoy/envoy.yaml`.
const SHIPPED_WASM: &str = "target/session_guard.wasm";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(configuration: &Configuration) -> Configuration {
        let bootstrap = configuration.whole();
        Configuration::of(bootstrap)
    }

    #[test]
    fn more_listeners_differ_only_in_name_and_filter() {
        let mut configuration = Configuration::shipped();
        configuration.more_listeners.push(("second".to_owned(), json!({"keys": []})));
        let listeners = configuration.whole()["static_resources"]["listeners"].take();
        let [mut first, mut second] = [0, 1].map(|at| listeners[at].clone());
        assert_eq!((&first["name"], &second["name"]), (&json!("edge"), &json!("second")));
        assert_eq!(plugin_of(&mut second)["configuration"]["value"], r#"{"keys":[]}"#);
        for listener in [&mut first, &mut second] {
            listener["name"].take();
            plugin_of(listener)["configuration"]["value"].take();
        }
        assert_eq!(first, second);
    }

    #[test]
    fn a_change_appears_in_envoys_configuration() {
        let mut configuration = Configuration::shipped();
        configuration.filter["default_access"] = json!("public");
        configuration.set_address("signout", SocketAddr::from(([127, 0, 0, 1], 1234)));
        let mut whole = read(&configuration);
        let text = whole.plugin()["configuration"]["value"].to_string();
        assert!(text.contains(r#"\"default_access\":\"public\""#), "{text}");
        assert!(whole.cluster("signout").to_string().contains("1234"));
    }

    #[test]
    fn a_text_is_passed_unchanged() {
        let mut configuration = Configuration::shipped();
        configuration.filter = json!("{not json");
        let mut whole = read(&configuration);
        assert_eq!(whole.plugin()["configuration"]["value"], "{not json");
    }

    #[test]
    fn the_shipped_configuration_is_hardened() {
        let mut shipped = Configuration::shipped();
        assert_eq!(shipped.plugin()["failure_policy"], "FAIL_RELOAD");
        let manager = shipped.connection_manager();
        assert_eq!(manager["normalize_path"], true);
        assert_eq!(manager["merge_slashes"], true);
        assert_eq!(manager["path_with_escaped_slashes_action"], "UNESCAPE_AND_REDIRECT");
        let underscores =
            &manager["common_http_protocol_options"]["headers_with_underscores_action"];
        assert_eq!(underscores, "REJECT_REQUEST");
        for time_out in ["request_headers_timeout", "request_timeout", "stream_idle_timeout"] {
            assert!(manager[time_out].is_string(), "{time_out}");
        }
        assert!(shipped.bootstrap["watchdogs"]["worker_watchdog"]["kill_timeout"].is_string());
        assert!(shipped.plugin()["vm_config"]["environment_variables"]["key_values"].is_null());
    }
}
