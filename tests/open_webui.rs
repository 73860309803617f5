//! Promise: `{"preset": "open-webui"}` is a complete configuration for Open WebUI. Its pages keep
//! working, and a signed-out token is refused in every place where its back end looks for tokens.
//! Method: real Envoys in front of the test application, with the requests and tokens of Open
//! WebUI. `make open-webui` does the same with the real Open WebUI.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Configuration, Connection, EnvoySetup, Fault, HttpResponse, Reply, Request, Shared};
use testbed::{SESSION_SECRET, Testbed, Token, eventually, repository};

static BED: Shared<Testbed> = Shared::new(|| bed("WEBUI_SECRET_KEY"));

fn bed(variable: &str) -> Testbed {
    let bed = Testbed::from(|setup| preset(setup, variable), Fault::None);
    bed.envoy.await_guarding();
    bed
}

/// Configures Envoy as the example's script does, with the secret in that environment variable.
fn preset(setup: EnvoySetup, variable: &str) -> EnvoySetup {
    setup.env(variable, SESSION_SECRET).edit(|shipped| {
        let mut made = Configuration::read(&script(&["127.0.0.1:3000", "127.0.0.1:8090"]));
        for cluster in ["application", "signout"] {
            made.cluster(cluster)["load_assignment"] =
                shipped.cluster(cluster)["load_assignment"].take();
        }
        *shipped = made;
    })
}

fn script(arguments: &[&str]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/open-webui/envoy.sh");
    let made = Command::new(path).args(arguments).output().expect("the script runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("text")
}

#[test]
fn the_configuration_of_the_compose_file_loads() {
    let compose = repository::yaml(&repository::read("examples/open-webui/compose.yaml"));
    let command = compose["services"]["envoy"]["command"][2].as_str().expect("a shell script");
    let arguments = command.split("envoy.sh ").nth(1).and_then(|rest| rest.split(" >").next());
    let made = script(&arguments.expect("the script's arguments").split(' ').collect::<Vec<_>>());
    assert!(made.contains("address: open-webui, port_value: 8080"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), made).expect("a file");
    let checked = testbed::command("signout").arg("check").arg(file.path()).output();
    let checked = checked.expect("it runs");
    let report = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && report.contains("auths/signout"), "{report}");
}

#[test]
fn the_script_refuses_an_address_without_a_port() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/open-webui/envoy.sh");
    for arguments in [["127.0.0.1", "127.0.0.1:8090"], ["127.0.0.1:3000", "signout:"]] {
        let made = Command::new(path).args(arguments).output().expect("the script runs");
        let message = String::from_utf8_lossy(&made.stderr).into_owned();
        assert_eq!((made.status.code(), made.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.contains("has no port"), "{message}");
    }
}

/// Returns the claims of a token of Open WebUI 0.12.4, where the user id is a UUID.
fn claims_of(user_id: &str) -> Value {
    let mut claims = Token::claims_of(user_id);
    claims["typ"] = json!("session");
    claims["auth_method"] = json!("password");
    claims["auth_time"] = claims["iat"].clone();
    claims["session_stamp"] = json!("1f0c");
    claims["mfa_verified"] = json!(false);
    claims
}

fn sign_in(user_id: &str) -> Token {
    Token::with(&claims_of(user_id))
}

#[test]
fn a_sign_out_revokes_the_token_in_every_place() {
    let bed = bed("WEBUI_SECRET_KEY"); // not shared, because it identifies workers by connections
    let (token, phone) = (sign_in("u-out"), sign_in("u-out"));
    for place in PLACES {
        assert_eq!(bed.envoy.send(&place(chats(), &token)).status, 200);
    }
    let answer = bed.envoy.send(&Request::post(SIGN_OUT).cookie(&token));
    assert_eq!(answer.seen().header("cookie"), Some(&*format!("token={token}")));
    for worker in &mut bed.envoy.connection_per_worker() {
        for place in PLACES {
            assert_signed_out(&worker.send(&place(chats(), &token)));
            assert_signed_out(&worker.send(&place(chats(), &phone).cookie(&token)));
            assert_eq!(worker.send(&place(chats(), &phone)).status, 200);
        }
    }
    assert!(bed.service.holds(&token) && !bed.service.holds(&phone));
}

