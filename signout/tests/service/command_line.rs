//! Promise: operators can do everything from the command line, with the documented exit codes.
//! Method: the real binary.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use session_guard_core::revocation::record::RecordId;

use crate::support::{ADMIN, ServiceProcess, TOKEN, signout};

/// Runs a command. Returns its exit code, standard output and standard error.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn at(process: &ServiceProcess, arguments: &[&str]) -> Command {
    let mut command = signout();
    command
        .args(arguments)
        .args(["--url", &process.url])
        .env("SIGNOUT_TOKEN", format!("{TOKEN},b"));
    command
}

fn listed(process: &ServiceProcess) -> Vec<Value> {
    let (code, out, err) = run(&mut at(process, &["list", "--json"]));
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn revocations_are_listed_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    for (arguments, said) in [
        (&["revoke", "--jti", "a", "--exp", "4000000000"][..], "revoked\n"),
        (&["revoke", "--jti", "a", "--exp", "4000000000"], NOTHING_NEW),
        (&["revoke", "--jti", "b", "--exp", "1000000000"], NOTHING_NEW),
        (&["revoke", "--user", "u", "--issued-before", "5", "--realm", "x"], "revoked\n"),
        (&["revoke", "--user", "u"], "revoked\n"),
        (
            &["revoke", "--session", "s", "--issuer", "i", "--reason", "stolen", "--exp", FUTURE],
            "revoked\n",
        ),
        (&["revoke", "--all", "--issued-before", "7"], "revoked\n"),
    ] {
        let (code, out, err) = run(&mut at(&process, arguments));
        assert_eq!((code, &*out), (0, said), "{arguments:?}: {err}");
    }
    let all = listed(&process);
    let find = |id: RecordId| all.iter().find(|record| record["id"] == id.to_string()).unwrap();
    assert_eq!(all.len(), 5);
    let session = find(RecordId::of_session("", Some("i"), "s"));
    assert_eq!((&session["kind"], &session["exp"]), (&"user".into(), &4_102_444_800_u64.into()));
    assert_eq!(find(RecordId::of_token("", None, "a"))["exp"], 4_000_000_000_u64);
    assert_eq!(find(RecordId::of_user("x", None, "u"))["issued_before"], 5);
    assert_eq!(find(RecordId::of_all(""))["issued_before"], 7);

    let (_, table, _) = run(&mut at(&process, &["list"]));
    assert_eq!(table.lines().count(), 6, "{table}");
    let (code, json, _) = run(&mut at(&process, &["status", "--json"]));
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &status["revocations"]["user"]), (0, &3.into()));
    let (code, table, _) = run(&mut at(&process, &["status"]));
    assert!(code == 0 && table.contains("tokens revoked"), "{table}");
}

