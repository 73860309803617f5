//! A minimal application that session-guard protects.
//!
//! It issues JWTs like any other: it signs users in, clears its cookie at sign-out, and never
//! checks whether a token is revoked. It does not even verify tokens: only session-guard can reach
//! it, and passes the user id in a header.
//!
//! `demo-application [ADDRESS]`; `SESSION_SECRET` holds the secret of its tokens.

use std::env;
use std::error::Error;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::SET_COOKIE;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use jwt_simple::algorithms::{HS256Key, MACLike};
use jwt_simple::claims::Claims;
use jwt_simple::prelude::Duration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = env::var("SESSION_SECRET")
        .map_err(|_| "SESSION_SECRET is not set; make one with `signout keygen FILE`")?;
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener =
        TcpListener::bind(&address).await.map_err(|error| format!("{address}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, application(HS256Key::from_bytes(secret.trim().as_bytes()))).await?)
}

fn application(key: HS256Key) -> Router {
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/whoami", get(who_am_i))
        .with_state(key)
}

/// The sign-in form. A real application would also require a password.
#[derive(Deserialize)]
struct SignInForm {
    name: String,
}

/// The claim with the user id.
#[derive(Deserialize, Serialize)]
struct UserClaims {
    id: String,
}

async fn sign_in(
    State(key): State<HS256Key>,
    Form(credentials): Form<SignInForm>,
) -> impl IntoResponse {
    let claims =
        Claims::with_custom_claims(UserClaims { id: credentials.name }, Duration::from_hours(1));
    let token =
        key.authenticate(claims.with_jwt_id(uuid::Uuid::new_v4())).expect("claims are JSON");
    let cookie = format!("token={token}; Path=/; HttpOnly; SameSite=Lax");
    ([(SET_COOKIE, cookie)], Json(json!({"token": token})))
}

/// Clears the cookie, which is all that an application can do by itself.
async fn sign_out() -> impl IntoResponse {
    let cookie = "token=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";
    ([(SET_COOKIE, cookie)], Json(json!({"signed_out": true})))
}

async fn who_am_i(headers: HeaderMap) -> impl IntoResponse {
    let user_id = headers.get("x-user-id").and_then(|user_id| user_id.to_str().ok());
    Json(json!({"user_id": user_id}))
}
