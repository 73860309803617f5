//! Promise: every call gets the documented response.
//! Method: the real app over a real store, in-process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{ADMIN, InProcess, TOKEN, request};
use axum::body::Body;
use axum::http::{Request, header};
use signout::access::ApiTokens;
use signout::store::{
    Additions, AppendReason, Appended, Durability, Entry, Obsolete, Position, Row, Store,
    StoreError,
};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_new_revocation_gets_201_and_a_known_one_200() {
    let service = InProcess::new();
    let cursor = service.revoke(r#"{"jti": "a", "exp": 4000000000}"#).await;
    for body in [
        r#"{"jti": "a", "exp": 4000000000}"#,
        r#"{"jti": "a", "exp": 3999999999}"#,
        r#"[{"jti": "a", "exp": 4000000000}, {"jti": "past", "exp": 1}]"#,
        "[]",
    ] {
        let answer = service.post(body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["cursor"].as_str()),
            (200, Some(&*cursor))
        );
    }
    assert_ne!(service.revoke(r#"{"jti": "a"}"#).await, cursor, "for ever is longer");
}

#[tokio::test]
async fn invalid_input_gets_its_code_and_stores_nothing() {
    let service = InProcess::new();
    let long_list = format!("[{}]", vec![r#"{"jti":"a"}"#; 10_001].join(","));
    let table = [
        ("jti=a".to_owned(), 400, "not_json"),
        (r#"{"jti": "a", "exp": "soon"}"#.to_owned(), 422, "unacceptable"),
        (r#"{"user_id": "u", "issued_before": 1795332120000}"#.to_owned(), 422, "unacceptable"),
        (r#"[{"jti": "good"}, {"jti": ""}]"#.to_owned(), 422, "unacceptable"),
        (long_list, 413, "too_large"),
        (format!("{{\"jti\": \"{}\"}}", "x".repeat(4 << 20)), 413, "too_large"),
    ];
    for (body, status, code) in table {
        let answer = service.post(body).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code), "{answer:?}");
        assert!(
            answer.json()["detail"]
                .as_str()
                .is_some_and(|detail| detail.ends_with('.') || detail.ends_with('?'))
        );
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    }
    assert_eq!(service.get("/v1/status").await.json()["revocations"]["token"], 0);
}

#[tokio::test]
async fn an_invalid_query_gets_400() {
    let service = InProcess::new();
    for query in ["wait=soon", "wait=-1", "limit=0", "limit=x", "since=1", "wait=1&wait=2"] {
        let answer = service.get(&format!("/v1/revocations?{query}")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "bad_query"), "{query}");
    }
}

#[tokio::test]
async fn without_a_valid_token_nothing_below_v1_is_answered() {
    let service = InProcess::new();
    for (method, path) in
        [("GET", "/v1/revocations"), ("POST", "/v1/revocations"), ("GET", "/v1/status")]
    {
        for token in [None, Some("Bearer wrong"), Some("Bearer"), Some(TOKEN)] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(token) = token {
                request = request.header("authorization", token);
            }
            let answer = service.call(request.body(Body::from(r#"{"jti":"a"}"#)).unwrap()).await;
            assert_eq!(
                (answer.status.as_u16(), &*answer.code()),
                (401, "unauthorized"),
                "{token:?}"
            );
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(service.get("/v1/status").await.json()["revocations"]["token"], 0);
}

#[tokio::test]
async fn every_api_token_works_except_for_the_cutoff_for_all() {
    let service = InProcess::with(ApiTokens::new(["old", "new"], Some(ADMIN)), 10);
    let status = async |token, body: &'static str| {
        let request = request("POST", "/v1/revocations", token).body(Body::from(body)).unwrap();
        service.call(request).await.status.as_u16()
    };
    assert_eq!(status("old", r#"{"jti": "a"}"#).await, 201);
    assert_eq!(status("new", r#"{"jti": "b"}"#).await, 201);
    let all = r#"[{"jti": "c"}, {"issued_before": 5}]"#;
    assert_eq!(status("old", all).await, 403);
    assert_eq!(status("old", r#"{"kind": "all"}"#).await, 403);
    assert_eq!(status(ADMIN, all).await, 201);
    assert_eq!(
        service.call(request("GET", "/v1/status", ADMIN).body(Body::empty()).unwrap()).await.json()
            ["revocations"]["token"],
        3
    );
}

#[tokio::test]
async fn a_full_service_accepts_cutoffs_and_counts_stored_records() {
    let service = InProcess::with(ApiTokens::new([TOKEN], None), 3);
    service.revoke(r#"[{"jti": "a"}, {"jti": "b"}]"#).await;
    for (body, status, accepted) in [
        (r#"[{"jti": "c"}, {"jti": "d"}, {"user_id": "u", "issued_before": 5}]"#, 507, Some(2)),
        (r#"{"jti": "d"}"#, 507, Some(0)),
        (r#"[{"jti": "past", "exp": 1}, {"jti": "d"}, {"jti": "a"}]"#, 507, Some(1)),
        (r#"{"user_id": "v"}"#, 201, None),
        (r#"{"kind": "all", "issued_before": 5}"#, 201, None),
        (r#"{"jti": "c"}"#, 200, None),
    ] {
        let answer = service.post(body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {answer:?}");
        assert_eq!(answer.json()["accepted"].as_u64(), accepted, "{body}");
        assert_eq!(answer.code() == "full", status == 507, "{body}");
    }
    let status = service.get("/v1/status").await.json();
    assert_eq!(status["revocations"], serde_json::json!({"token": 3, "user": 2, "all": 1}));
    assert!(service.poll("").await.reset, "the feed continues");
    let metrics = service.get("/metrics").await.body;
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        r#"signout_capacity_used_ratio{records="tokens"} 1"#,
        r#"signout_capacity_used_ratio{records="cutoffs"} 0.000003"#,
        "signout_revocations_without_room_total 4",
        "signout_accounts_cut_off_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_token_without_room_becomes_a_cutoff_of_its_account() {
    let service = InProcess::with(ApiTokens::new([TOKEN], None), 1);
    service.revoke(r#"{"jti": "a"}"#).await;
    let id = "5a6833bba0c3af6d18e084b78c0b4b71";
    let account = "00000000000000000000000000000007";
    service.revoke(&format!(r#"{{"kind": "token", "id": "{id}", "user": "{account}"}}"#)).await;
    let page = service.get("/v1/revocations?limit=9").await.json();
    assert!(page["revocations"].to_string().contains(account), "{page}");
}

#[tokio::test]
async fn a_failing_store_gets_503_and_the_feed_continues() {
    let folder = tempfile::tempdir().unwrap();
    let service = InProcess::over(Box::new(Broken), ApiTokens::new([TOKEN], None), 10, folder);
    let answer = service.post(r#"{"jti": "a"}"#).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "store_unavailable"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    assert!(service.poll("").await.records.is_empty());
    assert_eq!(service.get("/v1/status").await.json()["store_up"], false);
    assert_eq!(service.get("/readyz").await.status, 200, "proxies still get the feed");
}

/// A store that can be read but not written.
struct Broken;

impl Store for Broken {
    fn begin(&mut self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        each(Row::Entry(Entry { position: Position { sequence: 1, tag: 1 }, record: None }));
        Ok(())
    }

    fn append(
        &mut self,
        _: Position,
        _: Additions<'_>,
        _: &Obsolete,
        _: AppendReason,
    ) -> Result<Appended, StoreError> {
        Err(StoreError::new("the disk", "full"))
    }
}

#[tokio::test]
async fn a_non_durable_store_gets_503_and_readiness_explains() {
    let folder = tempfile::tempdir().unwrap();
    let is_durable = Arc::new(AtomicBool::new(true));
    let store = Box::new(Volatile(Arc::clone(&is_durable)));
    let service = InProcess::over(store, ApiTokens::new([TOKEN], None), 10, folder);
    assert_eq!(service.post(r#"{"jti": "a"}"#).await.status, 201);
    is_durable.store(false, Ordering::Relaxed);
    let answer = service.post(r#"{"jti": "b"}"#).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "store_not_durable"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("set `appendonly yes`"));
    let ready = service.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["writes"]), (200, &"refused".into()));
    assert!(ready.json()["detail"].as_str().unwrap().contains("set `appendonly yes`"));
    let status = service.get("/v1/status").await.json();
    assert_eq!(
        (&status["store_durable"], &status["accepts_revocations"]),
        (&false.into(), &false.into())
    );
    let metrics = String::from_utf8(service.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("signout_store_durable 0"), "{metrics}");
    is_durable.store(true, Ordering::Relaxed);
    assert_eq!(service.post(r#"{"jti": "b"}"#).await.status, 201);
    assert_eq!(service.get("/readyz").await.json()["status"], "ok");
    // The periodic check notices it, too, without any write.
    is_durable.store(false, Ordering::Relaxed);
    while service.get("/readyz").await.json()["writes"] != "refused" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A store in memory that refuses to acknowledge anything while it is not durable.
struct Volatile(Arc<AtomicBool>);

impl Store for Volatile {
    fn begin(&mut self, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        Broken.read_all(each)
    }

    fn append(
        &mut self,
        _: Position,
        _: Additions<'_>,
        _: &Obsolete,
        purpose: AppendReason,
    ) -> Result<Appended, StoreError> {
        match self.durability().refusal() {
            Some(problem) if purpose == AppendReason::Acknowledge => {
                Err(StoreError::not_durable("the store", problem))
            }
            _ => Ok(Appended::AsGiven),
        }
    }

    fn durability(&self) -> Durability {
        match self.0.load(Ordering::Relaxed) {
            true => Durability::Durable,
            false => {
                Durability::AtRisk { problem: "set `appendonly yes`".to_owned(), refuses: true }
            }
        }
    }
}

#[tokio::test]
async fn the_response_to_our_cutoff_waits_for_its_second() {
    let service = InProcess::new();
    let before = now();
    service.revoke(r#"{"user_id": "u"}"#).await;
    let after = now();
    let page = service.get("/v1/revocations?limit=9").await;
    let mut records = page.json()["revocations"].as_array().unwrap().clone();
    let mut cursor = page.json()["cursor"].as_str().unwrap().to_owned();
    while records.is_empty() {
        let page = service.get(&format!("/v1/revocations?after={cursor}")).await.json();
        records.extend(page["revocations"].as_array().unwrap().clone());
        cursor = page["cursor"].as_str().unwrap().to_owned();
    }
    let cutoff = records[0]["issued_before"].as_u64().unwrap();
    assert!(before < cutoff && cutoff <= after, "{before} < {cutoff} <= {after}");
}

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let service = InProcess::new();
    service.revoke(r#"[{"jti": "a"}, {"user_id": "u", "issued_before": 5}]"#).await;
    let open =
        async |path| service.call(Request::builder().uri(path).body(Body::empty()).unwrap()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(open(path).await.status, 200, "{path}");
    }
    let metrics = String::from_utf8(open("/metrics").await.body).unwrap();
    for line in [
        r#"signout_revocations{kind="token"} 1"#,
        r#"signout_revocations{kind="user"} 1"#,
        r#"signout_revocations_received_total{result="stored"} 2"#,
        r#"signout_answers_total{status="201"} 1"#,
        "signout_log_sequence 3",
        "signout_store_up 1",
        "signout_store_durable 1",
        "signout_store_losses_total 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    assert_eq!((open("/x").await.status.as_u16(), &*open("/x").await.code()), (404, "not_found"));
    let answer =
        service.call(request("PUT", "/v1/revocations", TOKEN).body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (405, "method_not_allowed"));
    service.service.stop();
    assert_eq!(open("/readyz").await.status, 503);
    assert_eq!(open("/healthz").await.status, 503);
}
