//! Promise: the status page shows health to anybody, and everything else only with an API token; it
//! escapes what it shows, and names no user and no token.
//! Method: the service in-process. `tests/status_page` tests the page in a browser.

use axum::body::Body;
use axum::http::Request;
use form_urlencoded::Serializer;
use serde_json::json;
use session_guard_core::feed::wire::CONTENT_TYPE;

use crate::support::{InProcess, ServiceResponse, TOKEN, request};

async fn get(service: &InProcess) -> ServiceResponse {
    service.call(Request::get("/").body(Body::empty()).unwrap()).await
}

async fn submit(service: &InProcess, fields: &[(&str, &str)]) -> ServiceResponse {
    let body = Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    service.call(request.body(Body::from(body)).unwrap()).await
}

fn text(response: &ServiceResponse) -> String {
    String::from_utf8(response.body.clone()).unwrap()
}

#[tokio::test]
async fn without_a_token_the_page_shows_only_health() {
    let service = InProcess::new();
    service.revoke(r#"{"user_id": "alice", "realm": "shop", "reason": "lost phone"}"#).await;
    let page = get(&service).await;
    let html = text(&page);
    assert!(page.status == 200 && html.contains("ready") && html.contains("API token"), "{html}");
    for hidden in ["shop", "lost phone", "Capacity", "Proxies"] {
        assert!(!html.contains(hidden), "{hidden}: {html}");
    }
    for fields in [&[][..], &[("api_token", "wrong")], &[("api_token", "")]] {
        let page = submit(&service, fields).await;
        assert_eq!(page.status, 401, "{fields:?}");
        assert!(!text(&page).contains("lost phone"));
    }
}

#[tokio::test]
async fn the_browser_may_load_nothing_and_keep_nothing() {
    let service = InProcess::new();
    for page in [get(&service).await, submit(&service, &[("api_token", TOKEN)]).await] {
        assert_eq!(page.headers["cache-control"], "no-store");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        let html = text(&page);
        assert!(!html.contains("<script") && !html.contains("://"), "{html}");
        assert!(!html.contains(TOKEN), "the token does not come back");
    }
}

#[tokio::test]
async fn with_a_token_the_page_shows_the_state_and_last_revocations() {
    let service = InProcess::new();
    service.revoke(r#"{"user_id": "alice", "realm": "shop", "reason": "<b>lost</b> phone"}"#).await;
    service.revoke(r#"[{"jti": "a"}, {"jti": "b"}, {"jti": "c"}]"#).await;
    let poll = request("GET", "/v1/revocations", TOKEN).header("accept", CONTENT_TYPE);
    let poll = poll.header("user-agent", "session-guard/0.1.0 (wasm; 8f3a)");
    assert_eq!(service.call(poll.body(Body::empty()).unwrap()).await.status, 200);
    let html = text(&submit(&service, &[("api_token", TOKEN)]).await);
    for shown in ["shop", "&lt;b&gt;lost&lt;/b&gt; phone", "and 2 more", "8f3a", "0.1.0 wasm"] {
        assert!(html.contains(shown), "{shown}: {html}");
    }
    assert!(!html.contains("alice"), "{html}");
    let status = service.get("/v1/status").await.json();
    assert_eq!(status["last_revocations"].as_array().unwrap().len(), 2);
    assert_eq!(status["proxies"][0]["id"], "8f3a");
    assert_eq!(status["proxies"][0]["behind"], json!(null), "it has not applied its first page");
    assert_eq!(status["capacity_used"]["tokens"], 3.0 / 1_000.0);
}

#[tokio::test]
async fn the_form_looks_up_users_tokens_and_keys() {
    let service = InProcess::new();
    service.revoke(r#"{"user_id": "alice", "reason": "lost phone"}"#).await;
    service.revoke(r#"{"credential": "sk-1", "realm": "shop"}"#).await;
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJqIiwic3ViIjoiYWxpY2UifQ.c2ln"; // sub: alice
    for (subject, value, realm, expected) in [
        ("user", "alice", "", "lost phone"),
        ("user", "bob", "", "Not revoked."),
        ("token", token, "", "lost phone"),
        ("credential", "sk-1", "shop", "credential"),
        ("credential", "sk-1", "", "Not revoked."),
        ("session", "s", "", "Not revoked."),
        ("jti", "j", "", "Not revoked."),
        ("token", "x", "", "is no JWT"),
        ("?", "x", "", "unknown choice"),
    ] {
        let fields =
            [("api_token", TOKEN), ("subject", subject), ("value", value), ("realm", realm)];
        let html = text(&submit(&service, &fields).await);
        assert!(html.contains(expected), "{subject} {value}: {html}");
        assert!(value.len() < 3 || !html.contains(&format!("\"{value}\"")), "{html}");
    }
}
