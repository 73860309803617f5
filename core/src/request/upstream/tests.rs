//! Promise: the application receives each identity header at most once, with the value of the
//! verified token, regardless of what the client sent.
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::token::builder::{NOW, TokenBuilder, ring};
use crate::token::{Policy, Verifier};

fn upstream() -> Upstream {
    let claims = vec![("role".into(), "x-user-role".to_owned())];
    Upstream::new(Some("x-user-id".to_owned()), claims, TokenForwarding::Keep)
}

fn token(builder: TokenBuilder) -> Rc<VerifiedToken> {
    let policy =
        Policy { user_id: Some("sub".into()), forwarded: vec!["role".into()], ..Policy::default() };
    Verifier::new(ring(), policy).verify(builder.sign().as_bytes(), NOW).expect("genuine")
}

fn add(name: &str, value: &str) -> Edit {
    Edit::Add(name.as_bytes().into(), value.as_bytes().into())
}

fn set(name: &str, value: &str) -> Edit {
    Edit::Set(name.as_bytes().into(), value.as_bytes().into())
}

fn remove(name: &str) -> Edit {
    Edit::Remove(name.as_bytes().into())
}

#[test]
fn the_application_gets_user_and_claims() {
    let token = token(TokenBuilder::new().claim("role", "\"admin\""));
    let headers = Headers::from_pairs(&[(":path", "/"), ("authorization", "Bearer x")]);
    assert_eq!(
        *upstream().edits(&headers, Some(&token)),
        [add("x-user-id", "user-1"), add("x-user-role", "admin")]
    );
    assert_eq!(*upstream().edits(&headers, None), []);
}

#[test]
fn no_client_makes_the_next_proxy_remove_the_user() {
    for (connection, expected) in [
        ("upgrade", vec![]),
        ("x-user-id", vec![remove("connection")]),
        ("Upgrade, X-User-Id", vec![set("connection", "Upgrade")]),
        ("x_user_role,,upgrade , te", vec![set("connection", "upgrade, te")]),
    ] {
        let headers = Headers::from_pairs(&[("connection", connection)]);
        assert_eq!(*upstream().edits(&headers, None), expected, "{connection}");
    }
    let two_lines = [("connection", "upgrade"), ("connection", "x-user-id")];
    let headers = Headers::from_pairs(&two_lines);
    assert_eq!(*upstream().edits(&headers, None), [set("connection", "upgrade")]);
}

#[test]
fn forged_identity_headers_are_removed() {
    let forged = [
        ("x-user-id", "root"),
        ("x-user-id", "root"),
        ("x_user_id", "root"),
        ("x-user_id", "root"),
        ("x.user.id", "root"),
        ("x-user-role", "admin"),
        ("x-user-ids", "1"),
        ("xuserid", "1"),
        ("x-user-id-", "1"),
    ];
    let headers = Headers::from_pairs(&forged);
    let twins = [remove("x_user_id"), remove("x-user_id"), remove("x.user.id")];
    let [a, b, c] = twins.clone();
    assert_eq!(
        *upstream().edits(&headers, None),
        [remove("x-user-id"), a, b, c, remove("x-user-role")]
    );
    // With a token: a header that is set needs no removal. One without a value in the token is
    // removed.
    let token = token(TokenBuilder::new());
    let [a, b, c] = twins;
    assert_eq!(
        *upstream().edits(&headers, Some(&token)),
        [a, b, c, remove("x-user-role"), set("x-user-id", "user-1")]
    );
}

#[test]
fn the_dashed_twin_of_an_underscore_name_is_removed() {
    let upstream = Upstream::new(Some("x_user_id".to_owned()), vec![], TokenForwarding::Keep);
    let headers = Headers::from_pairs(&[("x-user-id", "root"), ("x_user_id", "root")]);
    let token = token(TokenBuilder::new());
    assert_eq!(
        *upstream.edits(&headers, Some(&token)),
        [remove("x-user-id"), set("x_user_id", "user-1")]
    );
}

#[test]
fn a_pseudo_header_equals_no_identity_header() {
    let upstream = Upstream::new(Some("-path".to_owned()), vec![], TokenForwarding::Keep);
    let headers = Headers::from_pairs(&[(":path", "/"), ("_path", "root")]);
    assert_eq!(*upstream.edits(&headers, None), [remove("_path")]);
}

#[test]
fn names_of_any_length_are_removed() {
    for length in [1, 62, 63, 64, 65, 256] {
        let name = "x".repeat(length);
        let claims = vec![("role".into(), name.clone())];
        let upstream = Upstream::new(None, claims, TokenForwarding::Keep);
        let headers = Headers::from_pairs(&[(name.clone(), "root"), (name.clone() + "x", "mine")]);
        assert_eq!(*upstream.edits(&headers, None), [remove(&name)], "{length}");
    }
}

#[test]
fn identity_headers_are_removed_from_trailers() {
    let trailers = Headers::from_pairs(&[("x-user-id", "root"), ("grpc-status", "0")]);
    assert_eq!(*upstream().trailers(&trailers), [remove("x-user-id")]);
}

proptest! {
    #[test]
    fn no_client_forges_an_identity(
        lines in prop::collection::vec(("[xX][-_.]user[-_.~](id|role|ix)", "[a-z]{0,3}"), 0..8),
        signed_in: bool,
    ) {
        let token = token(TokenBuilder::new());
        let headers = Headers::from_pairs(&lines);
        let edits = upstream().edits(&headers, signed_in.then_some(&*token));
        let left = headers.edited(&edits);
        let folded = |name: &[u8]| {
            String::from_utf8_lossy(name).to_lowercase().replace(['_', '.', '~'], "-")
        };
        let mut seen: Vec<_> = left.lines().filter(|(name, _)| folded(name) != "x-user-ix").collect();
        if signed_in {
            prop_assert_eq!(seen.pop(), Some((&b"x-user-id"[..], &b"user-1"[..])));
        }
        prop_assert!(seen.is_empty(), "{seen:?}");
    }
}
