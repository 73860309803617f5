//! Decides whether a request may continue.
//!
//! The route determines what is required, the sources find the tokens, the verifier checks them, and
//! the revocation set tells which are revoked. A request passes each stage once, in this order, and
//! the result is a [`Decision`] that the host applies.
//!
//! # Why nothing is forwarded by accident
//!
//! On a protected route, [`Forward`] requires one of two: a [`VerifiedToken`] that is not revoked,
//! or an API key that is not revoked and that the configuration leaves to the application. Only the
//! verifier can make a [`VerifiedToken`]. Every other path through [`Admission::decide`] ends in a
//! [`Refusal`], except in a dry run.
//!
//! The revocation set must be up to date. If `when_unknown` is `use_last`, a stale set is
//! sufficient, but not one that was never loaded. Without the setting `revocation` nothing is
//! revoked.
//!
//! # API keys
//!
//! An API key takes the place of a missing token. The application checks the key; the filter only
//! looks up, by the key's hash, whether it is revoked. The filter does not know the user of a key,
//! so it forwards no user id. On a protected route, a request with a revoked key is refused. On an
//! optional route, the request continues without its keys and tokens. The same holds for every key
//! while the revocation set cannot be used. A request that is open when its key is revoked ends.
//! Tokens in the same request must still be acceptable. On a route that signs out the user of the
//! request's token, an API key is not enough, because it names no user.
//!
//! # Which code a refusal has
//!
//! The code is that of the first failure over all tokens, in the order of [`Refusal`]: form,
//! algorithm, key, signature, and then all others. To find it with little work, the filter first
//! makes the checks that need no signature, on all tokens: form, algorithm and key. Only if all
//! tokens pass, it checks signatures in the order of the tokens, until one fails. The other tokens
//! need no check then, because in the order of [`Refusal`] no failure that they may still have
//! comes before a bad signature. A refusal never clears the cookie of a token that was not checked.
//!
//! A browser may send two cookies of one name, of which only one is good. The good one then
//! replaces the bad one, so a bad cookie does not end the checks while another cookie of its name
//! may be good.
//!
//! # Dry run
//!
//! With `enforce: false` every request is judged as usual and continues. Only two things take effect:
//! the headers that a client could forge are removed, and sign-outs revoke tokens. The application
//! gets no user id, its tokens and cookies stay, and open requests do not end early.
//!
//! # Sign-outs
//!
//! A sign-out revokes every genuine token that it carries, even if its times or claims are not
//! acceptable, and ends the token's session. An expired token needs no record, but its session
//! ends. A token that is revoked already has no effect: otherwise a thief of an old token could end
//! the user's new sessions again and again.
//!
//! Tokens that this VM has verified in earlier requests are checked first, so they are revoked
//! regardless of how many other tokens the request carries. Tokens in a header, cookie or parameter
//! whose name is spelt differently from the configuration are checked last. If the limits for
//! signature checks do not suffice for all tokens, the response is 503 and the tokens that were
//! checked are revoked. A retry at the same VM continues with the others, because the VM remembers
//! the signatures that it has checked.

use std::cell::Cell;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::config::{self, Config, WhenUnknown};
use crate::feed::repair;
use crate::feed::staleness::Knowledge;
use crate::headers::{Edit, Edits, Headers};
use crate::keys::KeyRing;
use crate::keys::effort::Effort;
use crate::keys::host::SignatureHost;
use crate::open_requests::bound::router_bound;
use crate::open_requests::{Basis, RequestCredentials};
use crate::refusal::{Enforcement, Objection, Refusal, RefusalRule};
use crate::request::routes::{Access, RevokeUser, Route, Routes, SignsOut, is_cross_site};
use crate::request::sources::{Candidate, SourceSet, Sources};
use crate::request::upstream::Upstream;
use crate::revocation::record::RecordId;
use crate::revocation::set::{RevocationSet, RevocationVerdict};
use crate::revocation::shard::Damaged;
use crate::shared::SharedData;
use crate::sign_out::without_effect::WithoutEffect;
use crate::token::{self, Genuine, GenuineToken, Purpose, User, VerifiedToken, Verifier};

/// Decides about requests under one configuration.
pub struct Admission {
    routes: Routes,
    sources: Sources,
    upstream: Upstream,
    verifier: Verifier,
    realm: String,
    enforcement: Enforcement,
    revocation: Option<RevocationCheck>,
    /// Whether this proxy has been ready before.
    was_ready: Cell<bool>,
}

