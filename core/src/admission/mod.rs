//! May this request go on?
//!
//! The room where everything meets: the route says what is asked, the sources say where the tokens
//! are, the verifier says which are genuine, the set says which are revoked. A request passes each
//! once, in that order, and leaves as a [`Decision`] that the host carries out.
//!
//! # Why nothing is forwarded by default
//!
//! The way to [`Forward`] on a protected route leads through a [`VerifiedToken`], which only the
//! verifier can make and only a set that is known to be current lets pass, or through an API key that
//! the configuration leaves to the application. Every other way out of [`Admission::decide`] is a
//! [`Refusal`].
//!
//! # What an API key changes
//!
//! It stands for a token where there is none, and takes the user out of the request: whom it belongs
//! to is not known here. It excuses no token beside it, which is judged as ever. Where a route signs
//! out the user of the request's own token, a key names nobody, and is not enough.

use std::cell::Cell;
use std::rc::Rc;

use crate::config::{self, Config, WhenUnknown};
use crate::feed::repair;
use crate::feed::staleness::Knowledge;
use crate::headers::{Edit, Headers};
use crate::keys::KeyRing;
use crate::keys::host::SignatureHost;
use crate::open_requests::Basis;
use crate::open_requests::bound::router_bound;
use crate::refusal::Refusal;
use crate::request::routes::{Access, RevokeUser, Route, Routes, SignsOut};
use crate::request::sources::{Candidate, SourceSet, Sources};
use crate::request::upstream::Upstream;
use crate::revocation::generation::Standing;
use crate::revocation::record::RecordId;
use crate::revocation::set::RevocationSet;
use crate::revocation::shard::Damaged;
use crate::shared::SharedData;
use crate::sign_out::without_effect::WithoutEffect;
use crate::token::{self, User, VerifiedToken, Verifier};

/// What decides about requests under one configuration.
pub struct Admission {
    routes: Routes,
    sources: Sources,
    upstream: Upstream,
    verifier: Verifier,
    realm: String,
    revocation: Option<Revocation>,
    /// Whether `ready` was answered with 200 before.
    was_ready: Cell<bool>,
}

struct Revocation {
    set: RevocationSet,
    when_unknown: WhenUnknown,
    streams: config::Streams,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Decision {
    /// It goes on to the application.
    Forward(Forward),
    /// It is answered with a refusal.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// `Set-Cookie` lines that clear the cookies whose tokens were refused.
        clear_cookies: Vec<String>,
        /// The tokens that it signs out all the same.
        sign_out: Vec<Rc<VerifiedToken>>,
    },
    /// It asked whether this proxy is ready, and this is the answer.
    Ready(bool),
}

/// How a request goes on.
#[derive(Debug, Default)]
pub struct Forward {
    /// What changes in its headers.
    pub edits: Vec<Edit>,
    /// The number of claims that were left out because no header can carry their values.
    pub claims_left_out: usize,
    /// The user id that other filters and access logs get, where the configuration wants that.
    pub published_user: Option<Box<str>>,
    /// The tokens that it was admitted with: if one of them is revoked, so is this request. None on
    /// a sign-out, which is to be answered.
    pub tokens: Vec<Rc<VerifiedToken>>,
    /// The tokens that it signs out: revoked before it leaves.
    pub sign_out: Vec<Rc<VerifiedToken>>,
    /// Those that it would sign out and that are revoked already.
    pub signed_out: Vec<Rc<VerifiedToken>>,
    /// Whose tokens are revoked if the application answers 2xx.
    pub cutoff: Option<Cutoff>,
    /// The reason why a sign-out revokes nothing, if it revokes nothing.
    pub without_effect: Option<WithoutEffect>,
}

/// Whose tokens a 2xx answer revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// The user.
    pub user: RecordId,
    /// `iat` of the token that the request came with.
    pub iat: Option<u64>,
}

