//! Promise: valid messages of identity providers end sessions, and no other message changes
//! anything.
//! Method: the real app over a real store, with keys that a real server publishes.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signout::http::client::HttpClient;
use signout::issuers::settings;
use signout::receivers::Receivers;

use crate::provider::{KeyServer, SigningKey, now, signing_input};
use crate::support::{InProcess, ServiceProcess, ServiceResponse, TOKEN, signout};

const ISSUER: &str = "https://id.example.com";
const ENDPOINT: &str = "https://signout.example.com/v1/realms/shop/global-token-revocation";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Starts a service with the receivers of one issuer.
fn service(jwks: &Value) -> InProcess {
    let file = file(jwks).to_string();
    InProcess::receiving(|service| {
        let issuers = settings::read(file.as_bytes(), &|_| None).unwrap();
        Receivers::start(service, issuers, &HttpClient::new(None).unwrap()).unwrap()
    })
}

fn file(jwks: &Value) -> Value {
    json!({"issuers": [{
        "issuer": ISSUER,
        "realm": "shop",
        "jwks": jwks,
        "algorithms": ["ES256"],
        "backchannel_logout": {"audiences": ["app"]},
        "events": {"audiences": ["https://signout.example.com"]},
        "global_token_revocation": {"audiences": [ENDPOINT]},
        "token_revocation": true,
    }]})
}

fn inline(key: &SigningKey) -> Value {
    json!({"inline": {"keys": [key.jwk()]}})
}

fn fetched(server: &KeyServer) -> Value {
    json!({"url": format!("http://{}/jwks.json", server.address)})
}

fn logout_token() -> Value {
    json!({
        "iss": ISSUER, "aud": "app", "iat": now(), "exp": now() + 120, "jti": "j", "sub": "u", "sid": "s",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    })
}

fn security_event() -> Value {
    json!({
        "iss": ISSUER, "aud": "https://signout.example.com", "iat": now(), "jti": "j",
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "u"},
        "events": {SESSION_REVOKED: {}},
    })
}

fn credential() -> Value {
    json!({"iss": ISSUER, "sub": "c", "aud": ENDPOINT, "iat": now(), "exp": now() + 300})
}

fn user() -> Value {
    json!({"sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "u"}})
}

async fn send(
    service: &InProcess,
    path: &str,
    content_type: &str,
    body: String,
) -> ServiceResponse {
    let request = Request::post(path).header("content-type", content_type);
    service.call(request.body(Body::from(body)).unwrap()).await
}

async fn log_out(service: &InProcess, token: &str) -> ServiceResponse {
    let body = format!("logout_token={token}");
    send(service, "/v1/realms/shop/backchannel-logout", FORM, body).await
}

/// Returns the number of cutoffs in the store.
async fn cutoffs(service: &InProcess) -> u64 {
    let status = service.get("/v1/status").await.json();
    let counts = status["revocations"].as_object().unwrap();
    counts.values().map(|count| count.as_u64().unwrap()).sum()
}

/// Returns the value of a counter.
async fn count(service: &InProcess, protocol: &str, result: &str) -> String {
    let metrics = String::from_utf8(service.get("/metrics").await.body).unwrap();
    let name =
        format!("signout_receiver_messages_total{{protocol=\"{protocol}\",result=\"{result}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name} in {metrics}")).to_owned()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_logout_ends_the_session_and_a_replay_changes_nothing() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let before = service.poll("").await.cursor;
    let claims = logout_token();
    let token = key.sign(Some("logout+jwt"), &claims);
    let answer = log_out(&service, &token).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b""[..]), "{answer:?}");
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert!(now() > claims["iat"].as_u64().unwrap(), "the cutoff has begun");
    let after = service.poll("").await.cursor;
    assert_ne!(before, after);
    assert_eq!(log_out(&service, &token).await.status, 200);
    assert_eq!(service.poll("").await.cursor, after);
    assert_eq!(cutoffs(&service).await, 1);
    assert_eq!(count(&service, "backchannel_logout", "accepted").await, "2");
}

#[tokio::test]
async fn a_logout_token_with_another_typ_is_refused() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    for (typ, status) in [
        (None, 200),
        (Some("JWT"), 200),
        (Some("logout+jwt"), 200),
        (Some("at+jwt"), 400),
        (Some("secevent+jwt"), 400),
        (Some("dpop+jwt"), 400),
    ] {
        let answer = log_out(&service, &key.sign(typ, &logout_token())).await;
        assert_eq!(answer.status.as_u16(), status, "{typ:?}");
    }
}

