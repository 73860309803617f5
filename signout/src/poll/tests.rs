//! Promise: too many resets or waiting polls at a time get 503, and do not delay proxies that are
//! up to date.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use crate::access::ApiTokens;
use crate::service::{RESETS_AT_A_TIME, Service, ServiceSettings, WAITING_POLLS};
use crate::store::Embedded;

async fn status(service: &Service, query: &str) -> (StatusCode, bool) {
    let request = Request::get(format!("/v1/revocations?{query}"))
        .header("authorization", "Bearer t")
        .body(Body::empty())
        .unwrap();
    let answer = crate::app(service.clone(), None).oneshot(request).await.unwrap();
    (answer.status(), answer.headers().contains_key("retry-after"))
}

#[tokio::test]
async fn only_surplus_resets_and_waiting_polls_get_503() {
    let folder = tempfile::tempdir().unwrap();
    let store = Box::new(Embedded::open(&folder.path().join("db")).unwrap());
    let access = ApiTokens::new(["t"], None);
    let service = Service::start(ServiceSettings { store, access, capacity: 9 }).unwrap();
    let head = format!("after={}", service.log().head());
    let (good, later) = ((StatusCode::OK, false), (StatusCode::SERVICE_UNAVAILABLE, true));

    let resets = service.parts.resets.try_acquire_many(RESETS_AT_A_TIME as u32 - 1).unwrap();
    assert_eq!(status(&service, "").await, good);
    let last = service.parts.resets.try_acquire().unwrap();
    assert_eq!(status(&service, "").await, later);
    assert_eq!(status(&service, &head).await, good);
    drop((resets, last));
    assert_eq!(status(&service, "").await, good);

    let _waiting = service.parts.polls.try_acquire_many(WAITING_POLLS as u32).unwrap();
    assert_eq!(status(&service, &format!("{head}&wait=1")).await, later);
    assert_eq!(status(&service, &head).await, good);
}