#[test]
fn a_token_is_revoked_by_jti_or_by_signed_text() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    // {"alg":"HS256"} . {"jti":"j","exp":4000000000} and {"alg":"HS256"} . {"sub":"u"}
    let with_jti = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJqIiwiZXhwIjo0MDAwMDAwMDAwfQ.c2ln";
    let without = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln";
    assert_eq!(run(&mut at(&process, &["revoke", "--token", with_jti])).0, 0);
    let mut piped =
        at(&process, &["revoke", "--token", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(format!("{without}\n").as_bytes()).unwrap();
    assert!(piped.wait().unwrap().success());
    let mut ids: Vec<_> = listed(&process).iter().map(|record| record["id"].to_string()).collect();
    ids.sort_unstable();
    let input = without.rsplit_once('.').unwrap().0;
    let mut expected =
        [RecordId::of_token("", None, "j"), RecordId::of_input("", None, input.as_bytes())]
            .map(|id| format!("\"{id}\""));
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(run(&mut at(&process, &["revoke", "--token", "no.token"])).0, 2);

    // {"alg":"HS256"} . {"jti":"k","exp":4000000000.9}: the record of a fractional `exp` expires,
    // too.
    let with_fraction = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJrIiwiZXhwIjo0MDAwMDAwMDAwLjl9.c2ln";
    let mut command = at(&process, &["revoke", "--json", "--token"]);
    let mut piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let header = format!("Bearer {with_fraction}\n");
    piped.stdin.take().unwrap().write_all(header.as_bytes()).unwrap();
    let said: Value = serde_json::from_slice(&piped.wait_with_output().unwrap().stdout).unwrap();
    assert!(said["revoked"] == true && said["new"] == true && said["cursor"].is_string(), "{said}");
    let id = RecordId::of_token("", None, "k").to_string();
    let record = listed(&process).into_iter().find(|record| record["id"] == *id).unwrap();
    assert_eq!(record["exp"], 4_000_000_000_u64);
}

#[test]
fn a_token_ends_its_session_and_a_credential_is_read_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    let pipe = |arguments: &[&str], text: &str| {
        let mut piped = at(&process, arguments).stdin(Stdio::piped()).spawn().unwrap();
        piped.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        piped.wait().unwrap().code()
    };
    // {"alg":"HS256"} . {"jti":"j","iss":"i","sid":"s","iat":1795332000,"exp":4000000000}
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJqIiwiaXNzIjoiaSIsInNpZCI6InMiLCJpYXQiOjE3OTUzMzIwMD\
        AsImV4cCI6NDAwMDAwMDAwMH0.c2ln";
    assert_eq!(pipe(&["revoke", "--token"], &format!("{token}\n")), Some(0));
    assert_eq!(pipe(&["revoke", "--credential", "--realm", "x"], "sk-1\n"), Some(0));
    assert_eq!(pipe(&["revoke", "--credential"], "\n"), Some(2));
    let mut ids: Vec<_> = listed(&process).iter().map(|record| record["id"].to_string()).collect();
    let mut expected = [
        RecordId::of_token("", Some("i"), "j"),
        RecordId::of_session("", Some("i"), "s"),
        RecordId::of_credential("x", b"sk-1"),
    ]
    .map(|id| format!("\"{id}\""));
    ids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ids, expected);
}

#[test]
fn the_exit_code_says_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    let refused = run(at(&process, &["revoke", "--jti", "a"]).env("SIGNOUT_TOKEN", "wrong"));
    assert!(refused.0 == 1 && refused.2.contains("401 unauthorized"), "{refused:?}");
    assert!(refused.2.contains("compare SIGNOUT_TOKEN here"), "{refused:?}");
    let logged = || process.log().contains("a call was refused (401)");
    assert!(logged() && process.log().contains("127.0.0.1"), "{}", process.log());
    let milliseconds = run(&mut at(&process, &["revoke", "--jti", "a", "--exp", "1795332120000"]));
    assert!(milliseconds.0 == 1 && milliseconds.2.contains("milliseconds?"), "{milliseconds:?}");
    let no_address = ["status", "--url", "nonsense"];
    for arguments in
        [&["revoke"][..], &["revoke", "--jti", "a", "--all"], &["nothing"], &no_address]
    {
        assert_eq!(run(&mut at(&process, arguments)).0, 2, "{arguments:?}");
    }
    let no_token = run(at(&process, &["status"]).env_remove("SIGNOUT_TOKEN"));
    assert!(no_token.0 == 2 && no_token.2.contains("SIGNOUT_TOKEN_FILE"), "{no_token:?}");
    let list = run(at(&process, &["list"]).env("SIGNOUT_TOKEN", "wrong"));
    assert!(list.0 == 1 && list.1.is_empty(), "nothing that looks like an empty list: {list:?}");
    let gone = process.url.clone();
    drop(process);
    let unreachable = run(signout().args(["status", "--url", &gone]).env("SIGNOUT_TOKEN", "t"));
    assert!(unreachable.0 == 3 && unreachable.2.contains(&gone), "{unreachable:?}");
}

