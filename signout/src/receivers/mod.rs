//! Receivers: the routes by which identity providers report that sessions have ended.
//!
//! | call | protocol |
//! | --- | --- |
//! | `POST /v1/realms/{realm}/backchannel-logout` | OpenID Connect Back-Channel Logout 1.0 |
//! | `POST /v1/realms/{realm}/events` | Security Event Tokens by push (RFC 8935) |
//! | `POST /v1/realms/{realm}/global-token-revocation` | Global Token Revocation (Okta) |
//! | `POST /oauth/revoke` | token revocation (RFC 7009); the token's issuer determines the realm |
//!
//! The same routes without `realms/{realm}` are for the empty realm, which is the filter's default.
//!
//! # Path of a message
//!
//! 1. [`routes`] reads the request, and sends the response that the protocol requires.
//! 2. [`Receivers::genuine`] finds the issuer and checks the signature. No API token is needed.
//! 3. The module of the protocol checks the claims and returns the records to store, as a pure
//!    function of message, settings and time.
//! 4. [`Receivers::store`] stores them durably. The response is sent when every token issued before
//!    it is refused.
//!
//! [`event_poll`] fetches Security Event Tokens from transmitters that do not push (RFC 8936).
//! These tokens take the same path from step 2.
//!
//! # Why a replay is harmless
//!
//! The cutoff is computed from the time in the message. A message that arrives again finds its
//! cutoff in force and changes nothing, so the service needs no list of used ids.

mod event_poll;
mod global_revocation;
mod logout_token;
mod message;
mod rejection;
mod report;
pub(crate) mod routes;
mod security_event;
mod subject;
mod token_revocation;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_guard_core::keys::KeyRing;
use session_guard_core::token::JwtType;
use session_guard_core::token::statement::{
    NotGenuine, Statement, StatementVerifier, VerifiedStatement,
};
use tokio::sync::Semaphore;

use crate::audit::{AuditNote, AuditOrigin};
use crate::clock::{unix_milliseconds, unix_seconds};
use crate::error::Error;
use crate::http::client::HttpClient;
use crate::issuers::TrustedIssuer;
use crate::issuers::settings::IssuerSettings;
use crate::plan::Submission;
use crate::service::Service;
use message::MessageEffect;
use rejection::{Rejection, RejectionReason};
use report::{ReceiverProtocol, Reports};
use security_event::EventMeaning;

/// The receivers of one service. All clones share one state.
#[derive(Clone)]
pub struct Receivers {
    state: Arc<ReceiverState>,
}

struct ReceiverState {
    service: Service,
    issuers: Vec<TrustedIssuer>,
    verifier: Mutex<StatementVerifier>,
    requests: Semaphore,
    reports: Reports,
    verifications: Verifications,
}

impl Receivers {
    /// Starts fetching the issuers' keys and polling for their events. Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// The operating system provides no thread or no random numbers.
    pub fn start(
        service: Service,
        issuers: Vec<IssuerSettings>,
        client: &HttpClient,
    ) -> std::io::Result<Self> {
        let metrics = &service.parts.metrics;
        let start = |settings| TrustedIssuer::start(settings, client, metrics);
        let issuers = issuers.into_iter().map(start).collect::<Result<_, _>>()?;
        let reports = Reports::new(Arc::clone(metrics));
        let state = ReceiverState {
            issuers,
            verifier: Mutex::new(StatementVerifier::new(FAILED_MILLISECONDS_PER_SECOND)),
            requests: Semaphore::new(REQUESTS_AT_A_TIME),
            reports,
            verifications: Verifications::default(),
            service,
        };
        let receivers = Self { state: Arc::new(state) };
        for index in 0..receivers.state.issuers.len() {
            event_poll::start(&receivers, index, client)?;
        }
        Ok(receivers)
    }

    /// Returns whether any issuer of this realm may send messages of the kind that `may_send`
    /// selects.
    fn serves(&self, realm: &str, may_send: impl Fn(&IssuerSettings) -> bool) -> bool {
        let mut issuers = self.state.issuers.iter().map(|issuer| &issuer.settings);
        issuers.any(|settings| settings.realm == realm && may_send(settings))
    }

