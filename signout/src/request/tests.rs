//! Promise: every documented form of a revocation becomes the record that it means, and similar but
//! invalid forms are rejected.
//! Method: tables of bodies, and random bodies.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_795_332_120;
const ID: &str = "5a6833bba0c3af6d18e084b78c0b4b71";

fn one(body: &str) -> Record {
    let batch =
        Batch::read(body.as_bytes(), NOW).unwrap_or_else(|error| panic!("{body}: {error:?}"));
    assert_eq!(batch.records.len(), 1, "{body}");
    batch.records[0].record
}

fn status(body: &[u8]) -> u16 {
    Batch::read(body, NOW).map_or_else(|error| error.answer().0.as_u16(), |_| 200)
}

#[test]
fn every_form_becomes_the_record_that_it_means() {
    let id: RecordId = ID.parse().unwrap();
    let token = |realm, jti| RecordId::of_token(realm, None, jti);
    let user = |realm, id| RecordId::of_user(realm, None, id);
    let next = NOW + 1;
    let table = [
        (r#"{"jti": "a", "exp": 1795332999}"#, Record::token(token("", "a"), 1_795_332_999)),
        (r#"{"jti": "a"}"#, Record::token(token("", "a"), NEVER)),
        (r#"{"jti": "a", "realm": "x"}"#, Record::token(token("x", "a"), NEVER)),
        (r#"{"user_id": "u", "issued_before": 5}"#, Record::user(user("", "u"), 5, NEVER)),
        (r#"{"user_id": "u"}"#, Record::user(user("", "u"), next, NEVER)),
        (r#"{"issued_before": 7, "exp": 1795332999}"#, Record::all("", 7, 1_795_332_999)),
        (r#"{"issued_before": 7, "realm": "x"}"#, Record::all("x", 7, NEVER)),
        (r#"{"kind": "all"}"#, Record::all("", next, NEVER)),
        (
            r#"{"jti": "a", "issuer": "i"}"#,
            Record::token(RecordId::of_token("", Some("i"), "a"), NEVER),
        ),
        (
            r#"{"user_id": "u", "issuer": "i", "realm": "x", "reason": "left the company"}"#,
            Record::user(RecordId::of_user("x", Some("i"), "u"), next, NEVER),
        ),
        (
            r#"{"sid": "s", "issuer": "i", "issued_before": 5}"#,
            Record::session(RecordId::of_session("", Some("i"), "s"), 5, NEVER),
        ),
        (r#"{"sid": "s"}"#, Record::session(RecordId::of_session("", None, "s"), next, NEVER)),
        (
            r#"{"credential": "sk-1", "realm": "x", "exp": "2026-11-22T07:22:00Z"}"#,
            Record::token(RecordId::of_credential("x", b"sk-1"), NOW),
        ),
        (
            r#"{"user_id": "u", "issued_before": "2026-11-22T08:21:59.5+01:00"}"#,
            Record::user(user("", "u"), NOW, NEVER),
        ),
        (r#"{"kind": "all", "issued_before": 7}"#, Record::all("", 7, NEVER)),
        (r#" [ {"jti": "a"} ] "#, Record::token(token("", "a"), NEVER)),
    ];
    for (body, record) in table {
        assert_eq!(one(body), record, "{body}");
    }
    for (kind, rest, record) in [
        ("token", r#""exp": 1795332999"#, Record::token(id, 1_795_332_999)),
        ("user", r#""issued_before": 5"#, Record::user(id, 5, NEVER)),
        ("all", r#""issued_before": 5"#, Record { kind: Kind::All, ..Record::user(id, 5, NEVER) }),
    ] {
        let body = format!(r#"{{"kind": "{kind}", "id": "{ID}", {rest}}}"#);
        assert_eq!(one(&body), record, "{body}");
    }
}

#[test]
fn invalid_json_gets_400_and_invalid_revocations_get_422() {
    for body in ["", " ", "{", "[", "jti=a", r#"{"jti": "a"} x"#, r#"{"jti": "a",}"#, "[{"] {
        assert_eq!(status(body.as_bytes()), 400, "{body}");
    }
    assert_eq!(status(b"{\"jti\": \"\xff\"}"), 400);
    let table = [
        "null",
        "1",
        "\"a\"",
        "{}",
        "[null]",
        "[[]]",
        r#"[["a"]]"#,
        r#"{"exp": 1795332999}"#,
        r#"{"realm": "x"}"#,
        r#"{"jti": ""}"#,
        r#"{"jti": 1}"#,
        r#"{"jti": null}"#,
        r#"{"jti": "a", "jti": "a"}"#,
        r#"{"jti": "a", "exp": null}"#,
        r#"{"jti": "a", "exp": "1795332999"}"#,
        r#"{"jti": "a", "exp": 1795332999.5}"#,
        r#"{"jti": "a", "exp": -1}"#,
        r#"{"jti": "a", "expires": 1}"#,
        r#"{"jti": "a", "user_id": "u"}"#,
        r#"{"jti": "a", "issued_before": 5}"#,
        r#"{"jti": "a", "kind": "token"}"#,
        r#"{"user_id": ""}"#,
        r#"{"user_id": "a\u0000"}"#,
        r#"{"user_id": "u", "id": "u"}"#,
        r#"{"user_id": "u", "issued_before": 0}"#,
        r#"{"jti": "a", "realm": "\u0000"}"#,
        r#"{"kind": "token"}"#,
        r#"{"kind": "user", "issued_before": 5}"#,
        r#"{"kind": "none"}"#,
        r#"{"id": "5a6833bba0c3af6d18e084b78c0b4b71"}"#,
        r#"{"kind": "token", "id": "5A6833BBA0C3AF6D18E084B78C0B4B71"}"#,
        r#"{"kind": "token", "id": "5a6833bba0c3af6d18e084b78c0b4b71", "realm": "x"}"#,
        r#"[{"jti": "a"}, {}]"#,
        r#"{"sid": ""}"#,
        r#"{"sid": 7}"#,
        r#"{"sid": "s", "user_id": "u"}"#,
        r#"{"credential": ""}"#,
        r#"{"credential": "a", "issuer": "i"}"#,
        r#"{"credential": "a", "issued_before": 5}"#,
        r#"{"token": "a.b.c"}"#,
        r#"{"jti": "a", "issuer": "\u0000"}"#,
        r#"{"kind": "all", "issuer": "i"}"#,
        r#"{"jti": "a", "reason": 5}"#,
    ];
    for body in table {
        assert_eq!(status(body.as_bytes()), 422, "{body}");
    }
}

#[test]
fn milliseconds_are_rejected_with_an_explanation() {
    for body in [
        r#"{"jti": "a", "exp": 1795332120000}"#,
        r#"{"user_id": "u", "issued_before": 1795332120000}"#,
        r#"{"jti": "a", "exp": 18446744073709551615}"#,
    ] {
        let error = Batch::read(body.as_bytes(), NOW).unwrap_err();
        assert!(error.answer().2.contains("are these milliseconds?"), "{body}: {error:?}");
    }
}

#[test]
fn a_cutoff_may_be_at_most_a_minute_ahead() {
    let body = |time| format!(r#"{{"user_id": "u", "issued_before": {time}}}"#);
    assert_eq!(one(&body(NOW + 60)).issued_before, NOW + 60);
    assert_eq!(status(body(NOW + 61).as_bytes()), 422);
}

#[test]
fn a_proxys_cutoff_may_be_five_minutes_ahead() {
    for kind in ["user", "all"] {
        let body = |time| format!(r#"{{"kind": "{kind}", "id": "{ID}", "issued_before": {time}}}"#);
        assert_eq!(one(&body(NOW + 300)).issued_before, NOW + 300);
        assert_eq!(status(body(NOW + 301).as_bytes()), 422);
    }
    let without_id = format!(r#"{{"kind": "all", "issued_before": {}}}"#, NOW + 61);
    assert_eq!(status(without_id.as_bytes()), 422);
}

#[test]
fn only_a_cutoff_with_our_time_delays_the_response() {
    let answer_at = |body: &str| Batch::read(body.as_bytes(), NOW).unwrap().answer_at;
    assert_eq!(answer_at(r#"{"user_id": "u"}"#), NOW + 1);
    assert_eq!(answer_at(r#"[{"jti": "a"}, {"user_id": "u"}]"#), NOW + 1);
    assert_eq!(answer_at(r#"{"jti": "a"}"#), NOW);
    let given = format!(r#"{{"user_id": "u", "issued_before": {}}}"#, NOW + 1);
    assert_eq!(answer_at(&given), NOW);
}

#[test]
fn a_token_that_has_been_expired_for_a_day_is_not_stored() {
    let batch = |exp| {
        let body = format!(r#"[{{"jti": "a", "exp": {exp}}}]"#);
        let batch = Batch::read(body.as_bytes(), NOW).unwrap();
        (batch.records.len(), batch.past)
    };
    let day = 24 * 3_600 - 60;
    assert_eq!(batch(NOW - day), (1, 0));
    assert_eq!(batch(NOW - day - 1), (0, 1));
    assert_eq!(batch(0), (0, 1));
}

#[test]
fn ids_have_the_same_limits_as_in_proxies() {
    for name in ["jti", "user_id", "realm"] {
        let body = |length| {
            let other = if name == "realm" { r#""jti": "a", "# } else { "" };
            format!(r#"{{{other}"{name}": "{}"}}"#, "x".repeat(length))
        };
        assert_eq!(status(body(256).as_bytes()), 200, "{name}");
        assert_eq!(status(body(257).as_bytes()), 422, "{name}");
    }
}

#[test]
fn issuers_sessions_and_reasons_have_a_length() {
    for (name, most, rest) in [
        ("issuer", 4_096, r#", "jti": "a""#),
        ("reason", 256, r#", "jti": "a""#),
        ("sid", 512, ""),
        ("credential", 65_536, ""),
    ] {
        let body = |length| format!(r#"{{"{name}": "{}"{rest}}}"#, "x".repeat(length));
        assert_eq!(status(body(most).as_bytes()), 200, "{name}");
        assert_eq!(status(body(most + 1).as_bytes()), 422, "{name}");
    }
}

#[test]
fn a_token_means_its_record_and_its_sessions_cutoff() {
    let records = |claims: &str, rest: &str| {
        let [header, claims] = [r#"{"alg":"HS256"}"#, claims].map(|it| URL_SAFE_NO_PAD.encode(it));
        let body = format!(r#"{{"token": "{header}.{claims}.c2ln"{rest}}}"#);
        let batch = Batch::read(body.as_bytes(), NOW).ok()?;
        Some(batch.records.iter().map(|planned| planned.record).collect::<Vec<_>>())
    };
    let (iat, exp) = (NOW - 60, NOW + 3_600);
    let own = |issuer, exp| Record::token(RecordId::of_token("", issuer, "1"), exp);
    let session = RecordId::of_session("", Some("i"), "s");
    let cutoff = Record::session(session, NOW + 1, NOW + 1 + 86_400);
    let full = format!(r#"{{"jti":"1","iss":"i","sid":"s","iat":{iat},"exp":{exp}}}"#);
    assert_eq!(records(&full, ""), Some(vec![cutoff, own(Some("i"), exp)]));
    assert_eq!(records(&full, r#", "issuer": "i""#), Some(vec![cutoff, own(Some("i"), exp)]));
    assert_eq!(records(&full, r#", "issuer": "j""#), None);
    for (claims, rest, expected) in [
        (format!(r#"{{"jti":"1","sid":"s","exp":{exp}}}"#), "", own(None, exp)),
        (format!(r#"{{"jti":"1","iat":{iat}}}"#), r#", "issuer": "j""#, own(Some("j"), NEVER)),
        (r#"{"jti":"1"}"#.to_owned(), r#", "exp": 1795332999"#, own(None, 1_795_332_999)),
    ] {
        assert_eq!(records(&claims, rest), Some(vec![expected]), "{claims}");
    }
    for rest in [r#", "jti": "1""#, r#", "issued_before": 5"#, r#", "kind": "token""#] {
        assert_eq!(records(&full, rest), None, "{rest}");
    }
}

#[test]
fn a_token_from_the_future_holds_no_response_for_long() {
    let claims = format!(r#"{{"jti":"1","sid":"s","iat":{}}}"#, NOW + 250);
    let [header, claims] = [r#"{"alg":"HS256"}"#, &claims].map(|it| URL_SAFE_NO_PAD.encode(it));
    let body = format!(r#"{{"token": "{header}.{claims}.c2ln"}}"#);
    assert_eq!(Batch::read(body.as_bytes(), NOW).unwrap().answer_at, NOW + 2);
}

#[test]
fn a_list_has_a_limit() {
    let list = |length| format!("[{}]", vec![r#"{"jti":"a"}"#; length].join(","));
    assert_eq!(status(list(LIST_RECORDS).as_bytes()), 200);
    assert_eq!(status(list(LIST_RECORDS + 1).as_bytes()), 413);
    assert_eq!(status(b"[]"), 200);
}

#[test]
fn the_longest_list_of_a_proxy_fits_a_body() {
    let record = format!(
        r#"{{"kind": "token", "id": "{ID}", "issued_before": 1795332120, "exp": 1795332120,
            "user": "{ID}", "iat": 1795332120}}"#
    );
    assert!((record.len() + 2) * LIST_RECORDS < BODY_BYTES);
}

proptest! {
    #[test]
    fn any_body_becomes_valid_records_or_is_rejected(
        members in prop::collection::vec(
            (
                "jti|user_id|sid|credential|token|issuer|kind|id|issued_before|exp|realm",
                prop_oneof![
                    "\"(a|token|user|all|5a6833bba0c3af6d18e084b78c0b4b71)?\"",
                    "-?[0-9]{1,20}",
                    "null|[0-9.e]{1,5}",
                ],
            ),
            0..4,
        ),
        is_list: bool,
    ) {
        let members: Vec<_> = members.iter().map(|(n, v)| format!("\"{n}\": {v}")).collect();
        let one = format!("{{{}}}", members.join(", "));
        let body = if is_list { format!("[{one}]") } else { one };
        if let Ok(batch) = Batch::read(body.as_bytes(), NOW) {
            prop_assert_eq!(batch.records.len() + batch.past, 1);
            prop_assert!(batch.records.iter().all(|revocation| revocation.record.is_sound()), "{}", body);
            prop_assert!(batch.answer_at <= NOW + 1);
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_rejected(body: Vec<u8>) {
        let _ = Batch::read(&body, NOW);
    }
}

#[test]
fn cutoffs_come_first_and_expired_records_count_as_accepted() {
    let body = r#"[{"jti": "a"}, {"jti": "past", "exp": 1}, {"user_id": "u", "issued_before": 5},
        {"jti": "b"}, {"kind": "all", "issued_before": 7}]"#;
    let batch = Batch::read(body.as_bytes(), NOW).unwrap();
    let kinds: Vec<_> = batch.records.iter().map(|revocation| revocation.record.kind).collect();
    assert_eq!(kinds, [Kind::User, Kind::All, Kind::Token, Kind::Token]);
    // The order is: two cutoffs, `a`, the expired record, `b`.
    let accepted: Vec<_> = (0..=4).map(|stored| batch.accepted(stored)).collect();
    assert_eq!(accepted, [0, 1, 2, 4, 5]);
}

#[test]
fn a_record_may_name_its_account() {
    let of_account = |kind: &str, rest: &str| {
        let body = format!(r#"{{"kind": "{kind}", "id": "{ID}", "exp": 1795332999{rest}}}"#);
        Batch::read(body.as_bytes(), NOW).map(|batch| batch.records[0].of_account)
    };
    let user = "00000000000000000000000000000007";
    let cutoff = |before| Record::user(user.parse().unwrap(), before, 1_795_332_999);
    let named = format!(r#", "user": "{user}""#);
    assert_eq!(of_account("token", ""), Ok(None));
    assert_eq!(of_account("token", &named), Ok(Some(cutoff(NOW + 1))));
    let ahead = format!(r#"{named}, "iat": {}"#, NOW + 60);
    assert_eq!(of_account("token", &ahead), Ok(Some(cutoff(NOW + 61))), "its token is covered");
    let far = format!(r#"{named}, "iat": {}"#, NOW + 1_000);
    assert_eq!(of_account("token", &far), Ok(None));
    let session = format!(r#"{named}, "issued_before": 5"#);
    assert_eq!(of_account("user", &session), Ok(Some(cutoff(5))));
    for (kind, rest) in
        [("all", &*named), ("token", r#", "user": "x""#), ("token", r#", "iat": 5"#)]
    {
        assert!(of_account(kind, rest).is_err(), "{kind} {rest}");
    }
    assert_eq!(status(br#"{"jti": "a", "user": "00000000000000000000000000000007"}"#), 422);
}