#[test]
fn the_form_of_an_address_is_explained() {
    let store = ["serve", "--store", "redb:unused"];
    for (arguments, expected) in [
        (&["--listen", "::1:8090"][..], "[::1]:8090"),
        (&["--listen", "localhost:8090"], "not a name"),
        (&["--guard", "a", "--guard-listen", "::1:8091"], "[::1]:8090"),
    ] {
        let (code, _, err) = run(signout().args(store).args(arguments));
        assert!(code == 2 && err.contains(expected), "{arguments:?}: {err}");
    }
    let (code, _, err) = run(signout().args(["status", "--url", "http://::1:8090"]));
    assert!(code == 2 && err.contains("http://[::1]:8090"), "{err}");
}

#[test]
fn the_cutoff_for_all_uses_the_admin_token() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve_with(
        folder.path(),
        &[("SIGNOUT_TOKEN", TOKEN), ("SIGNOUT_ADMIN_TOKEN", ADMIN)],
    );
    let refused = run(&mut at(&process, &["revoke", "--all"]));
    assert!(refused.0 == 1 && refused.2.contains("SIGNOUT_ADMIN_TOKEN"), "{refused:?}");
    let done = run(at(&process, &["revoke", "--all"]).env("SIGNOUT_ADMIN_TOKEN", ADMIN));
    assert_eq!(done.0, 0, "{done:?}");
}

#[test]
fn the_first_start_generates_a_token_and_prints_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("db.token");
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let process = ServiceProcess::serve_with(folder.path(), &[]);
        assert!(
            process.said.contains(&format!("API token in {}", file.display())),
            "{:?}",
            process.said
        );
        tokens.push(fs::read_to_string(&file).unwrap());
        let mut status = at(&process, &["status"]);
        let (code, _, err) =
            run(status.env_remove("SIGNOUT_TOKEN").env("SIGNOUT_TOKEN_FILE", &file));
        assert_eq!(code, 0, "{err}");
        assert!(!process.log().contains(&tokens[0]));
    }
    assert_eq!(tokens[0], tokens[1], "the next start keeps it");
}

#[test]
fn a_secret_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.secret");
    let keygen = |file: &Path| run(signout().arg("keygen").arg(file));
    assert_eq!(keygen(&file).1, format!("made {}\n", file.display()));
    let secret = fs::read_to_string(&file).unwrap();
    assert_eq!(keygen(&file).1, format!("kept {}\n", file.display()));
    assert_eq!(fs::read_to_string(&file).unwrap(), secret);
    assert_eq!(keygen(&folder.path().join("no/such/folder")).0, 1);
}

#[test]
fn an_unknown_store_is_rejected_with_the_available_ones() {
    for store in ["http://127.0.0.1", "redb:", "db"] {
        let serve = run(signout().args(["serve", "--listen", "127.0.0.1:0", "--store", store]));
        assert!(serve.0 == 2 && serve.2.contains("available: redb:PATH"), "{serve:?}");
    }
}

#[test]
fn a_shared_store_needs_a_token_and_hides_its_password() {
    let serve = |store: &str| {
        let mut command = signout();
        command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]);
        command
    };
    let without = run(&mut serve("redis://:canary-password@127.0.0.1:1"));
    assert!(without.0 == 2 && without.2.contains("SIGNOUT_TOKEN"), "{without:?}");
    for store in ["redis://:canary-password@127.0.0.1:1", "redis://:canary-password@"] {
        let refused = run(serve(store).env("SIGNOUT_TOKEN", TOKEN).env("RUST_LOG", "trace"));
        assert_ne!(refused.0, 0, "{refused:?}");
        assert!(!format!("{refused:?}").contains("canary-password"), "{refused:?}");
    }
}

#[test]
fn every_help_text_has_an_example() {
    for command in
        ["serve", "copy", "keygen", "revoke", "list", "status", "check", "explain", "schema"]
    {
        let (code, help, _) = run(signout().args([command, "--help"]));
        assert!(code == 0 && help.contains(&format!("  signout {command}")), "{help}");
    }
    let (code, version, _) = run(signout().arg("--version"));
    assert_eq!((code, &*version), (0, concat!("signout ", env!("CARGO_PKG_VERSION"), "\n")));
}

const NOTHING_NEW: &str = "nothing new: it was revoked already, or it has expired\n";

/// In the year 2100.
const FUTURE: &str = "2100-01-01T00:00:00Z";
