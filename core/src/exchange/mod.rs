//! The life of one request, from its headers to its end.
//!
//! [`Exchange`] is the state machine of one request and its response. The host passes it the headers
//! and the responses to its calls, and applies the [`Next`] that it returns. The decision about the
//! request itself comes from [`admission`](crate::admission).
//!
//! Two kinds of exchanges wait. A sign-out waits until the service has responded; if it ends a
//! session, its response waits until the time of the session's cutoff has passed. On a
//! `revoke_user` route, the application's response waits until the service has responded to the
//! user's cutoff, and then until the time of the cutoff has passed.
//!
//! ```text
//! request headers ── Change ──┬── Continue
//!        │                    ├── Call … response to the call ── Continue or Respond
//!        └── Respond          └── Respond
//! response headers ─┬── Continue
//!                   ├── Hold … the root resumes it
//!                   └── Call … response to the call ─┬── Continue
//!                                                    └── Hold … the root resumes it
//! ```

use crate::admission::{Cutoff, Decision, Forward};
use crate::call::{Call, Response};
use crate::feed::delivery::Verdict;
use crate::feed::outbox::{Account, OutgoingRecord};
use crate::headers::{Edits, Headers};
use crate::metrics::Counter;
use crate::open_requests::{Registration, RequestCredentials};
use crate::refusal::{Enforcement, LocalResponse, RefusalRule};
use crate::revocation::record::{Kind, Record};
use crate::root::{HOLD_TICK_MILLISECONDS, Host, OPEN_REQUESTS_TICK_MILLISECONDS, Root};
use crate::severity::Severity;
use crate::sign_out::without_effect::WithoutEffect;
use crate::sign_out::{self, Hold, SignOut, Step};
use crate::token::GenuineToken;
use crate::trace_context::TraceContext;

/// One request and its response.
#[derive(Debug)]
pub struct Exchange {
    /// The host's number for the request, unique within its [`Root`].
    context: u32,
    /// The user whose tokens a 2xx response revokes.
    cutoff: Option<Cutoff>,
    /// The latest cutoff of the sessions that this request ends.
    session_cutoff: Option<Record>,
    /// Whether a token of the request has no `iat`.
    has_undated_token: bool,
    /// Whether the request continues only because this is a dry run.
    is_objectionable: bool,
    delivery: Option<PendingDelivery>,
    /// The trace of the request, if the request may cause a call.
    trace: Option<TraceContext>,
    /// The request's entry among the open requests, if the request may have to end early.
    registration: Option<Registration>,
}

/// A call to the service whose response the exchange waits for.
#[derive(Debug)]
struct PendingDelivery {
    sign_out: SignOut,
    /// The cutoff to hold the application's response for. `None` if the request waits, not the
    /// response.
    cutoff: Option<Record>,
}

/// The next action of the host.
#[derive(Debug)]
pub enum Next {
    /// Apply the edits to the request's headers and publish the user id. Then call
    /// [`Exchange::changed`] with whether both succeeded.
    Change(Forward),
    /// Let this half continue. If it was paused, resume it.
    Continue(Half),
    /// Respond in place of the application.
    Respond(LocalResponse),
    /// Pause this exchange and send the call to [`Root::service`]. Pass the response to
    /// [`Exchange::call_response`], or `None` if the call cannot be sent.
    Call(Call),
    /// Pause the response until [`Effects::resume`](crate::root::Effects::resume) contains the
    /// context.
    Hold,
}

/// One direction of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// From the client to the application.
    Request,
    /// From the application to the client.
    Response,
}

impl Exchange {
    /// Creates the exchange of a new request. `context` is the host's number for it.
    #[must_use]
    pub fn new(context: u32) -> Self {
        Self {
            context,
            cutoff: None,
            session_cutoff: None,
            has_undated_token: false,
            is_objectionable: false,
            delivery: None,
            trace: None,
            registration: None,
        }
    }