/// What is known from outside the request.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The proxy's wall clock, seconds since 1970 UTC.
    pub unix_seconds: u64,
    /// How current the revocation set is.
    pub knowledge: Knowledge,
    /// Whether each key set has keys, or was asked for without success.
    pub keys_settled: bool,
    /// Where the revocation set is.
    pub shared: &'a dyn SharedData,
}

impl Admission {
    /// Takes what it needs of a configuration. `set` belongs to its `revocation`; `host` is asked
    /// about signatures.
    #[must_use]
    pub fn new(
        config: Config,
        set: Option<RevocationSet>,
        host: &'static dyn SignatureHost,
    ) -> Self {
        let revocation = config.revocation.as_ref().zip(set).map(|(settings, set)| Revocation {
            set,
            when_unknown: settings.when_unknown,
            streams: settings.streams,
        });
        Self {
            routes: config.routes,
            sources: config.sources,
            upstream: config.upstream,
            realm: config.policy.realm.clone(),
            verifier: Verifier::new(config.keys, config.policy)
                .with_host(host, config.slow_verifications_per_second),
            revocation,
            was_ready: Cell::new(false),
        }
    }

    /// What becomes of a request with these headers.
    #[must_use]
    pub fn decide(&self, headers: &Headers, moment: Moment<'_>) -> Decision {
        let route = self.routes.find(headers);
        match route.access {
            Access::Ready => {
                return Decision::Ready(self.is_ready(moment));
            }
            Access::Public => return Decision::Forward(self.forward(headers, None, &route)),
            Access::Optional | Access::Protected | Access::Signout => {}
        }
        let tokens = self.judge(headers, route.access, moment);
        let has_api_key = route.api_keys && self.sources.hold_api_key(headers);
        // A sign-out reaches the application as it came, so no cookie is replaced there.
        let good = match (&tokens, route.access) {
            (Err(_), _) | (_, Access::Signout) => SourceSet::default(),
            (Ok(tokens), _) => good_in(tokens),
        };
        let outcome = match self.outcome(&tokens, good, moment) {
            Ok(_) | Err(Refusal::MissingToken) if has_api_key => by_api_key(&tokens, &route),
            outcome => outcome.map(Some),
        };
        if let (Access::Protected, Err(refusal)) = (route.access, &outcome) {
            return self.refuse(*refusal, &tokens);
        }
        if route.revokes() && tokens.iter().flatten().any(Judged::is_unknown) {
            // Forwarded, it would sign out in appearance only. But what costs so much that it cannot be
            // told now must not keep alive what is known.
            let mut refused = self.refuse(Refusal::Unavailable, &tokens);
            if let Decision::Refuse { sign_out, .. } = &mut refused {
                let live = tokens.into_iter().flatten().filter(|it| it.objection.is_none());
                sign_out.extend(live.filter_map(|judged| judged.token));
            }
            return refused;
        }
        let token = outcome.as_ref().ok().and_then(Option::as_deref);
        let mut forward = self.forward(headers, token, &route);
        if route.access == Access::Signout {
            let is_signed_out = |judged: &Judged<'_>| match route.signs_out {
                SignsOut::All => true,
                // Browsers attach cookies by themselves, also for the page of another site.
                SignsOut::AllButCookies => {
                    !judged.candidate.sources().is_within(self.sources.cookies())
                }
                SignsOut::Nothing(_) => false,
            };
            let judged = || tokens.iter().flatten();
            let reason = match route.signs_out {
                SignsOut::Nothing(Some(reason)) if judged().next().is_some() => reason.into(),
                SignsOut::AllButCookies
                    if judged().next().is_some() && !judged().any(is_signed_out) =>
                {
                    WithoutEffect::CrossSite
                }
                _ => WithoutEffect::of_tokens(judged().find_map(|judged| judged.objection)),
            };
            for judged in tokens.into_iter().flatten().filter(is_signed_out) {
                let is_revoked = judged.objection == Some(Refusal::Revoked);
                let Forward { sign_out, signed_out, .. } = &mut forward;
                if is_revoked { signed_out } else { sign_out }.extend(judged.token);
            }
            let revokes = !forward.sign_out.is_empty() || !forward.signed_out.is_empty();
            forward.without_effect = (!revokes).then_some(reason);
            return Decision::Forward(forward);
        }
        if outcome.is_err() || self.upstream.strips_token() {
            forward.edits.extend(self.sources.removal(headers));
        } else if let Ok(tokens) = &tokens {
            forward.edits.extend(self.replaced_cookies(headers, tokens, good));
        }
        if outcome.is_ok() {
            forward.tokens =
                tokens.into_iter().flatten().filter_map(|judged| judged.token).collect();
            forward.edits.extend(self.router_bound(headers, &forward.tokens, moment));
        }
        Decision::Forward(forward)
    }

    /// Every token of the request with what speaks against it.
    fn judge<'a>(
        &self,
        headers: &'a Headers,
        access: Access,
        moment: Moment<'_>,
    ) -> Result<Vec<Judged<'a>>, Refusal> {
        let one = |candidate| self.judge_one(candidate, moment);
        if access == Access::Signout {
            return Ok(self.sources.find_to_sign_out(headers).into_iter().map(one).collect());
        }
        Ok(self.sources.find(headers)?.iter().cloned().map(one).collect())
    }

    fn judge_one<'a>(&self, candidate: Candidate<'a>, moment: Moment<'_>) -> Judged<'a> {
        match self.verifier.verify(&candidate.bytes, moment.unix_seconds) {
            Ok(token) => {
                let objection = match self.is_revoked(&token, moment) {
                    Ok(false) => None,
                    Ok(true) => Some(Refusal::Revoked),
                    Err(Damaged) => Some(Refusal::Unavailable),
                };
                Judged { candidate, token: Some(token), objection }
            }
            Err(refusal) => Judged { candidate, token: None, objection: Some(refusal) },
        }
    }

    /// Asked on every request. Only where nothing that concerns the token was written since it was
    /// last found live is that verdict still good.
    fn is_revoked(&self, token: &VerifiedToken, moment: Moment<'_>) -> Result<bool, Damaged> {
        let Some(Revocation { set, .. }) = &self.revocation else { return Ok(false) };
        let (shared, id) = (moment.shared, token.record_id());
        let marked = set.generations().mark(shared, id, token.known_live_at());
        let revoked = !matches!(marked, Some((_, Standing::AsBefore)))
            && set
                .is_revoked(shared, id, token.user().map(User::record_id), token.iat())
                .inspect_err(|_| repair::report(shared, set))?;
        if let (false, Some((mark, _))) = (revoked, marked) {
            token.note_live_at(mark);
        }
        Ok(revoked)
    }

    /// Returns the token that admits the request. All tokens must be acceptable and agree on the
    /// user, except cookies that a good cookie of the same name [replaces](Self::replaced_cookies).
    /// One of them must be in a configured place, spelt exactly. Of several objections the first in
    /// the order of judgement is named.
    fn outcome(
        &self,
        tokens: &Result<Vec<Judged<'_>>, Refusal>,
        good: SourceSet,
        moment: Moment<'_>,
    ) -> Result<Rc<VerifiedToken>, Refusal> {
        let tokens = tokens.as_ref().map_err(|&refusal| refusal)?;
        let judged = || tokens.iter().filter(|judged| !self.is_replaced(judged, good));
        let users = judged().filter_map(|judged| judged.token.as_ref()).map(|token| token.user());
        let conflict = !users.is_sorted_by(|a, b| a == b);
        let objections = judged().filter_map(|judged| judged.objection);
        let objections = objections.chain(conflict.then_some(Refusal::ConflictingTokens));
        if let Some(refusal) = objections.min() {
            return Err(refusal);
        }
        let first = judged().find(|judged| !judged.candidate.exact.is_empty());
        let token = first.and_then(|judged| judged.token.clone()).ok_or(Refusal::MissingToken)?;
        if self.may_rely(moment) { Ok(token) } else { Err(Refusal::Unavailable) }
    }

    /// Returns whether a good cookie of the same name replaces this one.
    ///
    /// A browser may hold two cookies of one name: one that has expired, or that another application
    /// of the same domain has set with `Domain`, next to the one of the present session. A sign-in
    /// cannot clear it, so a refusal would lock the user out. Such a cookie is removed from the
    /// request instead: the application never sees it. A revoked cookie is refused all the same.
    fn is_replaced(&self, judged: &Judged<'_>, good: SourceSet) -> bool {
        !judged.may_be_good()
            && judged.objection != Some(Refusal::Revoked)
            && judged.candidate.other.is_empty()
            && judged.candidate.exact.is_within(self.sources.cookies())
            && judged.candidate.exact.is_within(good)
    }

    /// Returns the edit that removes the cookies that good cookies of the same name replace.
    fn replaced_cookies(
        &self,
        headers: &Headers,
        tokens: &[Judged<'_>],
        good: SourceSet,
    ) -> Option<Edit> {
        let replaced = tokens.iter().filter(|judged| self.is_replaced(judged, good));
        let values: Vec<_> = replaced.map(|judged| &*judged.candidate.bytes).collect();
        if values.is_empty() { None } else { self.sources.cookie_removal(headers, &values) }
    }

    /// Whether what is known of revocations is enough to let anything pass.
    fn may_rely(&self, moment: Moment<'_>) -> bool {
        let Some(revocation) = &self.revocation else { return true };
        moment.knowledge.admits(revocation.when_unknown)
    }

    /// Whether this proxy has loaded the revocation set, and has keys or has asked for them. Once it
    /// was ready, it stays ready: a set that is stale, or a missing key, already makes protected
    /// requests get 503. If `ready` failed as well, the cause that all replicas share would take all
    /// of them out, and with them the public pages and the sign-in.
    fn is_ready(&self, moment: Moment<'_>) -> bool {
        let is_loaded = self.revocation.is_none() || moment.knowledge != Knowledge::Never;
        if is_loaded && moment.keys_settled {
            self.was_ready.set(true);
        }
        self.was_ready.get()
    }

    /// Whether keys of a key set are still missing.
    #[must_use]
    pub fn lacks_keys(&self) -> bool {
        !self.verifier.has_all_keys()
    }

    fn forward(&self, headers: &Headers, token: Option<&VerifiedToken>, route: &Route) -> Forward {
        let user = match &route.revoke_user {
            Some(RevokeUser::OfToken) => token.and_then(VerifiedToken::user).map(User::record_id),
            // Whom no token can name has none to revoke; a record would be kept for nothing.
            Some(RevokeUser::Named(id)) => {
                token::is_user_id(id).then(|| RecordId::of_user(&self.realm, id))
            }
            None => None,
        };
        let iat = token.and_then(VerifiedToken::iat);
        Forward {
            edits: self.upstream.edits(headers, token),
            claims_left_out: token.map_or(0, VerifiedToken::claims_left_out),
            published_user: self.upstream.published_user(token),
            tokens: Vec::new(),
            sign_out: Vec::new(),
            signed_out: Vec::new(),
            cutoff: user.map(|user| Cutoff { user, iat }),
            without_effect: None,
        }
    }

    /// Verifies with these keys from now on.
    pub fn replace_keys(&self, keys: KeyRing) {
        self.verifier.replace_keys(keys);
    }

    /// Whether since the last call a token came that names a key which is not there.
    pub fn take_missed_key(&self) -> bool {
        self.verifier.take_missed_key()
    }

    /// What [`Admission::objection`] depends on now.
    #[must_use]
    pub fn basis(&self, moment: Moment<'_>) -> Basis {
        let generations = self.revocation.as_ref().map(|revocation| revocation.set.generations());
        Basis {
            generation: generations.and_then(|it| it.current(moment.shared)),
            unix_seconds: self.ends_at_expiry().then_some(moment.unix_seconds),
        }
    }

    fn ends_at_expiry(&self) -> bool {
        self.revocation.as_ref().is_some_and(|revocation| revocation.streams.end_at_expiry)
    }

    /// Where streams end with their tokens, what tells the router of the first that ends.
    fn router_bound(
        &self,
        headers: &Headers,
        tokens: &[Rc<VerifiedToken>],
        moment: Moment<'_>,
    ) -> Option<Edit> {
        if !self.ends_at_expiry() {
            return None;
        }
        let end = tokens.iter().filter_map(|token| self.verifier.end_of(token)).min();
        router_bound(headers, end, moment.unix_seconds)
    }

    /// Why a request that was admitted with this token must not stay open, if it must not.
    #[must_use]
    pub fn objection(&self, token: &VerifiedToken, moment: Moment<'_>) -> Option<Refusal> {
        let streams = self.revocation.as_ref()?.streams;
        let revoked = || matches!(self.is_revoked(token, moment), Ok(true));
        let expired = || self.verifier.check_times(token, moment.unix_seconds).is_err();
        if streams.end_on_revocation && revoked() {
            Some(Refusal::Revoked)
        } else if streams.end_at_expiry && expired() {
            Some(Refusal::Expired)
        } else {
            None
        }
    }

    /// What changes in a request's trailers, on every route.
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Vec<Edit> {
        let mut edits = self.upstream.trailers(trailers);
        edits.extend(self.sources.trailers(trailers));
        edits
    }

    /// A refusal clears a cookie if its token was refused and no value of its name may be good. A
    /// conflict clears none: a link with somebody else's token must not sign the user out.
    fn refuse(&self, refusal: Refusal, tokens: &Result<Vec<Judged<'_>>, Refusal>) -> Decision {
        let tokens = tokens.as_deref().unwrap_or_default();
        let bad = tokens.iter().filter(|judged| !judged.may_be_good());
        let bad = union(bad.map(|judged| judged.candidate.exact));
        let kept = tokens.iter().filter(|judged| judged.may_be_good());
        let kept = union(kept.map(|judged| judged.candidate.sources()));
        let is_conflict = refusal == Refusal::ConflictingTokens;
        let refused = if is_conflict { SourceSet::default() } else { bad.without(kept) };
        let clear_cookies = self.sources.clearing(refused);
        Decision::Refuse { refusal, clear_cookies, sign_out: Vec::new() }
    }
}

