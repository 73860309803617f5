//! Promise: the application receives the user id in one header line that no client can forge.
//! Method: clients send that header in every spelling that some server may treat as the same, on
//! every kind of route, in headers and trailers. The application returns what it received.

use serde_json::json;
use testbed::{Configuration, Connection, Request, Seen, Shared, Testbed, Token};

/// The shipped configuration, in which Envoy rejects header names with an underscore.
static SHIPPED: Shared<Testbed> = Shared::new(|| Testbed::with(claims));

/// A configuration in which Envoy passes header names with an underscore, and trailers of HTTP/1.1
/// and HTTP/2.
static LENIENT: Shared<Testbed> = Shared::new(|| {
    Testbed::with(|configuration| {
        claims(configuration);
        let manager = configuration.connection_manager();
        let options = manager["common_http_protocol_options"].as_object_mut();
        options.and_then(|it| it.remove("headers_with_underscores_action")).expect("the setting");
        manager["http_protocol_options"] = json!({"enable_trailers": true});
        configuration.speak_http2("application");
    })
});

fn claims(configuration: &mut Configuration) {
    configuration.filter["forward"]["claims"] = json!({"role": "x-user-role"});
    let routes = configuration.filter["routes"].as_array_mut().expect("a list of routes");
    routes.push(json!({"path": "/optional", "access": "optional"}));
}

#[test]
fn the_user_is_named_once_despite_forged_headers() {
    for bed in [SHIPPED.get(), LENIENT.get()] {
        for (name, value) in SPELLINGS {
            let request = Request::get("/page").bearer(&admin()).header(name, value);
            let expected = [("x-user-id", "ada"), ("x-user-role", "admin")];
            assert_eq!(identity(&bed.envoy.send(&request).seen()), owned(&expected), "{name}");
        }
    }
}

#[test]
fn without_a_user_no_header_names_one() {
    for bed in [SHIPPED.get(), LENIENT.get()] {
        for (name, value) in SPELLINGS {
            for request in
                [Request::get("/"), Request::get("/optional"), Request::post("/sign-out")]
            {
                let seen = bed.envoy.send(&request.header(name, value)).seen();
                assert_eq!(identity(&seen), [], "{name} at {}", seen.path);
            }
        }
    }
}

#[test]
fn no_client_makes_the_next_proxy_remove_the_user() {
    let bed = SHIPPED.get();
    for connection in ["upgrade, x-user-id", "X-User-Id, upgrade,x-user-role"] {
        let path = format!("/page?connection={}", connection.len());
        let request = Request::get(&path).bearer(&admin());
        bed.envoy.send(&request.header("connection", connection).header("upgrade", "websocket"));
        let seen = bed.application.seen_at(&path);
        let [seen] = seen.as_slice() else { panic!("{connection}: {seen:?}") };
        assert_eq!(seen.headers("connection"), ["upgrade"], "{connection}");
        let expected = [("x-user-id", "ada"), ("x-user-role", "admin")];
        assert_eq!(identity(seen), owned(&expected), "{connection}");
    }
}

#[test]
fn a_name_with_an_underscore_does_not_pass_the_shipped_envoy() {
    let bed = SHIPPED.get();
    for name in UNDERSCORES {
        let answer = bed.envoy.send(&Request::get("/").header(name, "eve"));
        assert_eq!((answer.status, answer.code()), (400, String::new()), "{name}");
    }
    assert_eq!(bed.envoy.send(&Request::get("/").header("x-other", "eve")).status, 200);
}

#[test]
fn a_name_with_an_underscore_is_removed_if_passed() {
    let bed = LENIENT.get();
    for name in UNDERSCORES {
        let seen = bed.envoy.send(&Request::get("/").header(name, "eve")).seen();
        assert_eq!(identity(&seen), [], "{name}");
        let request = Request::get("/page").bearer(&Token::of("ada")).header(name, "eve");
        let seen = bed.envoy.send(&request).seen();
        assert_eq!(identity(&seen), owned(&[("x-user-id", "ada")]), "{name}");
    }
    let seen = bed.envoy.send(&Request::get("/").header("x_other", "mine")).seen();
    assert_eq!(seen.header("x_other"), Some("mine"), "others are none of our business");
}

#[test]
fn a_client_cannot_supply_a_missing_claim() {
    let bed = SHIPPED.get();
    let request = Request::get("/page").bearer(&Token::of("ada")).header("x-user-role", "admin");
    assert_eq!(identity(&bed.envoy.send(&request).seen()), owned(&[("x-user-id", "ada")]));
}

