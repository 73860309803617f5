//! Where in a text do configurations of the filter stand?
//!
//! The text may be the JSON of a configuration itself, or anything in YAML or JSON that holds some:
//! Envoy's bootstrap, listeners or extension configurations, a `WasmPlugin`, an `EnvoyFilter`, a
//! `ConfigMap` with such files, several documents of any kind (`kustomize build`). Whatever a
//! document is, each Wasm plugin in it is found by its form.

use std::collections::BTreeSet;

use serde_json::Value;
use session_guard_core::config::ConfigError;

use crate::check::plugin::{Passed, Plugin, field};

/// One configuration, as the filter would get it.
#[derive(Debug)]
pub struct FoundConfiguration {
    /// Where it stands: names from the outermost to its own. Empty: it is the whole text.
    pub place: String,
    /// Its JSON text; or why the proxy cannot hand it over.
    pub text: Result<Vec<u8>, ConfigError>,
    /// What is odd around it.
    pub warnings: Vec<String>,
    pub(super) passed: Passed,
    /// The clusters of its Envoy, where all are known.
    clusters: Option<BTreeSet<String>>,
}

/// All that a text holds.
#[derive(Debug, Default)]
pub struct Findings {
    /// Configurations of this filter.
    pub ours: Vec<FoundConfiguration>,
    /// Wasm plugins of others, by their places.
    pub others: Vec<String>,
}

/// Finds them.
///
/// # Errors
///
/// The text cannot be read; in words, without anything that stands in it.
pub fn find(text: &[u8]) -> Result<Findings, String> {
    if text.trim_ascii_start().first().is_none_or(|first| *first == b'{') {
        return Ok(find_in_json(text));
    }
    let text = str::from_utf8(text).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let mut findings = Findings::default();
    for document in documents(text)? {
        findings.look(&document, &mut vec![], clusters(&document).as_ref());
    }
    Ok(findings)
}

/// The filter reads its own JSON more strictly than anybody else, so it gets the text itself.
fn find_in_json(text: &[u8]) -> Findings {
    let mut findings = Findings::default();
    let document: Value = serde_json::from_slice(text).unwrap_or_default();
    // Several documents in YAML may begin like JSON.
    let several = || str::from_utf8(text).ok().and_then(|text| documents(text).ok());
    let several = document.is_null().then(several).flatten().unwrap_or_default();
    for document in several.iter().chain([&document]) {
        findings.look(document, &mut vec![], clusters(document).as_ref());
    }
    let is_of_a_proxy = PROXYS_OWN.iter().any(|name| document.get(name).is_some());
    if findings.ours.is_empty() && findings.others.is_empty() && !is_of_a_proxy {
        findings.ours.push(FoundConfiguration {
            place: String::new(),
            text: Ok(text.to_vec()),
            warnings: vec![],
            passed: Passed::Unknown,
            clusters: None,
        });
    }
    findings
}

fn documents(text: &str) -> Result<Vec<Value>, String> {
    serde_saphyr::from_multiple(text).map_err(|error| {
        // The message itself may quote the line, and a secret in it.
        let place =
            error.location().map(|at| format!(", line {}, column {}", at.line(), at.column()));
        format!("it cannot be read as YAML{}", place.unwrap_or_default())
    })
}

impl FoundConfiguration {
    /// A warning where its Envoy has no cluster of that name.
    pub(super) fn lacks(&self, cluster: &str) -> Option<String> {
        let known = self.clusters.as_ref()?;
        (!known.contains(cluster)).then(|| {
            format!("cluster {cluster}: not among the clusters here; calls to it would fail")
        })
    }
}

impl Findings {
    fn look(
        &mut self,
        value: &Value,
        names: &mut Vec<String>,
        clusters: Option<&BTreeSet<String>>,
    ) {
        let name = name_of(value);
        names.extend(name.clone());
        match value {
            Value::Object(_) if value["kind"] == "WasmPlugin" && value["spec"].is_object() => {
                self.add(Plugin::of_istio(value), names, clusters);
            }
            Value::Object(fields) => match Plugin::of_envoy(value) {
                Some(plugin) => self.add(plugin, names, clusters),
                None => {
                    fields.values().for_each(|value| self.look(value, names, clusters));
                    self.look_into_files(value, names);
                }
            },
            Value::Array(items) => items.iter().for_each(|item| self.look(item, names, clusters)),
            _ => {}
        }
        names.truncate(names.len() - usize::from(name.is_some()));
    }

    /// A `ConfigMap` holds whole files.
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
        let Plugin { text, passed, warnings, .. } = plugin;
        let clusters = clusters.cloned();
        self.ours.push(FoundConfiguration { place, text, warnings, passed, clusters });
    }
}

/// What a reader finds it by.
fn name_of(value: &Value) -> Option<String> {
    let kind = value["kind"].as_str().map(|kind| format!("{kind} "));
    let name = value["metadata"]["name"].as_str().or_else(|| value["name"].as_str());
    name.map(|name| format!("{}{name}", kind.unwrap_or_default()))
}

/// The clusters of a bootstrap that gets no others.
fn clusters(document: &Value) -> Option<BTreeSet<String>> {
    let fixed = field(document, "static_resources")?;
    let discovers = field(document, "dynamic_resources")
        .is_some_and(|it| ["cds_config", "ads_config"].iter().any(|it2| field(it, it2).is_some()));
    let clusters = field(fixed, "clusters").and_then(Value::as_array).into_iter().flatten();
    let names = clusters.filter_map(|cluster| Some(cluster["name"].as_str()?.to_owned()));
    (!discovers).then(|| names.collect())
}

/// What stands at the top of documents that are no configuration of the filter.
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
