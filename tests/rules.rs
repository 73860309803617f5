//! Promise: the repository follows its own rules.
//! Method: the test reads every source file.

use std::collections::BTreeMap;
use std::path::Path;

use testbed::repository::{self, read};

#[test]
fn unsafe_code_is_only_in_the_files_of_raw_imports() {
    let word = concat!("uns", "afe");
    let breaches = files("rs", |path, text| {
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        let allowed =
            ["src/raw.rs", "native/src/abi.rs", "benches/empty-filter/src/raw.rs"].contains(&path);
        !allowed && code.flat_map(words).any(|found| found == word)
    });
    assert_eq!(breaches, [""; 0]);
    assert!(words(&read("src/raw.rs")).any(|found| found == word));
}

#[test]
fn every_source_file_starts_with_module_docs() {
    let breaches = files("rs", |_, text| !text.starts_with("//! "));
    assert_eq!(breaches, [""; 0], "these do not open with `//!`");
}

#[test]
fn no_module_has_a_vague_name() {
    let vague = ["util", "utils", "common", "misc", concat!("help", "ers")];
    let breaches = files("rs", |path, _| {
        Path::new(path).components().any(|part| {
            let name = part.as_os_str().to_str().unwrap_or_default();
            vague.contains(&name.strip_suffix(".rs").unwrap_or(name))
        })
    });
    assert_eq!(breaches, [""; 0]);
}

#[test]
fn every_type_name_has_one_meaning() {
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for path in repository::files("rs") {
        for name in read(&path).lines().filter_map(declared_type) {
            places.entry(name.to_owned()).or_default().push(path.clone());
        }
    }
    let breaches: Vec<_> = places
        .iter()
        .filter(|(name, paths)| paths.len() > 1 && !SHARED_TYPE_NAMES.contains(&name.as_str()))
        .collect();
    assert!(breaches.is_empty(), "give each type a name of its own: {breaches:?}");
    let unused: Vec<_> = SHARED_TYPE_NAMES
        .iter()
        .filter(|name| places.get(**name).is_none_or(|paths| paths.len() < 2))
        .collect();
    assert!(unused.is_empty(), "these exceptions are not needed any more: {unused:?}");
}

#[test]
fn every_dependency_has_a_reason() {
    let breaches: Vec<_> = files("toml", |path, _| path.ends_with("Cargo.toml"))
        .iter()
        .flat_map(|path| unexplained(&read(path)))
        .collect();
    assert_eq!(breaches, [""; 0], "these lines have no `# what for`");
}

/// Returns the name of the type that this line declares. An indented `type` belongs to a trait.
fn declared_type(line: &str) -> Option<&str> {
    let code = line.trim_start();
    let is_indented = code.len() < line.len();
    let code = code.strip_prefix("pub").map_or(code, |rest| {
        let rest =
            rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |it| it.1);
        rest.trim_start()
    });
    let (keyword, rest) = code.split_once(' ')?;
    let declares = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !is_indented,
        _ => false,
    };
    let name = words(rest).next().unwrap_or_default();
    (declares && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

/// Returns the lines of dependencies without a comment.
fn unexplained(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if inside && line.contains('=') && !line.contains(" # ") {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// Type names with several declarations, each for its reason.
const SHARED_TYPE_NAMES: [&str; 0] = [];

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Returns the files with that extension that break the rule.
fn files(extension: &str, broken: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut names = repository::files(extension);
    assert_ne!(names, [""; 0], "no {extension} at all");
    names.retain(|name| broken(name, &read(name)));
    names
}
