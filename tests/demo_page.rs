//! Promise: one click on the demo's page ends the streams of both panels, and no text leaves its
//! box, in light and dark, from 360 to 1600 pixels.
//! Method: a real chromium, which `examples/demo/browser.py` drives, and a real Envoy.
//!
//! The test needs a browser. `make pages` installs it and runs the test.

use std::fs;
use std::time::Duration;

use testbed::{Envoy, Program, SESSION_SECRET, Script, SignoutService, eventually};

#[test]
#[ignore = "needs a browser: make pages"]
fn a_click_on_sign_out_ends_the_streams_of_both_panels() {
    let environment = [("SESSION_SECRET", SESSION_SECRET)];
    let application = Program::start("demo-application", &["127.0.0.1:0"], &environment);
    let service = SignoutService::start();
    let setup = Envoy::setup().application(application.address()).service(service.address());
    let envoy = setup.start();
    envoy.await_guarding();
    let pictures = concat!(env!("CARGO_MANIFEST_DIR"), "/target/demo-page");
    fs::create_dir_all(pictures).expect("a directory below target/");
    let page = format!("http://{}/", envoy.address());
    let mut browser = Script::start("browser", "examples/demo/browser.py", &[&page, pictures]);
    eventually(Duration::from_secs(300), || browser.has_ended());
    assert!(browser.log().ends_with("as expected\n"), "{}", browser.log());
}
