//! Removes the exports of the filter's module that the filter does not need.
//!
//! Envoy calls every callback that a module exports, and the SDK exports all of them, including
//! those in which the filter does nothing. A call into the VM costs 100 to 200 ns, so this last
//! step of the build saves about 1.2 µs per request. The module also works without this step. Code
//! and everything else stay unchanged, byte for byte.
//!
//! `trim-exports INPUT OUTPUT`

use std::process::ExitCode;
use std::{env, fs};

use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{ExportSectionReader, ExternalKind, Parser, Payload};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: trim-exports INPUT OUTPUT");
        return ExitCode::FAILURE;
    };
    match rewrite(input, output) {
        Ok(report) => {
            println!("{output}: {report}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("trim-exports: {input}: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn rewrite(input: &str, output: &str) -> Result<String, String> {
    let before = fs::read(input).map_err(|error| error.to_string())?;
    let (after, removed) = trim(&before)?;
    wasmparser::validate(&after).map_err(|error| error.to_string())?;
    fs::write(output, &after).map_err(|error| format!("{output}: {error}"))?;
    Ok(format!("{} bytes, {removed} exports removed ({} bytes before)", after.len(), before.len()))
}

/// Returns the module with only the exports in [`REQUIRED`] and [`OPTIONAL`], and the number of
/// removed exports.
fn trim(module: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let mut trimmed = Module::new();
    let mut removed = 0;
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Payload::ExportSection(section) = payload {
            let (kept, gone) = keep(section, &mut names)?;
            trimmed.section(&kept);
            removed += gone;
        } else if let Some((id, range)) = payload.as_section() {
            let range = usize_of(range.start)?..usize_of(range.end)?;
            let data = module.get(range).ok_or("a section ends after the module")?;
            trimmed.section(&RawSection { id, data });
        }
    }
    match REQUIRED.iter().find(|required| !names.iter().any(|name| is(required, name))) {
        Some(missing) => Err(format!("exports no {missing}: not the filter, or no filter at all")),
        None => Ok((trimmed.finish(), removed)),
    }
}

fn keep<'a>(
    section: ExportSectionReader<'a>,
    names: &mut Vec<&'a str>,
) -> Result<(ExportSection, usize), String> {
    let mut kept = ExportSection::new();
    let mut removed = 0;
    for export in section {
        let export = export.map_err(|error| error.to_string())?;
        if !REQUIRED.iter().chain(&OPTIONAL).any(|known| is(known, export.name)) {
            removed += 1;
            continue;
        }
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
            ExternalKind::Memory => ExportKind::Memory,
            other => return Err(format!("{} is a {other:?}", export.name)),
        };
        kept.export(export.name, kind, export.index);
        names.push(export.name);
    }
    Ok((kept, removed))
}

fn usize_of(position: u64) -> Result<usize, String> {
    usize::try_from(position).map_err(|error| error.to_string())
}

/// Returns whether the name matches. `proxy_abi_version_*` matches every version.
fn is(known: &str, name: &str) -> bool {
    match known.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == known,
    }
}

/// The exports that the host needs to run the module, and the callbacks that the filter uses.
const REQUIRED: [&str; 13] = [
    "memory",
    "_initialize",
    "proxy_abi_version_*",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_delete",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_http_call_response",
];

/// Another name of `proxy_on_memory_allocate`: the host accepts either.
const OPTIONAL: [&str; 1] = ["malloc"];

#[cfg(test)]
mod tests {
    use wasm_encoder::{FunctionSection, TypeSection};

    use super::*;

    /// Returns a module with one function under each of these names.
    fn module(names: &[&str]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut exports = ExportSection::new();
        for name in names {
            exports.export(name, ExportKind::Func, 0);
        }
        let mut code = wasm_encoder::CodeSection::new();
        let mut nothing = wasm_encoder::Function::new([]);
        nothing.instruction(&wasm_encoder::Instruction::End);
        code.function(&nothing);
        let mut module = Module::new();
        module.section(&types).section(&functions).section(&exports).section(&code);
        module.finish()
    }

    fn exports(module: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                names.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
        }
        names
    }

    fn required() -> Vec<&'static str> {
        let version = "proxy_abi_version_0_2_0";
        REQUIRED.iter().map(|name| if name.ends_with('*') { version } else { name }).collect()
    }

    #[test]
    fn only_the_listed_exports_remain() {
        let mut names = required();
        names.extend(["malloc", "proxy_on_log", "proxy_on_response_body"]);
        let (after, removed) = trim(&module(&names)).unwrap();
        names.truncate(REQUIRED.len() + 1);
        assert_eq!(exports(&after), names);
        assert_eq!(removed, 2);
        assert!(wasmparser::validate(&after).is_ok());
    }

    #[test]
    fn a_module_without_a_required_export_is_refused() {
        for missing in required() {
            let names: Vec<_> = required().into_iter().filter(|name| *name != missing).collect();
            assert!(trim(&module(&names)).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_file_that_is_not_a_module_is_refused() {
        assert!(trim(b"<html>").is_err());
    }
}
