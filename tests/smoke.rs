//! Promise: Envoy starts with the shipped configuration and the filter, but not with a broken one.
//! Method: a real Envoy with two workers, the real service, an application.

use serde_json::json;
use testbed::{Application, Configuration, Envoy, Request, Testbed, Token};

#[test]
fn every_worker_becomes_ready() {
    let bed = Testbed::start();
    let ready = Request::get("/.session-guard/ready");
    for connection in &mut bed.envoy.connection_per_worker() {
        assert_eq!(connection.send(&ready).status, 200);
    }
    assert_eq!(bed.application.seen(), [], "the filter answers by itself");
}

#[test]
fn a_public_page_comes_from_the_application() {
    let bed = Testbed::start();
    assert_eq!(bed.envoy.send(&Request::get("/")).seen().path, "/");
}

/// The HTTP status of a gRPC response is always 200; `grpc-status` 0 would mean success.
#[test]
fn a_refused_grpc_call_fails() {
    let call = |request: Request| request.header("content-type", "application/grpc+proto");
    let (bed, token) = (Testbed::start(), Token::of("ada"));
    bed.envoy.send(&Request::post("/sign-out").bearer(&token));
    for request in [Request::post("/page"), Request::post("/page").bearer(&token)] {
        let answer = bed.envoy.send(&call(request));
        assert_eq!((answer.status, answer.headers("grpc-status")), (200, vec![UNAUTHENTICATED]));
    }
    let bed = Testbed::cut_off(|_| {});
    let answer = bed.envoy.send(&call(Request::post("/page").bearer(&token)));
    assert_eq!((answer.status, answer.headers("grpc-status")), (200, vec![UNAVAILABLE]));
}

#[test]
fn a_broken_configuration_does_not_start() {
    for edit in [no_keys, no_json] {
        assert!(Envoy::setup().edit(edit).try_start().is_err());
        assert!(Envoy::setup().edit(edit).reloadable().try_start().is_err());
    }
}

#[test]
fn a_broken_configuration_leaves_the_old_one_in_force() {
    let application = Application::start();
    let mut envoy = Envoy::setup().application(application.address()).reloadable().start();
    for edit in [no_keys, no_json] {
        assert!(!envoy.reload(edit));
        assert_eq!(envoy.send(&Request::get("/")).status, 200);
        assert_eq!(envoy.send(&Request::get("/page")).code(), "missing_token");
    }
}

#[test]
fn a_new_configuration_is_taken_while_envoy_runs() {
    let application = Application::start();
    let mut envoy = Envoy::setup().application(application.address()).reloadable().start();
    assert!(envoy.reload(|configuration| configuration.filter["default_access"] = json!("public")));
    testbed::eventually(std::time::Duration::from_secs(10), || {
        envoy.send(&Request::get("/page")).status == 200
    });
}

fn no_keys(configuration: &mut Configuration) {
    configuration.filter["keys"] = json!([]);
}

fn no_json(configuration: &mut Configuration) {
    configuration.filter = json!("{");
}

/// Validates the files unchanged. The other tests change addresses and settings.
#[test]
fn envoy_accepts_every_shipped_configuration() {
    for file in ["envoy/envoy.yaml", "examples/compose/front.yaml"] {
        let arguments = ["--mode", "validate", "--config-path", file];
        let output = Envoy::tool(&arguments).output().expect("Envoy runs");
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

const UNAUTHENTICATED: &str = "16";
const UNAVAILABLE: &str = "14";
