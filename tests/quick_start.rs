//! Promise: the quick start is what the README shows, and its Envoy configuration is the shipped one
//! with the README's configuration of the filter. `tests/compose.sh` runs it.
//! `UPDATE=1 cargo test --test quick_start` regenerates the configuration.

use std::fs;

use testbed::{Envoy, command, repository};

#[test]
fn the_readme_shows_its_compose_file() {
    let file = repository::read("examples/quick-start/compose.yaml");
    let (_comment, services) = file.split_once('\n').expect("lines");
    assert_eq!(block("yaml"), services);
}

#[test]
fn its_envoy_configuration_is_generated() {
    let generated = generated();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(CONFIGURATION, &generated).expect("a file of the repository");
    }
    let hint = "run UPDATE=1 cargo test --test quick_start";
    assert!(repository::read(CONFIGURATION) == generated, "{hint}");
}

#[test]
fn its_envoy_configuration_loads() {
    let checked = command("signout").args(["check", CONFIGURATION]).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let arguments = ["--mode", "validate", "--config-path", CONFIGURATION];
    let output = Envoy::tool(&arguments).output().expect("Envoy runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the shipped configuration with the README's configuration of the filter.
fn generated() -> String {
    let shipped = repository::read("envoy/envoy.yaml");
    let (_comment, shipped) = shipped.split_once("\n\n").expect("a comment at its beginning");
    let (before, rest) = shipped.split_once("value: |\n").expect("the filter's configuration");
    let indent = rest.len() - rest.trim_start().len();
    let json = block("json");
    let filter: String = json
        .lines()
        .map(|line| format!("{:indent$}{}\n", "", line.get(3..).unwrap_or("")))
        .collect();
    let after = rest.lines().position(|line| line.trim_start().starts_with("- name: "));
    let after: Vec<_> = rest.lines().skip(after.expect("the next filter")).collect();
    format!("{COMMENT}\n\n{before}value: |\n{filter}{}\n", after.join("\n"))
}

/// Returns the README's first block of that language.
fn block(language: &str) -> String {
    let readme = repository::read("README.md");
    let block = readme.split(&format!("```{language}\n")).nth(1).expect("a block");
    let end = block.find("```").expect("the end of the block");
    let text = block[..end].trim_end_matches(' ');
    text.to_owned()
}

const CONFIGURATION: &str = "examples/quick-start/envoy.yaml";

const COMMENT: &str = "\
# Envoy with session-guard for the quick start: envoy/envoy.yaml with the filter's configuration from the
# README. Generated; after a copy, edit the copy: README.md in this directory names the lines to change.";