#[tokio::test]
async fn other_tokens_of_the_issuer_log_nobody_out() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let id_token = json!({"iss": ISSUER, "aud": "app", "iat": now(), "exp": now() + 60, "sub": "u", "sid": "s", "nonce": "n"});
    let access_token = json!({"iss": ISSUER, "aud": "app", "iat": now(), "exp": now() + 60, "sub": "u", "sid": "s", "jti": "j"});
    let mut event = security_event();
    event["aud"] = json!("app");
    event["sid"] = json!("s");
    for claims in [id_token, access_token, event] {
        let answer = log_out(&service, &key.sign(Some("JWT"), &claims)).await;
        assert_eq!((answer.status.as_u16(), error(&answer)), (400, "invalid_request".to_owned()));
    }
    assert_eq!(cutoffs(&service).await, 0);
    assert_eq!(count(&service, "backchannel_logout", "wrong_event").await, "3");
}

fn error(answer: &ServiceResponse) -> String {
    answer.json()["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn forged_logout_tokens_are_refused() {
    let (key, other) = (SigningKey::new("k"), SigningKey::new("k"));
    let service = service(&inline(&key));
    let claims = logout_token();
    let input = signing_input(&json!({"alg": "HS256", "kid": "k"}), &claims);
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_bytes());
    let mac = ring::hmac::sign(&secret, input.as_bytes());
    let confused = format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac));
    let unsigned = format!("{}.", signing_input(&json!({"alg": "none"}), &claims));
    let genuine = key.sign(None, &claims);
    let mut foreign = claims.clone();
    foreign["iss"] = json!("https://other.example.com");
    for (token, reason) in [
        (confused, "unsupported_algorithm"),
        (unsigned, "unsupported_algorithm"),
        (other.sign(None, &claims), "bad_signature"),
        (SigningKey::new("x").sign(None, &claims), "unknown_key"),
        (key.sign(None, &foreign), "unknown_issuer"),
        (genuine.rsplit_once('.').unwrap().0.to_owned(), "malformed_token"),
        (format!("{genuine}AA"), "bad_signature"),
        ("x".repeat(20_000), "malformed_token"),
        (String::new(), "malformed_token"),
    ] {
        let answer = log_out(&service, &token).await;
        assert_eq!((answer.status.as_u16(), &*error(&answer)), (400, "invalid_request"));
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        assert_ne!(
            count(&service, "backchannel_logout", reason).await,
            "0",
            "{reason}: {answer:?}"
        );
    }
    assert_eq!(cutoffs(&service).await, 0);
}

#[tokio::test]
async fn requests_of_another_form_are_refused() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let token = key.sign(None, &logout_token());
    let path = "/v1/realms/shop/backchannel-logout";
    let json = json!({"logout_token": token}).to_string();
    for (path, content_type, body, status) in [
        (path, FORM, format!("logout_token={token}&logout_token={token}"), 400),
        (path, FORM, format!("logout%5Ftoken={token}&logout_token={token}"), 400),
        (path, FORM, format!("token={token}"), 400),
        (path, FORM, String::new(), 400),
        (path, FORM, format!("logout_token={token}&x={}", "x".repeat(64 << 10)), 400),
        (path, "application/json", json, 400),
        (path, "", format!("logout_token={token}"), 400),
        (path, "text/plain", format!("logout_token={token}"), 400),
        ("/v1/realms/other/backchannel-logout", FORM, format!("logout_token={token}"), 404),
        ("/v1/backchannel-logout", FORM, format!("logout_token={token}"), 404),
    ] {
        let answer = send(&service, path, content_type, body).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {content_type}: {answer:?}");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder().method(method).uri(format!("{path}?logout_token={token}"));
        let answer = service.call(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{method}");
    }
    assert_eq!(cutoffs(&service).await, 0);
    let form = format!("{FORM}; charset=UTF-8");
    let answer = send(&service, path, &form, format!("a=b&logout_token={token}")).await;
    assert_eq!(answer.status, 200, "other parameters are ignored");
}

