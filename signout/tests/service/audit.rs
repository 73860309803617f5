//! Promise: every revocation is kept with its time, kind, origin, realm and reason, and found again;
//! a repeated revocation adds nothing, and no user id or token is kept.
//! Method: the service in-process and as the real binary, with redb and a real Redis.

use axum::body::Body;
use serde_json::{Value, json};
use session_guard_core::revocation::record::RecordId;
use signout::access::ApiTokens;
use signout::clock::unix_seconds;

use crate::support::{ADMIN, InProcess, ServiceProcess, TOKEN, request, signout};

/// The id of a trace.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Returns the entries that a query finds.
async fn found(service: &InProcess, query: &str) -> Vec<Value> {
    let response = service.get(&format!("/v1/audit?{query}")).await;
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["entries"].as_array().unwrap().clone()
}

/// Revokes as a caller with this `User-Agent`.
async fn revoke(service: &InProcess, agent: &str, token: &str, body: Value) -> u16 {
    let request = request("POST", "/v1/revocations", token).header("user-agent", agent);
    service.call(request.body(Body::from(body.to_string())).unwrap()).await.status.as_u16()
}

#[tokio::test]
async fn a_revocation_is_kept_with_its_origin_and_reason() {
    let service = InProcess::with(ApiTokens::new(["other", TOKEN], Some(ADMIN)), 1_000);
    let user = json!({"user_id": "alice", "realm": "shop", "reason": "left the company"});
    assert_eq!(revoke(&service, "signout/0.1.0", TOKEN, user.clone()).await, 201);
    let all = json!({"kind": "all", "exp": 4_000_000_000_u64});
    assert_eq!(revoke(&service, "curl/8.0", ADMIN, all).await, 201);
    let [all, alice] = &found(&service, "").await[..] else { panic!("two entries") };
    let time = alice["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{time}");
    for (entry, name, expected) in [
        (alice, "origin", "command_line"),
        (alice, "api_token", "2"),
        (alice, "realm", "shop"),
        (alice, "reason", "left the company"),
        (all, "origin", "api"),
        (all, "by", "curl"),
        (all, "api_token", "admin"),
        (all, "exp", "2096-10-02T07:06:40Z"),
    ] {
        assert_eq!(entry[name], expected, "{name} of {entry}");
    }
    let id = RecordId::of_user("shop", None, "alice").to_string();
    let revocation = json!({"kind": "user", "id": id, "user": null});
    assert_eq!((&alice["count"], &alice["revocations"]), (&json!(1), &json!([revocation])));
    assert!(!alice.to_string().contains("alice"), "{alice}");
}

