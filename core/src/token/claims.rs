//! Reads a token's claims and checks them against the policy.
//!
//! The signature is checked before the claims. Claims are checked in this order: times, issuer,
//! audience, all others. A claim of the wrong type or size causes a refusal, which comes last in
//! this order. It is never treated as absent (CVE-2026-25537).

use std::borrow::Cow;
use std::rc::Rc;

use crate::json::{Object, Value};
use crate::keys::Key;
use crate::refusal::{Objection, Refusal, RefusalRule};
use crate::revocation::record::TIME_LIMIT_SECONDS;
use crate::token::claim_path::ClaimPath;
use crate::token::{BoundTokens, Policy};

/// The claims of a genuine token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims<'a> {
    /// The times that are well-formed.
    pub(super) times: Times,
    /// The `jti`, if it is well-formed.
    pub(super) jti: Option<Cow<'a, str>>,
    /// The session id, if the policy names its claim and it is well-formed.
    pub(super) session_id: Option<Cow<'a, str>>,
    /// The user id, if the policy names its claim and it is well-formed.
    pub(super) user_id: Option<Rc<str>>,
    /// Whether times and `jti` are well-formed. If not, no configuration accepts the token.
    pub(super) is_well_formed: bool,
    /// The verdict of the policy on all claims but the times. If it is positive, contains the
    /// claims for the application.
    pub(super) verdict: Result<Forwarded, Objection>,
}

/// The path and header text of each forwarded claim that the token has; `None` if no header can
/// carry its value.
pub(super) type Forwarded = Vec<(ClaimPath, Option<Rc<str>>)>;

/// The times between which a token is valid, in seconds since 1970 UTC (RFC 7519 §2, NumericDate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) exp: Option<u64>,
    pub(super) nbf: Option<u64>,
    pub(super) iat: Option<u64>,
}

impl Times {
    /// Checks whether a token with these times is valid now, if clocks may differ by
    /// `skew_seconds`.
    pub(super) fn check(&self, unix_seconds: u64, skew_seconds: u64) -> Result<(), Objection> {
        if self.exp.is_some_and(|exp| unix_seconds >= exp.saturating_add(skew_seconds)) {
            return Err(Refusal::Expired.into());
        }
        let latest = unix_seconds.saturating_add(skew_seconds);
        let lies_ahead = |begin: Option<u64>| begin.is_some_and(|begin| begin > latest);
        if lies_ahead(self.nbf) {
            return Err(RefusalRule::Nbf.into());
        }
        if lies_ahead(self.iat) { Err(RefusalRule::Iat.into()) } else { Ok(()) }
    }
}

/// Reads the claims of a token that `key` verified, and checks all but the times.
pub(super) fn read<'a>(claims: &'a Object<'a>, key: &Key, policy: &Policy) -> Claims<'a> {
    let (exp, nbf, iat) = (
        time(claims, "exp", f64::floor),
        time(claims, "nbf", f64::ceil),
        time(claims, "iat", f64::floor),
    );
    let jti = jti(claims);
    let times = [&exp, &nbf, &iat].into_iter().find_map(|time| time.as_ref().err());
    let malformed = times.or(jti.as_ref().err()).cloned();
    let times = Times {
        exp: exp.unwrap_or_default(),
        nbf: nbf.unwrap_or_default(),
        iat: iat.unwrap_or_default(),
    };
    let is_well_formed = malformed.is_none();
    let session_id = policy.session_id.as_ref().map_or(Ok(None), |path| session_id(claims, path));
    let user_id = policy.user_id.as_ref().map(|path| user_id(claims, path)).transpose();
    let verdict = check(claims, &times, malformed, key, policy)
        .and_then(|()| user_id.as_ref().map(|_| ()).map_err(Clone::clone))
        .and_then(|()| session_id.as_ref().map(|_| ()).map_err(Clone::clone))
        .map(|()| forwarded(claims, &policy.forwarded));
    Claims {
        times,
        jti: jti.unwrap_or_default(),
        session_id: session_id.unwrap_or_default(),
        user_id: user_id.unwrap_or_default(),
        is_well_formed,
        verdict,
    }
}