    /// Decides about a request by its headers. `None` means that the host cannot read them.
    #[must_use]
    pub fn request_headers(
        &mut self,
        root: &mut Root,
        headers: Option<&Headers>,
        host: Host<'_>,
    ) -> Next {
        let Some(headers) = headers else {
            return Next::Respond(root.refuse(&RefusalRule::Headers.into(), &[], host));
        };
        match root.decide(headers, host) {
            Decision::Forward(forward) => {
                if forward.revokes() {
                    self.trace = TraceContext::of(headers);
                }
                Next::Change(forward)
            }
            Decision::Refuse { objection, clear_cookies, sign_out } => {
                if !sign_out.is_empty() {
                    // The leader delivers the records of the outbox.
                    let records = records_of(root, &sign_out, &[], host);
                    let _ = begin(root, records, &[], host);
                }
                Next::Respond(root.refuse(&objection, &clear_cookies, host))
            }
            Decision::Ready(is_ready) => Next::Respond(LocalResponse::ready(is_ready)),
        }
    }

    /// Continues after [`Next::Change`]. `applied` is whether all changes succeeded.
    #[must_use]
    pub fn changed(
        &mut self,
        root: &mut Root,
        forward: Forward,
        applied: bool,
        host: Host<'_>,
    ) -> Next {
        if !applied {
            // Otherwise the application could receive a client's header or a bad token, or a rule
            // would not see the user.
            let response = match &forward.unless_removed {
                Some(bad) => root.refuse(&bad.objection, &bad.clear_cookies, host),
                None => root.refuse(&RefusalRule::Headers.into(), &[], host),
            };
            return Next::Respond(response);
        }
        if let Some(objection) = &forward.would_refuse {
            self.is_objectionable = true;
            root.note_would_refuse(objection, host);
        }
        if forward.claims_left_out > 0 {
            root.count_many(Counter::ClaimsLeftOut, forward.claims_left_out as u64);
        }
        self.cutoff = forward.cutoff;
        self.has_undated_token =
            forward.credentials.tokens.iter().any(|token| token.iat().is_none());
        if let Some(reason) = forward.without_effect {
            note_without_effect(root, reason, host);
        }
        let signs_out = forward.signs_out();
        let Forward { credentials, sign_out, signed_out, expired, .. } = forward;
        self.register(root, credentials, host);
        if !signs_out {
            return self.allow(root);
        }
        let records = records_of(root, &sign_out, &expired, host);
        let revoked = held_records_of(root, &signed_out, host);
        let all = records.iter().map(|outgoing| &outgoing.record).chain(&revoked);
        let cutoffs = all.filter(|record| record.kind != Kind::Token);
        self.session_cutoff = cutoffs.copied().max_by_key(|record| record.issued_before);
        let step = begin(root, records, &revoked, host);
        self.follow(root, step, None, host)
    }

    /// Returns the changes to a request's trailers.
    #[must_use]
    pub fn request_trailers(&self, root: &Root, trailers: &Headers) -> Edits {
        root.admission.trailers(trailers)
    }

    /// Returns the response to a request whose trailers could not be changed.
    #[must_use]
    pub fn trailers_not_changed(&self, root: &mut Root, host: Host<'_>) -> LocalResponse {
        root.refuse(&RefusalRule::Headers.into(), &[], host)
    }

    /// Returns whether [`Exchange::response_headers`] needs the headers. For most responses it does
    /// not.
    #[must_use]
    pub fn reads_response_headers(&self) -> bool {
        self.cutoff.is_some() || self.session_cutoff.is_some()
    }

    /// Handles the headers of the application's response. `None` means that the host cannot read
    /// them.
    #[must_use]
    pub fn response_headers(
        &mut self,
        root: &mut Root,
        headers: Option<&Headers>,
        host: Host<'_>,
    ) -> Next {
        if let Some(cutoff) = self.session_cutoff.take() {
            return self.hold(root, &cutoff, host);
        }
        let success = headers.filter(|headers| sign_out::is_success(headers));
        let (Some(cutoff), Some(headers)) = (self.cutoff.take(), success) else {
            return Next::Continue(Half::Response);
        };
        let Some(lifetime) = root.revocation.as_ref().map(|it| it.max_lifetime_seconds) else {
            return Next::Continue(Half::Response);
        };
        if self.has_undated_token {
            note_without_effect(root, WithoutEffect::NoIat, host);
            return Next::Continue(Half::Response);
        }
        self.unregister(root); // this response ends the user's other requests, not itself
        let now = host.clock.now();
        let record =
            sign_out::of_user(cutoff.user, headers.first(b"date"), cutoff.iat, now, lifetime);
        root.count(Counter::CutOff);
        let step = begin(root, vec![record.into()], &[], host);
        self.follow(root, step, Some(record), host)
    }

