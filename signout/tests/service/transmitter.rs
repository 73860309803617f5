//! A transmitter of Shared Signals: a stream with its endpoints, and tokens that wait to be polled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::provider::{SigningKey, now};

/// What authorises a receiver.
pub(crate) const SSF_TOKEN: &str = "a-receiver-token-that-no-log-may-hold";

/// The audience of its events.
pub(crate) const AUDIENCE: &str = "https://signout.example.com";

/// A transmitter that listens on a port of its own.
#[derive(Clone)]
pub(crate) struct Transmitter {
    pub(crate) address: SocketAddr,
    key: Arc<SigningKey>,
    state: Arc<Mutex<TransmitterState>>,
}

/// What has happened at a transmitter.
#[derive(Default)]
pub(crate) struct TransmitterState {
    /// Tokens that were not acknowledged, by `jti`.
    pub(crate) waiting: BTreeMap<String, String>,
    pub(crate) acknowledged: Vec<String>,
    pub(crate) rejected: BTreeMap<String, Value>,
    pub(crate) polls: usize,
    /// Respond 500.
    pub(crate) fails: bool,
    pub(crate) stream: Option<Value>,
}

impl Transmitter {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let key = Arc::new(SigningKey::new("k"));
        let transmitter = Self { address, key, state: Arc::default() };
        let app = Router::new()
            .route("/.well-known/ssf-configuration", get(metadata))
            .route("/streams", post(create).get(read).delete(delete))
            .route("/status", get(status).post(set_status))
            .route("/verify", post(verify))
            .route("/poll", post(poll))
            .with_state(transmitter.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        transmitter
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, TransmitterState> {
        self.state.lock().unwrap()
    }

    /// An issuers file with this transmitter.
    pub(crate) fn file(&self, polls: bool) -> Value {
        let mut transmitter = json!({"token": {"env": "SSF_TOKEN"}});
        if polls {
            transmitter["poll"] = json!(format!("{}/poll", self.issuer()));
        }
        json!({"issuers": [{
            "issuer": self.issuer(),
            "jwks": {"inline": {"keys": [self.key.jwk()]}},
            "algorithms": ["ES256"],
            "events": {"audiences": [AUDIENCE], "transmitter": transmitter},
        }]})
    }

    /// A signed token with one event.
    pub(crate) fn token(&self, id: &str, subject: &Value, event: &Value) -> String {
        let claims = json!({
            "iss": self.issuer(), "aud": AUDIENCE, "iat": now(), "jti": id,
            "sub_id": subject, "events": event,
        });
        self.key.sign(Some("secevent+jwt"), &claims)
    }

    /// Sends `session-revoked` for a user.
    pub(crate) fn revoke_session_of(&self, id: &str, sub: &str) {
        let subject = json!({"format": "iss_sub", "iss": self.issuer(), "sub": sub});
        let event = json!({
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"event_timestamp": now()}
        });
        let token = self.token(id, &subject, &event);
        self.state().waiting.insert(id.to_owned(), token);
    }
}

type TransmitterResponse = Result<Json<Value>, StatusCode>;

fn authorised(headers: &HeaderMap) -> Result<(), StatusCode> {
    let is_ours =
        headers.get("authorization").is_some_and(|it| *it == *format!("Bearer {SSF_TOKEN}"));
    if is_ours { Ok(()) } else { Err(StatusCode::UNAUTHORIZED) }
}

async fn metadata(State(transmitter): State<Transmitter>) -> Json<Value> {
    let issuer = transmitter.issuer();
    let mut metadata = json!({"issuer": issuer, "spec_version": "1_0"});
    for (name, path) in [
        ("configuration_endpoint", "streams"),
        ("status_endpoint", "status"),
        ("verification_endpoint", "verify"),
    ] {
        metadata[name] = json!(format!("{issuer}/{path}"));
    }
    Json(metadata)
}

async fn create(
    State(transmitter): State<Transmitter>,
    headers: HeaderMap,
    Json(mut stream): Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    authorised(&headers)?;
    stream["stream_id"] = json!("stream-1");
    stream["iss"] = json!(transmitter.issuer());
    stream["aud"] = json!([AUDIENCE]);
    stream["events_delivered"] = stream["events_requested"].clone();
    if stream["delivery"]["method"] == "urn:ietf:rfc:8936" {
        stream["delivery"]["endpoint_url"] = json!(format!("{}/poll", transmitter.issuer()));
    }
    stream["status"] = json!("enabled");
    transmitter.state().stream = Some(stream.clone());
    Ok((StatusCode::CREATED, Json(stream)))
}

async fn read(State(transmitter): State<Transmitter>, headers: HeaderMap) -> TransmitterResponse {
    authorised(&headers)?;
    Ok(Json(transmitter.state().stream.iter().cloned().collect()))
}

async fn delete(
    State(transmitter): State<Transmitter>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<StatusCode, StatusCode> {
    authorised(&headers)?;
    assert_eq!(query["stream_id"], "stream-1");
    transmitter.state().stream = None;
    Ok(StatusCode::NO_CONTENT)
}

async fn status(State(transmitter): State<Transmitter>, headers: HeaderMap) -> TransmitterResponse {
    authorised(&headers)?;
    let stream = transmitter.state().stream.clone().ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({"stream_id": "stream-1", "status": stream["status"]})))
}

async fn set_status(
    State(transmitter): State<Transmitter>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> TransmitterResponse {
    authorised(&headers)?;
    let mut state = transmitter.state();
    state.stream.as_mut().ok_or(StatusCode::NOT_FOUND)?["status"] = body["status"].clone();
    Ok(Json(body))
}

async fn verify(
    State(transmitter): State<Transmitter>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<StatusCode, StatusCode> {
    authorised(&headers)?;
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let subject = json!({"format": "opaque", "id": body["stream_id"]});
    let event = json!({verification: {"state": body["state"]}});
    let token = transmitter.token("verification", &subject, &event);
    transmitter.state().waiting.insert("verification".to_owned(), token);
    Ok(StatusCode::NO_CONTENT)
}

async fn poll(
    State(transmitter): State<Transmitter>,
    headers: HeaderMap,
    Json(poll): Json<Value>,
) -> TransmitterResponse {
    authorised(&headers)?;
    let mut state = transmitter.state();
    state.polls += 1;
    if state.fails {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    for id in poll["ack"].as_array().into_iter().flatten() {
        let id = id.as_str().unwrap().to_owned();
        state.waiting.remove(&id);
        state.acknowledged.push(id);
    }
    for (id, error) in poll["setErrs"].as_object().into_iter().flatten() {
        state.waiting.remove(id);
        state.rejected.insert(id.clone(), error.clone());
    }
    Ok(Json(json!({"sets": state.waiting, "moreAvailable": false})))
}
