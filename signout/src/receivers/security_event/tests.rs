//! Promise: the examples of the specifications end their sessions, and invalid variants are
//! refused.
//! Method: tables of the examples, with issuer, audience and time of the test, and of variants.

use serde_json::{Value, json};
use session_guard_core::revocation::name::RecordId;
use session_guard_core::revocation::record::Record;

use super::*;
use crate::issuers::settings::fixtures;

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const NOW: u64 = 1_795_332_120;
const ISSUER: &str = "https://idp.example.com/123456789/";

fn issuer(more: &Value) -> IssuerSettings {
    let receiver = json!({"audiences": ["https://sp.example.com/caep"]});
    let mut members = json!({"issuer": ISSUER, "events": receiver});
    for (name, value) in more.as_object().unwrap() {
        members[name] = value.clone();
    }
    fixtures::issuer(&members)
}

fn token(event_type: &str, subject: Value, event: Value) -> Value {
    json!({
        "iss": ISSUER,
        "jti": "24c63fb56e5a2d77a6b512616ca9fa24",
        "iat": NOW,
        "aud": "https://sp.example.com/caep",
        "txn": "8675309",
        "sub_id": subject,
        "events": {event_type: event},
    })
}

fn user() -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": "dMTlD|1600802906337.16|16008.16"})
}

/// Returns the event `session-revoked` for a subject (CAEP 1.0 §3.1).
fn session_revoked(subject: Value) -> Value {
    let event = json!({
        "initiating_entity": "policy",
        "reason_admin": {"en": "Landspeed Policy Violation: C076E82F"},
        "reason_user": {"en": "Access attempt from multiple regions.", "es-410": "Intento de acceso desde varias regiones."},
        "event_timestamp": NOW - 30,
    });
    token(SESSION_REVOKED, subject, event)
}

/// Returns the event `credential-change` (CAEP 1.0 §3.3).
fn credential_change() -> Value {
    let event = json!({
        "credential_type": "fido2-roaming",
        "change_type": "create",
        "fido2_aaguid": "accced6a-63f5-490a-9eea-e59bc1896cfc",
        "friendly_name": "Jane's USB authenticator",
        "initiating_entity": "user",
        "reason_admin": {"en": "User self-enrollment"},
        "event_timestamp": NOW - 30,
    });
    token(CREDENTIAL_CHANGE, user(), event)
}

fn read_as(token: &Value, issuer: &IssuerSettings) -> Result<EventMeaning, RejectionReason> {
    let text = token.to_string();
    let claims = StatementClaims::parse(text.as_bytes()).unwrap();
    let events = issuer.events.as_ref().unwrap();
    read(&claims, issuer, events, NOW).map_err(|rejection| rejection.reason)
}

fn read_usual(token: &Value) -> Result<EventMeaning, RejectionReason> {
    read_as(token, &issuer(&json!({})))
}

/// Returns the records of a token that ends sessions.
fn records(meaning: Result<EventMeaning, RejectionReason>) -> Vec<Record> {
    match meaning {
        Ok(EventMeaning::Cutoff(accepted)) => accepted.records,
        other => panic!("no cutoff: {other:?}"),
    }
}

fn of_user(sub: &str, at: u64) -> Vec<Record> {
    let id = RecordId::of_user("", Some(ISSUER), sub);
    vec![Record::user(id, at + 1, at + 1 + 3_600)]
}

fn of_session(sid: &str, at: u64) -> Vec<Record> {
    let id = RecordId::of_session("", Some(ISSUER), sid);
    vec![Record::user(id, at + 1, at + 1 + 3_600)]
}