/// Any page can embed the address, so a `GET` must not sign out a visitor of that page.
#[test]
fn only_a_post_from_the_same_site_signs_out() {
    let bed = BED.get();
    let token = sign_in("u-get");
    let elsewhere = Request::post(SIGN_OUT).cookie(&token).header("sec-fetch-site", "cross-site");
    for request in [Request::get(SIGN_OUT).cookie(&token), elsewhere] {
        assert_eq!(bed.envoy.send(&request).status, 200);
        assert_eq!(bed.envoy.send(&chats().cookie(&token)).status, 200);
    }
    assert_eq!(bed.envoy.send(&Request::post(SIGN_OUT).cookie(&token)).status, 200);
    assert_signed_out(&bed.envoy.send(&chats().cookie(&token)));
}

#[test]
fn the_page_loads_with_an_invalid_token() {
    let bed = BED.get();
    let (good, bad) = (sign_in("u-page"), sign_in("u-page"));
    bed.envoy.send(&Request::post(SIGN_OUT).cookie(&bad));
    for path in ["/api/config", "/", "/auth", "/c/0a1b", "/_app/version.json", "/api/version"] {
        for place in PLACES {
            let seen = bed.envoy.send(&place(Request::get(path), &bad)).seen();
            let carried =
                [seen.header("cookie"), seen.header("authorization"), seen.header("x-api-key")];
            assert_eq!(carried, [None; 3], "{path}");
        }
        let seen = bed.envoy.send(&Request::get(path).cookie(&good)).seen();
        assert_eq!(seen.header("x-user-id"), Some("u-page"), "{path}");
        assert_eq!(bed.envoy.send(&Request::get(path)).status, 200, "{path}");
    }
    for path in ["/api/v1/auths/signin", "/api/v1/auths/signup"] {
        assert_eq!(bed.envoy.send(&Request::post(path).cookie(&bad)).status, 200, "{path}");
    }
}

