//! A minimal application that session-guard protects.
//!
//! It issues JWTs like any other: it signs users in, clears its cookie at sign-out, and never
//! checks whether a token is revoked. It does not even verify tokens: only session-guard can reach
//! it, and passes the user id in a header.
//!
//! `demo-application [ADDRESS]`; `SESSION_SECRET` holds the secret of its tokens.

use std::convert::Infallible;
use std::env;
use std::error::Error;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::sse::{Event, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::ListenerExt;
use axum::{Form, Json, Router};
use jwt_simple::algorithms::{HS256Key, MACLike};
use jwt_simple::claims::Claims;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Duration, interval};
use tokio_stream::wrappers::IntervalStream;
use tokio_stream::{Stream, StreamExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = env::var("SESSION_SECRET")
        .map_err(|_| "SESSION_SECRET is not set; make one with `signout keygen FILE`")?;
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener =
        TcpListener::bind(&address).await.map_err(|error| format!("{address}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    // Otherwise a small message waits for the acknowledgement of the one before: 40 ms.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let key = HS256Key::from_bytes(secret.trim().as_bytes());
    Ok(axum::serve(listener, application(key)).await?)
}

fn application(key: HS256Key) -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/password", post(change_password))
        .route("/whoami", get(who_am_i))
        .route("/events", get(events))
        .route("/socket", any(socket))
        .with_state(key)
}

/// The sign-in form. A real application would also require a password.
#[derive(Deserialize)]
struct SignInForm {
    name: String,
    /// The session of an identity provider. A real application would read it from an ID token.
    #[serde(default)]
    session: String,
}

/// Claims beside the registered ones.
#[derive(Deserialize, Serialize)]
struct UserClaims {
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    sid: String,
}

async fn sign_in(State(key): State<HS256Key>, Form(form): Form<SignInForm>) -> impl IntoResponse {
    let user = UserClaims { id: form.name, sid: form.session };
    let claims = Claims::with_custom_claims(user, jwt_simple::prelude::Duration::from_hours(1));
    let claims = claims.with_issuer("demo-application").with_jwt_id(uuid::Uuid::new_v4());
    let token = key.authenticate(claims).expect("claims are JSON");
    let cookie = format!("token={token}; Path=/; HttpOnly; SameSite=Lax");
    ([(SET_COOKIE, cookie)], Json(json!({"token": token})))
}

/// Clears the cookie, which is all that an application can do by itself.
async fn sign_out() -> impl IntoResponse {
    ([(SET_COOKIE, NO_COOKIE)], Json(json!({"signed_out": true})))
}

/// Pretends to store a new password. session-guard ends all sessions of the user.
async fn change_password() -> impl IntoResponse {
    ([(SET_COOKIE, NO_COOKIE)], Json(json!({"changed": true})))
}

async fn who_am_i(headers: HeaderMap) -> impl IntoResponse {
    let user_id = headers.get("x-user-id").and_then(|user_id| user_id.to_str().ok());
    Json(json!({"user_id": user_id}))
}

/// Sends a number every 100 ms as a server-sent event.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut number = 0;
    Sse::new(IntervalStream::new(interval(PERIOD)).map(move |_| {
        number += 1;
        Ok(Event::default().data(number.to_string()))
    }))
}

/// Sends a number every 100 ms over a WebSocket.
async fn socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(send_numbers)
}

async fn send_numbers(mut socket: WebSocket) {
    let mut ticks = interval(PERIOD);
    for number in 1_u32.. {
        ticks.tick().await;
        if socket.send(Message::text(number.to_string())).await.is_err() {
            return;
        }
    }
}

const PERIOD: Duration = Duration::from_millis(100);
const NO_COOKIE: &str = "token=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";
