//! Promise: a proxy that polls receives every revocation, immediately if its poll is waiting.
//! Method: the real app, in-process.

use std::time::{Duration, Instant};

use crate::support::{InProcess, TOKEN, request};
use session_guard_core::feed::wire::{CONTENT_TYPE, Page, PageKey, WireError};
use session_guard_core::revocation::record::{Record, RecordId};
use signout::access::ApiTokens;

/// Loads the feed from the beginning. Returns its records and the last page.
async fn load(service: &InProcess) -> (Vec<Record>, Page) {
    let mut records = Vec::new();
    let mut page = service.poll("").await;
    loop {
        records.extend(page.records.iter().copied());
        if !page.more {
            return (records, page);
        }
        page = service.poll(&format!("after={}", page.cursor)).await;
    }
}

#[tokio::test]
async fn a_new_proxy_gets_the_set_and_then_changes() {
    let service = InProcess::new();
    service.revoke(r#"[{"jti": "a", "exp": 4000000000}, {"jti": "b", "exp": 4000000000}]"#).await;
    let (mut records, last) = load(&service).await;
    records.sort_unstable();
    let token = |jti| Record::token(RecordId::of_token("", None, jti), 4_000_000_000);
    let mut expected = [token("a"), token("b")];
    expected.sort_unstable();
    assert_eq!(records, expected);
    assert_eq!(last.cursor, last.head);

    service.revoke(r#"{"jti": "c", "exp": 4000000000}"#).await;
    let page = service.poll(&format!("after={}&wait=30", last.cursor)).await;
    assert_eq!((page.reset, page.more, page.records), (false, false, vec![token("c")]));
}

#[tokio::test]
async fn json_has_the_same_content_without_absent_members() {
    let service = InProcess::new();
    let (_, last) = load(&service).await;
    let cursor = service
        .revoke(
            r#"[{"jti": "a", "exp": 4000000000}, {"user_id": "u", "issued_before": 5},
                {"issued_before": 7, "exp": 4000000000}]"#,
        )
        .await;
    let page = service.get(&format!("/v1/revocations?after={}", last.cursor)).await.json();
    assert!(page["now"].as_u64().is_some_and(|now| now > 1_700_000_000));
    assert!(page["held_milliseconds"].as_u64().is_some_and(|held| held < 1_000));
    let (token, user, all) = (
        RecordId::of_token("", None, "a").to_string(),
        RecordId::of_user("", None, "u").to_string(),
        RecordId::of_all("").to_string(),
    );
    let expected = serde_json::json!({
        "now": page["now"], "cursor": cursor, "head": cursor, "reset": false, "more": false,
        "held_milliseconds": page["held_milliseconds"],
        "revocations": [
            {"kind": "user", "id": user, "issued_before": 5},
            {"kind": "all", "id": all, "issued_before": 7, "exp": 4_000_000_000_u64},
            {"kind": "token", "id": token, "exp": 4_000_000_000_u64},
        ],
    });
    assert_eq!(page, expected);
    // Another service accepts the records of the feed.
    let other = InProcess::new();
    other.revoke(&page["revocations"].to_string()).await;
    assert_eq!(load(&other).await.0, load(&service).await.0);
}

#[tokio::test]
async fn the_binary_form_needs_its_accept_header() {
    let service = InProcess::new();
    for (accept, binary) in [
        (CONTENT_TYPE, true),
        ("application/json, application/vnd.session-guard.feed;q=0.5", true),
        ("*/*", false),
        ("application/json", false),
    ] {
        let request = request("GET", "/v1/revocations", TOKEN).header("accept", accept);
        let answer = service.call(request.body(String::new().into()).unwrap()).await;
        assert_eq!(answer.headers["content-type"] == CONTENT_TYPE, binary, "{accept}");
        assert_eq!(answer.body.starts_with(b"SGF2"), binary, "{accept}");
    }
}

#[tokio::test]
async fn a_revocation_ends_a_waiting_poll() {
    let service = InProcess::new();
    let after = load(&service).await.1.cursor;
    let (began, query) = (Instant::now(), format!("after={after}&wait=30"));
    let (page, ()) = tokio::join!(service.poll(&query), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        service.revoke(r#"{"jti": "a"}"#).await;
    });
    assert_eq!(page.records.len(), 1);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_poll_without_changes_returns_its_own_cursor() {
    let service = InProcess::new();
    let after = load(&service).await.1.cursor;
    let began = Instant::now();
    let page = service.poll(&format!("after={after}&wait=1")).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((&page.cursor, page.more, page.records.len()), (&after, false, 0));
    let began = Instant::now();
    service.poll(&format!("after={after}")).await;
    assert!(began.elapsed() < Duration::from_secs(5), "without a wish to wait there is none");
}

#[tokio::test]
async fn closing_ends_all_waiting_polls() {
    let service = InProcess::new();
    let after = load(&service).await.1.cursor;
    let query = format!("after={after}&wait=30");
    let began = Instant::now();
    let close = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(service.get("/v1/status").await.json()["waiting_polls"], 2);
        service.service.close();
    };
    let (one, two, ()) = tokio::join!(service.poll(&query), service.poll(&query), close);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((one.cursor, two.cursor), (after.clone(), after));
}

#[tokio::test]
async fn a_burst_of_writes_reaches_proxies_in_few_responses() {
    let service = InProcess::new();
    let mut page = load(&service).await.1;
    let (mut answers, mut records) = (0, 0);
    let began = Instant::now();
    let writes = async {
        for number in 0..50 {
            service.revoke(&format!(r#"{{"jti": "{number}"}}"#)).await;
        }
    };
    let polls = async {
        while records < 50 {
            page = service.poll(&format!("after={}&wait=30", page.cursor)).await;
            records += page.records.len();
            answers += 1;
            // A proxy waits at least 20 ms between two polls with changes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(writes, polls);
    let most = began.elapsed().as_millis() / 20 + 1;
    assert!(records == 50 && answers <= most, "{answers} answers, at most {most}");
}

#[tokio::test]
async fn a_cursor_of_another_store_gets_the_whole_set() {
    let [one, other] = [InProcess::new(), InProcess::new()];
    for service in [&one, &other] {
        service.revoke(r#"{"jti": "a"}"#).await;
    }
    let foreign = load(&other).await.1.cursor;
    for cursor in [foreign.as_str(), "2.0", "x", "r2.0000000000000000.ff", "%00", "%ff"] {
        let page = one.poll(&format!("after={cursor}&wait=30")).await;
        assert!(page.reset && page.range.0 == RecordId::FIRST, "{cursor}");
    }
}

#[tokio::test]
async fn a_page_says_how_long_its_poll_was_held() {
    let service = InProcess::new();
    let (_, last) = load(&service).await;
    assert!(last.held_milliseconds < 1_000, "{last:?}");
    let start = Instant::now();
    let poll = format!("after={}&wait=1", last.cursor);
    let page = service.poll(&poll).await;
    let waited = start.elapsed().as_millis();
    let held = u128::from(page.held_milliseconds);
    assert!((1_000..=waited).contains(&held), "{held} of {waited}");
    let page = service.get(&format!("/v1/revocations?{poll}")).await.json();
    assert!(page["held_milliseconds"].as_u64().is_some_and(|held| held >= 1_000), "{page}");
}

#[tokio::test]
async fn the_checksum_has_the_callers_token_as_its_key() {
    let service = InProcess::with(ApiTokens::new(["old", "new"], None), 10);
    for (token, other) in [("old", "new"), ("new", "old")] {
        let request = request("GET", "/v1/revocations", token).header("accept", CONTENT_TYPE);
        let response = service.call(request.body(axum::body::Body::empty()).unwrap()).await;
        let decode = |token: &str| Page::decode(&response.body, &PageKey::new(token.as_bytes()));
        assert!(decode(token).is_ok());
        assert_eq!(decode(other), Err(WireError::Damaged));
    }
}
