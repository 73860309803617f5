//! Promise: once the response to a sign-out has been sent, no worker of that Envoy accepts the
//! token, whatever the state of the service. The service and every other proxy receive the
//! revocation.
//! Method: real Envoys with two workers and one kept connection to each worker. The tests compare
//! the requests that the application received and the revocations that the service holds.

use std::time::Duration;

use jwt_simple::prelude::ES256KeyPair;
use serde_json::{Value, json};
use session_guard_core::revocation::record::RecordId;
use testbed::{
    Configuration, Fault, HttpResponse, Request, Testbed, Token, eventually, unix_seconds,
};

#[test]
fn a_sign_out_holds_on_every_worker_after_its_response() {
    let bed = Testbed::start();
    let mut workers = bed.envoy.connection_per_worker();
    for round in 0..ROUNDS {
        let token = Token::of("ada");
        for worker in &mut workers {
            assert_eq!(worker.send(&page(&token)).seen().header("x-user-id"), Some("ada"));
        }
        let at = round % workers.len();
        assert_eq!(workers[at].send(&sign_out(&token)).seen().path, "/sign-out");
        for worker in &mut workers {
            assert_revoked(&worker.send(&page(&token)));
        }
        assert!(bed.service.holds(&token), "round {round}");
    }
}

#[test]
fn a_sign_out_ends_only_one_session() {
    let bed = Testbed::start();
    let (laptop, phone) = (Token::of("ada"), Token::of("ada"));
    assert_eq!(bed.envoy.send(&sign_out(&laptop)).status, 200);
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_revoked(&worker.send(&page(&laptop)));
        assert_eq!(worker.send(&page(&phone)).status, 200);
    }
}

#[test]
fn a_token_is_revoked_in_every_configured_place() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["token_sources"] = json!([
            {"header": "authorization", "scheme": "Bearer"},
            {"header": "x-session"}, {"cookie": "token"}, {"query": "token"},
        ]);
    });
    for request in SIGN_OUTS_BY_PLACE {
        let token = Token::of("ada");
        assert_eq!(bed.envoy.send(&request(&token)).status, 200);
        assert_revoked(&bed.envoy.get("/page", &token));
    }
    let elsewhere = Token::of("ada");
    bed.envoy.send(&Request::post("/sign-out").header("x-other", elsewhere.as_str()));
    assert_eq!(bed.envoy.get("/page", &elsewhere).status, 200);
}

#[test]
fn every_token_of_a_sign_out_is_revoked() {
    let bed = Testbed::start();
    let [one, two, three] = ["ada", "ada", "eve"].map(Token::of);
    let request = sign_out(&one).cookie(&two).cookie(&three);
    assert_eq!(bed.envoy.send(&request).status, 200);
    for token in [one, two, three] {
        assert_revoked(&bed.envoy.get("/page", &token));
        assert!(bed.service.holds(&token));
    }
}

#[test]
fn invalid_tokens_next_to_a_valid_one_are_not_revoked() {
    let bed = Testbed::start();
    let valid = Token::of("ada");
    let mut claims = Token::claims_of("ada");
    claims["exp"] = json!(unix_seconds() - 3600);
    let expired = Token::with(&claims);
    let request = sign_out(&valid).cookie(&expired).cookie(&Token::of("eve").forged());
    assert_eq!(bed.envoy.send(&request.cookie(&Token::text("no.token"))).status, 200);
    assert_revoked(&bed.envoy.get("/page", &valid));
    let ids: Vec<_> = bed.service.records().iter().map(|record| record["id"].clone()).collect();
    assert_eq!(ids, [valid.record_id()]);
}

#[test]
fn a_sign_out_without_a_valid_token_revokes_nothing() {
    let bed = Testbed::start();
    let token = Token::of("ada");
    assert_eq!(bed.envoy.send(&Request::post("/sign-out")).seen().path, "/sign-out");
    assert_eq!(bed.service.records(), [] as [Value; 0]);
    for _ in 0..2 {
        assert_eq!(bed.envoy.send(&sign_out(&token)).seen().path, "/sign-out");
    }
    assert_eq!(bed.service.records().len(), 1);
}