    /// Verifies the signature of a JWT. Returns its issuer and its content.
    ///
    /// # Errors
    ///
    /// The JWT is malformed, its issuer may not send such messages, or the signature does not
    /// verify.
    async fn genuine(
        &self,
        realm: &str,
        jwt: &[u8],
        purpose: JwtType,
        may_send: impl Fn(&IssuerSettings) -> bool,
    ) -> Result<(&TrustedIssuer, VerifiedStatement), Rejection> {
        let statement = Statement::parse(jwt, purpose).ok_or_else(|| {
            let detail = "It is not a JWT in compact form, or its `typ` is for another purpose.";
            Rejection::new(RejectionReason::Malformed, detail)
        })?;
        let named = statement.named_issuer();
        let is_named = |settings: &IssuerSettings| {
            settings.realm == realm && named == Some(&*settings.issuer) && may_send(settings)
        };
        let issuer = self.state.issuers.iter().find(|issuer| is_named(&issuer.settings));
        let issuer = issuer.ok_or_else(|| {
            let detail = "No issuer with this `iss` may send this to this realm; see `issuer`, \
                          `realm` and the receivers in the issuers file.";
            Rejection::new(RejectionReason::UnknownIssuer, detail)
        })?;
        let verified = self.check(issuer, &statement).await?;
        Ok((issuer, verified))
    }

    /// Checks that a JWT is signed by this issuer.
    async fn check(
        &self,
        issuer: &TrustedIssuer,
        statement: &Statement<'_>,
    ) -> Result<VerifiedStatement, Rejection> {
        let algorithms = &issuer.settings.algorithms;
        if !algorithms.iter().any(|algorithm| algorithm.name() == statement.algorithm()) {
            let detail = "The issuer does not sign with this algorithm; see `algorithms` in the \
                          issuers file.";
            return Err(Rejection::new(RejectionReason::Algorithm, detail));
        }
        let keys = issuer.keys.current();
        let verified = match self.verify(statement, &keys) {
            Err(no) if no.misses_key || keys.lacks_some() => {
                issuer.keys.refresh().await;
                self.verify(statement, &issuer.keys.current())
            }
            verified => verified,
        };
        verified.map_err(|NotGenuine { refusal, .. }| Rejection::from(refusal))
    }

    fn verify(
        &self,
        statement: &Statement<'_>,
        keys: &KeyRing,
    ) -> Result<VerifiedStatement, NotGenuine> {
        let verifier = self.state.verifier.lock().unwrap_or_else(PoisonError::into_inner);
        verifier.verify(statement, keys, unix_milliseconds())
    }

    /// Handles a Security Event Token that was pushed or polled. When this returns, its records are
    /// durable. Returns the second (since 1970 UTC) from which on the response to a push may be
    /// sent.
    async fn take_event(
        &self,
        realm: &str,
        token: &[u8],
        protocol: ReceiverProtocol,
    ) -> Result<u64, Rejection> {
        let may_send = |settings: &IssuerSettings| settings.events.is_some();
        let genuine = self.genuine(realm, token, JwtType::SecurityEvent, may_send).await;
        let (issuer, statement) = genuine?;
        let settings = &issuer.settings;
        let Some(events) = &settings.events else { return Ok(0) };
        let claims = statement.claims()?;
        let (reports, name) = (&self.state.reports, &settings.issuer);
        match security_event::read(&claims, settings, events, unix_seconds())? {
            EventMeaning::Cutoff(effect) => {
                let respond_at = self.store(&effect, protocol, settings).await?;
                reports.accepted(protocol, name, &[]);
                return Ok(respond_at);
            }
            EventMeaning::Verification { state } => {
                self.note_verification(state).await;
                tracing::info!(issuer = name, "the transmitter has verified the stream");
                reports.ignored(protocol, name, "stream verification");
            }
            EventMeaning::StreamUpdated { status } => {
                let status = status.chars().filter(char::is_ascii_alphabetic).take(16);
                let status: String = status.collect();
                tracing::warn!(
                    issuer = name,
                    status,
                    "the transmitter has changed the status of the stream; see `signout stream status`"
                );
                reports.ignored(protocol, name, "stream update");
            }
            EventMeaning::Ignored => {
                reports.ignored(protocol, name, "an event that ends no session here");
            }
        }
        Ok(0)
    }

