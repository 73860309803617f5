//! Finds the configurations of the filter in a text.
//!
//! The text is the JSON of a configuration itself, or YAML or JSON that contains configurations:
//! Envoy's bootstrap, listeners or extension configurations, Kubernetes objects with Wasm plugins or
//! dynamic modules, an `EnvoyFilter`, a `ConfigMap` with such files, or several documents of any
//! kind (`kustomize build`). Plugins and modules are recognised by their form, in any document.

use std::collections::BTreeSet;

use serde_json::Value;
use session_guard_core::config::ConfigError;

use crate::check::Wrong;
use crate::check::plugin::{Passed, Plugin, field};
use crate::check::resource::{on_registration, plugins_of};
use crate::check::similar::closest;

/// One configuration, as the filter would get it.
#[derive(Debug)]
pub struct FoundConfiguration {
    /// Its place in the document: the names from the outermost object to the plugin itself. Empty
    /// if the configuration is the whole text.
    pub place: String,
    /// Its JSON text, or the reason why the proxy cannot pass it to the filter.
    pub text: Result<Vec<u8>, ConfigError>,
    /// Probable mistakes in the part of the document around it.
    pub warnings: Vec<String>,
    pub(super) passed: Passed,
    /// The names of all clusters of its Envoy, or `None` if the text may not contain all of them.
    clusters: Option<BTreeSet<String>>,
    /// Under Istio, the hosts for which the text defines a `ServiceEntry`. Otherwise `None`.
    istio_hosts: Option<BTreeSet<String>>,
    /// The name under which an `EnvoyProxy` registers its dynamic module.
    module: Option<String>,
}

/// All Wasm plugins and dynamic modules in a text.
#[derive(Debug, Default)]
pub struct Findings {
    /// Configurations of this filter.
    pub ours: Vec<FoundConfiguration>,
    /// Places of plugins and modules that are not this filter.
    pub others: Vec<String>,
}

/// Finds all configurations in a text.
///
/// # Errors
///
/// The text cannot be parsed. The message does not quote the text, which may contain secrets.
pub fn find(text: &[u8]) -> Result<Findings, String> {
    if text.trim_ascii_start().first().is_none_or(|first| *first == b'{') {
        return Ok(find_in_json(text));
    }
    let text = str::from_utf8(text).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut findings = Findings::default();
    let documents = documents(text)?;
    for document in &documents {
        findings.look(document, &mut vec![], clusters(document).as_ref());
    }
    findings.add_other_objects(&documents);
    findings.add_addresses(&documents);
    Ok(findings)
}

/// Returns the JSON text of the one configuration in a text.
///
/// # Errors
///
/// The text cannot be parsed, contains none or several, or the proxy cannot pass it to the filter.
pub fn find_one(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut ours = find(text)?.ours;
    match (ours.pop(), ours.len()) {
        (Some(only), 0) => only.text.map_err(|error| error.to_string()),
        (None, _) => Err("it contains no configuration of this filter".to_owned()),
        (Some(_), others) => {
            Err(format!("it contains {} configurations of this filter", others + 1))
        }
    }
}

/// Finds configurations in a text that begins like JSON. The filter's parser is stricter than
/// others, so a configuration that is the whole text is passed on unchanged.
fn find_in_json(text: &[u8]) -> Findings {
    let mut findings = Findings::default();
    let document: Value = serde_json::from_slice(text).unwrap_or_default();
    // A YAML text with several documents may begin like JSON.
    let several = || str::from_utf8(text).ok().and_then(|text| documents(text).ok());
    let several = document.is_null().then(several).flatten();
    let documents = several.unwrap_or_else(|| vec![document]);
    for document in &documents {
        findings.look(document, &mut vec![], clusters(document).as_ref());
    }
    findings.add_other_objects(&documents);
    let is_of_a_proxy =
        PROXYS_OWN.iter().any(|name| documents.iter().any(|it| it.get(name).is_some()));
    if findings.ours.is_empty() && findings.others.is_empty() && !is_of_a_proxy {
        findings.ours.push(FoundConfiguration {
            place: String::new(),
            text: Ok(text.to_vec()),
            warnings: vec![],
            passed: Passed::Unknown,
            clusters: None,
            istio_hosts: None,
            module: None,
        });
    }
    findings
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| {
        // The parser's message may quote the line, and with it a secret.
        let place =
            error.location().map(|at| format!(", line {}, column {}", at.line(), at.column()));
        let place = place.unwrap_or_default();
        format!(
            "it cannot be read as YAML{place}; indent each line of the filter's configuration more \
             than its `value: |`"
        )
    })
}