struct RevocationCheck {
    set: RevocationSet,
    when_unknown: WhenUnknown,
    streams: config::Streams,
}

/// The decision about a request.
#[derive(Debug)]
pub enum Decision {
    /// The request continues to the application.
    Forward(Forward),
    /// The filter responds with a refusal, in place of the application.
    Refuse {
        /// The reason.
        objection: Objection,
        /// `Set-Cookie` lines that clear the cookies whose tokens were refused.
        clear_cookies: Vec<String>,
        /// The tokens that the request revokes although it is refused.
        sign_out: Vec<GenuineToken>,
    },
    /// The request asks whether this proxy is ready.
    Ready(bool),
}

/// How a request continues.
#[derive(Debug, Default)]
pub struct Forward {
    /// The changes to the request's headers.
    pub edits: Edits,
    /// The number of claims that were left out because no header can carry their values.
    pub claims_left_out: usize,
    /// The user id for other filters and access logs, if configured.
    pub published_user: Option<Rc<str>>,
    /// The tokens and API keys with which the request continues. If one of them is revoked later, the
    /// request ends. Empty for a sign-out, which must get its response.
    pub credentials: RequestCredentials,
    /// The tokens that the request signs out. They are revoked before the request is forwarded.
    pub sign_out: Vec<GenuineToken>,
    /// Tokens of this sign-out that are revoked already.
    pub signed_out: Vec<GenuineToken>,
    /// Genuine tokens of this sign-out that have expired. They are not revoked, but their sessions
    /// end.
    pub expired: Vec<GenuineToken>,
    /// The user whose tokens are revoked if the application responds 2xx.
    pub cutoff: Option<Cutoff>,
    /// The reason why a sign-out revokes nothing, if it revokes nothing.
    pub without_effect: Option<WithoutEffect>,
    /// In a dry run, the reason why the request would be refused. Access logs receive its name.
    pub would_refuse: Option<Objection>,
    /// The refusal in place of `edits` if the host cannot remove the credentials that they remove.
    pub unless_removed: Option<Box<Unremoved>>,
}

impl Forward {
    /// Returns whether the request revokes tokens, or may do so when the application has responded.
    #[must_use]
    pub fn revokes(&self) -> bool {
        self.cutoff.is_some() || self.signs_out()
    }

    /// Returns whether the request carries tokens of a sign-out.
    #[must_use]
    pub fn signs_out(&self) -> bool {
        ![&self.sign_out, &self.signed_out, &self.expired].into_iter().all(Vec::is_empty)
    }
}

/// The refusal of a request whose bad credentials cannot be removed.
#[derive(Debug)]
pub struct Unremoved {
    /// The objection to the credentials.
    pub objection: Objection,
    /// `Set-Cookie` lines that clear the cookies whose tokens are bad.
    pub clear_cookies: Vec<String>,
}

/// The user whose tokens a 2xx response revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cutoff {
    /// The user.
    pub user: RecordId,
    /// The `iat` of the request's token.
    pub iat: Option<u64>,
}

/// The state of this proxy that a decision depends on, besides the request.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The proxy's wall clock, in milliseconds since 1970 UTC.
    pub unix_milliseconds: u64,
    /// The state of the revocation set.
    pub knowledge: Knowledge,
    /// Whether every key set has keys or a failed attempt to fetch them.
    pub keys_settled: bool,
    /// The shared data that contains the revocation set.
    pub shared: &'a dyn SharedData,
}

impl Moment<'_> {
    /// Returns the proxy's wall clock, in seconds since 1970 UTC.
    #[must_use]
    pub fn unix_seconds(&self) -> u64 {
        self.unix_milliseconds / 1_000
    }
}

impl Admission {
    /// Creates the admission for this configuration. `set` is the set for the setting `revocation`.
    /// `host` may check signatures faster than the core.
    #[must_use]
    pub fn new(
        config: Config,
        set: Option<RevocationSet>,
        host: &'static dyn SignatureHost,
    ) -> Self {
        let revocation = config.revocation.as_ref().zip(set).map(|(settings, set)| {
            RevocationCheck { set, when_unknown: settings.when_unknown, streams: settings.streams }
        });
        Self {
            routes: config.routes,
            sources: config.sources,
            upstream: config.upstream,
            realm: config.policy.realm.clone(),
            enforcement: config.enforcement,
            verifier: Verifier::new(config.keys, config.policy)
                .with_host(host, config.forged_token_milliseconds_per_second),
            revocation,
            was_ready: Cell::new(false),
        }
    }

