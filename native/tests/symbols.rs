//! Promise: Envoy and the module find in each other what they call. Method: the symbol tables of the
//! pinned Envoy and of the built module, and the declarations in `src/abi.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSymbol};

#[test]
fn the_pinned_envoy_exports_every_declared_callback() {
    let exported = symbols(&root().join("target/envoy"));
    let missing: Vec<_> = declared("fn envoy_dynamic_module_callback_")
        .into_iter()
        .filter(|name| !exported.contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_hook_of_an_http_filter_is_defined() {
    let envoy = fs::read(root().join("target/envoy")).expect("run `make envoy`");
    let defined = declared("extern \"C\" fn envoy_dynamic_module_on_");
    // Envoy looks hooks up by name, so that their names are texts in its file.
    let known = texts(&envoy, "envoy_dynamic_module_on_");
    let wanted = known.iter().filter(|name| {
        name.starts_with("envoy_dynamic_module_on_http_filter_") || name.ends_with("program_init")
    });
    let missing: Vec<_> = wanted.clone().filter(|name| !defined.contains(*name)).collect();
    assert!(wanted.count() > 20, "{known:?}");
    assert_eq!(missing, Vec::<&String>::new());
    let unknown: Vec<_> = defined.difference(&known).collect();
    assert_eq!(unknown, Vec::<&String>::new(), "Envoy calls no such hook");
}

#[test]
fn the_module_exports_its_hooks_and_needs_nothing_else_of_envoy() {
    let module = root().join("target/libsession_guard_native.so");
    let dynamic = symbols(&module);
    for hook in declared("extern \"C\" fn envoy_dynamic_module_on_") {
        assert!(dynamic.contains(&hook), "{hook}: run `make native`");
    }
    let used: BTreeSet<_> = dynamic
        .into_iter()
        .filter(|name| {
            name.starts_with("envoy_dynamic_module_callback_") || name.starts_with("proxy_")
        })
        .collect();
    assert_eq!(used, declared("fn envoy_dynamic_module_callback_"));
}

/// The names of functions in `abi.rs` that are declared in that way.
fn declared(start: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("native/src/abi.rs")).unwrap();
    let lines = source.lines().filter_map(|line| line.trim_start().strip_prefix(start));
    let prefix = start.rsplit(' ').next().unwrap();
    let names: BTreeSet<_> = lines.map(|rest| prefix.to_owned() + name(rest.as_bytes())).collect();
    assert!(names.len() > 20);
    names
}

/// The dynamic symbols of a file: what it exports and what it needs.
fn symbols(path: &Path) -> BTreeSet<String> {
    let data = fs::read(path).unwrap_or_else(|_| panic!("{}: run `make test`", path.display()));
    let file = object::File::parse(&*data).expect("an object file");
    let names = file.dynamic_symbols().filter_map(|symbol| symbol.name().ok());
    names.map(str::to_owned).collect()
}

/// All names in a file that begin like this: texts of C, between two NUL bytes.
fn texts(file: &[u8], start: &str) -> BTreeSet<String> {
    let at = file.windows(start.len()).enumerate().filter(|(_, text)| *text == start.as_bytes());
    let text = |(at, _): (usize, _)| {
        let name = name(&file[at..]);
        let is_whole = file[at - 1] == 0 && file[at + name.len()] == 0;
        is_whole.then(|| name.to_owned())
    };
    at.filter_map(text).collect()
}

fn name(bytes: &[u8]) -> &str {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let end = bytes.iter().position(|byte| !is_part(byte)).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