    /// Handles the service's response to [`Next::Call`]. `None` means that the call failed or could
    /// not be sent.
    #[must_use]
    pub fn call_response(
        &mut self,
        root: &mut Root,
        response: Option<&Response>,
        host: Host<'_>,
    ) -> Next {
        let (Some(delivery), Some(revocation)) = (self.delivery.take(), &root.revocation) else {
            return Next::Continue(Half::Request);
        };
        let outbox = *revocation.feed.outbox();
        let now = host.clock.now();
        let step = delivery.sign_out.respond(&outbox, host.shared, response, now);
        self.follow(root, step, delivery.cutoff, host)
    }

    /// Ends the exchange and removes its entries from the root.
    pub fn end(&mut self, root: &mut Root) {
        self.unregister(root);
        if let Some(revocation) = &mut root.revocation {
            revocation.forget_hold(self.context);
        }
    }

    /// Registers the request as open, so that it can be ended early.
    fn register(&mut self, root: &mut Root, credentials: RequestCredentials, host: Host<'_>) {
        let ends_early = root.enforcement == Enforcement::On
            && root.revocation.as_ref().is_some_and(|it| it.ends_requests);
        if !ends_early || credentials.is_empty() {
            return;
        }
        if root.tick_period.shorten(OPEN_REQUESTS_TICK_MILLISECONDS) {
            root.open_requests.note_clear(host.clock.monotonic_milliseconds());
        }
        self.registration = Some(root.open_requests.register(self.context, credentials));
    }

    /// Removes the request from the open requests, so that nothing ends it early any more.
    fn unregister(&mut self, root: &mut Root) {
        if let Some(registration) = self.registration.take() {
            root.open_requests.unregister(registration);
        }
    }

    fn allow(&self, root: &mut Root) -> Next {
        if !self.is_objectionable {
            root.count(Counter::Allowed);
        }
        Next::Continue(Half::Request)
    }

    fn follow(
        &mut self,
        root: &mut Root,
        step: Step,
        cutoff: Option<Record>,
        host: Host<'_>,
    ) -> Next {
        let half = if cutoff.is_some() { Half::Response } else { Half::Request };
        match (step, cutoff) {
            (Step::Continue, None) => self.allow(root),
            (Step::Continue, Some(cutoff)) => self.hold(root, &cutoff, host),
            (Step::NotStored, _) => {
                self.session_cutoff = None; // the user tries again
                refuse(root, RefusalRule::Outbox, half, host)
            }
            (Step::Unreachable, _) => {
                self.session_cutoff = None;
                refuse(root, RefusalRule::Unreachable, half, host)
            }
            (Step::Rejected(verdict), _) => {
                self.session_cutoff = None;
                root.count(Counter::SignOutRejected);
                root.log_at_intervals(Severity::Error, rejection_line(verdict), host);
                refuse(root, RefusalRule::Rejected, half, host)
            }
            (Step::Deliver(mut call, sign_out), cutoff) => {
                call.headers.extend(self.trace.iter().flat_map(TraceContext::lines));
                self.delivery = Some(PendingDelivery { sign_out, cutoff });
                Next::Call(call)
            }
        }
    }

    /// Holds the application's response until a new sign-in gets a token that the cutoff does not
    /// revoke.
    fn hold(&self, root: &mut Root, cutoff: &Record, host: Host<'_>) -> Next {
        let now = host.clock.now();
        let hold = Hold::new(cutoff, now);
        let Some(revocation) = root.revocation.as_mut().filter(|_| !hold.is_over(now)) else {
            return Next::Continue(Half::Response);
        };
        revocation.hold(self.context, hold);
        root.tick_period.shorten(HOLD_TICK_MILLISECONDS);
        Next::Hold
    }
}