#[test]
fn head_options_and_other_methods_revoke_nothing() {
    let bed = Testbed::with(|configuration| {
        sign_out_rule(configuration)["methods"] = json!(["POST", "HEAD", "OPTIONS"]);
    });
    let token = Token::of("ada");
    for method in ["HEAD", "OPTIONS", "GET"] {
        let request = Request::new(method, "/sign-out").bearer(&token);
        assert_eq!(bed.envoy.send(&request).status, 200, "{method}");
        assert_eq!(bed.envoy.get("/page", &token).status, 200, "{method}");
    }
    bed.envoy.send(&sign_out(&token));
    assert_revoked(&bed.envoy.get("/page", &token));
}

#[test]
fn another_site_cannot_sign_out_by_cookie_unless_configured() {
    let shipped = Testbed::start();
    let opened = Testbed::with(|configuration| {
        sign_out_rule(configuration)["cross_site"] = json!("revoke");
    });
    let from = |site: &str, token: &Token| {
        Request::post("/sign-out").cookie(token).header("sec-fetch-site", site)
    };
    let token = Token::of("ada");
    assert_eq!(shipped.envoy.send(&from("cross-site", &token)).seen().path, "/sign-out");
    assert_eq!(shipped.envoy.get("/page", &token).status, 200);
    shipped.envoy.send(&from("same-origin", &token));
    assert_revoked(&shipped.envoy.get("/page", &token));
    opened.envoy.send(&from("cross-site", &token));
    assert_revoked(&opened.envoy.get("/page", &token));
    // A browser attaches cookies automatically. Only a script of the application sends this header.
    let of_script = Token::of("ada");
    let request = Request::post("/sign-out").bearer(&of_script);
    shipped.envoy.send(&request.header("sec-fetch-site", "cross-site"));
    assert_revoked(&shipped.envoy.get("/page", &of_script));
}

#[test]
fn a_token_without_jti_is_revoked_in_all_spellings() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["claims"]["required"] = json!(["exp"]);
    });
    let [token, other] = ["ada", "ada"].map(without_jti);
    bed.envoy.send(&sign_out(&token));
    assert_revoked(&bed.envoy.get("/page", &token));
    assert!(bed.service.holds(&token));
    // Lenient base64url decoders read each of these spellings as the same token.
    let last = token.as_str().chars().last().expect("a signature");
    for end in ['=', ' ', '\t', last, char::from(last as u8 + 1), char::from(last as u8 - 1)] {
        let spelling = format!("{}{end}", token.as_str().trim_end_matches(last));
        assert_ne!(bed.envoy.get("/page", &Token::text(&spelling)).status, 200, "{end:?}");
        assert_ne!(bed.envoy.get("/page", &Token::text(&format!("{token}{end}"))).status, 200);
    }
    assert_eq!(bed.envoy.get("/page", &other).status, 200);
}

/// For each ECDSA signature (r, s), the signature (r, n - s) verifies as well.
#[test]
fn a_token_without_jti_is_revoked_under_both_signatures() {
    let key = ES256KeyPair::generate();
    let bed = Testbed::with(|configuration| {
        let pem = key.public_key().to_pem().expect("a public key");
        configuration.filter["keys"] = json!([{"algorithm": "ES256", "public_key_pem": pem}]);
        configuration.filter["claims"]["required"] = json!(["exp"]);
    });
    let [token, other] = [1, 2].map(|session| es256::token(&key, session));
    let twin = es256::other_signature(&token);
    for live in [&token, &twin, &other] {
        assert_eq!(bed.envoy.get("/page", live).status, 200);
    }
    bed.envoy.send(&sign_out(&twin));
    assert_revoked(&bed.envoy.get("/page", &token));
    assert_revoked(&bed.envoy.get("/page", &twin));
    assert_eq!(bed.envoy.get("/page", &other).status, 200);
}

#[test]
fn a_client_that_disconnects_is_signed_out_everywhere() {
    let bed = Testbed::start();
    let other = bed.another_envoy();
    bed.network.set(Fault::Delay(Duration::from_millis(300)));
    let token = Token::of("ada");
    let mut client = bed.envoy.connect();
    client.send_bytes(&sign_out(&token).to_bytes());
    eventually(SOON, || bed.envoy.get("/page", &token).status == 401); // the sign-out has arrived
    drop(client);
    eventually(SOON, || bed.service.holds(&token) && other.get("/page", &token).status == 401);
    assert_revoked(&bed.envoy.get("/page", &token));
    assert_eq!(bed.application.seen_at("/sign-out"), [], "it had left before the answer");
}