    /// Decides about a request with these headers.
    #[must_use]
    pub fn decide(&self, headers: &Headers, moment: Moment<'_>) -> Decision {
        let decision = self.decide_enforced(headers, moment);
        match self.enforcement {
            Enforcement::On => decision,
            Enforcement::DryRun => self.decide_in_dry_run(headers, decision),
        }
    }

    /// Returns the objection to a token, as if it were the only token of a request to a protected
    /// route.
    #[must_use]
    pub fn examine(&self, token: &[u8], moment: Moment<'_>) -> Option<Objection> {
        let candidate = Candidate { bytes: token.into(), ..Candidate::default() };
        let mut judged = Judged::unchecked(candidate);
        let effort = self.verifier.effort(Purpose::Admission, moment.unix_milliseconds);
        self.judge_one(&mut judged, &effort, moment);
        judged.objection.or_else(|| self.check_knowledge(moment).err().map(Into::into))
    }

    /// Reduces a decision to the effects of a dry run.
    fn decide_in_dry_run(&self, headers: &Headers, decision: Decision) -> Decision {
        let (forward, would_refuse) = match decision {
            Decision::Ready(_) => return decision,
            Decision::Forward(forward) => (forward, None),
            Decision::Refuse { objection, sign_out, .. } => {
                (Forward { sign_out, ..Forward::default() }, Some(objection))
            }
        };
        let edits = self.upstream.edits(headers, None);
        Decision::Forward(Forward { edits, published_user: None, would_refuse, ..forward })
    }

