//! Promise: the dynamic module accepts its configuration in every form in which Envoy passes it,
//! replaces discovered secrets, passes the user id on as dynamic metadata, and ends open requests as soon as it learns of a
//! revocation, without waiting for a tick. The tests of the proxy-wasm filter check everything else,
//! with `SESSION_GUARD_BUILD=native`.

use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{
    Application, Configuration, Envoy, Fault, Reply, Request, SESSION_SECRET, Testbed, Token,
    eventually, native_configuration, repository,
};

#[test]
fn the_native_configuration_is_generated_from_the_shipped_one() {
    let generated = native_configuration(&repository::read("envoy/envoy.yaml"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write("envoy/native/envoy.yaml", &generated).unwrap();
    }
    let committed = repository::read("envoy/native/envoy.yaml");
    assert!(committed == generated, "run `make native-configuration`");
}

#[test]
fn envoy_accepts_the_native_configuration() {
    let arguments = ["--mode", "validate", "--config-path", "envoy/native/envoy.yaml"];
    let output = Envoy::tool(&arguments).output().expect("Envoy runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_struct_is_a_configuration() {
    let application = Application::start();
    let setup = Envoy::setup().native().application(application.address());
    let envoy = setup.edit(with_struct).start();
    assert_eq!(envoy.send(&Request::get("/")).status, 200);
    assert_eq!(envoy.get("/page", &Token::of("ada").forged()).code(), "bad_signature");
    assert_eq!(envoy.get("/page", &Token::of("ada")).status, 200);
}

/// The test inserts the YAML of the documentation into Envoy's configuration.
#[test]
fn the_user_is_dynamic_metadata_for_access_logs_and_rbac() {
    let documented = |text| repository::yaml_block("docs/native.md", text);
    let edit = |configuration: &mut Configuration| {
        configuration.filter["forward"]["filter_state"] = json!(true);
        let manager = configuration.connection_manager();
        let log = &mut manager["access_log"][0]["typed_config"];
        log["log_format"] = documented("inline_string")["log_format"].take();
        let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
        filters.insert(1, documented("filters.http.rbac"));
    };
    let bed = Testbed::from(|setup| setup.native().edit(edit), Fault::None);
    bed.envoy.await_guarding();
    for (path, user, status, logged) in [
        ("/admin/users", Some("ada"), 200, "ada"),
        ("/admin/users", Some("bob"), 403, "bob"),
        ("/admin/users", None, 401, "-"),
        ("/page", Some("bob"), 200, "bob"),
        ("/", Some("ada"), 200, "-"),
    ] {
        let request = Request::get(path).header("x-user-id", "ada");
        let request = user.into_iter().fold(request, |it, user| it.bearer(&Token::of(user)));
        assert_eq!(bed.envoy.send(&request).status, status, "{user:?} at {path}");
        let line = format!("GET {path} user={logged} {status}");
        eventually(SOON, || bed.envoy.access_log().lines().any(|known| known == line));
    }
}

/// The test inserts the key of the documentation into the filter's configuration.
#[test]
fn a_discovered_secret_is_replaced_while_envoy_runs() {
    let directory = TempDir::with_prefix("session-guard-secret-").expect("a directory");
    let secret = |value: &str| write_secret(&directory, value);
    let key = repository::yaml_block("docs/native.md", "sds_config").to_string();
    let key = key.replace("/etc/envoy/secrets", &directory.path().to_string_lossy());
    secret(SESSION_SECRET);
    let edit = |configuration: &mut Configuration| {
        configuration.filter["keys"] = json!([serde_json::from_str::<Value>(&key).unwrap()]);
    };
    let bed = Testbed::from(|setup| setup.native().edit(edit), Fault::None);
    bed.envoy.await_guarding();
    let old = Token::of("ada");
    let new =
        Token::signed("{\"alg\":\"HS256\"}", &Token::claims_of("ada").to_string(), OTHER_SECRET);
    let mut workers = bed.envoy.connection_per_worker();
    let mut is_admitted = |token: &Token| -> Vec<bool> {
        let page = Request::get("/page").bearer(token);
        let answers = workers.iter_mut().map(|worker| worker.send(&page));
        answers.map(|answer| answer.status == 200 || answer.code() != "bad_signature").collect()
    };
    let (yes, no) = (vec![true; 2], vec![false; 2]);
    assert_eq!([&old, &new].map(&mut is_admitted), [&*yes, &*no]);
    secret("too short");
    eventually(SOON, || bed.envoy.log().contains("; the previous secret stays"));
    assert_eq!([&old, &new].map(&mut is_admitted), [&*yes, &*no]);
    secret(OTHER_SECRET);
    eventually(SOON, || [&old, &new].map(&mut is_admitted) == [&*no, &*yes]);
    assert!(!bed.envoy.log().contains(OTHER_SECRET) && !bed.envoy.log().contains("too short"));
}

#[test]
fn a_secret_of_the_bootstrap_is_a_key() {
    let with = |value: &str| {
        let secret =
            json!({"name": "session", "generic_secret": {"secret": {"inline_string": value}}});
        Envoy::setup().native().edit(|configuration| {
            configuration.filter["keys"][0]["secret"] = json!({"sds": {"name": "session"}});
            configuration.filter.as_object_mut().expect("settings").remove("revocation");
            configuration.filter["routes"] = json!([]);
            configuration.bootstrap["static_resources"]["secrets"] = json!([secret]);
        })
    };
    let application = Application::start();
    let envoy = with(OTHER_SECRET).application(application.address()).start();
    assert_eq!(envoy.get("/page", &Token::of("ada")).code(), "bad_signature");
    let log = with("too short").try_start().expect_err("no start");
    assert!(log.contains("keys[0].secret.sds: 9 bytes, HS256 needs 32"), "{log}");
}

/// Writes the secret `session` as Envoy reads it: a file that is renamed into its directory.
fn write_secret(directory: &TempDir, value: &str) {
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    let secret = json!({"inline_string": value});
    let resource = json!({"@type": kind, "name": "session", "generic_secret": {"secret": secret}});
    let path = |name| directory.path().join(name);
    fs::write(path("new"), json!({"resources": [resource]}).to_string()).expect("a file");
    fs::rename(path("new"), path("session.json")).expect("a file");
}

/// The limit is less than half of the proxy-wasm filter's tick, because the machine may be busy
/// with other tests. On a quiet machine it takes a millisecond (`make streams-report`).
#[test]
fn an_open_stream_ends_without_waiting_for_a_tick() {
    let bed = Testbed::from(|setup| setup.native(), Fault::None);
    bed.application.on("/events", Reply::events(Duration::from_secs(600)));
    bed.envoy.await_guarding();
    let mut took: Vec<_> = (0..20).map(|_| time_to_end(&bed)).collect();
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
}

/// Returns the time from the response to a sign-out until the client sees the end of a stream.
fn time_to_end(bed: &Testbed) -> Duration {
    let token = Token::of("ada");
    let streams = bed.envoy.connect_http2();
    let stream = streams.open(&Request::get("/events").bearer(&token));
    let mut other = bed.envoy.connect();
    eventually(SOON, || stream.answer().is_some());
    assert_eq!(other.send(&Request::post("/sign-out").bearer(&token)).status, 200);
    let began = Instant::now();
    while !stream.has_ended() {
        assert!(began.elapsed() < SOON, "the stream goes on");
        thread::sleep(Duration::from_micros(200));
    }
    began.elapsed()
}

fn with_struct(configuration: &mut Configuration) {
    let mut filter = configuration.filter.clone();
    filter.as_object_mut().expect("settings").remove("revocation");
    filter["routes"] = json!([{"path": "/", "access": "public"}]);
    let kind = "type.googleapis.com/google.protobuf.Struct";
    configuration.plugin()["configuration"] = json!({"@type": kind, "value": filter});
}

const OTHER_SECRET: &str = "another-session-secret-of-44-characters-long";

const SOON: Duration = Duration::from_secs(30);