#[test]
fn the_connection_header_cannot_remove_identity() {
    for bed in [SHIPPED.get(), LENIENT.get()] {
        for options in ["x-user-id", "close, X-User-Id", "keep-alive, x-user-id, x-user-role"] {
            let request = Request::get("/page").bearer(&admin()).header("x-user-id", "eve");
            let seen = bed.envoy.send(&request.header("connection", options)).seen();
            let expected = [("x-user-id", "ada"), ("x-user-role", "admin")];
            assert_eq!(identity(&seen), owned(&expected), "{options}");
        }
    }
}

#[test]
fn http_2_and_web_sockets_name_the_user() {
    let bed = LENIENT.get();
    let http2 = bed.envoy.connect_http2();
    for name in ["x-user-id", "x_user_id"] {
        let request = Request::get("/page").bearer(&Token::of("ada")).header(name, "eve");
        let seen = http2.send(&request).seen();
        assert_eq!(identity(&seen), owned(&[("x-user-id", "ada")]), "{name}");
    }
    let bed = SHIPPED.get();
    let upgrade = Request::get("/socket").header("connection", "upgrade, x-user-id");
    let upgrade = upgrade.header("upgrade", "websocket").header("x-user-id", "eve");
    assert_eq!(bed.envoy.send(&upgrade.bearer(&Token::of("ada"))).status, 101);
    let seen = bed.application.seen_at("/socket").pop().expect("an upgrade");
    assert_eq!(identity(&seen), owned(&[("x-user-id", "ada")]));
}

#[test]
fn trailers_name_nobody() {
    let bed = LENIENT.get();
    let http2 = bed.envoy.connect_http2();
    for path in ["/page", "/sign-in"] {
        let request = Request::post(path).bearer(&Token::of("ada")).body("words");
        let request = request.trailer("x-user-id", "eve").trailer("x_user_id", "eve");
        let seen =
            http2.send(&request.trailer("x-user-role", "admin").trailer("x-sum", "1")).seen();
        assert_eq!(seen.trailers, owned(&[("x-sum", "1")]), "{path}");
        assert_eq!(seen.body, "words");
    }
}

#[test]
fn trailers_of_http_1_name_nobody() {
    let bed = LENIENT.get();
    let mut connection = bed.envoy.connect();
    let seen = chunked(&mut connection, "X-User-Id: eve\r\nx_user-role: admin\r\nx-sum: 1\r\n");
    assert_eq!((seen.trailers, seen.body.as_str()), (owned(&[("x-sum", "1")]), "words"));
    assert_eq!(chunked(&mut connection, "").trailers, []);
}

#[test]
fn a_user_id_beyond_ascii_arrives_byte_for_byte() {
    let bed = SHIPPED.get();
    let seen = bed.envoy.get("/page", &Token::of("M\u{fc}ller \u{1f642}")).seen();
    let bytes: Vec<_> = seen.header("x-user-id").unwrap().chars().map(|c| c as u8).collect();
    assert_eq!(bytes, "M\u{fc}ller \u{1f642}".as_bytes());
}

fn admin() -> Token {
    let mut claims = Token::claims_of("ada");
    claims["role"] = json!("admin");
    Token::with(&claims)
}

/// Header lines that Envoy passes in both configurations. For each of them, some server may take
/// the header for `x-user-id` or `x-user-role`.
const SPELLINGS: &[(&str, &str)] = &[
    ("x-user-id", "eve"),
    ("X-User-Id", "eve"),
    ("X-USER-ID", "eve"),
    ("x-user-id", ""),
    ("x-user-id", "eve\r\nx-user-id: mallory"), // two lines
    ("x-user-id", "eve\r\nX-USER-ID: ada\r\nx-user-role: admin"),
    ("x.user.id", "eve"),
    ("x-user.id", "eve"),
    ("x!user~id", "eve"),
    ("x-user-role", "root"),
    ("X-User.Role", "root"),
    ("x-other", "eve"),
];

const UNDERSCORES: &[&str] = &["x_user_id", "X_USER_ID", "x-user_id", "X_User-Id", "x_user-role"];

/// Returns the header lines that some server may read as the user's identity.
fn identity(seen: &Seen) -> Vec<(String, String)> {
    let folded = |name: &str| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let ours = |name: &str| ["x-user-id", "x-user-role"].contains(&&*folded(name));
    let mut lines = seen.lines.clone();
    lines.retain(|(name, _)| ours(name));
    lines.sort();
    lines
}

fn owned(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Sends a request with these lines as its trailers. Returns what the application received.
fn chunked(connection: &mut Connection, trailers: &str) -> Seen {
    let head = Request::new("PUT", "/page").bearer(&Token::of("ada"));
    connection.send_bytes(&head.header("transfer-encoding", "chunked").to_bytes());
    connection.send_bytes(format!("5\r\nwords\r\n0\r\n{trailers}\r\n").as_bytes());
    connection.read_answer().seen()
}