    fn decide_enforced(&self, headers: &Headers, moment: Moment<'_>) -> Decision {
        let route = self.routes.find(headers);
        match route.access {
            Access::Ready => {
                return Decision::Ready(self.is_ready(moment));
            }
            Access::Public => return Decision::Forward(self.forward(headers, None, &route)),
            Access::Optional | Access::Protected | Access::Signout => {}
        }
        let tokens = self.judge(headers, route.access, moment);
        let api_keys = self.api_keys(headers);
        // If there are too many keys, `objection_to_api_keys` refuses the request.
        let has_api_key = route.api_keys && api_keys.as_ref().map_or(true, |keys| keys.admit);
        let api_key_objection = match route.access {
            Access::Signout => None,
            _ => self.objection_to_api_keys(&api_keys, moment),
        };
        // A sign-out is forwarded with all its cookies, so no cookie is replaced.
        let good = match (&tokens, route.access) {
            (Err(_), _) | (_, Access::Signout) => SourceSet::default(),
            (Ok(tokens), _) => good_in(tokens),
        };
        let admitting = self.sources.admitting(headers);
        let outcome = match self.outcome(&tokens, good, admitting, moment) {
            Err(objection) if has_api_key && objection.refusal() == Refusal::MissingToken => {
                by_api_key(&tokens, &route)
            }
            Ok(_) if has_api_key => by_api_key(&tokens, &route),
            outcome => outcome.map(Some),
        };
        let objections =
            outcome.as_ref().err().cloned().into_iter().chain(api_key_objection.clone());
        let outcome = objections.min_by_key(Objection::refusal).map_or(outcome, Err);
        if let (Access::Protected, Err(objection)) = (route.access, &outcome) {
            return self.refuse(objection.clone(), headers, &tokens);
        }
        let is_signed_out = |judged: &Judged<'_>| match route.signs_out {
            SignsOut::All => true,
            // Browsers attach cookies by themselves, also to requests that a page of another site
            // causes.
            SignsOut::AllButCookies => {
                !judged.candidate.sources().is_within(self.sources.cookies())
            }
            SignsOut::Nothing(_) => false,
        };
        let unknown = tokens.iter().flatten().find(|judged| judged.is_unknown());
        if let (true, Some(unknown)) = (route.revokes(), unknown) {
            // Forwarding would only look like a sign-out, so respond 503. Still revoke the tokens that
            // were checked; otherwise forged tokens could keep them alive.
            let objection = unknown.objection.clone().unwrap_or(Refusal::Unavailable.into());
            let mut refused = self.refuse(objection, headers, &tokens);
            if let Decision::Refuse { sign_out, .. } = &mut refused {
                let is_live = |judged: &Judged<'_>| !judged.has_expired() && !judged.is_revoked();
                let signed_out = tokens.into_iter().flatten().filter(is_signed_out);
                sign_out.extend(signed_out.filter(is_live).filter_map(|judged| judged.genuine()));
            }
            return refused;
        }
        let token = outcome.as_ref().ok().and_then(Option::as_deref);
        let mut forward = self.forward(headers, token, &route);
        if route.access == Access::Signout {
            let judged = || tokens.iter().flatten();
            let reason = match route.signs_out {
                SignsOut::Nothing(Some(reason)) if judged().next().is_some() => reason.into(),
                SignsOut::AllButCookies
                    if judged().next().is_some() && !judged().any(is_signed_out) =>
                {
                    WithoutEffect::CrossSite
                }
                _ => WithoutEffect::of_tokens(judged().find_map(Judged::refusal)),
            };
            for judged in tokens.into_iter().flatten().filter(is_signed_out) {
                let Some(genuine) = judged.genuine() else { continue };
                let Forward { sign_out, signed_out, expired, .. } = &mut forward;
                let tokens = match judged.refusal() {
                    Some(Refusal::Revoked) => signed_out,
                    None => sign_out,
                    // The token is refused for another reason, so the revocation set was not looked
                    // up yet.
                    Some(_) if self.was_revoked(&genuine, moment) => signed_out,
                    Some(Refusal::Expired) => expired,
                    Some(_) => sign_out,
                };
                tokens.push(genuine);
            }
            let revokes = !forward.sign_out.is_empty()
                || !forward.signed_out.is_empty()
                || forward.expired.iter().any(GenuineToken::ends_session);
            forward.without_effect = (!revokes).then_some(reason);
            return Decision::Forward(forward);
        }
        if let (SignsOut::Nothing(Some(reason)), Ok(Some(_))) = (route.signs_out, &outcome) {
            forward.without_effect = Some(reason.into());
        }
        if let (Ok(keys), None) = (api_keys, &api_key_objection) {
            forward.credentials.api_keys = keys.ids;
        }
        let removal = if api_key_objection.is_some() {
            self.sources.removal_with_api_keys(headers)
        } else if outcome.is_err() || self.upstream.strips_token() {
            self.sources.removal(headers)
        } else if let Ok(tokens) = &tokens {
            self.replaced_cookies(headers, tokens, good).into_iter().collect()
        } else {
            Edits::new()
        };
        if !removal.is_empty() {
            let objections = tokens.iter().flatten().filter_map(|judged| judged.objection.clone());
            let objections = objections.chain(outcome.as_ref().err().cloned());
            let objection = objections.chain(api_key_objection).min_by_key(Objection::refusal);
            forward.unless_removed = objection.map(|it| self.unremoved(it, headers, &tokens));
            forward.edits.extend(removal);
        }
        if outcome.is_ok() {
            forward.credentials.tokens =
                tokens.into_iter().flatten().filter_map(|judged| judged.token).collect();
            let bound = self.router_bound(headers, &forward.credentials.tokens, moment);
            forward.edits.extend(bound);
        }
        Decision::Forward(forward)
    }

    /// Returns every token of the request, with the objection to it if there is one.
    fn judge<'a>(
        &self,
        headers: &'a Headers,
        access: Access,
        moment: Moment<'_>,
    ) -> Result<JudgedTokens<'a>, Objection> {
        if access == Access::Signout {
            let tokens = self.sources.find_to_sign_out(headers);
            return Ok(self.judge_to_sign_out(tokens, moment));
        }
        let tokens = self.sources.find(headers)?;
        Ok(self.judge_to_admit(tokens.into_iter(), moment))
    }

    /// Judges tokens until the refusal of the request is certain; see *Which code a refusal has*.
    fn judge_to_admit<'a>(
        &self,
        tokens: impl Iterator<Item = Candidate<'a>>,
        moment: Moment<'_>,
    ) -> JudgedTokens<'a> {
        let mut judged: JudgedTokens<'_> = tokens.map(Judged::unchecked).collect();
        if let [_, _, ..] = judged.as_slice() {
            for one in &mut judged {
                let bytes = &one.candidate.bytes;
                if let Some(objection) = self.verifier.objection_without_check(bytes) {
                    one.objection = Some(objection);
                }
            }
            if self.is_decided(&judged) {
                return judged;
            }
        }
        let effort = self.verifier.effort(Purpose::Admission, moment.unix_milliseconds);
        for at in 0..judged.len() {
            let Some(one) = judged.get_mut(at) else { break };
            self.judge_one(one, &effort, moment);
            if self.is_decided(&judged) {
                break;
            }
        }
        judged
    }

    /// Returns whether no further check can change the refusal. This is so if a token has failed a
    /// check that comes before the checks of claims, and no cookie of the same name can
    /// [replace](Self::is_replaced) it.
    fn is_decided(&self, judged: &[Judged<'_>]) -> bool {
        let comes_first = |one: &&Judged<'_>| {
            one.refusal().is_some_and(|refusal| refusal <= Refusal::BadSignature)
        };
        let mut failed = judged.iter().filter(comes_first).peekable();
        if failed.peek().is_none() {
            return false;
        }
        let may_be_good = judged.iter().filter(|one| one.may_be_good());
        let may_be_good = union(may_be_good.map(|one| one.candidate.exact));
        failed.any(|one| !self.is_replaced(one, may_be_good))
    }

    /// Judges the tokens of a sign-out, until the limits for signature checks are used up; the
    /// tokens after that stay unchecked. Tokens that this VM has verified in earlier requests come
    /// first, and tokens under another spelling last.
    fn judge_to_sign_out<'a>(
        &self,
        tokens: Vec<Candidate<'a>>,
        moment: Moment<'_>,
    ) -> JudgedTokens<'a> {
        let (known, unseen): (Vec<_>, Vec<_>) =
            tokens.into_iter().partition(|token| self.verifier.is_known(&token.bytes));
        let (exact, other): (Vec<_>, Vec<_>) =
            unseen.into_iter().partition(|token| !token.exact.is_empty());
        let effort = self.verifier.effort(Purpose::SignOut, moment.unix_milliseconds);
        let mut judged: JudgedTokens<'_> =
            known.into_iter().chain(exact).chain(other).map(Judged::unchecked).collect();
        for one in &mut judged {
            self.judge_one(one, &effort, moment);
        }
        judged
    }

    fn judge_one(&self, judged: &mut Judged<'_>, effort: &Effort<'_>, moment: Moment<'_>) {
        judged.objection = match self.verifier.check(&judged.candidate.bytes, effort) {
            Ok(Genuine::Acceptable(token)) => {
                let token = judged.token.insert(token);
                match self.is_revoked(token, moment) {
                    Ok(false) => None,
                    Ok(true) => Some(Refusal::Revoked.into()),
                    Err(Damaged) => Some(RefusalRule::SharedData.into()),
                }
            }
            Ok(Genuine::Unacceptable(token, objection)) => {
                judged.unacceptable = Some(token);
                Some(objection)
            }
            Err(objection) => Some(objection),
        };
    }

    /// Returns whether the token is revoked. This is checked on every request. An earlier verdict
    /// is used only if nothing that concerns the token has been written since.
    fn is_revoked(&self, token: &VerifiedToken, moment: Moment<'_>) -> Result<bool, Damaged> {
        let Some(RevocationCheck { set, .. }) = &self.revocation else { return Ok(false) };
        let verdict = set
            .judge(moment.shared, token.names(), token.iat(), token.known_live_at())
            .inspect_err(|_| repair::report(moment.shared, set))?;
        if let RevocationVerdict::Live(Some(mark)) = verdict {
            token.note_live_at(mark);
        }
        Ok(verdict == RevocationVerdict::Revoked)
    }

    /// Returns the API keys of a request.
    ///
    /// # Errors
    ///
    /// There are too many.
    fn api_keys(&self, headers: &Headers) -> Result<NamedApiKeys, RefusalRule> {
        let found = self.sources.find_api_keys(headers)?;
        let is_checked = |_: &&_| self.revocation.is_some();
        let keys = found.values.iter().filter(is_checked);
        let ids = keys.map(|key| RecordId::of_credential(&self.realm, key)).collect();
        Ok(NamedApiKeys { ids, admit: found.admits })
    }

    /// Returns the objection to the request's API keys, or `None` if they may reach the application.
    /// There is an objection if the request has too many keys, if one of them is revoked, or if the
    /// filter cannot tell now. The set is read on every request: nothing is cached, because a
    /// request has few keys.
    fn objection_to_api_keys(
        &self,
        keys: &Result<NamedApiKeys, RefusalRule>,
        moment: Moment<'_>,
    ) -> Option<Objection> {
        let ids = match keys {
            Ok(keys) if keys.ids.is_empty() => return None,
            Ok(keys) => &keys.ids,
            Err(rule) => return Some((*rule).into()),
        };
        let RevocationCheck { set, .. } = self.revocation.as_ref()?;
        let objection = |id: &RecordId| -> Option<Objection> {
            match set.is_credential_revoked(moment.shared, *id) {
                Ok(is_revoked) => is_revoked.then_some(Refusal::Revoked.into()),
                Err(Damaged) => {
                    repair::report(moment.shared, set);
                    Some(RefusalRule::SharedData.into())
                }
            }
        };
        let unknown = self.check_knowledge(moment).err().map(Into::into);
        ids.iter().filter_map(objection).chain(unknown).min_by_key(Objection::refusal)
    }

    /// Returns whether a token that is refused for another reason is revoked as well. If the set is
    /// damaged there, returns false, and the sign-out revokes the token once more.
    fn was_revoked(&self, token: &GenuineToken, moment: Moment<'_>) -> bool {
        let Some(RevocationCheck { set, .. }) = &self.revocation else { return false };
        set.is_revoked(moment.shared, token.names(), token.iat()).unwrap_or(false)
    }

    /// Returns the token that admits the request. All tokens must be acceptable and agree on the
    /// user, except cookies that a good cookie of the same name [replaces](Self::replaced_cookies).
    /// One of them must be in a source that may admit the request, under the exact name. Of several
    /// objections, the first in the order of [`Refusal`] is returned.
    fn outcome(
        &self,
        tokens: &Result<JudgedTokens<'_>, Objection>,
        good: SourceSet,
        admitting: SourceSet,
        moment: Moment<'_>,
    ) -> Result<Rc<VerifiedToken>, Objection> {
        let tokens = tokens.as_ref().map_err(Clone::clone)?;
        // A cookie that was not checked may be good: the response is then 503, not 401.
        let unknown = tokens.iter().filter(|judged| judged.is_unknown());
        let good = good.union(union(unknown.map(|judged| judged.candidate.exact)));
        let judged = || tokens.iter().filter(|judged| !self.is_replaced(judged, good));
        let users = judged().filter_map(|judged| judged.token.as_ref()).map(|token| token.user());
        let conflict = !users.is_sorted_by(|a, b| a == b);
        let objections = judged().filter_map(|judged| judged.objection.clone());
        let objections = objections.chain(conflict.then_some(Refusal::ConflictingTokens.into()));
        if let Some(objection) = objections.min_by_key(Objection::refusal) {
            return Err(objection);
        }
        // This also holds if an API key authorises the request: a token under another spelling may
        // be revoked, and then the request is refused.
        if judged().next().is_some() {
            self.check_knowledge(moment)?;
        }
        let exact = || judged().filter(|judged| !judged.candidate.exact.is_empty());
        let first = exact().find(|judged| judged.candidate.exact.meets(admitting));
        first.and_then(|judged| judged.token.clone()).ok_or_else(|| {
            if exact().next().is_some() {
                RefusalRule::Route.into()
            } else if judged().next().is_some() {
                RefusalRule::Spelling.into()
            } else {
                Refusal::MissingToken.into()
            }
        })
    }

    /// Returns whether a good cookie of the same name replaces this cookie.
    ///
    /// A browser may have two cookies with the same name. One may have expired, or may have been
    /// set by another application of the same domain with `Domain`, and the other belongs to the
    /// present session. A sign-in cannot clear the first one, so a refusal would lock the user out.
    /// It is therefore removed from the request, and the application never sees it. A revoked
    /// cookie still causes a refusal.
    fn is_replaced(&self, judged: &Judged<'_>, good: SourceSet) -> bool {
        !judged.may_be_good()
            && !judged.is_revoked()
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

    /// Checks that the revocation set may be used to admit a token: it is up to date, or
    /// `when_unknown` allows a stale one.
    fn check_knowledge(&self, moment: Moment<'_>) -> Result<(), RefusalRule> {
        let admits = |it: &RevocationCheck| moment.knowledge.admits(it.when_unknown);
        if self.revocation.as_ref().is_none_or(admits) {
            return Ok(());
        }
        let is_loaded = moment.knowledge != Knowledge::Never;
        Err(if is_loaded { RefusalRule::FeedStale } else { RefusalRule::FeedNotLoaded })
    }

    /// Returns whether this proxy is ready: it has loaded the revocation set, and for each key set
    /// it has keys or has failed to fetch them. Once ready, it stays ready. A stale set or a
    /// missing key already makes protected requests get 503. If `ready` failed as well, a cause
    /// that all replicas share would take all of them out of service, and with them the public
    /// pages and the sign-in.
    fn is_ready(&self, moment: Moment<'_>) -> bool {
        let is_loaded = self.revocation.is_none() || moment.knowledge != Knowledge::Never;
        if is_loaded && moment.keys_settled {
            self.was_ready.set(true);
        }
        self.was_ready.get()
    }

    /// Returns whether keys of a key set are still missing.
    #[must_use]
    pub fn lacks_keys(&self) -> bool {
        !self.verifier.has_all_keys()
    }

    fn forward(&self, headers: &Headers, token: Option<&VerifiedToken>, route: &Route) -> Forward {
        let user = match &route.revoke_user {
            Some(RevokeUser::OfToken) => token.and_then(VerifiedToken::user).map(User::record_id),
            // If the id is one that no token can contain, the user has no token to revoke. The path
            // names no issuer, so the cutoff applies under every issuer.
            Some(RevokeUser::Named(id)) => {
                token::is_user_id(id).then(|| RecordId::of_user(&self.realm, None, id))
            }
            None => None,
        };
        let iat = token.and_then(VerifiedToken::iat);
        Forward {
            edits: self.upstream.edits(headers, token),
            claims_left_out: token.map_or(0, VerifiedToken::claims_left_out),
            published_user: self.upstream.published_user(token),
            credentials: RequestCredentials::default(),
            sign_out: Vec::new(),
            signed_out: Vec::new(),
            expired: Vec::new(),
            cutoff: user.map(|user| Cutoff { user, iat }),
            without_effect: None,
            would_refuse: None,
            unless_removed: None,
        }
    }

    fn unremoved(
        &self,
        objection: Objection,
        headers: &Headers,
        tokens: &Result<JudgedTokens<'_>, Objection>,
    ) -> Box<Unremoved> {
        let clear_cookies = self.cookies_to_clear(&objection, headers, tokens);
        Box::new(Unremoved { objection, clear_cookies })
    }

    /// Replaces the keys that verify tokens.
    pub fn replace_keys(&self, keys: KeyRing) {
        self.verifier.replace_keys(keys);
    }

    /// Returns whether a token has named a missing key since the last call.
    pub fn take_missed_key(&self) -> bool {
        self.verifier.take_missed_key()
    }

    /// Returns the number of tokens that were not checked since the last call, because a limit was
    /// reached.
    pub fn take_unchecked(&self) -> u64 {
        self.verifier.take_unchecked()
    }

    /// Returns the state on which [`Admission::objection`] depends.
    #[must_use]
    pub fn basis(&self, moment: Moment<'_>) -> Basis {
        let generations = self.revocation.as_ref().map(|revocation| revocation.set.generations());
        Basis {
            generation: generations.and_then(|it| it.current(moment.shared)),
            unix_seconds: self.ends_at_expiry().then_some(moment.unix_seconds()),
        }
    }

    fn ends_at_expiry(&self) -> bool {
        self.revocation.as_ref().is_some_and(|revocation| revocation.streams.end_at_expiry)
    }

    /// Returns the header that limits the stream to the earliest expiry of its tokens, if streams
    /// end at expiry.
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
        router_bound(headers, end, moment.unix_seconds())
    }

    /// Returns the reason why a request with these credentials must end, or `None` if it may stay
    /// open.
    #[must_use]
    pub fn objection(
        &self,
        credentials: &RequestCredentials,
        moment: Moment<'_>,
    ) -> Option<Refusal> {
        let RevocationCheck { set, streams, .. } = self.revocation.as_ref()?;
        let RequestCredentials { tokens, api_keys } = credentials;
        let is_revoked = |token: &Rc<_>| matches!(self.is_revoked(token, moment), Ok(true));
        let is_key_revoked =
            |id: &RecordId| matches!(set.is_credential_revoked(moment.shared, *id), Ok(true));
        let has_expired =
            |token: &Rc<_>| self.verifier.check_times(token, moment.unix_seconds()).is_err();
        let revoked = || tokens.iter().any(is_revoked) || api_keys.iter().any(is_key_revoked);
        let expired = || tokens.iter().any(has_expired);
        if streams.end_on_revocation && revoked() {
            Some(Refusal::Revoked)
        } else if streams.end_at_expiry && expired() {
            Some(Refusal::Expired)
        } else {
            None
        }
    }

    /// Returns the changes to a request's trailers, on every route.
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Edits {
        let mut edits = self.upstream.trailers(trailers);
        edits.extend(self.sources.trailers(trailers));
        edits
    }

    fn refuse(
        &self,
        objection: Objection,
        headers: &Headers,
        tokens: &Result<JudgedTokens<'_>, Objection>,
    ) -> Decision {
        let clear_cookies = self.cookies_to_clear(&objection, headers, tokens);
        Decision::Refuse { objection, clear_cookies, sign_out: Vec::new() }
    }

    /// Returns the `Set-Cookie` lines of a refusal. It clears a cookie if its token was refused and no
    /// other value of the same name may be good. Three refusals clear no cookie:
    ///
    /// - a conflict: a link with somebody else's token must not sign the user out;
    /// - 503: what is refused now may be good on the next try, and a sign-out has not happened;
    /// - on a request that another site caused: the browser has left out cookies with `SameSite`,
    ///   and the good one may be among them.
    fn cookies_to_clear(
        &self,
        objection: &Objection,
        headers: &Headers,
        tokens: &Result<JudgedTokens<'_>, Objection>,
    ) -> Vec<String> {
        let tokens = tokens.as_deref().unwrap_or_default();
        let bad = tokens.iter().filter(|judged| !judged.may_be_good());
        let bad = union(bad.map(|judged| judged.candidate.exact));
        let kept = tokens.iter().filter(|judged| judged.may_be_good());
        let kept = union(kept.map(|judged| judged.candidate.sources()));
        let clears_none =
            matches!(objection.refusal(), Refusal::ConflictingTokens | Refusal::Unavailable)
                || is_cross_site(headers);
        let refused = if clears_none { SourceSet::default() } else { bad.without(kept) };
        self.sources.clearing(refused)
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

/// Returns the outcome for a request that an API key authorises: no user. The caller has found no
/// objection to the request's tokens.
fn by_api_key(
    tokens: &Result<JudgedTokens<'_>, Objection>,
    route: &Route,
) -> Result<Option<Rc<VerifiedToken>>, Objection> {
    match (&route.revoke_user, tokens.as_deref()) {
        (Some(RevokeUser::OfToken), Ok([])) => Err(Refusal::MissingToken.into()),
        (Some(RevokeUser::OfToken), _) => Err(RefusalRule::ApiKey.into()),
        _ => Ok(None),
    }
}

/// The API keys of a request, by their record ids.
struct NamedApiKeys {
    /// The ids; none without a revocation set.
    ids: Vec<RecordId>,
    /// Whether one of the keys is exactly in its place and may admit the request.
    admit: bool,
}

/// The tokens of a request, each with the verdict about it.
type JudgedTokens<'a> = SmallVec<[Judged<'a>; 1]>;