#[test]
fn a_revoked_session_is_cut_off() {
    let session = json!({"format": "opaque", "id": "dMTlD|1600802906337.16|16008.16"});
    let tenant = json!({"format": "opaque", "id": "123456789"});
    let complex =
        json!({"format": "complex", "session": session, "user": user(), "tenant": tenant});
    let sid = "dMTlD|1600802906337.16|16008.16";
    for (subject, expected) in [
        (complex, of_session(sid, NOW - 30)),
        (json!({"format": "complex", "session": session}), of_session(sid, NOW - 30)),
        (session.clone(), of_session(sid, NOW - 30)),
        (json!({"format": "complex", "user": user()}), of_user(sid, NOW - 30)),
        (json!({"format": "complex", "user": user(), "tenant": tenant}), of_user(sid, NOW - 30)),
        (user(), of_user(sid, NOW - 30)),
    ] {
        assert_eq!(records(read_usual(&session_revoked(subject.clone()))), expected, "{subject}");
    }
}

#[test]
fn a_changed_credential_cuts_off_its_user() {
    let sub = "dMTlD|1600802906337.16|16008.16";
    for change in ["create", "revoke", "update", "delete", "of-the-future"] {
        let mut token = credential_change();
        token["events"][CREDENTIAL_CHANGE]["change_type"] = json!(change);
        assert_eq!(records(read_usual(&token)), of_user(sub, NOW - 30), "{change}");
    }
    let off = json!({"events": {"audiences": ["https://sp.example.com/caep"], "types": ["session-revoked"]}});
    assert_eq!(read_as(&credential_change(), &issuer(&off)), Ok(EventMeaning::Ignored));
}

#[test]
fn without_a_timestamp_the_cutoff_is_at_iat() {
    let token = token(SESSION_REVOKED, user(), json!({}));
    let sub = "dMTlD|1600802906337.16|16008.16";
    assert_eq!(records(read_usual(&token)), of_user(sub, NOW));
}

#[test]
fn an_address_works_only_if_it_is_the_user_id() {
    let token = session_revoked(json!({"format": "email", "email": "jane@example.com"}));
    assert_eq!(read_usual(&token), Err(RejectionReason::UnsupportedSubject));
    let by_email = issuer(&json!({"user_id": "email"}));
    assert_eq!(records(read_as(&token, &by_email)), of_user("jane@example.com", NOW - 30));
    assert_eq!(
        read_as(&session_revoked(user()), &by_email),
        Err(RejectionReason::UnsupportedSubject),
        "a sub names nobody then"
    );
}

#[test]
fn subjects_without_a_user_or_session_are_refused() {
    let foreign = json!({"format": "iss_sub", "iss": "https://other.example.com/", "sub": "x"});
    let session = json!({"format": "opaque", "id": "s"});
    for (subject, reason) in [
        (foreign.clone(), RejectionReason::ForeignSubject),
        (
            json!({"format": "complex", "user": foreign, "session": session}),
            RejectionReason::ForeignSubject,
        ),
        (
            json!({"format": "complex", "user": user(), "device": session}),
            RejectionReason::UnsupportedSubject,
        ),
        (
            json!({"format": "complex", "user": user(), "group": session}),
            RejectionReason::UnsupportedSubject,
        ),
        (json!({"format": "complex", "tenant": session}), RejectionReason::UnsupportedSubject),
        (json!({"format": "complex"}), RejectionReason::UnsupportedSubject),
        (json!({"format": "complex", "session": "s"}), RejectionReason::BadSubject),
        (
            json!({"format": "phone_number", "phone_number": "+1206"}),
            RejectionReason::UnsupportedSubject,
        ),
        (
            json!({"format": "aliases", "identifiers": [user()]}),
            RejectionReason::UnsupportedSubject,
        ),
        (
            json!({"format": "account", "uri": "acct:a@b.example"}),
            RejectionReason::UnsupportedSubject,
        ),
        (json!({"format": "opaque", "id": 7}), RejectionReason::BadSubject),
        (json!({"format": "opaque", "id": ""}), RejectionReason::BadSubject),
        (json!({"format": "opaque"}), RejectionReason::BadSubject),
        (json!({"format": "iss_sub", "sub": "x"}), RejectionReason::BadSubject),
        (json!({"format": "iss_sub", "iss": ISSUER}), RejectionReason::BadSubject),
        (json!({"format": "iss_sub", "iss": ISSUER, "sub": ""}), RejectionReason::BadSubject),
        (json!({"format": 1}), RejectionReason::BadSubject),
        (json!({}), RejectionReason::BadSubject),
    ] {
        let read = read_usual(&session_revoked(subject.clone()));
        assert_eq!(read, Err(reason), "{subject}");
    }
    let mut of_session = credential_change();
    of_session["sub_id"] = session;
    assert_eq!(read_usual(&of_session), Err(RejectionReason::UnsupportedSubject));
}