#[tokio::test]
async fn events_are_acknowledged_or_refused_as_rfc_8935_says() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let set = "application/secevent+jwt";
    let push = async |token: String| send(&service, "/v1/realms/shop/events", set, token).await;
    let answer = push(key.sign(Some("secevent+jwt"), &security_event())).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (202, &b""[..]), "{answer:?}");
    assert_eq!(cutoffs(&service).await, 1);
    let changed = |name: &str, value: Value| {
        let mut claims = security_event();
        claims[name] = value;
        key.sign(Some("secevent+jwt"), &claims)
    };
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let answer = push(changed("events", json!({verification: {"state": "x"}}))).await;
    assert_eq!(answer.status, 202);
    let other = SigningKey::new("k").sign(Some("secevent+jwt"), &security_event());
    for (token, err) in [
        (String::new(), "invalid_request"),
        (key.sign(Some("JWT"), &security_event()), "invalid_request"),
        (key.sign(None, &security_event()), "invalid_request"),
        (changed("iss", json!("https://other.example.com")), "invalid_issuer"),
        (changed("aud", json!("https://other.example.com")), "invalid_audience"),
        (changed("events", json!({})), "invalid_request"),
        (changed("sub_id", json!({"format": "opaque"})), "invalid_request"),
        (SigningKey::new("x").sign(Some("secevent+jwt"), &security_event()), "invalid_key"),
        (other, "authentication_failed"),
    ] {
        let answer = push(token).await;
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), body["err"].as_str()), (400, Some(err)), "{answer:?}");
        assert!(body["description"].is_string());
        assert_eq!(answer.headers[header::CONTENT_LANGUAGE], "en");
    }
    let wrong = send(&service, "/v1/realms/shop/events", "application/jwt", String::new()).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(cutoffs(&service).await, 1);
    assert_eq!(count(&service, "events_push", "ignored").await, "1");
}

#[tokio::test]
async fn an_organisation_revokes_all_tokens_of_a_user() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let call = async |credential: Option<String>, body: &Value| {
        let path = "/v1/realms/shop/global-token-revocation";
        let mut request = Request::post(path).header("content-type", "application/json");
        if let Some(credential) = credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        service.call(request.body(Body::from(body.to_string())).unwrap()).await
    };
    let signed = |claims: &Value| Some(key.sign(Some("global-token-revocation+jwt"), claims));
    let answer = call(signed(&credential()), &user()).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (204, &b""[..]), "{answer:?}");
    let mut for_another = credential();
    for_another["aud"] = json!("https://other.example.com");
    let foreign = json!({"sub_id": {"format": "iss_sub", "iss": "https://x.example", "sub": "u"}});
    let email = json!({"sub_id": {"format": "email", "email": "a@b.example"}});
    for (credential, body, status) in [
        (None, user(), 401),
        (Some(TOKEN.to_owned()), user(), 401),
        (Some(key.sign(Some("JWT"), &credential())), user(), 401),
        (signed(&for_another), user(), 401),
        (signed(&credential()), json!({}), 400),
        (signed(&credential()), foreign, 403),
        (signed(&credential()), email, 422),
    ] {
        let answer = call(credential, &body).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
    }
    assert_eq!(cutoffs(&service).await, 1);
}

#[tokio::test]
async fn the_holder_of_a_token_revokes_it_with_its_session() {
    let key = SigningKey::new("k");
    let service = service(&inline(&key));
    let revoke = async |body: String| send(&service, "/oauth/revoke", FORM, body).await;
    let claims = |change: (&str, Value)| {
        let mut claims = json!({
            "iss": ISSUER, "sub": "u", "sid": "s", "jti": "j", "iat": now() - 9, "exp": now() + 300,
        });
        claims[change.0] = change.1;
        claims
    };
    let token = key.sign(Some("at+jwt"), &claims(("aud", json!("any"))));
    let forged = SigningKey::new("k").sign(Some("at+jwt"), &claims(("aud", json!("any"))));
    let expired = key.sign(Some("at+jwt"), &claims(("exp", json!(now() - 1))));
    let foreign = key.sign(Some("at+jwt"), &claims(("iss", json!("https://other.example.com"))));
    for unknown in [forged, expired, foreign, "a-refresh-token".to_owned()] {
        let answer = revoke(format!("token={unknown}&token_type_hint=refresh_token")).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b""[..]), "{unknown}");
    }
    assert_eq!(cutoffs(&service).await, 0);
    let answer = revoke(format!("token={token}&token_type_hint=access_token")).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers[header::CACHE_CONTROL]),
        (200, &"no-store".parse().unwrap())
    );
    assert_eq!(cutoffs(&service).await, 2, "the token and its session, not the user");
    let cursor = service.poll("").await.cursor;
    assert_eq!(revoke(format!("token={token}")).await.status, 200);
    assert_eq!(service.poll("").await.cursor, cursor, "a replay changes nothing");
    for body in [String::new(), format!("token={token}&token={token}"), "hint=x".to_owned()] {
        let answer = revoke(body).await;
        assert_eq!((answer.status.as_u16(), &*error(&answer)), (400, "invalid_request"));
    }
    assert_eq!(count(&service, "token_revocation", "accepted").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_when_a_message_names_it() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let server = KeyServer::start(&[&old]);
    let service = service(&fetched(&server));
    assert_eq!(log_out(&service, &old.sign(None, &logout_token())).await.status, 200, "loaded");
    server.publish(&[&old, &new]);
    assert_eq!(log_out(&service, &new.sign(None, &logout_token())).await.status, 200);
    let fetched = server.requests();
    for _ in 0..20 {
        let invented = SigningKey::new("invented").sign(None, &logout_token());
        assert_eq!(log_out(&service, &invented).await.status, 400);
    }
    assert_eq!(server.requests(), fetched, "one early fetch between two refreshes");
}