#[test]
fn the_page_understands_the_refusal_of_a_token() {
    let bed = BED.get();
    let token = sign_in("u-says");
    bed.envoy.send(&Request::post(SIGN_OUT).cookie(&token));
    for bad in [&token, &token.forged(), &Token::text("undefined")] {
        let answer = bed.envoy.send(&chats().bearer(bad).cookie(bad));
        assert_eq!((answer.status, answer.json()["detail"].as_str()), (401, Some(EXPIRED)));
        let cleared = answer.header("set-cookie").unwrap_or_default();
        assert!(cleared.starts_with("token=; Max-Age=0; Path=/"), "{cleared}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    }
    let answer = bed.envoy.send(&chats());
    assert_eq!((answer.status, answer.json()["detail"].as_str()), (401, Some(EXPIRED)));
    assert_eq!(answer.code(), "missing_token");
}

#[test]
fn a_cutoff_ends_all_sessions_but_not_the_next() {
    let bed = BED.get();
    let administrator = sign_in("u-admin");
    for (index, method_and_path) in ENDS_SESSIONS_OF.iter().enumerate() {
        let user = format!("u-ends-{index}");
        let (method, path) = method_and_path.split_once(' ').expect("method and path");
        let [this, that, other] = [&user, &user, "u-ends"].map(|user: &str| sign_in(user));
        let by = if path.contains("{id}") { &administrator } else { &this };
        let request = Request::new(method, &path.replace("{id}", &user)).bearer(by);
        bed.application.on(&path.replace("{id}", &user), Reply::status(403));
        assert_eq!(bed.envoy.send(&request).status, 403);
        assert_eq!(bed.envoy.send(&chats().bearer(&that)).status, 200, "{path}: it has failed");
        bed.application.on(&path.replace("{id}", &user), Reply::status(200));
        assert_eq!(bed.envoy.send(&request).status, 200, "{path}");
        let again = sign_in(&user); // often within the same second
        for old in [&this, &that] {
            assert_signed_out(&bed.envoy.send(&chats().bearer(old)));
        }
        for live in [&again, &other, &administrator] {
            assert_eq!(bed.envoy.send(&chats().bearer(live)).status, 200, "{path}");
        }
    }
}

#[test]
fn an_account_that_scim_deletes_is_signed_out() {
    let bed = BED.get();
    let token = sign_in("u-scim");
    let delete = Request::new("DELETE", "/api/v1/scim/v2/Users/u-scim");
    let seen = bed.envoy.send(&delete.header("authorization", "Bearer scim-token")).seen();
    assert_eq!(seen.header("authorization"), Some("Bearer scim-token"));
    assert_signed_out(&bed.envoy.send(&chats().bearer(&token)));
}

#[test]
fn tokens_of_every_version_can_be_signed_out() {
    let bed = BED.get();
    for absent in [&["exp"][..], &["jti"], &["jti", "iat"], &["jti", "iat", "exp"]] {
        let mut claims = claims_of("u-old");
        claims["nonce"] = json!(absent);
        absent.iter().for_each(|name| drop(claims.as_object_mut().unwrap().remove(*name)));
        let token = Token::with(&claims);
        assert_eq!(bed.envoy.send(&chats().bearer(&token)).status, 200, "{absent:?}");
        bed.envoy.send(&Request::post(SIGN_OUT).cookie(&token));
        assert_signed_out(&bed.envoy.send(&chats().bearer(&token)));
    }
    let mut claims = claims_of("u-old");
    claims.as_object_mut().unwrap().remove("id");
    assert_eq!(bed.envoy.send(&chats().bearer(&Token::with(&claims))).code(), "bad_claims");
}

#[test]
fn an_api_key_passes_but_tokens_are_still_checked() {
    let bed = BED.get();
    let key = Token::text("sk-0123456789abcdef0123456789abcdef");
    let (good, bad) = (sign_in("u-key"), sign_in("u-key"));
    bed.envoy.send(&Request::post(SIGN_OUT).cookie(&bad));
    for place in PLACES {
        let seen = bed.envoy.send(&place(chats(), &key)).seen();
        assert_eq!(seen.header("x-user-id"), None);
        let carried =
            ["authorization", "cookie", "x-api-key"].map(|name| seen.header(name).is_some());
        assert_eq!(carried.iter().filter(|it| **it).count(), 1);
    }
    for (first, second) in
        [(by_bearer as TokenPlacement, by_cookie as TokenPlacement), (by_api_key_header, by_bearer)]
    {
        assert_eq!(bed.envoy.send(&second(first(chats(), &key), &good)).status, 200);
        assert_signed_out(&bed.envoy.send(&second(first(chats(), &key), &bad)));
    }
    let no_key = Token::text("SK-0123456789abcdef0123456789abcdef");
    assert_eq!(bed.envoy.send(&chats().bearer(&no_key)).code(), "malformed_token");
}

#[test]
fn a_socket_does_not_open_with_an_api_key() {
    let bed = BED.get();
    let key = Token::text("sk-0123456789abcdef0123456789abcdef");
    for path in [
        "/ws/socket.io/?EIO=4&transport=polling",
        "/ws/socket%2Eio/",
        "/WS/socket.io/",
        "/api/v1/terminals/a/api/terminals/b",
        "/api/v1/audio/realtime",
        "/static/of-a-later-version",
    ] {
        for place in PLACES {
            let upgrade = |path| {
                Request::get(path).header("connection", "upgrade").header("upgrade", "websocket")
            };
            let answer = bed.envoy.send(&place(upgrade(path), &key));
            assert_eq!((answer.status, &*answer.code()), (401, "missing_token"), "{path}");
        }
    }
}

#[test]
fn a_socket_needs_the_cookie_and_ends_at_sign_out() {
    let bed = BED.get();
    let (token, phone) = (sign_in("u-socket"), sign_in("u-socket"));
    assert_eq!(open_socket(&mut bed.envoy.connect(), None).status, 401);
    let mut sockets = [bed.envoy.connect(), bed.envoy.connect()];
    for (socket, token) in sockets.iter_mut().zip([&token, &phone]) {
        assert_eq!(open_socket(socket, Some(token)).status, 101);
        echo(socket);
    }
    bed.envoy.send(&Request::post(SIGN_OUT).cookie(&token));
    eventually(Duration::from_secs(1), || sockets[0].is_closed());
    echo(&mut sockets[1]);
    assert_signed_out(&open_socket(&mut bed.envoy.connect(), Some(&token)));
}

#[test]
fn the_configuration_differs_from_the_shipped_one_where_it_must() {
    let mut made = Configuration::read(&script(&["chat.local:3001", "10.0.0.7:8091"]));
    let mut shipped = Configuration::shipped();
    assert_eq!(made.filter, json!({"preset": "open-webui"}));
    for (cluster, host, port) in
        [("application", "chat.local", 3001), ("signout", "10.0.0.7", 8091)]
    {
        let address = json!({"socket_address": {"address": host, "port_value": port}});
        let at = |configuration: &mut Configuration| {
            let endpoints = &mut configuration.cluster(cluster)["load_assignment"]["endpoints"];
            endpoints[0]["lb_endpoints"][0]["endpoint"]["address"].take()
        };
        assert_eq!((at(&mut made), at(&mut shipped).is_null()), (address, false));
    }
    let names = json!(["WEBUI_SECRET_KEY", "WEBUI_JWT_SECRET_KEY", "SIGNOUT_TOKEN"]);
    assert_eq!(made.plugin()["vm_config"]["environment_variables"]["host_env_keys"], names);
    shipped.plugin()["vm_config"]["environment_variables"]["host_env_keys"] = names;
    for configuration in [&mut made, &mut shipped] {
        configuration.plugin()["configuration"]["value"].take();
    }
    assert_eq!(made.bootstrap, shipped.bootstrap);
}

#[test]
fn the_secret_may_have_its_old_name() {
    let bed = bed("WEBUI_JWT_SECRET_KEY");
    assert_eq!(bed.envoy.send(&chats().bearer(&sign_in("u"))).status, 200);
    assert_eq!(bed.envoy.send(&chats().bearer(&sign_in("u").forged())).code(), "bad_signature");
}

#[test]
fn without_a_feed_the_page_loads_and_requests_get_503() {
    let bed = Testbed::from(|setup| preset(setup, "WEBUI_SECRET_KEY"), Fault::Refuse);
    let token = sign_in("u");
    assert_eq!(bed.envoy.send(&Request::get("/auth").cookie(&token)).seen().header("cookie"), None);
    let answer = bed.envoy.send(&chats().cookie(&token));
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert_eq!(answer.header("set-cookie"), None);
}

fn chats() -> Request {
    Request::get("/api/v1/chats/")
}

type TokenPlacement = fn(Request, &Token) -> Request;

fn by_bearer(request: Request, token: &Token) -> Request {
    request.bearer(token)
}

fn by_other_scheme(request: Request, token: &Token) -> Request {
    request.header("authorization", format!("Token {token}"))
}

fn by_cookie(request: Request, token: &Token) -> Request {
    request.cookie(token)
}

fn by_api_key_header(request: Request, token: &Token) -> Request {
    request.header("x-api-key", token.as_str())
}

#[track_caller]
fn assert_signed_out(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "revoked"));
    assert_eq!(answer.json()["detail"], EXPIRED);
}

fn open_socket(connection: &mut Connection, token: Option<&Token>) -> HttpResponse {
    let path = "/ws/socket.io/?EIO=4&transport=websocket";
    let request = Request::get(path).header("connection", "upgrade").header("upgrade", "websocket");
    connection.send(&match token {
        Some(token) => request.cookie(token),
        None => request,
    })
}

fn echo(socket: &mut Connection) {
    socket.send_bytes(b"ping");
    assert_eq!(socket.take(4), b"ping");
}

const PLACES: [TokenPlacement; 4] = [by_bearer, by_other_scheme, by_cookie, by_api_key_header];
const SIGN_OUT: &str = "/api/v1/auths/signout";
const EXPIRED: &str = "Your session has expired or the token is invalid. Please sign in again.";
const ENDS_SESSIONS_OF: [&str; 4] = [
    "POST /api/v1/auths/update/password",
    "POST /api/v1/users/{id}/update",
    "POST /api/v1/users/{id}/sessions/revoke",
    "DELETE /api/v1/users/{id}",
];