#[test]
fn mutated_tokens_are_refused() {
    let mutations: [(&str, Value, RejectionReason); 18] = [
        ("/jti", json!(null), RejectionReason::BadClaims),
        ("/jti", json!(""), RejectionReason::BadClaims),
        ("/iat", json!(NOW + 60), RejectionReason::NotYetValid),
        ("/iat", json!("now"), RejectionReason::BadClaims),
        ("/aud", json!("https://other.example.com"), RejectionReason::WrongAudience),
        ("/aud", json!([]), RejectionReason::WrongAudience),
        ("/sub_id", json!(null), RejectionReason::BadClaims),
        ("/sub_id", json!("user"), RejectionReason::BadClaims),
        ("/events", json!(null), RejectionReason::BadClaims),
        ("/events", json!([]), RejectionReason::BadClaims),
        ("/events", json!({}), RejectionReason::WrongEvent),
        (
            "/events",
            json!({SESSION_REVOKED: {}, CREDENTIAL_CHANGE: {}}),
            RejectionReason::WrongEvent,
        ),
        ("/events", json!({SESSION_REVOKED: null}), RejectionReason::BadClaims),
        ("/events", json!({SESSION_REVOKED: []}), RejectionReason::BadClaims),
        (
            "/events",
            json!({SESSION_REVOKED: {"event_timestamp": NOW * 1_000}}),
            RejectionReason::BadClaims,
        ),
        (
            "/events",
            json!({SESSION_REVOKED: {"event_timestamp": NOW + 60}}),
            RejectionReason::NotYetValid,
        ),
        (
            "/events",
            json!({SESSION_REVOKED: {"event_timestamp": "now"}}),
            RejectionReason::BadClaims,
        ),
        (
            "/events",
            json!({CREDENTIAL_CHANGE: {"change_type": "create"}}),
            RejectionReason::BadClaims,
        ),
    ];
    for (place, value, reason) in mutations {
        let mut token = session_revoked(user());
        *token.pointer_mut(place).unwrap() = value.clone();
        assert_eq!(read_usual(&token), Err(reason), "{place} {value}");
    }
    for name in ["iat", "jti", "aud", "events", "sub_id"] {
        let mut token = session_revoked(user());
        token.as_object_mut().unwrap().remove(name);
        assert!(read_usual(&token).is_err(), "without {name}");
    }
}

#[test]
fn events_about_the_stream_end_no_session() {
    let stream = json!({"format": "opaque", "id": "f67e39a0a4d34d56b3aa1bc4cff0069f"});
    let verification =
        token(VERIFICATION, stream.clone(), json!({"state": "VGhpcyBpcyBhbiBleGFtcGxl"}));
    let state = Some("VGhpcyBpcyBhbiBleGFtcGxl".to_owned());
    assert_eq!(read_usual(&verification), Ok(EventMeaning::Verification { state }));
    let stateless = token(VERIFICATION, stream.clone(), json!({}));
    assert_eq!(read_usual(&stateless), Ok(EventMeaning::Verification { state: None }));
    let updated = token(STREAM_UPDATED, stream.clone(), json!({"status": "paused", "reason": "x"}));
    assert_eq!(
        read_usual(&updated),
        Ok(EventMeaning::StreamUpdated { status: "paused".to_owned() })
    );
    let other = token(
        "https://schemas.openid.net/secevent/risc/event-type/account-purged",
        user(),
        json!({}),
    );
    assert_eq!(read_usual(&other), Ok(EventMeaning::Ignored));
}