    /// Records that a verification event with this state has arrived (SSF 1.0 §8.1.4): in memory, and
    /// for the other services on the store as a lease.
    async fn note_verification(&self, state: Option<String>) {
        let Some(state) = state.filter(|state| state.len() <= VERIFICATION_STATE_BYTES) else {
            return;
        };
        let lease = || self.lease_verification(&state, HAS_ARRIVED, VERIFICATION_LEASE);
        for _ in 0..VERIFICATION_TRIES {
            if lease().await != Ok(false) {
                break; // a store that cannot be reached is asked no longer: `verify` says so
            }
            tokio::time::sleep(ASKING_LEASE).await; // another service is just asking for it
        }
        self.state.verifications.note(state);
    }

    /// Returns whether a verification event with this state has arrived, at this service or another
    /// one on its store. Only the lease of a service at which it has arrived outlives the question.
    pub(crate) async fn has_verified(&self, state: &str) -> bool {
        self.state.verifications.hold(state)
            || self.lease_verification(state, IS_ASKING, ASKING_LEASE).await == Ok(false)
    }

    async fn lease_verification(
        &self,
        state: &str,
        owner: u64,
        duration: Duration,
    ) -> Result<bool, Error> {
        self.state.service.lease(format!("verification {state}"), owner, duration).await
    }

    /// Stores the records of a message durably. Returns the second (since 1970 UTC) from which on
    /// the response may be sent.
    async fn store(
        &self,
        effect: &MessageEffect,
        protocol: ReceiverProtocol,
        settings: &IssuerSettings,
    ) -> Result<u64, Rejection> {
        let records = effect.planned();
        let size = records.len();
        let origin = AuditOrigin {
            via: protocol.name().to_owned(),
            name: settings.issuer.clone(),
            api_token: String::new(),
        };
        let note = AuditNote { realm: settings.realm.clone(), reason: String::new() };
        let submission = Submission { records, origin, trace_id: None, notes: vec![note] };
        let written = self.state.service.write(submission).await;
        let not_stored = |error: &Error| {
            let (_, code, detail) = error.answer();
            Rejection::new(RejectionReason::NotStored, format!("{detail} ({code})"))
        };
        let written = written.map_err(|error| not_stored(&error))?;
        if written.stored < size {
            return Err(not_stored(&Error::Full { accepted: written.stored }));
        }
        Ok(effect.respond_at)
    }
}

/// The states of the verification events that have arrived, newest last.
#[derive(Default)]
struct Verifications(Mutex<VecDeque<String>>);

impl Verifications {
    fn note(&self, state: String) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.push_back(state);
        if states.len() > VERIFICATIONS {
            states.pop_front();
        }
    }

    fn hold(&self, state: &str) -> bool {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().any(|known| known == state)
    }
}

/// The milliseconds of each second that failed signature checks may use. Their times are estimated
/// as in WebAssembly, where a check takes several times as long as in this program.
const FAILED_MILLISECONDS_PER_SECOND: u64 = 250;

/// The most requests that are handled at a time. Further requests are rejected as temporarily
/// unavailable. Each request has a body of at most [`routes::BODY_BYTES`], and may take two
/// seconds, because its response is sent only when the second of its cutoff has begun.
const REQUESTS_AT_A_TIME: usize = 1_024;

/// The number of verification events that are remembered. `signout stream verify` requests an event
/// and then asks whether it has arrived.
const VERIFICATIONS: usize = 64;

/// The owners of the lease for a verification event: the services at which it has arrived, and those
/// that ask whether it has.
const HAS_ARRIVED: u64 = 1;
const IS_ASKING: u64 = 2;

/// How long other services know of a verification event. `signout stream verify` waits for 30 s.
const VERIFICATION_LEASE: Duration = Duration::from_secs(300);

/// How long the question whether an event has arrived keeps the lease: the shortest time that Redis
/// knows.
const ASKING_LEASE: Duration = Duration::from_millis(1);

/// The maximum number of tries to take the lease for an event that has arrived.
const VERIFICATION_TRIES: usize = 100;

/// Longest state of a verification event that is remembered. `signout stream verify` uses 32 bytes.
const VERIFICATION_STATE_BYTES: usize = 128;
