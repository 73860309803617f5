//! Promise: the documents agree with the code. Their tables are generated from the code;
//! `UPDATE_DOCUMENTS=1 cargo test --test documents` regenerates them.

use std::fmt::Write as _;
use std::fs;

use session_guard_core::config::Config;
use session_guard_core::config::preset::OPEN_WEBUI;
use session_guard_core::config::settings::{Form, SETTINGS};
use session_guard_core::metrics::{Counter, Duration, Gauge};
use session_guard_core::refusal::{Objection, Refusal, RefusalRule};
use testbed::repository::compare;

#[test]
fn every_table_equals_the_code() {
    compare("docs/configuration.md", "settings", &settings());
    compare("docs/configuration.md", "answers", &answers());
    let preset = format!("```json\n{OPEN_WEBUI}```\n");
    compare("docs/configuration.md", "preset open-webui", &preset);
    compare("docs/operations.md", "metrics", &metrics());
    compare("docs/trouble.md", "objections", &objections());
}

#[test]
fn every_refusal_is_found_by_its_symptom() {
    let document = read("docs/trouble.md");
    let (before, rest) = document.split_once("<!-- objections -->").expect("the generated table");
    let (_, after) = rest.split_once("<!-- end of objections -->").expect("its end");
    let by_symptom = [before, after].concat();
    let rules = RefusalRule::ALL.map(Objection::from).into_iter();
    let rules = rules.filter(|objection| objection.refusal() == Refusal::Unavailable);
    let refusals = Refusal::ALL.map(Objection::from).into_iter();
    for name in refusals.chain(rules).map(|objection| objection.name()) {
        assert!(by_symptom.contains(&format!("`{name}`")), "{name}");
    }
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
fn every_link_has_a_target() {
    let mut anchors = 0;
    for document in &documents() {
        let folder = root(document).parent().expect("a file").to_owned();
        for link in links(&read(document)) {
            if let Some((scheme, rest)) = link.split_once("://") {
                let host = rest.split('/').next().unwrap_or_default();
                let is_address = ["http", "https"].contains(&scheme)
                    && (host.contains('.') || host.contains(':'))
                    && link.bytes().all(|byte| byte.is_ascii_graphic());
                assert!(is_address, "{document}: {link}");
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if file.is_empty() { root(document) } else { folder.join(file) };
            assert!(path.exists(), "{document}: {link}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&path).expect("a document");
                let anchor_exists = anchors_in(&text).iter().any(|name| name == anchor);
                assert!(anchor_exists, "{document}: {link}");
                anchors += 1;
            }
        }
    }
    assert!(anchors > 2, "{anchors}");
}

#[test]
fn every_setting_has_its_own_anchor() {
    let anchors = anchors_in(&read("docs/configuration.md"));
    for setting in SETTINGS {
        let own = setting.anchor();
        assert_eq!(anchors.iter().filter(|name| **name == own).count(), 1, "{own}");
    }
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let mut reached = vec!["README.md".to_owned()];
    let mut next = 0;
    while let Some(document) = reached.get(next).cloned() {
        next += 1;
        let folder = root(&document).parent().expect("a file").to_owned();
        for link in links(&read(&document)).iter().filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap_or_default();
            let Ok(path) = folder.join(file).canonicalize() else { continue };
            let Ok(name) = path.strip_prefix(root("").canonicalize().expect("here")) else {
                continue;
            };
            let name = name.display().to_string();
            if name.ends_with(".md") && !reached.contains(&name) {
                reached.push(name);
            }
        }
    }
    let lost: Vec<_> = documents().into_iter().filter(|name| !reached.contains(name)).collect();
    assert_eq!(lost, [""; 0]);
}

#[test]
fn every_make_target_in_the_documents_exists() {
    let makefile = read("Makefile");
    for document in &documents() {
        let text = read(document);
        let spoken = text.split("`make ").skip(1).filter_map(|rest| rest.split('`').next());
        let typed = text.lines().filter_map(|line| line.strip_prefix("$ make "));
        for target in spoken.chain(typed).filter_map(|command| command.split(' ').next()) {
            let rule = format!("\n{target}:");
            assert!(makefile.contains(&rule), "{document}: make {target}");
        }
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let rules = testbed::repository::documents("monitoring/rules.yaml").remove(0);
    let groups = rules["groups"].as_array().expect("groups").iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().expect("rules"));
    let mut alerts = Vec::new();
    for rule in rules {
        let name = rule["alert"].as_str().expect("a name");
        let url = format!("docs/alerts.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], url, "{name}");
        let severity = rule["labels"]["severity"].as_str().expect("a severity");
        let begin = format!("\n## {name}\n\n**{severity}.** ");
        assert!(read("docs/alerts.md").contains(&begin), "{name}");
        alerts.push(name.to_lowercase());
    }
    let sections = headings(&read("docs/alerts.md"));
    assert_eq!(sections[1..], alerts, "in the order of the rules");
}

/// Returns the targets of a text's links, except links in code.
fn links(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    let links = outside.flat_map(|text| text.split("](").skip(1));
    links.filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// Returns all anchors: those of headings, and those in HTML.
fn anchors_in(text: &str) -> Vec<String> {
    let html = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    headings(text).into_iter().chain(html.map(str::to_owned)).collect()
}

/// Returns the anchors that GitHub generates for the headings.
fn headings(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in text.split("```").step_by(2).flat_map(str::lines) {
        let Some((_, title)) = line
            .split_once(' ')
            .filter(|(marks, _)| !marks.is_empty() && marks.bytes().all(|byte| byte == b'#'))
        else {
            continue;
        };
        let plain = title.to_lowercase();
        let plain = plain.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = plain.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = names.iter().filter(|known| **known == name).count();
        names.push(if before == 0 { name } else { format!("{name}-{before}") });
    }
    names
}

/// Returns all Markdown files.
fn documents() -> Vec<String> {
    testbed::repository::files("md")
}

fn settings() -> String {
    let mut table = String::from("| setting | form | default | |\n| --- | --- | --- | --- |\n");
    for setting in SETTINGS {
        let default = setting.default.map_or(String::new(), |json| format!("`{json}`"));
        let (path, form, about) = (setting.path, form(setting.form), setting.about);
        let anchor = setting.anchor();
        writeln!(table, "| <a id=\"{anchor}\"></a>`{path}` | {form} | {default} | {about} |")
            .unwrap();
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

/// Each refusal, followed by its claims and rules.
fn objections() -> String {
    let mut table = String::from("| refusal | what is wrong | what to do |\n| --- | --- | --- |\n");
    let claims =
        [Objection::absent, Objection::malformed, Objection::not_accepted].map(|of| of("…"));
    for refusal in Refusal::ALL {
        let of_rules = RefusalRule::ALL.map(Objection::from).into_iter().chain(claims.clone());
        let of_rules = of_rules.filter(|objection| objection.refusal() == refusal);
        for objection in [Objection::from(refusal)].into_iter().chain(of_rules) {
            let (name, words) = (objection.name(), objection.explanation());
            // The placeholder for a claim is no character of a name.
            let name = name.replace(":_", ":…");
            writeln!(table, "| `{name}` | {} | {} |", words.problem, words.remedy).unwrap();
        }
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
        Form::Claim => "claim".to_owned(),
        Form::Claims(count) => format!("{count} claims"),
        Form::PerClaim(count) => format!("object of {count} texts"),
        Form::Other => String::new(),
    }
}

fn read(document: &str) -> String {
    fs::read_to_string(root(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

fn root(document: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document)
}
