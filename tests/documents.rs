//! Promise: the documents say what the code does. Their tables are made from the code's own;
//! `UPDATE_DOCUMENTS=1 cargo test --test documents` writes them anew.

use std::fmt::Write as _;
use std::{env, fs};

use session_guard::config::Config;
use session_guard::config::preset::OPEN_WEBUI;
use session_guard::config::settings::{Form, SETTINGS};
use session_guard::metrics::{Counter, Duration, Gauge};
use session_guard::refusal::Refusal;

#[test]
fn every_table_is_the_codes_own() {
    compare("docs/configuration.md", "settings", &settings());
    compare("docs/configuration.md", "answers", &answers());
    let preset = format!("```json\n{OPEN_WEBUI}```\n");
    compare("docs/configuration.md", "preset open-webui", &preset);
    compare("docs/operations.md", "metrics", &metrics());
}

#[test]
fn every_configuration_in_the_documents_loads() {
    let environment = |_: &str| Some("long-enough-for-any-algorithm-".repeat(3));
    let mut found = 0;
    for document in &documents() {
        for block in read(document).split("```json\n").skip(1) {
            let json = block.split("```").next().unwrap_or_default();
            if ["\"keys\"", "\"preset\""].iter().any(|name| json.contains(name)) {
                found += 1;
                let parsed = Config::parse(json.as_bytes(), &environment);
                assert!(parsed.is_ok(), "{document}: {}\n{json}", parsed.unwrap_err());
            }
        }
    }
    assert!(found >= 2, "{found}");
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for document in &documents() {
        let folder = root(document).parent().expect("a file").to_owned();
        for link in read(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, _anchor) = link.split_once('#').unwrap_or((link, ""));
            let outside = link.contains("://") || file.is_empty();
            assert!(outside || folder.join(file).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = read("Makefile");
    for document in &documents() {
        for target in
            read(document).split("`make ").skip(1).filter_map(|rest| rest.split('`').next())
        {
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{document}: make {target}");
        }
    }
}

/// Everything that is written in Markdown.
fn documents() -> Vec<String> {
    testbed::repository::files("md")
}

fn settings() -> String {
    let mut table = String::from("| setting | form | default | |\n| --- | --- | --- | --- |\n");
    for setting in SETTINGS {
        let default = setting.default.map_or(String::new(), |json| format!("`{json}`"));
        let (path, form, about) = (setting.path, form(setting.form), setting.about);
        writeln!(table, "| `{path}` | {form} | {default} | {about} |").unwrap();
    }
    table
}

fn answers() -> String {
    let mut table = String::from("| status | code | detail |\n| --- | --- | --- |\n");
    for answer in Refusal::ALL.map(Refusal::answer) {
        writeln!(table, "| {} | `{}` | {} |", answer.status, answer.code, answer.detail).unwrap();
    }
    table
}

fn metrics() -> String {
    let mut table = String::from("| metric | kind |\n| --- | --- |\n");
    for name in Counter::all().map(Counter::name) {
        writeln!(table, "| `{name}` | counter |").unwrap();
    }
    for name in Gauge::all().map(Gauge::name) {
        writeln!(table, "| `{name}` | gauge |").unwrap();
    }
    for name in Duration::ALL.map(Duration::name) {
        writeln!(table, "| `{name}` | histogram |").unwrap();
    }
    table
}

fn form(form: Form) -> String {
    match form {
        Form::Flag => "`true`, `false`".to_owned(),
        Form::Number(whole) => format!("{} to {}", whole.least, whole.most),
        Form::Choice(words) => format!("`{}`", words.join("`, `")),
        Form::Text(bytes) => format!("text, {bytes} bytes"),
        Form::Texts(count) => format!("{count} texts"),
        Form::Objects(count) => format!("{count} objects"),
        Form::Pairs(count) => format!("object of {count} texts"),
        Form::Other => String::new(),
    }
}

/// The table between `<!-- NAME -->` and `<!-- end of NAME -->` is this one.
fn compare(document: &str, name: &str, table: &str) {
    let text = read(document);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).expect("the table's first line");
    let (written, after) = rest.split_once(&end).expect("the table's last line");
    if env::var_os("UPDATE_DOCUMENTS").is_some() {
        fs::write(root(document), [before, &begin, table, &end, after].concat()).expect("written");
    } else {
        assert_eq!(
            written, table,
            "{document}: run UPDATE_DOCUMENTS=1 cargo test --test documents"
        );
    }
}

fn read(document: &str) -> String {
    fs::read_to_string(root(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn root(document: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}
