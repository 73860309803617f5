//! Reads a Wasm plugin or a dynamic module of Envoy: the configuration and environment that it
//! passes to the filter, and probable mistakes.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use session_guard_core::config::ConfigError;

use crate::check::ProcessEnvironment;

/// The environment variables that the proxy passes to the filter.
#[derive(Debug)]
pub(super) enum Passed {
    /// Unknown, because the text is only the filter's configuration.
    Unknown,
    /// These variables and no others.
    These {
        /// Names of variables from the proxy's own environment.
        host: Vec<String>,
        /// Variables whose values are written next to the configuration.
        written: BTreeMap<String, String>,
    },
}

/// One Wasm plugin or dynamic module.
pub(super) struct Plugin {
    /// Names of the plugin, its VM and its module, by which the filter is recognised.
    pub(super) names: Vec<String>,
    /// The configuration that the filter receives.
    pub(super) text: Result<Vec<u8>, ConfigError>,
    pub(super) passed: Passed,
    pub(super) warnings: Vec<String>,
    /// The name under which an `EnvoyProxy` registers its dynamic module.
    pub(super) module: Option<String>,
}

impl Passed {
    /// Returns the value that the filter sees for this variable.
    pub(super) fn value(&self, name: &str, environment: ProcessEnvironment<'_>) -> Option<String> {
        match self {
            Self::Unknown => environment(name),
            Self::These { host, written } => written.get(name).cloned().or_else(|| {
                let is_passed_on = host.iter().any(|known| known == name);
                is_passed_on.then(|| environment(name)).flatten()
            }),
        }
    }

    /// Returns whether the proxy passes this variable to the filter.
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::Unknown => true,
            Self::These { host, written } => {
                written.contains_key(name) || host.iter().any(|known| known == name)
            }
        }
    }
}

impl Plugin {
    /// Reads an object that may be Envoy's `PluginConfig`. Returns `None` if it is not.
    pub(super) fn of_envoy(plugin: &Value) -> Option<Self> {
        let vm = field(plugin, "vm_config")?;
        let local = vm.pointer("/code/local/filename");
        let remote = vm.pointer("/code/remote/http_uri/uri");
        let names = [field(plugin, "name"), field(plugin, "root_id"), field(vm, "vm_id")];
        let names = names.into_iter().chain([local, remote]).flatten().filter_map(Value::as_str);
        let mut warnings = vec![];
        let variables = field(vm, "environment_variables").unwrap_or(&Value::Null);
        let host = texts(field(variables, "host_env_keys"));
        let written = field(variables, "key_values").and_then(Value::as_object);
        let written = written
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let written: BTreeMap<_, _> = written.collect();
        if !written.is_empty() {
            warnings.push(
                "environment_variables.key_values: shows in Envoy's config_dump; use host_env_keys"
                    .to_owned(),
            );
        }
        let policy = field(plugin, "failure_policy").and_then(Value::as_str);
        let opens = field(plugin, "fail_open") == Some(&Value::Bool(true));
        warnings.extend(on_failure("failure_policy", policy, opens));
        Some(Self {
            names: names.map(str::to_owned).collect(),
            text: text(field(plugin, "configuration")),
            passed: Passed::These { host, written },
            warnings,
            module: None,
        })
    }

    /// Reads an object that may be Envoy's `DynamicModuleFilter`. The module reads the environment of
    /// Envoy itself. Returns `None` if it is not.
    pub(super) fn of_dynamic_module(filter: &Value) -> Option<Self> {
        let module = field(filter, "dynamic_module_config")?;
        let local = module.pointer("/module/local/filename");
        let names = [field(filter, "filter_name"), field(module, "name"), local];
        let configuration = field(filter, "filter_config");
        let is_struct = |it: &&Value| it["@type"].as_str().is_some_and(|it| it.ends_with(STRUCT));
        let text = match configuration.filter(is_struct) {
            Some(configuration) => Ok(configuration["value"].to_string().into_bytes()),
            None => text(configuration),
        };
        let stays = field(module, "do_not_close");
        Some(Self {
            names: names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            text,
            passed: Passed::Unknown,
            warnings: on_close("dynamic_module_config.do_not_close", stays).into_iter().collect(),
            module: None,
        })
    }