/// Checks all claims but the times; `malformed` is the objection to a time or `jti`.
fn check(
    claims: &Object<'_>,
    times: &Times,
    malformed: Option<Objection>,
    key: &Key,
    policy: &Policy,
) -> Result<(), Objection> {
    let (issuer, audiences) = (text(claims, "iss"), audiences(claims));
    if let Ok(issuer) = &issuer {
        check_issuer(issuer.as_deref(), key, policy)?;
    }
    if let Ok(audiences) = &audiences {
        check_audiences(audiences, key, policy)?;
    }
    issuer?;
    audiences?;
    if let Some(malformed) = malformed {
        return Err(malformed);
    }
    check_lifetime(times, policy.max_lifetime_seconds)?;
    let is_absent =
        |path: &&ClaimPath| matches!(claims.find_at(path.names()), None | Some(Value::Null));
    if let Some(path) = policy.required.iter().find(is_absent) {
        return Err(Objection::absent(&path.to_string()));
    }
    if policy.bound_tokens == BoundTokens::Refuse
        && !matches!(claims.find("cnf"), None | Some(Value::Null))
    {
        return Err(Objection::not_accepted("cnf"));
    }
    let is_other = |(path, values): &&(ClaimPath, Vec<String>)| {
        !claims.find_at(path.names()).is_some_and(|value| has_one_of(&value, values))
    };
    match policy.values.iter().find(is_other) {
        Some((path, _)) => Err(Objection::not_accepted(&path.to_string())),
        None => Ok(()),
    }
}

/// Returns whether the text of a value, or of an element of a list, is one of these.
fn has_one_of(value: &Value<'_>, values: &[String]) -> bool {
    let is_listed = |value: &Value<'_>| {
        single(value).is_some_and(|text| values.iter().any(|listed| *listed == *text))
    };
    match value {
        Value::List(list) => list.elements().is_some_and(|all| all.iter().any(is_listed)),
        value => is_listed(value),
    }
}

fn check_issuer(issuer: Option<&str>, key: &Key, policy: &Policy) -> Result<(), Objection> {
    let differs = |expected: Option<&str>| expected.is_some() && issuer != expected;
    match (differs(policy.issuer.as_deref()), differs(key.issuer())) {
        (false, false) => Ok(()),
        _ if issuer.is_none() => Err(RefusalRule::IssuerAbsent.into()),
        (true, _) => Err(Refusal::WrongIssuer.into()),
        (false, true) => Err(RefusalRule::IssuerOfKey.into()),
    }
}

fn check_audiences(named: &[Cow<'_, str>], key: &Key, policy: &Policy) -> Result<(), Objection> {
    let differs = |expected: &[String]| {
        !expected.is_empty() && !named.iter().any(|named| expected.iter().any(|e| e == named))
    };
    match (differs(&policy.audiences), differs(key.audiences())) {
        (false, false) => Ok(()),
        _ if named.is_empty() => Err(RefusalRule::AudienceAbsent.into()),
        (true, _) => Err(Refusal::WrongAudience.into()),
        (false, true) => Err(RefusalRule::AudienceOfKey.into()),
    }
}

/// Returns the claim `name` in seconds since 1970 UTC (RFC 7519 §2, NumericDate), or `None` if it
/// is absent. `round` rounds a fraction. The parser has checked that the text is a JSON number. A
/// 64-bit float holds every integer below the limit exactly.
///
/// # Errors
///
/// The claim is not a JSON number, has a minus sign, or is not below [`TIME_LIMIT_SECONDS`].
pub(super) fn time(
    claims: &Object<'_>,
    name: &str,
    round: fn(f64) -> f64,
) -> Result<Option<u64>, Objection> {
    let number = match claims.find(name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return Err(Objection::malformed(name)),
    };
    match number.parse().map(round) {
        Ok(seconds) if !number.starts_with('-') && seconds < TIME_LIMIT_SECONDS as f64 => {
            Ok(Some(seconds as u64))
        }
        _ => Err(Objection::malformed(name)),
    }
}

fn check_lifetime(times: &Times, max_seconds: Option<u64>) -> Result<(), Objection> {
    let Some(max_seconds) = max_seconds else { return Ok(()) };
    let iat = times.iat.ok_or_else(|| Objection::absent("iat"))?;
    let exp = times.exp.ok_or_else(|| Objection::absent("exp"))?;
    if exp.saturating_sub(iat) <= max_seconds {
        Ok(())
    } else {
        Err(RefusalRule::MaxLifetime.into())
    }
}

/// Returns a string claim, or `None` if it is absent. Returns an error if it has another type.
pub(super) fn text<'a>(
    claims: &'a Object<'_>,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Objection> {
    match claims.find(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(Cow::Borrowed(text))),
        Some(_) => Err(Objection::malformed(name)),
    }
}

/// Returns the audiences in `aud`, which is one string or a list of strings (RFC 7519 §4.1.3); none
/// if it is absent. Returns an error if it has another type.
pub(super) fn audiences<'a>(claims: &'a Object<'_>) -> Result<Vec<Cow<'a, str>>, Objection> {
    let malformed = || Objection::malformed("aud");
    match claims.find("aud") {
        None => Ok(Vec::new()),
        Some(Value::Text(audience)) => Ok(vec![Cow::Borrowed(audience)]),
        Some(Value::List(list)) => {
            let text = |element| match element {
                Value::Text(text) => Ok(text),
                _ => Err(malformed()),
            };
            list.elements().ok_or_else(malformed)?.into_iter().map(text).collect()
        }
        Some(_) => Err(malformed()),
    }
}