/// Returns the sources that hold a good token, spelt exactly.
fn good_in(tokens: &[Judged<'_>]) -> SourceSet {
    let good = tokens.iter().filter(|judged| judged.objection.is_none());
    union(good.map(|judged| judged.candidate.exact))
}

fn union(sets: impl Iterator<Item = SourceSet>) -> SourceSet {
    sets.fold(SourceSet::default(), SourceSet::union)
}

/// Nobody, for whom an API key speaks beside tokens without objection, or none.
fn by_api_key(
    tokens: &Result<Vec<Judged<'_>>, Refusal>,
    route: &Route,
) -> Result<Option<Rc<VerifiedToken>>, Refusal> {
    match (&route.revoke_user, tokens.as_deref()) {
        (Some(RevokeUser::OfToken), Ok([])) => Err(Refusal::MissingToken),
        (Some(RevokeUser::OfToken), _) => Err(Refusal::ConflictingTokens),
        _ => Ok(None),
    }
}

/// One token of a request.
struct Judged<'a> {
    candidate: Candidate<'a>,
    /// The token, if it is genuine.
    token: Option<Rc<VerifiedToken>>,
    /// What speaks against it.
    objection: Option<Refusal>,
}

impl Judged<'_> {
    /// Returns whether the token is good, or cannot be judged now.
    fn may_be_good(&self) -> bool {
        matches!(self.objection, None | Some(Refusal::Unavailable))
    }

    /// A token that may be genuine, which cannot be told now.
    fn is_unknown(&self) -> bool {
        self.token.is_none() && self.objection == Some(Refusal::Unavailable)
    }
}

#[cfg(test)]
mod tests;