/// One token of a request with the verdict about it.
struct Judged<'a> {
    candidate: Candidate<'a>,
    /// The token, if its signature is valid and its times and claims are acceptable.
    token: Option<Rc<VerifiedToken>>,
    /// The token, if its signature is valid and its times or claims are not acceptable.
    unacceptable: Option<Box<GenuineToken>>,
    /// The reason to refuse the token, if any. Before the token is checked, this is
    /// [`Refusal::Unavailable`].
    objection: Option<Objection>,
}

impl<'a> Judged<'a> {
    fn unchecked(candidate: Candidate<'a>) -> Self {
        let objection = Some(Refusal::Unavailable.into());
        Self { candidate, token: None, unacceptable: None, objection }
    }

    /// Returns the token, if its signature is valid.
    fn genuine(&self) -> Option<GenuineToken> {
        self.token.as_ref().map(|token| token.genuine()).or(self.unacceptable.as_deref().copied())
    }

    fn refusal(&self) -> Option<Refusal> {
        self.objection.as_ref().map(Objection::refusal)
    }

    fn has_expired(&self) -> bool {
        self.refusal() == Some(Refusal::Expired)
    }

    fn is_revoked(&self) -> bool {
        self.refusal() == Some(Refusal::Revoked)
    }

    /// Returns whether the token is good, or the filter cannot decide now.
    fn may_be_good(&self) -> bool {
        matches!(self.refusal(), None | Some(Refusal::Unavailable))
    }

    /// Returns whether the filter cannot decide now if the token is genuine.
    fn is_unknown(&self) -> bool {
        let is_genuine = self.token.is_some() || self.unacceptable.is_some();
        !is_genuine && self.refusal() == Some(Refusal::Unavailable)
    }
}

#[cfg(test)]
mod tests;
