//! Promise: filter state works as documented: the access log shows the user for whom the request
//! was admitted, and RBAC decides by the same user.
//! Method: the test inserts the YAML of the documentation into Envoy's configuration.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Configuration, Request, Shared, Testbed, Token, eventually, repository};

static BED: Shared<Testbed> = Shared::new(|| Testbed::with(as_documented));

fn as_documented(configuration: &mut Configuration) {
    configuration.filter["forward"]["filter_state"] = json!(true);
    let routes = configuration.filter["routes"].as_array_mut().expect("a list of rules");
    routes.push(json!({"path": "/optional", "access": "optional"}));
    configuration.filter["token_sources"][0]["pass_prefix"] = json!("sk-");
    let manager = configuration.connection_manager();
    let log = &mut manager["access_log"][0]["typed_config"];
    log["log_format"] = documented("inline_string")["log_format"].take();
    let filters = manager["http_filters"].as_array_mut().expect("a list of filters");
    filters.insert(1, documented("filters.http.rbac"));
}

fn documented(text: &str) -> Value {
    repository::yaml_block("docs/configuration.md", text)
}

#[test]
fn the_access_log_names_the_user() {
    let bed = BED.get();
    let revoked = Token::of("revoked");
    bed.envoy.send(&Request::post("/sign-out").bearer(&revoked));
    let key = Request::get("/key").header("authorization", "Bearer sk-0");
    for (path, request, user) in [
        ("/one", Request::get("/one").bearer(&Token::of("ada")), "ada"),
        ("/two", Request::get("/two").bearer(&Token::of("ada \"B\" é")), "ada \"B\" é"),
        ("/three", Request::get("/three").bearer(&Token::of("ada").forged()), "-"),
        ("/four", Request::get("/four").bearer(&revoked), "-"),
        ("/optional", Request::get("/optional"), "-"),
        ("/key", key, "-"),
        ("/", Request::get("/").bearer(&Token::of("ada")), "-"),
    ] {
        bed.envoy.send(&request);
        let line = format!("GET {path} user={user} ");
        eventually(SOON, || bed.envoy.access_log().lines().any(|l| l.starts_with(&line)));
    }
}

#[test]
fn rbac_decides_by_the_user() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for (path, user, status) in [
        ("/admin/users", "ada", 200),
        ("/admin/users", "bob", 403),
        ("/admin/users", "adam", 403),
        ("/admin/users", "", 401),
        ("/page", "bob", 200),
    ] {
        let mut request = Request::get(path).header("x-user-id", "ada");
        if !user.is_empty() {
            request = request.bearer(&Token::of(user));
        }
        assert_eq!(connection.send(&request).status, status, "{user} at {path}");
    }
    let key = Request::get("/admin/users").header("authorization", "Bearer sk-0");
    assert_eq!(connection.send(&key).status, 403, "a key names nobody");
}

const SOON: Duration = Duration::from_secs(10);
