//! Promise: the status page works in a browser without JavaScript, in light and dark, from 360 to 1600
//! pixels, and shows the proxies and the last revocations.
//! Method: a real chromium, which `visit.py` drives, and a real Envoy that polls the service.
//!
//! The test needs a browser. `make pages` installs it and runs the test.

use std::fs;
use std::time::Duration;

use serde_json::json;
use testbed::{Envoy, SIGNOUT_TOKEN, Script, SignoutService, eventually};

#[test]
#[ignore = "needs a browser: make pages"]
fn the_status_page_shows_proxies_and_revocations_in_a_browser() {
    let service = SignoutService::start();
    let envoy = Envoy::setup().service(service.address()).start();
    envoy.await_guarding();
    let long = "a reason that is as long as the service accepts; ".repeat(5);
    for revocation in [
        json!({"user_id": "alice", "realm": "shop", "reason": "left the company"}),
        json!({"jti": "j", "exp": 4_000_000_000_u64, "realm": "r".repeat(64), "reason": long}),
        json!({"credential": "sk-1", "reason": "leaked"}),
    ] {
        service.post(&revocation);
    }
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/target/status-page");
    fs::create_dir_all(pictures).expect("a directory below target/");
    let page = format!("http://{}/", service.address());
    let arguments = [&*page, pictures, SIGNOUT_TOKEN];
    let mut browser = Script::start("browser", "tests/status_page/visit.py", &arguments);
    eventually(Duration::from_secs(300), || browser.has_ended());
    assert!(browser.log().ends_with("as expected\n"), "{}", browser.log());
}
