//! Promise: the example of the specification ends its session, and every invalid variant is
//! refused.

use serde_json::{Value, json};
use session_guard_core::revocation::name::RecordId;
use session_guard_core::revocation::record::Record;

use super::*;
use crate::issuers::settings::{UserIdClaim, fixtures};

const NOW: u64 = 1_795_332_120;
const ISSUER: &str = "https://id.example.com";

/// Returns an issuer of realm `shop` whose access tokens are valid for an hour.
fn issuer() -> IssuerSettings {
    let receiver = json!({"audiences": ["app"]});
    fixtures::issuer(&json!({"issuer": ISSUER, "realm": "shop", "backchannel_logout": receiver}))
}

/// Returns the example of §2.4, issued now.
fn example() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": "app",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "bWJq",
        "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    })
}

/// Returns the example with these members set, or removed if the value is `"absent"`.
fn changed(members: &Value) -> Value {
    let mut token = example();
    for (name, value) in members.as_object().unwrap() {
        if value == "absent" {
            token.as_object_mut().unwrap().remove(name);
        } else {
            token[name] = value.clone();
        }
    }
    token
}

fn read_as(token: &Value, issuer: &IssuerSettings) -> Result<MessageEffect, Rejection> {
    let text = token.to_string();
    let claims = StatementClaims::parse(text.as_bytes()).unwrap();
    let audiences = issuer.backchannel_logout.as_deref().unwrap();
    read(&claims, issuer, audiences, NOW)
}

fn session(sid: &str, issued_before: u64) -> Record {
    let id = RecordId::of_session("shop", Some(ISSUER), sid);
    Record::user(id, issued_before, issued_before + 3_600)
}

fn user(sub: &str, issued_before: u64) -> Record {
    let id = RecordId::of_user("shop", Some(ISSUER), sub);
    Record::user(id, issued_before, issued_before + 3_600)
}

#[test]
fn every_malformed_logout_token_is_refused() {
    let event = "http://schemas.openid.net/event/backchannel-logout";
    let session_revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let long = "s".repeat(513);
    for (members, reason) in [
        (json!({"events": "absent"}), RejectionReason::WrongEvent),
        (json!({"events": null}), RejectionReason::WrongEvent),
        (json!({"events": [event]}), RejectionReason::WrongEvent),
        (json!({"events": event}), RejectionReason::WrongEvent),
        (json!({"events": {}}), RejectionReason::WrongEvent),
        (json!({"events": {event: null}}), RejectionReason::WrongEvent),
        (json!({"events": {event: []}}), RejectionReason::WrongEvent),
        (json!({"events": {event: true}}), RejectionReason::WrongEvent),
        (json!({"events": {session_revoked: {}}}), RejectionReason::WrongEvent),
        (json!({"nonce": "n"}), RejectionReason::BadClaims),
        (json!({"nonce": null}), RejectionReason::BadClaims),
        (json!({"sub": 7}), RejectionReason::BadClaims),
        (json!({"sub": null}), RejectionReason::BadClaims),
        (json!({"sub": "absent", "sid": "absent"}), RejectionReason::BadSubject),
        (json!({"sid": 7}), RejectionReason::BadClaims),
        (json!({"sid": null}), RejectionReason::BadClaims),
        (json!({"sid": ["s"]}), RejectionReason::BadClaims),
        (json!({"sid": ""}), RejectionReason::BadSubject),
        (json!({"sid": long}), RejectionReason::BadSubject),
        (json!({"sid": "absent", "sub": ""}), RejectionReason::BadSubject),
        (json!({"sid": "absent", "sub": "u".repeat(257)}), RejectionReason::BadSubject),
        (json!({"iat": "absent"}), RejectionReason::BadClaims),
        (json!({"iat": null}), RejectionReason::BadClaims),
        (json!({"iat": NOW.to_string()}), RejectionReason::BadClaims),
        (json!({"iat": NOW * 1_000}), RejectionReason::BadClaims),
        (json!({"iat": -1}), RejectionReason::BadClaims),
        (json!({"iat": NOW + 60}), RejectionReason::NotYetValid),
        (json!({"nbf": NOW + 60}), RejectionReason::NotYetValid),
        (json!({"exp": NOW - 60}), RejectionReason::Expired),
        (json!({"exp": null}), RejectionReason::BadClaims),
        (json!({"aud": "absent"}), RejectionReason::WrongAudience),
        (json!({"aud": "other"}), RejectionReason::WrongAudience),
        (json!({"aud": ["other", "another"]}), RejectionReason::WrongAudience),
        (json!({"aud": []}), RejectionReason::WrongAudience),
        (json!({"aud": 7}), RejectionReason::BadClaims),
        (json!({"aud": ["app", 7]}), RejectionReason::BadClaims),
        (json!({"jti": 7}), RejectionReason::BadClaims),
    ] {
        let read = read_as(&changed(&members), &issuer()).map_err(|rejection| rejection.reason);
        assert_eq!(read, Err(reason), "{members}");
    }
}

