//! Promise: an API key reaches the application unchanged and without a user id, and the filter
//! still checks every token of the same request. When a key is revoked, new requests with it are
//! refused and open ones end.
//! Method: a table of requests to an application that accepts API keys and tokens in the same
//! places.

use std::time::Duration;

use serde_json::json;
use testbed::{
    Configuration, Envoy, Http2, Http2Stream, Reply, Request, Shared, Testbed, Token, eventually,
};

static BED: Shared<Testbed> = Shared::new(|| Testbed::with(with_keys));

fn with_keys(configuration: &mut Configuration) {
    configuration.filter["token_sources"] = json!([
        {"header": "authorization", "scheme": "Bearer", "pass_prefix": "sk-"},
        {"header": "x-api-key", "pass_prefix": "sk-"},
        {"cookie": "token"},
    ]);
    configuration.filter["forward"]["token"] = json!("strip");
}

const KEY: &str = "sk-0123456789abcdef0123456789abcdef";

fn request() -> Request {
    Request::get("/page").header("x-user-id", "root")
}

fn bearer(credentials: &str) -> Request {
    request().header("authorization", format!("Bearer {credentials}"))
}

#[test]
fn an_api_key_reaches_the_application_without_a_user() {
    let bed = BED.get();
    for (name, value) in [("authorization", format!("Bearer {KEY}")), ("x-api-key", KEY.to_owned())]
    {
        let seen = bed.envoy.send(&request().header(name, &value)).seen();
        assert_eq!(seen.headers(name), [value], "it is not a token to be stripped");
        assert_eq!(seen.headers("x-user-id"), [""; 0], "{name}");
    }
}

#[test]
fn tokens_next_to_an_api_key_are_checked() {
    let bed = BED.get();
    let (ada, gone) = (Token::of("ada"), Token::of("ada"));
    bed.service.revoke(&json!({"jti": gone.jti(), "exp": testbed::unix_seconds() + 3600}));
    let mut connection = bed.envoy.connect();
    eventually(Duration::from_secs(10), || {
        connection.send(&Request::get("/page").bearer(&gone)).code() == "revoked"
    });
    for (name, request, code) in [
        ("a good cookie", bearer(KEY).cookie(&ada), ""),
        ("a revoked cookie", bearer(KEY).cookie(&gone), "revoked"),
        ("a forged cookie", bearer(KEY).cookie(&ada.forged()), "bad_signature"),
        (
            "another line",
            bearer(KEY).header("authorization", format!("Bearer {gone}")),
            "malformed_token",
        ),
        (
            "a line of another scheme",
            bearer(KEY).header("authorization", format!("x {gone}")),
            "malformed_token",
        ),
        ("the same line", bearer(&format!("{KEY}, Bearer {gone}")), "malformed_token"),
        ("the same line, no scheme", bearer(&format!("{KEY}, {gone}")), "malformed_token"),
        ("the other header", bearer(gone.as_str()).header("x-api-key", KEY), "revoked"),
        ("behind the key", bearer(&format!("{KEY} {ada}")), "malformed_token"),
        ("glued to the prefix", bearer(&format!("sk-{ada}=")), "malformed_token"),
        ("no key at all", bearer("sk-"), "malformed_token"),
        (
            "a place without keys",
            request().header("cookie", format!("token={KEY}")),
            "malformed_token",
        ),
    ] {
        let answer = connection.send(&request);
        assert_eq!(
            (answer.status, &*answer.code()),
            (if code.is_empty() { 200 } else { 401 }, code),
            "{name}"
        );
        if code.is_empty() {
            assert_eq!(answer.seen().headers("x-user-id"), [""; 0], "{name}");
            assert_eq!(answer.seen().headers("cookie"), [""; 0], "{name}: stripped as ever");
        }
    }
}

#[test]
fn a_revoked_key_is_refused_by_every_worker_and_proxy() {
    let bed = BED.get();
    let other = bed.another_envoy_with(with_keys);
    let leaked = "sk-fedcba9876543210fedcba9876543210";
    assert_eq!(bed.envoy.send(&bearer(leaked)).status, 200);
    bed.service.revoke(&json!({"credential": leaked, "reason": "found in a public repository"}));
    for envoy in [&bed.envoy, &other] {
        eventually(SOON, || envoy.send(&bearer(leaked)).code() == "revoked");
    }
    for worker in &mut bed.envoy.connection_per_worker() {
        for request in [bearer(leaked), request().header("x-api-key", leaked)] {
            let answer = worker.send(&request);
            assert_eq!((answer.status, &*answer.code()), (401, "revoked"));
        }
        assert_eq!(worker.send(&bearer(KEY)).status, 200, "another key");
    }
    assert!(!bed.envoy.log().contains(leaked) && !bed.envoy.access_log().contains(leaked));
}

#[test]
fn open_requests_with_a_revoked_key_end() {
    let bed = Testbed::with(with_keys);
    bed.application.on("/events", Reply::events(Duration::from_millis(10)));
    let other = bed.another_envoy_with(with_keys);
    let leaked = "sk-00112233445566778899aabbccddeeff";
    let open = |key| [&bed.envoy, &other].map(|envoy| open_events(envoy, key));
    let (ending, going_on) = (open(leaked), open(KEY));
    let all = || ending.iter().chain(&going_on).map(|(_, stream)| stream);
    eventually(SOON, || all().all(|stream| stream.arrived() > 0));
    bed.service.revoke(&json!({"credential": leaked}));
    eventually(SOON, || ending.iter().all(|(_, stream)| stream.was_cut()));
    let arrived = going_on.each_ref().map(|(_, stream)| stream.arrived());
    eventually(SOON, || {
        going_on.iter().zip(arrived).all(|((_, stream), before)| stream.arrived() > before)
    });
    for envoy in [&bed.envoy, &other] {
        eventually(SOON, || envoy.metric("streams_ended.revoked") == 1);
    }
}

/// Opens a stream of events with this key. The stream ends with its connection.
fn open_events(envoy: &Envoy, key: &str) -> (Http2, Http2Stream) {
    let connection = envoy.connect_http2();
    let request = Request::get("/events").header("authorization", format!("Bearer {key}"));
    let stream = connection.open(&request);
    (connection, stream)
}

const SOON: Duration = Duration::from_secs(30);
