//! Reads the body of a request, within limits of size and time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;

use crate::error::Error;
use crate::http::connections::ServiceConnection;

/// Reads the body.
///
/// # Errors
///
/// The body is longer than `most_bytes` (the limit that the route has set), takes too long, or is
/// incomplete.
pub(crate) async fn read(request: Request, most_bytes: usize) -> Result<Bytes, Error> {
    let connection = request.extensions().get::<Arc<ServiceConnection>>();
    let timeout = connection.map_or(BODY_TIMEOUT, |connection| connection.body_timeout());
    let read = tokio::time::timeout(timeout, Bytes::from_request(request, &()));
    read.await.map_err(|_| Error::SlowBody)?.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Error::TooLarge(format!("A body may have at most {most_bytes} bytes."))
        }
        _ => Error::NotJson("The body is incomplete.".to_owned()),
    })
}

/// How long a body may take to arrive if a test calls without a connection.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
