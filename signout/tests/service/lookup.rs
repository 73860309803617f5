//! Promise: the service says whether a token, session, user or API key is revoked, by which record,
//! since when, by whom and why.
//! Method: the service in-process, and the real binary.

use std::io::Write;
use std::process::Stdio;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use session_guard_core::revocation::record::RecordId;

use crate::support::{InProcess, ServiceProcess, TOKEN, request, signout};

/// Returns an unsigned token with these claims.
fn token(claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "HS256"})), part(claims))
}

async fn look_up(service: &InProcess, question: Value) -> Value {
    let request = request("POST", "/v1/revocations/lookup", TOKEN);
    let response = service.call(request.body(Body::from(question.to_string())).unwrap()).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Returns the kinds of the records that revoke the subject.
fn kinds(found: &Value) -> Vec<&str> {
    let records = found["records"].as_array().unwrap();
    let applying = records.iter().filter(|record| record["applies"] == true);
    let kinds: Vec<_> = applying.map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(found["revoked"] == true, !kinds.is_empty(), "{found}");
    kinds
}

#[tokio::test]
async fn each_record_that_revokes_a_token_is_named() {
    let claims = json!({"iss": "i", "sub": "alice", "sid": "s", "jti": "j", "iat": 100});
    for (revocation, kind) in [
        (json!({"jti": "j"}), "token"),
        (json!({"jti": "j", "issuer": "i"}), "token"),
        (json!({"sid": "s", "issuer": "i", "issued_before": 101}), "session"),
        (json!({"user_id": "alice", "issued_before": 101}), "user"),
        (json!({"issued_before": 101}), "all"),
    ] {
        let service = InProcess::new();
        let question = json!({"token": token(&claims)});
        assert_eq!(kinds(&look_up(&service, question.clone()).await), [""; 0]);
        let mut with_reason = revocation.clone();
        with_reason["reason"] = json!("why");
        service.revoke(&with_reason.to_string()).await;
        let found = look_up(&service, question).await;
        assert_eq!(kinds(&found), [kind], "{revocation}");
        let record = &found["records"][0];
        assert_eq!(record["audit"]["reason"], "why", "{record}");
        assert!(record["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{record}");
        let mut later = claims.clone();
        later["iat"] = json!(101);
        let later = look_up(&service, json!({"token": token(&later)})).await;
        let expected: &[&str] = if kind == "token" { &[kind] } else { &[] };
        assert_eq!(kinds(&later), expected, "a later token with {revocation}");
    }
}

#[tokio::test]
async fn names_are_looked_up_with_realm_and_issuer() {
    let service = InProcess::new();
    for revocation in [
        json!({"user_id": "alice", "issuer": "i", "realm": "x", "issued_before": 5}),
        json!({"sid": "s", "issued_before": 7, "exp": 4_000_000_000_u64}),
        json!({"credential": "sk-1"}),
        json!({"jti": "j"}),
    ] {
        service.revoke(&revocation.to_string()).await;
    }
    for (question, expected) in [
        (json!({"user_id": "alice", "issuer": "i", "realm": "x"}), &["user"][..]),
        (json!({"user_id": "alice", "issuer": "i"}), &[]),
        (json!({"user_id": "alice", "realm": "x"}), &[]),
        (json!({"sid": "s", "issuer": "i"}), &["session"]),
        (json!({"credential": "sk-1"}), &["credential"]),
        (json!({"credential": "sk-2"}), &[]),
        (json!({"jti": "j", "issuer": "other"}), &["token"]),
        (json!({"jti": "k"}), &[]),
    ] {
        let found = look_up(&service, question.clone()).await;
        assert_eq!(kinds(&found), expected, "{question}");
    }
    let session = service.get("/v1/revocations/lookup?sid=s").await.json();
    let record = &session["records"][0];
    assert_eq!(record["id"], RecordId::of_session("", None, "s").to_string());
    assert_eq!(record["issued_before"], "1970-01-01T00:00:07Z");
    assert_eq!(record["exp"], "2096-10-02T07:06:40Z");
}

#[tokio::test]
async fn a_cutoff_for_all_may_apply_to_a_token_id() {
    let service = InProcess::new();
    service.revoke(r#"{"issued_before": 7}"#).await;
    let found = service.get("/v1/revocations/lookup?jti=j").await.json();
    assert_eq!((&found["revoked"], &found["records"][0]["applies"]), (&json!(false), &Value::Null));
    let credential = look_up(&service, json!({"credential": "sk-1"})).await;
    assert_eq!(credential["records"], json!([]), "it has no iat, so no cutoff applies");
}

#[tokio::test]
async fn secrets_in_an_address_and_unclear_questions_are_rejected() {
    let service = InProcess::new();
    for query in ["token=a.b.c", "credential=sk-1", "x=1"] {
        let response = service.get(&format!("/v1/revocations/lookup?{query}")).await;
        assert_eq!(response.status, 400, "{query}");
    }
    for question in [
        json!({}),
        json!({"jti": "j", "sid": "s"}),
        json!({"token": "x"}),
        json!([]),
        json!({"x": 1}),
    ] {
        let request = request("POST", "/v1/revocations/lookup", TOKEN);
        let body = Body::from(question.to_string());
        assert_eq!(service.call(request.body(body).unwrap()).await.status, 422, "{question}");
    }
    let request = request("GET", "/v1/revocations/lookup?jti=j", "wrong");
    assert_eq!(service.call(request.body(Body::empty()).unwrap()).await.status, 401);
}

#[test]
fn the_command_line_says_who_revoked_a_token_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    assert_eq!(process.post(r#"{"user_id": "alice", "reason": "lost phone"}"#).unwrap().0, 201);
    let mut command = signout();
    command.args(["lookup", "--token", "--url", &process.url]).env("SIGNOUT_TOKEN", TOKEN);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let token = token(&json!({"sub": "alice", "jti": "j", "iat": 5}));
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && out.starts_with("revoked\nuser: tokens issued before"),
        "{out}"
    );
    assert!(out.contains("by api") && out.contains("(lost phone); for ever"), "{out}");
    let log = process.log();
    assert!(!log.contains(&token) && !log.contains("alice"), "{log}");
}