/// Returns the `jti`, or `None` if it is absent. Returns an error if it is not a string of 1 to 256
/// bytes.
pub(super) fn jti<'a>(claims: &'a Object<'_>) -> Result<Option<Cow<'a, str>>, Objection> {
    match text(claims, "jti")? {
        Some(jti) if jti.is_empty() || jti.len() > ID_BYTES_LIMIT => {
            Err(Objection::malformed("jti"))
        }
        jti => Ok(jti),
    }
}

/// Returns the user id: a string, or an integer in decimal, so `42` and `"42"` are one user.
fn user_id(claims: &Object<'_>, path: &ClaimPath) -> Result<Rc<str>, Objection> {
    match claims.find_at(path.names()) {
        None | Some(Value::Null) => Err(Objection::absent(&path.to_string())),
        Some(value) => match id_text(value).filter(|id| is_user_id(id)) {
            Some(id) => Ok(id.into()),
            None => Err(Objection::malformed(&path.to_string())),
        },
    }
}

/// Returns the session id, in the same form as a user id. `null` names no session.
fn session_id<'a>(
    claims: &Object<'a>,
    path: &ClaimPath,
) -> Result<Option<Cow<'a, str>>, Objection> {
    match claims.find_at(path.names()) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match id_text(value).filter(|id| is_session_id(id)) {
            Some(id) => Ok(Some(id)),
            None => Err(Objection::malformed(&path.to_string())),
        },
    }
}

/// Returns a string, or an integer as its decimal text.
fn id_text(value: Value<'_>) -> Option<Cow<'_, str>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Number(number) if is_integer(number) => Some(number.into()),
        _ => None,
    }
}

/// Returns whether a text can be a session id: not empty, at most 512 bytes.
#[must_use]
pub fn is_session_id(text: &str) -> bool {
    (1..=SESSION_ID_BYTES_LIMIT).contains(&text.len())
}

/// Returns whether a text can be a user id: not empty, at most 256 bytes, valid in a header.
#[must_use]
pub fn is_user_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= ID_BYTES_LIMIT && is_header_text(text)
}

/// Returns whether a JSON number is a 64-bit integer in its plain spelling, without fraction or
/// exponent.
fn is_integer(number: &str) -> bool {
    number != "-0" && (number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok())
}

/// Returns whether an application reads exactly this text from a header. A control character could
/// end the header. HTTP drops white space at either end (RFC 9110 §5.5), so ` admin` would become
/// `admin`.
fn is_header_text(text: &str) -> bool {
    text.trim().len() == text.len() && !text.contains(char::is_control)
}

/// Returns the header text of each forwarded claim. `null` is absent.
fn forwarded(claims: &Object<'_>, paths: &[ClaimPath]) -> Forwarded {
    let of_path = |path: &ClaimPath| {
        let value = claims.find_at(path.names()).filter(|it| !matches!(it, Value::Null))?;
        let is_sound = |text: &str| text.len() <= FORWARDED_BYTES_LIMIT && is_header_text(text);
        let text = header_text(&value).filter(|text| is_sound(text));
        Some((path.clone(), text.map(Into::into)))
    };
    paths.iter().filter_map(of_path).collect()
}

/// Returns strings, numbers and booleans unchanged, and lists of them joined by commas. A list whose
/// joined text could not be divided again is JSON: an element contains a comma, is empty, or begins
/// or ends with white space.
fn header_text<'a>(value: &'a Value<'_>) -> Option<Cow<'a, str>> {
    let Value::List(list) = value else { return single(value) };
    let elements = list.elements()?;
    let texts: Vec<_> = elements.iter().map(single).collect::<Option<_>>()?;
    let is_plain =
        |text: &Cow<'_, str>| !text.is_empty() && !text.contains(',') && is_header_text(text);
    if texts.iter().all(is_plain) {
        return Some(texts.join(",").into());
    }
    let as_json = elements.iter().zip(&texts).map(|(element, text)| match element {
        Value::Text(_) => serde_json::Value::from(&**text).to_string(),
        _ => text.to_string(),
    });
    Some(format!("[{}]", as_json.collect::<Vec<_>>().join(",")).into())
}

fn single<'a>(value: &'a Value<'_>) -> Option<Cow<'a, str>> {
    match value {
        Value::Bool(true) => Some("true".into()),
        Value::Bool(false) => Some("false".into()),
        Value::Number(number) => Some((*number).into()),
        Value::Text(text) => Some(Cow::Borrowed(text)),
        Value::Null | Value::List(_) | Value::Object(_) => None,
    }
}

/// The longest jti and user id.
const ID_BYTES_LIMIT: usize = 256;

/// The longest session id. Those of idpyoidc have 304 bytes.
const SESSION_ID_BYTES_LIMIT: usize = 512;

/// The longest header text of a forwarded claim: two hundred group ids of Entra fit.
const FORWARDED_BYTES_LIMIT: usize = 8 * 1024;