#[tokio::test]
async fn a_repeated_revocation_adds_no_entry() {
    let service = InProcess::new();
    let body = r#"{"user_id": "alice", "issued_before": 5}"#;
    for expected in [201, 200] {
        assert_eq!(service.post(body).await.status, expected);
    }
    assert_eq!(service.post(r#"{"jti": "past", "exp": 5}"#).await.status, 200);
    assert_eq!(found(&service, "").await.len(), 1);
}

#[tokio::test]
async fn a_revocation_names_the_trace_of_its_call() {
    let service = InProcess::new();
    let revoke = async |traces: &[&str], jti: &str| {
        let request = request("POST", "/v1/revocations", TOKEN);
        let request = traces.iter().fold(request, |it, trace| it.header("traceparent", *trace));
        let body = Body::from(json!({"jti": jti}).to_string());
        assert_eq!(service.call(request.body(body).unwrap()).await.status, 201);
        found(&service, "limit=1").await[0]["trace_id"].clone()
    };
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    assert_eq!(revoke(&[&parent], "one").await, TRACE);
    assert_eq!(revoke(&[], "none").await, Value::Null);
    assert_eq!(revoke(&[&parent, &parent], "two").await, Value::Null);
    assert_eq!(revoke(&[&parent.to_uppercase()], "upper case").await, Value::Null);
}

#[test]
fn the_log_names_the_trace_as_text_and_as_json() {
    for (format, line) in
        [("text", format!("trace_id={TRACE}")), ("json", format!("\"trace_id\":\"{TRACE}\""))]
    {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("SIGNOUT_TOKEN", TOKEN)];
        let process =
            ServiceProcess::receiving(folder.path(), &environment, &["--log-format", format]);
        let headers = [("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))];
        assert_eq!(process.post_with(&headers, r#"{"jti": "a"}"#).unwrap().0, 201);
        assert_eq!(process.post(r#"[{"jti": "b"}, {"jti": "c"}]"#).unwrap().0, 201);
        let log = process.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("revoked")).collect();
        let [traced, other] = lines[..] else { panic!("{log}") };
        assert!(traced.contains(&line) && !other.contains("trace_id"), "{log}");
    }
}

#[tokio::test]
async fn a_list_adds_one_entry_with_its_count() {
    let service = InProcess::new();
    let list: Vec<_> = (0..300).map(|n| json!({"jti": n.to_string()})).collect();
    service.revoke(&json!(list).to_string()).await;
    let [entry] = &found(&service, "").await[..] else { panic!("one entry") };
    assert_eq!(entry["count"], 300);
    assert_eq!(entry["revocations"].as_array().unwrap().len(), 100, "the response has a limit");
}

#[tokio::test]
async fn a_proxy_names_sessions_and_their_users() {
    let service = InProcess::new();
    let user = RecordId::of_user("", Some("i"), "alice").to_string();
    let session = RecordId::of_session("", Some("i"), "s").to_string();
    let proxy = "session-guard/0.1.0 (wasm; 8f3a)";
    let records = json!([{"kind": "user", "id": session, "issued_before": 5, "user": user}]);
    assert_eq!(revoke(&service, proxy, TOKEN, records).await, 201);
    let [entry] = &found(&service, "user=alice&issuer=i").await[..] else { panic!("one entry") };
    assert_eq!((&entry["origin"], &entry["by"]), (&json!("proxy"), &json!("8f3a")));
    let revocation = json!({"kind": "session", "id": session, "user": user});
    assert_eq!(entry["revocations"], json!([revocation]));
}

#[tokio::test]
async fn queries_select_by_time_user_kind_realm_and_origin() {
    let service = InProcess::new();
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiJqIiwic2lkIjoicyIsImlhdCI6NX0.c2ln";
    for body in [
        json!({"user_id": "alice"}),
        json!({"user_id": "alice", "realm": "x"}),
        json!({"sid": "s", "issuer": "i"}),
        json!({"credential": "sk-1"}),
        json!({"token": token}),
    ] {
        service.revoke(&body.to_string()).await;
    }
    let id = RecordId::of_credential("", b"sk-1");
    for (query, count) in [
        ("", 5),
        ("limit=2", 2),
        ("user=alice", 1),
        ("user=alice&realm=x", 1),
        ("user=bob", 0),
        ("realm=x", 1),
        ("realm=", 4),
        ("kind=session", 2),
        ("kind=credential", 1),
        ("kind=token", 1),
        ("kind=all", 0),
        ("origin=api", 5),
        ("origin=proxy", 0),
        (&format!("id={id}"), 1),
        ("since=2026-01-01T00:00:00Z", 5),
        (&format!("since={}", unix_seconds() + 60), 0),
    ] {
        assert_eq!(found(&service, query).await.len(), count, "{query}");
    }
    for query in
        ["limit=0", "limit=1001", "kind=x", "since=x", "id=x", "before=x", "x=1", "user=a&id=b"]
    {
        assert_eq!(service.get(&format!("/v1/audit?{query}")).await.status, 400, "{query}");
    }
    let no_token = request("GET", "/v1/audit", "wrong").body(Body::empty()).unwrap();
    assert_eq!(service.call(no_token).await.status, 401);
}

#[tokio::test]
async fn a_long_audit_is_read_in_pages() {
    let service = InProcess::with(ApiTokens::new([TOKEN], None), 2_000);
    for number in 0..25 {
        service.revoke(&json!({"jti": number.to_string()}).to_string()).await;
    }
    let (mut times, mut query) = (Vec::new(), "limit=10".to_owned());
    for size in [10, 10, 5] {
        let page = service.get(&format!("/v1/audit?{query}")).await.json();
        let entries = page["entries"].as_array().unwrap();
        assert_eq!(entries.len(), size);
        times.extend(entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
        query = format!("limit=10&before={}", page["next"].as_str().unwrap_or_default());
    }
    let mut sorted = times.clone();
    sorted.sort_by(|one, other| other.cmp(one));
    sorted.dedup();
    assert_eq!(times, sorted, "each once, the newest first");
}

/// Runs `signout audit`.
fn audit(process: &ServiceProcess, arguments: &[&str]) -> String {
    let mut command = signout();
    command.arg("audit").args(arguments).args(["--url", &process.url]);
    let output = command.env("SIGNOUT_TOKEN", TOKEN).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_audit_survives_a_restart_and_the_log_has_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::receiving(
        folder.path(),
        &[("SIGNOUT_TOKEN", TOKEN)],
        &["--log-format", "json"],
    );
    let body = json!([{"user_id": "canary", "reason": "why"}, {"jti": "a", "reason": "why"}]);
    assert_eq!(process.post(&body.to_string()).unwrap().0, 201);
    assert_eq!(process.post(r#"{"user_id": "bob", "reason": "lost phone"}"#).unwrap().0, 201);
    let log = process.log();
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lines: Vec<_> = lines.iter().filter(|line| line["message"] == "revoked").collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!((&lines[0]["count"], &lines[0]["reason"]), (&json!(2), &json!("why")));
    assert_eq!((&lines[1]["kind"], &lines[1]["reason"]), (&json!("user"), &json!("lost phone")));
    assert!(!log.contains("canary") && !log.contains("bob"), "{log}");
    drop(process);
    let process = ServiceProcess::serve_with_options(folder.path(), &[]);
    let table = audit(&process, &["--user", "bob", "--since", "1h"]);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("time ") && lines[1].ends_with("lost phone"), "{table}");
    let entries = audit(&process, &["--json"]);
    let entries: Vec<Value> = entries.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["count"], 2);
    assert_eq!(audit(&process, &["--limit", "1", "--json"]).lines().count(), 1);
}

#[test]
fn services_on_one_redis_share_the_audit() {
    let redis = testbed::Redis::start();
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = |folder: &tempfile::TempDir| {
        ServiceProcess::over(&redis.url(), folder.path(), &[("SIGNOUT_TOKEN", TOKEN)], &[])
    };
    let [one, other] = [start(&folders[0]), start(&folders[1])];
    assert_eq!(one.post(r#"{"user_id": "alice", "reason": "why"}"#).unwrap().0, 201);
    assert_eq!(one.post(r#"{"user_id": "bob"}"#).unwrap().0, 201);
    let (status, page) = other.get("/v1/audit?user=alice").unwrap();
    assert_eq!((status, &page["entries"][0]["reason"]), (200, &json!("why")));
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
}
