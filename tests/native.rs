//! Promise: the dynamic module accepts its configuration in every form in which Envoy passes it,
//! and ends open requests as soon as it learns of a revocation, without waiting for a tick. The
//! tests of the proxy-wasm filter check everything else, with `SESSION_GUARD_BUILD=native`.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{
    Application, Configuration, Envoy, Fault, Reply, Request, Testbed, Token, eventually,
    native_configuration, repository,
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
    eventually(Duration::from_secs(30), || stream.answer().is_some());
    assert_eq!(other.send(&Request::post("/sign-out").bearer(&token)).status, 200);
    let began = Instant::now();
    while !stream.has_ended() {
        assert!(began.elapsed() < Duration::from_secs(30), "the stream goes on");
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
