//! Reads the files of the repository.
//!
//! For tests about the repository itself. Paths are relative to its root.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use crate::Build;
use crate::artifacts::{self, root};

/// Returns the files with that extension, sorted, without build output and hidden files.
#[must_use]
pub fn files(extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.retain(|path| path.extension().is_some_and(|known| known == extension));
    let root = root();
    let names = found.iter().map(|path| path.strip_prefix(&root).expect("below the root"));
    let mut names: Vec<_> = names.map(|path| path.display().to_string()).collect();
    names.sort();
    names
}

/// Returns the text of a file.
#[must_use]
#[track_caller]
pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Compares the text between `<!-- NAME -->` and `<!-- end of NAME -->` in a document with the
/// expected text. If `UPDATE_DOCUMENTS` is set, it writes the expected text there instead.
#[track_caller]
pub fn compare(document: &str, name: &str, known: &str) {
    let text = read(document);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the first line of that part");
    let (written, after) = rest.split_once(&end).expect("the last line of that part");
    if env::var_os("UPDATE_DOCUMENTS").is_some() {
        let whole = [before, &begin, known, &end, after].concat();
        fs::write(root().join(document), whole).expect("a document that can be written");
    } else {
        assert_eq!(written, known, "{document}: run the same test with UPDATE_DOCUMENTS=1");
    }
}

/// Returns the module that `make wasm` builds.
#[must_use]
#[track_caller]
pub fn module() -> Vec<u8> {
    fs::read(artifacts::filter("session_guard", Build::Wasm)).expect("the filter's module")
}

/// Parses the documents of a YAML file.
#[must_use]
#[track_caller]
pub fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Parses the documents of a YAML text; none if it is no YAML.
#[must_use]
pub fn parse(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_default()
}

/// Parses a YAML text from another document.
#[must_use]
#[track_caller]
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// Returns the one YAML block of a Markdown document that contains the text.
#[must_use]
#[track_caller]
pub fn yaml_block(document: &str, text: &str) -> Value {
    let document = read(document);
    let blocks = document.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut blocks = blocks.filter(|block| block.contains(text));
    let block = blocks.next().expect("a block");
    assert!(blocks.next().is_none(), "one block");
    yaml(block)
}

/// Returns every shipped configuration of the filter: file and text.
#[must_use]
pub fn configurations() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in files("md") {
        let text = read(&name);
        let blocks = text.split("```json\n").skip(1);
        let blocks = blocks.filter_map(|block| block.split("```").next());
        // The other blocks are bodies of requests and responses.
        let whole = blocks.filter(|block| block.contains("\"keys\": ["));
        found.extend(whole.map(|block| (name.clone(), block.to_owned())));
    }
    for name in files("yaml") {
        let documents = documents(&name);
        found.extend(documents.iter().flat_map(plugins_in).map(|text| (name.clone(), text)));
    }
    found
}

/// Collects `pluginConfig` of Istio and the string values of Envoy's plugins.
fn plugins_in(yaml: &Value) -> Vec<String> {
    let here = match yaml {
        Value::Object(fields) => {
            let istio = fields.get("pluginConfig").map(Value::to_string);
            let envoy = fields.get("value").and_then(Value::as_str).map(str::to_owned);
            istio.into_iter().chain(envoy.filter(|text| text.contains("\"keys\""))).collect()
        }
        _ => Vec::new(),
    };
    let inside: Vec<&Value> = match yaml {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    here.into_iter().chain(inside.into_iter().flat_map(plugins_in)).collect()
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_file() {
        found.push(path.to_owned());
    } else if name != "target" && !name.starts_with('.') {
        let entries = fs::read_dir(path).expect("a folder of the repository");
        entries.flatten().for_each(|entry| collect(&entry.path(), found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_files_are_found_but_no_build_output() {
        assert!(files("yaml").contains(&"envoy/envoy.yaml".to_owned()));
        assert!(files("wasm").iter().all(|name| !name.starts_with("target/")));
        assert!(documents("envoy/envoy.yaml")[0]["static_resources"].is_object());
    }
}