/// Refuses a sign-out whose revocation is not in force everywhere. In a dry run it continues.
fn refuse(root: &mut Root, rule: RefusalRule, half: Half, host: Host<'_>) -> Next {
    match root.enforcement {
        Enforcement::On => Next::Respond(root.refuse(&rule.into(), &[], host)),
        Enforcement::DryRun => {
            root.note_would_refuse(&rule.into(), host);
            Next::Continue(half)
        }
    }
}

/// Returns the records that revoke these tokens and end their sessions, and counts them. Of
/// `expired` tokens only the sessions end.
fn records_of(
    root: &mut Root,
    tokens: &[GenuineToken],
    expired: &[GenuineToken],
    host: Host<'_>,
) -> Vec<OutgoingRecord> {
    let lifetime = root.revocation.as_ref().and_then(|it| it.max_lifetime_seconds);
    let unix_seconds = host.clock.unix_seconds();
    let of_token = |token: &GenuineToken| OutgoingRecord {
        record: record_of(root, token, host),
        account: token.user().map(|user| Account { user, iat: token.iat() }),
    };
    let of_session = |token: &GenuineToken| {
        let record = sign_out::of_token_session(token, unix_seconds, lifetime)?;
        let account = token.user().map(|user| Account { user, iat: None });
        Some(OutgoingRecord { record, account })
    };
    let mut records: Vec<_> = tokens.iter().map(of_token).collect();
    let mut sessions: Vec<_> = tokens.iter().chain(expired).filter_map(of_session).collect();
    sessions.sort_by_key(|session| session.record);
    sessions.dedup_by(|later, kept| {
        let same = later.record.key() == kept.record.key();
        if same {
            *kept = kept.merge(*later);
        }
        same
    });
    let count = |list: &[_]| u64::try_from(list.len()).unwrap_or(u64::MAX);
    let (token_count, session_count) = (count(&records), count(&sessions));
    root.count_many(Counter::SignedOut, token_count);
    root.count_many(Counter::SessionSignedOut, session_count);
    records.append(&mut sessions);
    records
}

/// Returns the records of tokens that are revoked already, and of their sessions.
fn held_records_of(root: &Root, tokens: &[GenuineToken], host: Host<'_>) -> Vec<Record> {
    let mut records: Vec<_> = tokens.iter().map(|token| record_of(root, token, host)).collect();
    if let Some(revocation) = &root.revocation {
        let find = |id| revocation.feed.set().find(host.shared, id, Kind::User);
        records.extend(tokens.iter().filter_map(GenuineToken::session).filter_map(find));
    }
    records
}

fn record_of(root: &Root, token: &GenuineToken, host: Host<'_>) -> Record {
    let lifetime = root.revocation.as_ref().and_then(|it| it.max_lifetime_seconds);
    sign_out::of_token(token.record_id(), token.exp(), host.clock.unix_seconds(), lifetime)
}

fn note_without_effect(root: &mut Root, reason: WithoutEffect, host: Host<'_>) {
    root.count(Counter::SignOutWithoutEffect(reason));
    root.log_at_intervals(Severity::Warning, reason.line(), host);
}

fn rejection_line(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Full(_) => {
            "a sign-out got 503: the signout service is full (507); the token is refused on this \
             proxy only; raise --capacity"
        }
        Verdict::Unauthorized => {
            "a sign-out got 503: the signout service refuses our API token; the token is refused on \
             this proxy only; compare revocation.upstream.token with the service's SIGNOUT_TOKEN"
        }
        _ => {
            "a sign-out got 503: the signout service rejects its revocation; the token is refused on \
             this proxy only; compare the versions of filter and service"
        }
    }
}

fn begin(
    root: &mut Root,
    records: Vec<OutgoingRecord>,
    revoked: &[Record],
    host: Host<'_>,
) -> Step {
    let Some(revocation) = &root.revocation else { return Step::Continue };
    let (set, outbox) = (*revocation.feed.set(), *revocation.feed.outbox());
    let (settings, now) = (revocation.sign_out, host.clock.now());
    sign_out::begin(&set, &outbox, host.shared, records, revoked, settings, now)
}

#[cfg(test)]
pub(crate) mod tests;