#[test]
fn a_logout_token_ends_one_session_or_all_sessions() {
    let sid = "08a5019c-17e1-4977-8f42-65a12843ea02";
    let longest = "s".repeat(512);
    for (members, record) in [
        (json!({}), session(sid, NOW + 1)),
        (json!({"sub": "absent"}), session(sid, NOW + 1)),
        (json!({"sid": "absent"}), user("248289761001", NOW + 1)),
        (json!({"sid": longest}), session(&longest, NOW + 1)),
        (json!({"aud": ["other", "app"]}), session(sid, NOW + 1)),
        (json!({"iat": NOW - 60}), session(sid, NOW - 59)),
        (json!({"iat": NOW as f64 + 0.9}), session(sid, NOW + 1)),
        (json!({"iat": NOW + 59}), session(sid, NOW + 60)),
        (json!({"exp": NOW - 59}), session(sid, NOW + 1)),
        (json!({"unknown": {"a": [1]}}), session(sid, NOW + 1)),
    ] {
        let accepted = read_as(&changed(&members), &issuer()).unwrap();
        assert_eq!(accepted.records, [record], "{members}");
        assert_eq!(accepted.respond_at, record.issued_before, "{members}");
        assert!(accepted.notes.is_empty());
    }
}

#[test]
fn missing_jti_and_exp_are_noted() {
    // idpyoidc sends only `sid`, without `sub`. Other providers leave out more.
    let accepted = read_as(&changed(&json!({"jti": "absent", "exp": "absent"})), &issuer());
    assert_eq!(accepted.unwrap().notes.len(), 2);
}

#[test]
fn a_replay_has_the_same_cutoff() {
    let first = read_as(&example(), &issuer()).unwrap();
    let text = example().to_string();
    let claims = StatementClaims::parse(text.as_bytes()).unwrap();
    let later = read(&claims, &issuer(), &["app".to_owned()], NOW + 150).unwrap();
    assert_eq!(first, later);
}

#[test]
fn a_cutoff_whose_tokens_have_expired_is_not_stored() {
    let old = changed(&json!({"iat": NOW - 200_000, "exp": "absent"}));
    assert_eq!(read_as(&old, &issuer()).unwrap().records, []);
}

#[test]
fn a_sub_is_refused_if_user_ids_are_addresses() {
    let issuer = IssuerSettings { user_id: UserIdClaim::Email, ..issuer() };
    assert!(read_as(&example(), &issuer).is_ok(), "the session is known");
    let read = read_as(&changed(&json!({"sid": "absent"})), &issuer);
    assert_eq!(read.unwrap_err().reason, RejectionReason::UnsupportedSubject);
}

#[test]
fn each_issuer_of_tokens_gets_a_cutoff() {
    let token_issuers = vec![ISSUER.to_owned(), "https://id.example.com/oauth2/default".to_owned()];
    let issuer = IssuerSettings { token_issuers, ..issuer() };
    let records = read_as(&example(), &issuer).unwrap().records;
    assert_eq!(records.len(), 2);
    assert_ne!(records[0].id, records[1].id);
}