    /// Returns whether the plugin is this filter, by its names or by the form of its configuration.
    pub(super) fn is_ours(&self) -> bool {
        let names = self.names.iter().map(|name| name.to_ascii_lowercase().replace('_', "-"));
        if names.into_iter().any(|name| name.contains("session-guard")) {
            return true;
        }
        let text = self.text.as_deref().unwrap_or_default();
        let config: Value = serde_json::from_slice(text).unwrap_or_default();
        let is_key = |key: &Value| {
            ["secret", "public_key_pem", "jwks"].iter().any(|name| key.get(name).is_some())
        };
        let keys = config["keys"].as_array();
        keys.is_some_and(|keys| keys.iter().any(is_key)) || config["preset"] == "open-webui"
    }
}

/// Returns the bytes that the filter receives. Envoy passes the text of a `StringValue`, the bytes
/// of a `BytesValue`, and every other message in its binary protobuf form.
fn text(configuration: Option<&Value>) -> Result<Vec<u8>, ConfigError> {
    let Some(configuration) = configuration else { return Ok(vec![]) };
    let kind = configuration["@type"].as_str().and_then(|kind| kind.rsplit('/').next());
    let value = &configuration["value"];
    let wrong = |problem: &str, remedy: &str| ConfigError {
        path: "configuration.value".to_owned(),
        problem: problem.to_owned(),
        remedy: remedy.to_owned(),
    };
    match (kind, value) {
        (Some("google.protobuf.StringValue"), Value::String(text)) => Ok(text.clone().into_bytes()),
        (Some("google.protobuf.StringValue"), Value::Null) => Ok(vec![]),
        (Some("google.protobuf.StringValue"), _) => {
            Err(wrong("a StringValue holds text", "write the JSON as text: `value: |`, indented"))
        }
        (Some("google.protobuf.BytesValue"), Value::String(text)) => {
            STANDARD.decode(text).map_err(|_| wrong("a BytesValue holds base64", "use StringValue"))
        }
        _ => Ok(ON_THE_WIRE.to_vec()),
    }
}

pub(super) fn on_failure(name: &str, policy: Option<&str>, opens: bool) -> Option<String> {
    match policy {
        Some("FAIL_RELOAD") => None,
        Some("FAIL_OPEN") => Some(format!("{name}: FAIL_OPEN lets everybody in when the VM dies")),
        _ if opens => Some("fail_open: lets everybody in when the VM dies".to_owned()),
        _ => {
            Some(format!("{name}: not FAIL_RELOAD, so a VM that dies responds 503 until a restart"))
        }
    }
}

/// Returns a warning if Envoy may unload the dynamic module. `name` is the setting's path.
pub(super) fn on_close(name: &str, stays: Option<&Value>) -> Option<String> {
    (stays != Some(&Value::Bool(true))).then(|| {
        format!(
            "{name}: not true, so the revocation set is lost when the last listener with the \
             filter goes; set it to true"
        )
    })
}

/// Returns a field of a protobuf message in JSON, under its `snake_case` or its `camelCase` name.
pub(super) fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let mut camel = String::new();
    for (index, word) in name.split('_').enumerate() {
        let (first, rest) = word.split_at(word.len().min(1));
        let first = if index == 0 { first.to_owned() } else { first.to_ascii_uppercase() };
        camel.extend([&*first, rest]);
    }
    message.get(name).or_else(|| message.get(&camel)).filter(|value| !value.is_null())
}

pub(super) fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Bytes that begin like a `Struct` in binary form. The filter recognises them, and its error
/// message names the form that loads.
const ON_THE_WIRE: &[u8] = b"\n\0";

/// The message type of a configuration that only the native filter accepts.
const STRUCT: &str = "google.protobuf.Struct";
