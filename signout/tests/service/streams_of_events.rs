//! Events of a transmitter end sessions, by poll too, and an operator manages the stream: the real
//! binary, and a transmitter with the endpoints of SSF 1.0.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{ServiceProcess, TOKEN, signout};
use crate::transmitter::{SSF_TOKEN, Transmitter};

fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn serve(folder: &Path, transmitter: &Transmitter, polls: bool) -> ServiceProcess {
    let file = folder.join("issuers.json");
    std::fs::write(&file, transmitter.file(polls).to_string()).unwrap();
    let environment = [("SIGNOUT_TOKEN", TOKEN), ("SSF_TOKEN", SSF_TOKEN)];
    ServiceProcess::receiving(folder, &environment, &["--issuers", file.to_str().unwrap()])
}

#[test]
fn a_polled_event_is_acknowledged_after_it_is_durable() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Transmitter::start());
    let process = serve(folder.path(), &transmitter, true);
    transmitter.revoke_session_of("a", "alice");
    let foreign = json!({"format": "iss_sub", "iss": "https://other.example.com", "sub": "x"});
    let revoked =
        json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}});
    let bad = transmitter.token("b", &foreign, &revoked);
    transmitter.state().waiting.insert("b".to_owned(), bad);
    transmitter.state().waiting.insert("c".to_owned(), "no.token".to_owned());
    eventually(|| transmitter.state().waiting.is_empty());
    assert_eq!(transmitter.state().acknowledged, ["a"]);
    assert_eq!(process.live_ids().len(), 1);
    for id in ["b", "c"] {
        assert_eq!(transmitter.state().rejected[id]["err"], "invalid_request");
    }
    let metrics = process.text("/metrics");
    let accepted = r#"signout_receiver_messages_total{protocol="events_poll",result="accepted"} 1"#;
    assert!(metrics.contains(accepted), "{metrics}");
    assert!(!process.log().contains(SSF_TOKEN));
}

#[test]
fn a_failing_transmitter_is_polled_again_with_backoff() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Transmitter::start());
    transmitter.state().fails = true;
    let process = serve(folder.path(), &transmitter, true);
    transmitter.revoke_session_of("a", "alice");
    eventually(|| transmitter.state().polls >= 2);
    assert!(process.log().contains("polling for events failed"), "{}", process.log());
    transmitter.state().fails = false;
    eventually(|| transmitter.state().acknowledged == ["a"]);
    assert!(process.log().contains("polling for events works again"));
}

#[test]
fn an_event_that_was_not_acknowledged_comes_again_after_a_crash() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Transmitter::start());
    transmitter.revoke_session_of("a", "alice");
    let mut process = serve(folder.path(), &transmitter, true);
    eventually(|| process.live_ids().len() == 1);
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    drop(process);
    // As if the acknowledgement had been lost.
    transmitter.revoke_session_of("a", "alice");
    transmitter.state().acknowledged.clear();
    let process = serve(folder.path(), &transmitter, true);
    eventually(|| !transmitter.state().acknowledged.is_empty());
    assert_eq!(process.live_ids().len(), 1);
}

#[test]
fn an_operator_creates_verifies_and_deletes_a_stream() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Transmitter::start());
    let process = serve(folder.path(), &transmitter, true);
    let file = folder.path().join("issuers.json");
    let run = |arguments: &[&str], token: &str| {
        let mut command = signout();
        command.arg("stream").args(arguments).arg("--issuers").arg(&file);
        if arguments.contains(&"verify") {
            command.args(["--url", &process.url]);
        }
        let command = command.env("SIGNOUT_TOKEN", TOKEN).env("SSF_TOKEN", token);
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let (code, out, error) = run(&["create"], SSF_TOKEN);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains(&format!("poll {}/poll", transmitter.issuer())), "{out}");
    assert!(!out.contains("warning"), "{out}");
    let requested = transmitter.state().stream.clone().unwrap()["events_requested"].clone();
    assert_eq!(requested.as_array().map(Vec::len), Some(2));
    let (code, out, error) = run(&["verify"], SSF_TOKEN);
    assert_eq!((code, &*out), (0, "verified\n"), "{error}");
    assert_eq!(run(&["status"], SSF_TOKEN).0, 0);
    assert_eq!(run(&["status", "--set", "paused"], SSF_TOKEN).0, 0);
    let (code, out, _) = run(&["status"], SSF_TOKEN);
    assert_eq!((code, out.trim()), (1, "paused"));
    let (code, _, error) = run(&["status"], "wrong");
    assert_eq!(code, 1);
    assert!(error.contains("responds 401") && !error.contains("wrong"), "{error}");
    assert_eq!(run(&["delete"], SSF_TOKEN).0, 0);
    assert!(transmitter.state().stream.is_none());
    assert_eq!(run(&["status"], SSF_TOKEN).0, 1, "there is no stream");
}

#[test]
fn one_of_two_services_on_a_redis_polls_and_both_know_what_it_verified() {
    let (folder, transmitter) = (tempfile::tempdir().unwrap(), Transmitter::start());
    let redis = testbed::Redis::start();
    let file = folder.path().join("issuers.json");
    std::fs::write(&file, transmitter.file(true).to_string()).unwrap();
    let folders = ["one", "other"].map(|name| folder.path().join(name));
    let services = folders.each_ref().map(|folder| {
        std::fs::create_dir(folder).unwrap();
        let environment = [("SIGNOUT_TOKEN", TOKEN), ("SSF_TOKEN", SSF_TOKEN)];
        let issuers = ["--issuers", file.to_str().unwrap()];
        ServiceProcess::over(&redis.url(), folder, &environment, &issuers)
    });
    let polled = |service: &ServiceProcess| {
        service.text("/metrics").contains("signout_events_polled_timestamp_seconds{")
    };
    for id in ["a", "b", "c"] {
        transmitter.revoke_session_of(id, id);
        eventually(|| transmitter.state().waiting.is_empty());
    }
    assert_eq!(transmitter.state().acknowledged, ["a", "b", "c"]);
    assert_eq!(services.iter().filter(|service| polled(service)).count(), 1);
    eventually(|| services.iter().all(|service| service.live_ids().len() == 3));
    for service in &services {
        let mut verify = signout();
        verify.args(["stream", "verify", "--stream", "stream-1", "--url", &service.url]);
        verify.arg("--issuers").arg(&file);
        verify.env("SIGNOUT_TOKEN", TOKEN).env("SSF_TOKEN", SSF_TOKEN);
        let Output { status, stderr, .. } = verify.output().unwrap();
        assert!(status.success(), "asked another than polls: {}", String::from_utf8_lossy(&stderr));
    }
}
