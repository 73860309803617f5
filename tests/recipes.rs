//! Promise: the recipes for CORS and for redirects work in a real Envoy.
//! Method: the tests read the YAML from `docs/recipes.md`.

use serde_json::Value;
use testbed::{Configuration, Request, Testbed, Token, repository};

#[test]
fn a_page_of_another_site_can_read_a_refusal() {
    let bed = Testbed::with(|configuration| {
        configuration.add_http_filter(recipe("the CORS filter"));
        let policy = recipe("the CORS policy");
        let host = &mut configuration.connection_manager()["route_config"]["virtual_hosts"][0];
        host["typed_per_filter_config"] = policy["typed_per_filter_config"].clone();
    });
    let request = Request::get("/page").header("origin", "https://app.example.com");
    let refused = bed.envoy.send(&request);
    assert_eq!((refused.status, refused.code().as_str()), (401, "missing_token"));
    assert_eq!(refused.header(ALLOWED), Some("https://app.example.com"));
    let admitted = bed.envoy.send(&request.clone().bearer(&Token::of("ada")));
    assert_eq!((admitted.status, admitted.headers(ALLOWED).len()), (200, 1));

    let preflight = Request::new("OPTIONS", "/page").header("origin", "https://app.example.com");
    let preflight = preflight.header("access-control-request-method", "PUT");
    let response = bed.envoy.send(&preflight);
    assert_eq!(response.status, 200);
    assert_eq!(bed.application.seen_at("/page").len(), 1, "Envoy responds to preflights");
    let other = Request::get("/page").header("origin", "https://other.example.com");
    assert_eq!(bed.envoy.send(&other).header(ALLOWED), None);
}

#[test]
fn a_browser_that_opens_a_page_is_redirected() {
    let bed = Testbed::with(|configuration: &mut Configuration| {
        let manager = configuration.connection_manager();
        manager["local_reply_config"] = recipe("the redirect")["local_reply_config"].clone();
    });
    let script = Request::get("/page").header("sec-fetch-mode", "cors");
    assert_eq!(bed.envoy.send(&script).code(), "missing_token");
    let page = Request::get("/page").header("sec-fetch-mode", "navigate");
    let response = bed.envoy.send(&page);
    assert_eq!((response.status, response.header("location")), (303, Some("/login")));
    let token = Token::of("ada");
    assert_eq!(bed.envoy.send(&page.clone().cookie(&token)).status, 200);
    assert_eq!(bed.envoy.send(&Request::post("/sign-out").cookie(&token)).status, 200);
    let response = bed.envoy.send(&page.cookie(&token));
    assert_eq!((response.status, response.header("location")), (303, Some("/login")));
    let cleared = response.header("set-cookie").unwrap_or_default();
    assert!(cleared.starts_with("token=;"), "{cleared}");
}

/// Returns the YAML that follows this comment.
fn recipe(name: &str) -> Value {
    let page = repository::read("docs/recipes.md");
    let block = page.split(&format!("<!-- {name} -->\n```yaml\n")).nth(1).expect("the recipe");
    repository::yaml(block.split("```").next().unwrap_or_default())
}

const ALLOWED: &str = "access-control-allow-origin";
