//! Promise: with the shipped configuration Envoy starts, loads the filter and becomes ready.

use testbed::{Request, Testbed};

#[test]
fn every_worker_becomes_ready_to_judge_tokens() {
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