#[tokio::test(flavor = "multi_thread")]
async fn good_keys_stay_while_the_issuer_fails() {
    let (old, new) = (SigningKey::new("old"), SigningKey::new("new"));
    let server = KeyServer::start(&[&old]);
    let service = service(&fetched(&server));
    assert_eq!(log_out(&service, &old.sign(None, &logout_token())).await.status, 200);
    server.fail();
    let asked = server.requests();
    assert_eq!(log_out(&service, &new.sign(None, &logout_token())).await.status, 400);
    assert!(server.requests() > asked, "the new key was asked for");
    assert_eq!(log_out(&service, &old.sign(None, &logout_token())).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_message_may_be_sent_again() {
    let key = SigningKey::new("k");
    let server = KeyServer::start(&[&key]);
    server.fail();
    let service = service(&fetched(&server));
    let token = key.sign(None, &logout_token());
    let answer = log_out(&service, &token).await;
    assert_eq!((answer.status.as_u16(), &*error(&answer)), (400, "temporarily_unavailable"));
    let event = key.sign(Some("secevent+jwt"), &security_event());
    let set = "application/secevent+jwt";
    let answer = send(&service, "/v1/realms/shop/events", set, event).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers[header::RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
    server.publish(&[&key]);
    while log_out(&service, &token).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cutoffs(&service).await, 1);
}

#[test]
fn keys_are_fetched_over_https_without_logging_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("ca.pem"), made.cert.pem()).unwrap();
    let key = SigningKey::new("k");
    let server = KeyServer::start_tls(&[&key], &made.cert.pem(), &made.signing_key.serialize_pem());
    let jwks = json!({"url": format!("https://{}/jwks.json", server.address)});
    std::fs::write(path("issuers.json"), file(&jwks).to_string()).unwrap();
    let [issuers, ca] = [path("issuers.json"), path("ca.pem")];
    let process =
        ServiceProcess::serve_with_options(folder.path(), &["--issuers", &issuers, "--ca", &ca]);
    let token = key.sign(Some("logout+jwt"), &logout_token());
    while log_out_at(&process, &token) != 200 {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(log_out_at(&process, &SigningKey::new("k").sign(None, &logout_token())), 400);
    let log = process.log();
    assert!(log.contains("reason=\"bad_signature\""), "{log}");
    let payload = token.split('.').nth(1).unwrap();
    assert!(!log.contains(payload), "{log}");
    drop(process);
    // Without the authority's certificate, no key is loaded, and the log reports it.
    let process = ServiceProcess::serve_with_options(folder.path(), &["--issuers", &issuers]);
    while !process.log().contains("there are no keys") {
        assert_eq!(log_out_at(&process, &token), 400);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn log_out_at(process: &ServiceProcess, token: &str) -> u16 {
    let url = format!("{}/v1/realms/shop/backchannel-logout", process.url);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let sent = agent.post(&url).content_type(FORM).send(format!("logout_token={token}"));
    sent.unwrap().status().as_u16()
}

#[test]
fn a_wrong_issuers_file_is_named_before_the_service_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("issuers.json"), r#"{"issuers": [{"issuer": "x", "jwks": {}}]}"#).unwrap();
    let store = format!("redb:{}", path("db"));
    let output = signout()
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .args(["--issuers", &path("issuers.json")])
        .env("SIGNOUT_TOKEN", TOKEN)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("issuers[0].jwks: names no keys; give `url` or `inline`"), "{error}");
}