#[test]
fn a_sign_out_during_an_outage_is_delivered_later() {
    let mut bed = Testbed::start();
    let other = bed.another_envoy();
    let token = Token::of("ada");
    bed.service.kill();
    assert_eq!(bed.envoy.send(&sign_out(&token)).seen().path, "/sign-out");
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_revoked(&worker.send(&page(&token)));
    }
    eventually(SOON, || bed.envoy.metric("outbox") == 1);
    bed.service.restart();
    eventually(SOON, || bed.service.holds(&token) && other.get("/page", &token).status == 401);
    eventually(SOON, || bed.envoy.metric("outbox") == 0);
}

#[test]
fn with_refuse_an_outage_keeps_sign_outs_from_the_application() {
    let mut bed = Testbed::with(|configuration| {
        configuration.filter["revocation"]["signout"] = json!({"when_unreachable": "refuse"});
    });
    let token = Token::of("ada");
    bed.service.kill();
    assert_unavailable(&bed.envoy.send(&sign_out(&token)));
    assert_eq!(bed.application.seen_at("/sign-out"), []);
    assert_revoked(&bed.envoy.get("/page", &token));
    bed.service.restart();
    eventually(SOON, || bed.service.holds(&token));
    assert_eq!(bed.envoy.send(&sign_out(&Token::of("ada"))).seen().path, "/sign-out");
}

#[test]
fn a_service_that_hangs_delays_sign_outs_by_the_timeout() {
    let mut bed = Testbed::with(|configuration| {
        configuration.filter["revocation"]["signout"] = json!({"timeout_seconds": 1});
    });
    let token = Token::of("ada");
    bed.service.pause();
    assert_eq!(bed.envoy.send(&sign_out(&token)).seen().path, "/sign-out");
    assert_revoked(&bed.envoy.get("/page", &token));
    bed.service.resume();
    eventually(SOON, || bed.service.holds(&token) && bed.envoy.metric("outbox") == 0);
}

#[test]
fn a_sign_out_passes_its_trace_on_to_the_service() {
    let bed = Testbed::with(|configuration| {
        let rule = json!({"path": "/password", "access": "protected", "revoke_user": "token"});
        configuration.filter["routes"].as_array_mut().expect("a list").insert(0, rule);
    });
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let newest = || bed.service.get("/v1/audit?limit=1").json()["entries"][0].clone();
    for path in ["/sign-out", "/password"] {
        let request = |user| Request::post(path).bearer(&Token::of(user));
        assert_eq!(bed.envoy.send(&request("ada").header("traceparent", &parent)).status, 200);
        let entry = newest();
        let caller = (entry["origin"].as_str(), entry["trace_id"].as_str());
        assert_eq!(caller, (Some("proxy"), Some(trace_id)), "{path}");
        assert_eq!(bed.envoy.send(&request("bob").header("traceparent", "00-x")).status, 200);
        assert_eq!(newest()["trace_id"], Value::Null, "{path}");
    }
    assert!(bed.service.log().contains(&format!("trace_id={trace_id}")), "{}", bed.service.log());
}

#[test]
fn a_sign_out_needs_no_feed() {
    let bed = Testbed::cut_off(|_| {});
    let token = Token::of("ada");
    assert_unavailable(&bed.envoy.get("/page", &token));
    assert_eq!(bed.envoy.send(&sign_out(&token)).seen().path, "/sign-out");
    assert_revoked(&bed.envoy.get("/page", &token));
    bed.network.set(Fault::None);
    eventually(SOON, || bed.service.holds(&token));
    eventually(SOON, || bed.envoy.get("/page", &Token::of("ada")).status == 200);
    assert_revoked(&bed.envoy.get("/page", &token));
}

#[test]
fn a_sign_out_with_a_full_outbox_gets_503() {
    let mut bed = Testbed::start();
    bed.service.kill();
    let tokens = tokens_of_outbox_key(0, ENTRIES_A_KEY + 1);
    let other = tokens_of_outbox_key(1, 1);
    let (room, beyond) = tokens.split_at(ENTRIES_A_KEY);
    let mut connection = bed.envoy.connect();
    for tokens in room.chunks(8) {
        let request = tokens.iter().fold(Request::post("/sign-out"), Request::cookie);
        assert_eq!(connection.send(&request).status, 200);
    }
    bed.application.forget();
    assert_unavailable(&connection.send(&sign_out(&beyond[0])));
    assert_eq!(bed.application.seen_at("/sign-out"), []);
    assert_eq!(connection.send(&sign_out(&other[0])).status, 200, "another key has room");
}

