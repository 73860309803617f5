//! Checks which records a token causes, and which tokens are rejected.

use serde_json::{Value, json};
use session_guard_core::revocation::record::{Kind, NEVER};

use super::*;
use crate::issuers::settings::fixtures;
use crate::receivers::rejection::RejectionReason;

const NOW: u64 = 1_795_332_120;
const ISSUER: &str = "https://id.example.com";

fn issuer() -> IssuerSettings {
    fixtures::issuer(&json!({"issuer": ISSUER, "realm": "shop", "token_revocation": true}))
}

fn read_as(token: &Value) -> Result<Option<RevokedToken>, RejectionReason> {
    let text = token.to_string();
    let claims = StatementClaims::parse(text.as_bytes()).unwrap();
    read(&claims, b"header.payload", &issuer(), NOW).map_err(|rejection| rejection.reason)
}

fn token() -> Value {
    json!({"iss": ISSUER, "sub": "u", "jti": "j", "sid": "s", "iat": NOW - 60, "exp": NOW + 300})
}

/// The token without these claims.
fn without(names: &[&str]) -> Value {
    let mut token = token();
    names.iter().for_each(|name| {
        token.as_object_mut().unwrap().remove(*name);
    });
    token
}

#[test]
fn a_token_revokes_itself_and_cuts_off_its_session() {
    let revoked = read_as(&token()).unwrap().unwrap();
    let session = RecordId::of_session("shop", Some(ISSUER), "s");
    let cutoff = Record::user(session, NOW + 1, NOW + 3_601);
    assert_eq!(revoked.token.id, RecordId::of_token("shop", Some(ISSUER), "j"));
    assert_eq!((revoked.token.kind, revoked.token.exp >= NOW + 300), (Kind::Token, true));
    assert_eq!(revoked.effect.records, [revoked.token, cutoff]);
    assert_eq!(revoked.effect.respond_at, NOW + 1);
}

#[test]
fn a_token_from_the_future_sets_no_later_cutoff_than_the_api() {
    let mut future = token();
    for (iat, issued_before) in
        [(NOW + 59, NOW + 60), (NOW + 60, NOW + 60), (NOW + 9_000, NOW + 60)]
    {
        future["iat"] = json!(iat);
        let revoked = read_as(&future).unwrap().unwrap();
        assert_eq!(revoked.effect.records[1].issued_before, issued_before, "{iat}");
    }
}

#[test]
fn a_token_never_cuts_off_its_user() {
    for token in [without(&["sid"]), without(&["iat"]), without(&["sid", "iat"])] {
        let revoked = read_as(&token).unwrap().unwrap();
        assert_eq!(revoked.effect.records, [revoked.token], "{token}");
    }
}

#[test]
fn a_token_without_an_id_is_named_by_its_signing_input() {
    let revoked = read_as(&without(&["jti", "exp"])).unwrap().unwrap();
    let id = RecordId::of_input("shop", Some(ISSUER), b"header.payload");
    assert_eq!((revoked.token.id, revoked.token.exp), (id, NEVER));
}

#[test]
fn an_expired_token_changes_nothing() {
    let mut expired = token();
    expired["exp"] = json!(NOW);
    assert_eq!(read_as(&expired), Ok(None));
}

#[test]
fn malformed_claims_revoke_nothing() {
    for (name, value) in [("jti", json!(7)), ("exp", json!("soon")), ("iat", json!(null))] {
        let mut malformed = token();
        malformed[name] = value;
        assert_eq!(read_as(&malformed), Err(RejectionReason::BadClaims), "{name}");
    }
    let mut long = token();
    long["sid"] = json!("s".repeat(513));
    assert_eq!(read_as(&long), Err(RejectionReason::BadSubject));
}
