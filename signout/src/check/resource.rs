//! Reads the Wasm plugins and dynamic modules of a Kubernetes object.
//!
//! Istio has the kinds `TrafficExtension` and `WasmPlugin`, and Envoy Gateway has
//! `EnvoyExtensionPolicy`. Each object is read as its control plane translates it for Envoy: the
//! configuration and the environment variables are those that the filter will receive.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::check::plugin::{Passed, Plugin, on_close, on_failure, texts};

/// Returns the plugins of an object, or `None` if its kind contains none.
pub(super) fn plugins_of(resource: &Value) -> Option<Vec<Plugin>> {
    let spec = resource.get("spec").filter(|spec| spec.is_object())?;
    let name = &resource["metadata"]["name"];
    match resource["kind"].as_str()? {
        "WasmPlugin" => Some(vec![of_istio(name, spec, spec)]),
        // The object may contain a Lua script instead of a module.
        "TrafficExtension" => {
            let wasm = spec.get("wasm").filter(|wasm| wasm.is_object());
            Some(wasm.map(|wasm| of_istio(name, spec, wasm)).into_iter().collect())
        }
        "EnvoyExtensionPolicy" => {
            let list = |member: &str| spec[member].as_array().into_iter().flatten();
            let wasm = list("wasm").map(|wasm| of_envoy_gateway(name, spec, wasm));
            let modules = list("dynamicModule").map(|module| module_of(name, spec, module));
            Some(wasm.chain(modules).collect())
        }
        _ => None,
    }
}

/// Reads a plugin of Istio. `spec` says where it runs; `wasm` has the module and its configuration.
fn of_istio(name: &Value, spec: &Value, wasm: &Value) -> Plugin {
    let (mut host, mut written) = (vec![], BTreeMap::new());
    for variable in wasm["vmConfig"]["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap_or_default().to_owned();
        match variable["value"].as_str() {
            Some(value) if variable["valueFrom"] != "HOST" => {
                written.insert(name, value.to_owned());
            }
            _ if variable["valueFrom"] == "HOST" => host.push(name),
            _ => {}
        }
    }
    let mut warnings = vec![];
    if !written.is_empty() {
        let warning = "vmConfig.env: values written here can be read by anybody who may read the \
            resource; use valueFrom: HOST";
        warnings.push(warning.to_owned());
    }
    warnings.extend(on_failure("failStrategy", wasm["failStrategy"].as_str(), false));
    if spec["phase"] != "AUTHN" {
        let warning = "phase: not AUTHN, so AuthorizationPolicies run before the filter";
        warnings.push(warning.to_owned());
    }
    if spec.get("selector").is_none() && spec.get("targetRefs").is_none() {
        let warning = "selector, targetRefs: neither is set, so every proxy of the namespace gets \
            the filter, also that of the signout service";
        warnings.push(warning.to_owned());
    }
    Plugin {
        names: names([name, &wasm["pluginName"], &wasm["url"]]),
        text: Ok(text_of(&wasm["pluginConfig"])),
        passed: Passed::These { host, written },
        warnings,
        module: None,
    }
}

/// Reads one module of an `EnvoyExtensionPolicy`, which has no failure policy of its own.
fn of_envoy_gateway(name: &Value, spec: &Value, wasm: &Value) -> Plugin {
    let mut warnings = vec![];
    if wasm["failOpen"] == true {
        warnings.push("failOpen: admits every request when the VM dies".to_owned());
    }
    warnings.extend(on_target(spec));
    let code = &wasm["code"];
    Plugin {
        names: names([name, &wasm["name"], &code["image"]["url"], &code["http"]["url"]]),
        text: Ok(text_of(&wasm["config"])),
        passed: Passed::These {
            host: texts(wasm["env"].get("hostKeys")),
            written: BTreeMap::new(),
        },
        warnings,
        module: None,
    }
}

/// Reads one dynamic module of an `EnvoyExtensionPolicy`. The module reads Envoy's own environment.
fn module_of(name: &Value, spec: &Value, module: &Value) -> Plugin {
    Plugin {
        names: names([name, &module["name"], &module["filterName"]]),
        text: Ok(text_of(&module["config"])),
        passed: Passed::Unknown,
        warnings: on_target(spec).into_iter().collect(),
        module: module["name"].as_str().map(str::to_owned),
    }
}

/// Returns a warning if an `EnvoyExtensionPolicy` targets a single route.
fn on_target(spec: &Value) -> Option<String> {
    let mut targets = spec["targetRefs"].as_array().into_iter().flatten();
    let single = spec.get("targetRef");
    let is_route = |target: &Value| target["kind"] != "Gateway";
    (targets.any(is_route) || single.is_some_and(is_route)).then(|| {
        "targetRefs: not a Gateway; its routes without the policy forward a client's user id"
            .to_owned()
    })
}

/// Returns the warnings about a dynamic module that an `EnvoyProxy` registers under this name.
pub(super) fn on_registration(proxy: &Value, module: &str) -> Vec<String> {
    let name = proxy.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let entries = proxy.pointer("/spec/dynamicModules").and_then(Value::as_array);
    let entries = entries.into_iter().flatten().enumerate();
    entries
        .filter(|(_, entry)| entry["name"] == module)
        .filter_map(|(index, entry)| {
            let path = format!("EnvoyProxy/{name}.spec.dynamicModules[{index}].doNotClose");
            on_close(&path, entry.get("doNotClose"))
        })
        .collect()
}

fn names<const COUNT: usize>(values: [&Value; COUNT]) -> Vec<String> {
    values.into_iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Returns what the filter receives: both control planes send it as JSON text.
fn text_of(config: &Value) -> Vec<u8> {
    if config.is_null() { vec![] } else { config.to_string().into_bytes() }
}
