//! The build of the filter that the tests use: the proxy-wasm filter or the dynamic module.
//!
//! `SESSION_GUARD_BUILD=native` runs every test with the dynamic module in place of the proxy-wasm
//! filter. Tests change the shipped configuration, which is that of the wasm filter; the testbed
//! replaces the filter in the result.

use std::env;
use std::io::{self, Write};
use std::thread;

use serde_json::{Value, json};

/// A build of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// The proxy-wasm filter.
    Wasm,
    /// The dynamic module.
    Native,
}

impl Build {
    /// Returns the build that `SESSION_GUARD_BUILD` names; `wasm` if it is not set.
    ///
    /// # Panics
    /// It names another build.
    #[must_use]
    pub fn chosen() -> Self {
        match env::var("SESSION_GUARD_BUILD").as_deref() {
            Err(_) | Ok("" | "wasm") => Self::Wasm,
            Ok("native") => Self::Native,
            Ok(other) => panic!("SESSION_GUARD_BUILD is {other}, and should be wasm or native"),
        }
    }

    /// Returns whether the tests use this build. If so, says on the standard error, also of a test
    /// that passes, that the running test is skipped, and why.
    #[must_use]
    pub fn skips(self, reason: &str) -> bool {
        let skips = Self::chosen() == self;
        if skips {
            let name = thread::current().name().unwrap_or("a test").to_owned();
            // The test harness captures what `eprintln!` writes.
            let _ = writeln!(io::stderr(), "{name} skipped with {self:?}: {reason}");
        }
        skips
    }

    /// Returns the component whose log level is the filter's.
    pub(crate) fn log_component(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "dynamic_modules",
        }
    }
}

/// Replaces a wasm filter whose code is a shared library with the dynamic module of that library.
pub(crate) fn replace_by_module(filter: &mut Value) {
    let config = filter.pointer("/typed_config/config");
    let Some(config) = config else { return };
    let library = config.pointer("/vm_config/code/local/filename").and_then(Value::as_str);
    let Some(library) = library.filter(|name| name.ends_with(".so")) else { return };
    let kind = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
    let module = json!({
        "@type": format!("type.googleapis.com/{kind}"),
        "dynamic_module_config": {
            "module": {"local": {"filename": library}},
            "do_not_close": true,
            "metrics_namespace": "wasmcustom",
        },
        "filter_name": "session-guard",
        "filter_config": config["configuration"],
    });
    filter["typed_config"] = module;
}

/// Returns the shipped configuration with the dynamic module in place of the wasm filter: the text of
/// `envoy/native/envoy.yaml`.
///
/// # Panics
/// The text has no wasm filter of the shipped form.
#[must_use]
pub fn native_configuration(shipped: &str) -> String {
    let mut lines = shipped.lines();
    let mut native: Vec<_> = HEADER.lines().collect();
    native.extend(
        lines
            .by_ref()
            .skip_while(|line| !line.is_empty())
            .take_while(|line| !line.ends_with("envoy.extensions.filters.http.wasm.v3.Wasm")),
    );
    assert!(lines.any(|line| line.trim_end().ends_with("value: |")), "the filter's configuration");
    native.extend(MODULE.lines());
    native.extend(lines);
    native.join("\n") + "\n"
}

const HEADER: &str = "\
# Envoy with session-guard as a dynamic module: envoy/envoy.yaml with another filter.
#
# Generated: change envoy/envoy.yaml, then run `make native-configuration`. docs/native.md says when to
# use this one. Paths are relative to the root of the repository:
# `envoy --config-path envoy/native/envoy.yaml`.";

const MODULE: &str = r#"                      "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
                      dynamic_module_config:
                        module: { local: { filename: target/libsession_guard_native.so } }
                        # The revocation set is in the module's memory. Without this line it is lost when
                        # the last listener with the filter goes.
                        do_not_close: true
                        # Metrics have the same names as those of the proxy-wasm filter.
                        metrics_namespace: wasmcustom
                      filter_name: session-guard
                      # The module reads SESSION_SECRET and SIGNOUT_TOKEN from Envoy's environment.
                      filter_config:
                        "@type": type.googleapis.com/google.protobuf.Struct
                        value:"#;
