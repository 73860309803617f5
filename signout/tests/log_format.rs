//! Promise: with `--log-format json` each line of the service's log is one JSON object.
//! Method: the real binary, and every line that it writes until it has stopped.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use testbed::SignoutService;

#[test]
fn each_line_of_the_log_is_a_json_object() {
    let setup = SignoutService::setup().argument("--log-format").argument("json");
    let mut service = setup.start();
    service.revoke(&json!({"user_id": "canary-user"}));
    service.stop();
    let log = service.log();
    // Standard output has one line for people, the address.
    let lines: Vec<_> = log.lines().filter(|line| !line.starts_with("listening on ")).collect();
    let events: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    assert!(events.len() > 2, "{log}");
    for event in &events {
        for name in ["timestamp", "level", "target", "message"] {
            assert!(event[name].is_string(), "{name}: {event}");
        }
    }
    let serving = events.iter().find(|event| event["message"] == "serving").expect("an event");
    assert!(serving["capacity"].is_number() || serving["capacity"].is_string(), "{serving}");
    assert!(!log.contains("canary-user"), "{log}");
}

#[test]
fn an_unknown_log_format_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    command.args(["serve", "--store", "redb:/nowhere", "--log-format", "xml"]);
    let status = command.stderr(Stdio::null()).status().expect("it runs");
    assert_eq!(status.code(), Some(2));
}
