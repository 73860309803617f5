//! Promise: the README's commands have the described results, in order.
//! Method: the test extracts them and runs them in a shell, with the ports of a real Envoy, a real
//! service and an application.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;
use testbed::{Configuration, Fault, Testbed, Token, command, eventually, repository};

#[test]
fn its_requests_have_the_documented_results() {
    let filter: Value = serde_json::from_str(&block("json")).expect("the configuration");
    let edit = |configuration: &mut Configuration| configuration.filter = filter;
    let bed = Testbed::from(|setup| setup.edit(edit), Fault::None);
    bed.envoy.await_guarding();
    let mut claims = Token::claims_of("ada");
    claims["sub"] = "ada".into(); // the user id claim of the README's configuration
    let token = Token::with(&claims);
    let mut requests = 0;
    for (line, said) in commands().iter().filter_map(|line| line.split_once(" # ")) {
        let Some(curl) = line.strip_prefix("curl ") else { continue };
        let curl = curl.replace("127.0.0.1:8080", &bed.envoy.address().to_string());
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("curl -sS {curl}")]).env("TOKEN", token.as_str());
        let output = shell.output().expect("a shell");
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut expected = said.split([' ', ',', ':']).filter(|word| !word.is_empty());
        let status = expected.next().filter(|word| word.parse::<u16>().is_ok());
        let begins = format!("HTTP/1.1 {} ", status.unwrap_or("200"));
        assert!(answer.starts_with(&begins), "{line} # {said}\n{answer}{output:?}");
        if status == Some("401") {
            let code = expected.next().expect("a code");
            assert!(answer.contains(&format!("\"{code}\"")), "{line} # {said}\n{answer}");
        }
        requests += 1;
    }
    assert_eq!(requests, 9, "of which the README tells");
    let named = bed.application.seen_at("/page");
    assert!(!named.is_empty() && named.iter().all(|seen| seen.header("x-user-id") == Some("ada")));
}

#[test]
fn its_service_starts_and_its_configuration_loads() {
    let serve = commands().into_iter().find(|line| line.starts_with("signout serve ")).expect("it");
    let export = commands().into_iter().find(|line| line.starts_with("export ")).expect("it");
    let folder = tempfile::tempdir().expect("a folder");
    let script = format!("{export}; exec {}", serve.replace(":8090", ":0"));
    let mut service = shell(&script).current_dir(folder.path()).spawn().expect("a shell");
    let mut said = String::new();
    BufReader::new(service.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
    let address = said.trim().rsplit(' ').next().unwrap_or_default().to_owned();
    let health = format!("curl -sS http://{}/healthz", address.trim_start_matches("http://"));
    eventually(std::time::Duration::from_secs(20), || {
        shell(&health).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    });
    service.kill().expect("it runs");
    service.wait().expect("it ends");

    let check = commands().into_iter().find(|line| line.starts_with("signout check ")).expect("it");
    let checked = shell(&check).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("a shell");
    assert!(checked.status.success(), "{check}: {checked:?}");
}

#[test]
fn its_picture_shows_the_demo() {
    let output = command("demo").current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    let lines = printed.lines().filter_map(|line| line.strip_prefix('✓'));
    let steps: Vec<_> = lines.map(|line| cells(line.split("  "))).collect();
    let picture = repository::read("docs/sign-out.svg");
    let rows = picture.lines().filter_map(|line| line.split_once(">✓<"));
    let rows: Vec<_> =
        rows.map(|(_, row)| cells(row.split(['<', '>']).skip(1).step_by(2))).collect();
    let begin = steps.iter().position(|step| Some(step) == rows.first()).expect("its first step");
    assert!(rows.len() > 10 && steps[begin..].starts_with(&rows), "run `make picture`:\n{printed}");
    assert!(repository::read("README.md").contains("(docs/sign-out.svg)"));
}

/// Returns a step's name, its expected and its actual result. The time differs each time.
fn cells<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let texts = texts.map(|text| text.trim().replace("&#x27;", "'"));
    texts.filter(|text| !text.is_empty()).take(3).collect()
}

/// Returns the commands of the README's console blocks.
fn commands() -> Vec<String> {
    let readme = repository::read("README.md");
    let lines = readme.lines().filter_map(|line| line.trim_start().strip_prefix("$ "));
    lines.map(str::to_owned).collect()
}

/// Returns the first block of that language.
fn block(language: &str) -> String {
    let readme = repository::read("README.md");
    let block = readme.split(&format!("```{language}\n")).nth(1).expect("a block");
    block.split("```").next().unwrap_or_default().to_owned()
}

/// Returns a shell command with the workspace's programs in its PATH.
fn shell(script: &str) -> Command {
    let signout = command("signout").get_program().to_owned();
    let programs = std::path::Path::new(&signout).parent().expect("a folder").to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env("PATH", path).env_remove("SIGNOUT_TOKEN");
    shell.stdin(Stdio::null()).stdout(Stdio::piped());
    shell
}