impl FoundConfiguration {
    /// Returns a warning if the Envoy of this configuration has no cluster with this name, or Istio
    /// has no such service.
    pub(super) fn lacks(&self, cluster: &str) -> Option<Wrong> {
        let known = match (&self.clusters, &self.istio_hosts) {
            (Some(known), _) => known,
            (None, Some(hosts)) => return lacks_in_mesh(cluster, hosts),
            (None, None) => return None,
        };
        if known.contains(cluster) {
            return None;
        }
        let meant = closest(cluster, known.iter().map(String::as_str));
        Some(Wrong {
            path: format!("cluster {cluster}"),
            problem: "not among the clusters here: calls to it would fail".to_owned(),
            remedy: meant.map_or("add it".to_owned(), |it| format!("did you mean `{it}`?")),
        })
    }
}

/// Returns a warning if Istio has no cluster with this name, judged by the text alone.
fn lacks_in_mesh(cluster: &str, hosts: &BTreeSet<String>) -> Option<Wrong> {
    let path = format!("cluster {cluster}");
    let Some(host) = cluster.strip_prefix("outbound|").and_then(|it| it.split("||").nth(1)) else {
        return Some(Wrong {
            path,
            problem: "not a name of Istio: calls to it would fail".to_owned(),
            remedy: "write outbound|<port>||<host>, unless an EnvoyFilter adds it".to_owned(),
        });
    };
    let is_in_cluster = host.ends_with(".svc.cluster.local");
    (!is_in_cluster && !hosts.contains(host)).then(|| Wrong {
        path,
        problem: format!("no ServiceEntry here has the host {host}: calls to it would fail"),
        remedy: "add one with this port, unless the mesh has one elsewhere".to_owned(),
    })
}

impl Findings {
    /// Adds what other objects say: the hosts of each `ServiceEntry` to the configurations under
    /// Istio, and the modules of each `EnvoyProxy` to the policies that use them.
    fn add_other_objects(&mut self, documents: &[Value]) {
        let lists = documents.iter().filter_map(|it| it["items"].as_array()).flatten();
        let objects: Vec<_> = documents.iter().chain(lists).collect();
        let of_kind = |kind: &'static str| objects.iter().filter(move |it| it["kind"] == kind);
        let entries = of_kind("ServiceEntry");
        let hosts = entries.filter_map(|it| it.pointer("/spec/hosts")?.as_array()).flatten();
        let hosts: BTreeSet<_> = hosts.filter_map(|it| Some(it.as_str()?.to_owned())).collect();
        for known in self.ours.iter_mut().filter_map(|it| it.istio_hosts.as_mut()) {
            known.extend(hosts.iter().cloned());
        }
        for found in &mut self.ours {
            let Some(module) = &found.module else { continue };
            let proxies = of_kind("EnvoyProxy");
            found.warnings.extend(proxies.flat_map(|proxy| on_registration(proxy, module)));
        }
    }

    /// Warns of IPv6 addresses in brackets, as in a URL. Envoy takes such a text for a name, which
    /// it cannot resolve.
    fn add_addresses(&mut self, documents: &[Value]) {
        let mut found = BTreeSet::new();
        documents.iter().for_each(|document| bracketed(document, &mut found));
        for address in found {
            let plain = address.trim_matches(['[', ']']);
            let warning = format!(
                "socket_address.address: `{address}` is a name for Envoy, which it cannot resolve; \
                 write `{plain}`, without brackets"
            );
            self.ours.iter_mut().for_each(|ours| ours.warnings.push(warning.clone()));
        }
    }

