//! Promise: only a caller with the right audience and times can revoke, and only a user of its own.

use serde_json::{Value, json};
use session_guard_core::revocation::name::RecordId;
use session_guard_core::revocation::record::Record;

use super::*;
use crate::issuers::settings::fixtures;

const NOW: u64 = 1_795_332_120;
const ISSUER: &str = "https://org.okta.com";
const ENDPOINT: &str = "https://signout.example.com/v1/global-token-revocation";

fn issuer() -> IssuerSettings {
    let receiver = json!({"audiences": [ENDPOINT]});
    fixtures::issuer(&json!({"issuer": ISSUER, "global_token_revocation": receiver}))
}

fn caller(change: (&str, Value)) -> Result<u64, RejectionReason> {
    let mut credential = json!({
        "iss": ISSUER, "sub": "client", "aud": ENDPOINT, "jti": "j",
        "iat": NOW, "nbf": NOW - 300, "exp": NOW + 300,
    });
    let (name, value) = change;
    if value == "absent" {
        credential.as_object_mut().unwrap().remove(name);
    } else {
        credential[name] = value;
    }
    let text = credential.to_string();
    let claims = StatementClaims::parse(text.as_bytes()).unwrap();
    check_caller(&claims, &[ENDPOINT.to_owned()], NOW).map_err(|rejection| rejection.reason)
}

#[test]
fn a_caller_needs_audience_and_times() {
    assert_eq!(caller(("azp", json!("x"))), Ok(NOW));
    for (change, reason) in [
        (("aud", json!("https://other.example.com")), RejectionReason::WrongAudience),
        (("aud", json!("absent")), RejectionReason::WrongAudience),
        (("exp", json!("absent")), RejectionReason::BadClaims),
        (("exp", json!(NOW - 60)), RejectionReason::Expired),
        (("nbf", json!(NOW + 60)), RejectionReason::NotYetValid),
        (("iat", json!("absent")), RejectionReason::BadClaims),
        (("iat", json!(NOW + 60)), RejectionReason::NotYetValid),
    ] {
        assert_eq!(caller(change.clone()), Err(reason), "{change:?}");
    }
}

#[test]
fn the_body_names_a_user_of_the_caller() {
    let read = |body: &str| {
        let accepted = read(body.as_bytes(), &issuer(), NOW, NOW);
        accepted.map(|accepted| accepted.records).map_err(|rejection| rejection.reason)
    };
    let id = RecordId::of_user("", Some(ISSUER), "00u1");
    let cutoff = vec![Record::user(id, NOW + 1, NOW + 3_601)];
    let user = json!({"format": "iss_sub", "iss": ISSUER, "sub": "00u1"});
    assert_eq!(read(&json!({"sub_id": user}).to_string()), Ok(cutoff.clone()));
    assert_eq!(read(&json!({"subject": user}).to_string()), Ok(cutoff), "as in older drafts");
    let foreign = json!({"format": "iss_sub", "iss": "https://x.okta.com", "sub": "00u1"});
    for (body, reason) in [
        (String::new(), RejectionReason::BadRequest),
        ("[]".to_owned(), RejectionReason::BadRequest),
        ("{}".to_owned(), RejectionReason::BadRequest),
        (json!({"sub_id": "00u1"}).to_string(), RejectionReason::BadRequest),
        (format!("{{\"sub_id\": {user}, \"sub_id\": {user}}}"), RejectionReason::BadRequest),
        (
            json!({"sub_id": {"format": "iss_sub", "sub": "00u1"}}).to_string(),
            RejectionReason::BadSubject,
        ),
        (json!({"sub_id": foreign}).to_string(), RejectionReason::ForeignSubject),
        (
            json!({"sub_id": {"format": "opaque", "id": "00u1"}}).to_string(),
            RejectionReason::UnsupportedSubject,
        ),
        (
            json!({"sub_id": {"format": "email", "email": "a@b.example"}}).to_string(),
            RejectionReason::UnsupportedSubject,
        ),
    ] {
        assert_eq!(read(&body), Err(reason), "{body}");
    }
}