#[test]
fn a_sign_out_that_the_service_rejects_gets_503() {
    let wrong = "another-api-token-of-more-than-32-characters";
    let bed = Testbed::from(|setup| setup.env("SIGNOUT_TOKEN", wrong), Fault::None);
    let token = Token::of("ada");
    let mut one_worker = bed.envoy.connect();
    assert_unavailable(&one_worker.send(&sign_out(&token)));
    assert_unavailable(&one_worker.send(&sign_out(&token)));
    assert_eq!(bed.application.seen_at("/sign-out"), []);
    eventually(SOON, || bed.envoy.metric("sign_outs_rejected") == 2);
    let log = bed.envoy.log();
    assert_eq!(
        log.matches("a sign-out got 503: the signout service refuses our API token").count(),
        1
    );
}

#[test]
fn a_sign_out_without_effect_is_counted_and_logged() {
    let bed = Testbed::start();
    let token = Token::of("ada");
    for (request, reason) in [
        (Request::post("/sign-out"), "no_token"),
        (sign_out(&token.forged()), "not_genuine"),
        (
            Request::post("/sign-out").header("sec-fetch-site", "cross-site").cookie(&token),
            "cross_site",
        ),
    ] {
        assert_eq!(bed.envoy.send(&request).status, 200);
        let counter = format!("sign_outs_without_effect.{reason}");
        eventually(SOON, || bed.envoy.metric(&counter) == 1);
    }
    assert_eq!(bed.envoy.get("/page", &token).status, 200);
    assert_eq!(bed.envoy.metric("signed_out"), 0);
    assert!(bed.envoy.log().contains("a sign-out revoked nothing: the request carried no token"));
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

/// Returns sign-outs with the token in each place that the configuration of this file names.
const SIGN_OUTS_BY_PLACE: [fn(&Token) -> Request; 4] = [
    sign_out,
    |token| Request::post("/sign-out").header("x-session", token.as_str()),
    |token| Request::post("/sign-out").cookie(token),
    |token| Request::post(&format!("/sign-out?a=b&token={token}")),
];

fn sign_out_rule(configuration: &mut Configuration) -> &mut Value {
    let rules = configuration.filter["routes"].as_array_mut().expect("a list of rules");
    rules.iter_mut().find(|rule| rule["access"] == "signout").expect("a sign-out rule")
}

#[track_caller]
fn assert_revoked(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "revoked"));
}

#[track_caller]
fn assert_unavailable(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(answer.header("retry-after").is_some());
}

/// Returns tokens whose revocations all belong to this one of the outbox's 64 keys.
fn tokens_of_outbox_key(key: u8, count: usize) -> Vec<Token> {
    let is_there = |jti: &String| RecordId::of_token("", None, jti).0[15] % 64 == key;
    let jtis = (0..).map(|number| format!("session-{number}")).filter(is_there);
    let token = |jti: String| {
        let mut claims = Token::claims_of("ada");
        claims["jti"] = json!(jti);
        Token::with(&claims)
    };
    jtis.take(count).map(token).collect()
}

/// Returns a token without `jti`.
fn without_jti(user_id: &str) -> Token {
    let mut claims = Token::claims_of(user_id);
    claims["session"] = claims["jti"].take();
    claims.as_object_mut().expect("claims").remove("jti");
    Token::with(&claims)
}

mod es256 {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jwt_simple::prelude::{Claims, ECDSAP256KeyPairLike, ES256KeyPair};
    use serde_json::json;
    use testbed::Token;

    pub(super) fn token(key: &ES256KeyPair, session: u32) -> Token {
        let custom = json!({"id": "ada", "session": session});
        let lifetime = jwt_simple::prelude::Duration::from_hours(1);
        Token::text(&key.sign(Claims::with_custom_claims(custom, lifetime)).expect("a token"))
    }

    /// Returns the same token with its other valid signature.
    pub(super) fn other_signature(token: &Token) -> Token {
        let (input, signature) = token.as_str().rsplit_once('.').expect("a token");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
        let mut borrow = 0;
        for (s, n) in signature[32..].iter_mut().zip(ORDER).rev() {
            let difference = i16::from(n) - i16::from(*s) - borrow;
            *s = difference.rem_euclid(256) as u8;
            borrow = i16::from(difference < 0);
        }
        Token::text(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// n of P-256 (FIPS 186-5, SP 800-186 §3.2.1.3).
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
}

const ROUNDS: usize = 60;
const ENTRIES_A_KEY: usize = session_guard_core::feed::outbox::ENTRIES_A_KEY;
const SOON: Duration = Duration::from_secs(20);