    fn look(
        &mut self,
        value: &Value,
        names: &mut Vec<String>,
        clusters: Option<&BTreeSet<String>>,
    ) {
        let name = name_of(value);
        names.extend(name.clone());
        match value {
            Value::Object(fields) => {
                if let Some(plugins) = plugins_of(value) {
                    plugins.into_iter().for_each(|plugin| self.add(plugin, names, clusters));
                } else if let Some(plugin) =
                    Plugin::of_envoy(value).or_else(|| Plugin::of_dynamic_module(value))
                {
                    self.add(plugin, names, clusters);
                } else {
                    fields.values().for_each(|value| self.look(value, names, clusters));
                    self.look_into_files(value, names);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.look(item, names, clusters)),
            _ => {}
        }
        names.truncate(names.len() - usize::from(name.is_some()));
    }

    /// Searches the files in a `ConfigMap`.
    fn look_into_files(&mut self, value: &Value, names: &mut Vec<String>) {
        if value["kind"] != "ConfigMap" {
            return;
        }
        for (file, text) in value["data"].as_object().into_iter().flatten() {
            let documents = text.as_str().and_then(|text| documents(text).ok()).unwrap_or_default();
            names.push(file.clone());
            for document in documents {
                self.look(&document, names, clusters(&document).as_ref());
            }
            names.pop();
        }
    }

    fn add(&mut self, plugin: Plugin, names: &[String], clusters: Option<&BTreeSet<String>>) {
        let mut names = names.to_vec();
        names.dedup();
        let place = names.join(" > ");
        if !plugin.is_ours() {
            return self.others.push(place);
        }
        let Plugin { text, passed, warnings, module, .. } = plugin;
        let clusters = clusters.cloned();
        let is_istio = ISTIO_KINDS.iter().any(|kind| place.starts_with(kind));
        let istio_hosts = is_istio.then(BTreeSet::new);
        self.ours.push(FoundConfiguration {
            place,
            text,
            warnings,
            passed,
            clusters,
            istio_hosts,
            module,
        });
    }
}

/// Returns the name of an object for the report.
fn name_of(value: &Value) -> Option<String> {
    let kind = value["kind"].as_str().map(|kind| format!("{kind} "));
    let name = value["metadata"]["name"].as_str().or_else(|| value["name"].as_str());
    name.map(|name| format!("{}{name}", kind.unwrap_or_default()))
}

/// Returns the clusters of a bootstrap, or `None` if it discovers further ones.
fn clusters(document: &Value) -> Option<BTreeSet<String>> {
    let fixed = field(document, "static_resources")?;
    let discovers = field(document, "dynamic_resources")
        .is_some_and(|it| ["cds_config", "ads_config"].iter().any(|it2| field(it, it2).is_some()));
    let clusters = field(fixed, "clusters").and_then(Value::as_array).into_iter().flatten();
    let names = clusters.filter_map(|cluster| Some(cluster["name"].as_str()?.to_owned()));
    (!discovers).then(|| names.collect())
}

/// Collects the addresses of sockets that are in brackets.
fn bracketed(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let address = field(value, "socket_address").and_then(|it| it["address"].as_str());
            let is_address = |text: &&str| {
                let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
                inner.is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok())
            };
            found.extend(address.filter(is_address).map(str::to_owned));
            fields.values().for_each(|value| bracketed(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| bracketed(item, found)),
        _ => {}
    }
}

/// Top-level members that occur in documents of a proxy, and never in a configuration of the
/// filter.
const PROXYS_OWN: &[&str] = &[
    "@type",
    "admin",
    "apiVersion",
    "configs",
    "dynamic_resources",
    "filter_chains",
    "items",
    "kind",
    "node",
    "resources",
    "static_resources",
    "staticResources",
    "typed_config",
];

/// The first words of the places of plugins under Istio.
const ISTIO_KINDS: [&str; 3] = ["WasmPlugin ", "TrafficExtension ", "EnvoyFilter "];
