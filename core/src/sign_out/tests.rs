//! Promise: after a sign-out has continued, this process refuses its tokens, and the service has
//! the revocation or will get it. Method: tables of possible responses of the service.

use super::*;
use crate::feed::outbox::ENTRIES_A_KEY;
use crate::headers::Headers;
use crate::revocation::name::TokenNames;
use crate::shared::names::KeySpace;
use crate::shared::{Expect, InMemory, Stored};

const NOW: Now = Now { unix_seconds: 1_800_000_000, monotonic_milliseconds: 50_000 };

/// `NOW` as an HTTP date.
const DATE: &[u8] = b"Fri, 15 Jan 2027 08:00:00 GMT";

fn rooms() -> (RevocationSet, Outbox) {
    let identity = KeySpace::of_feed("", "signout", "signout");
    (RevocationSet::new(identity, ""), Outbox::new(identity))
}

fn settings(when_unreachable: WhenUnreachable) -> Settings {
    Settings { timeout_milliseconds: 2_000, when_unreachable }
}

fn answer(status: &str, content_type: &str, body: &str) -> Response {
    let headers = Headers::from_pairs(&[(":status", status), ("content-type", content_type)]);
    Response { headers, body: body.as_bytes().to_vec() }
}

fn signed_out(shared: &dyn SharedData, when_unreachable: WhenUnreachable) -> (Call, SignOut) {
    let (set, outbox) = rooms();
    let record =
        of_token(RecordId::of_token("", None, "a"), Some(1_800_000_600), 1_800_000_000, None);
    match begin(&set, &outbox, shared, vec![record], &[], settings(when_unreachable), NOW) {
        Step::Deliver(call, sign_out) => (call, sign_out),
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_sign_out_is_enforced_before_the_service_is_called() {
    let shared = InMemory::default();
    let (set, outbox) = rooms();
    let (call, _) = signed_out(&shared, WhenUnreachable::Forward);
    let id = RecordId::of_token("", None, "a");
    assert_eq!(set.is_revoked(&shared, &TokenNames::of(id), None), Ok(true));
    assert_eq!(outbox.len(&shared), 1);
    assert_eq!((call.method, call.path.as_str()), ("POST", "/v1/revocations"));
    assert_eq!(call.timeout_milliseconds, 2_000);
    let body = format!(r#"[{{"kind":"token","id":"{id}","exp":1800000600}}]"#);
    assert_eq!(String::from_utf8(call.body).unwrap(), body);
}

#[test]
fn only_an_exact_acknowledgement_is_accepted() {
    let json = "application/json";
    let cursor = r#"{"cursor":"5.a"}"#;
    let cases = [
        (Some(answer("201", json, cursor)), true),
        (Some(answer("200", json, cursor)), true),
        (Some(answer("200", "text/html", cursor)), false),
        (Some(answer("200", json, "{}")), false),
        (Some(answer("204", json, cursor)), false),
        (Some(answer("503", json, cursor)), false),
        (None, false),
    ];
    for (answer, acknowledged) in cases {
        for (setting, otherwise) in [
            (WhenUnreachable::Forward, Step::Continue),
            (WhenUnreachable::Refuse, Step::Unreachable),
        ] {
            let shared = InMemory::default();
            let (_, outbox) = rooms();
            let (_, sign_out) = signed_out(&shared, setting);
            let step = sign_out.respond(&outbox, &shared, answer.as_ref(), NOW);
            assert_eq!(step, if acknowledged { Step::Continue } else { otherwise }, "{answer:?}");
            let later = Now { monotonic_milliseconds: 60_000, ..NOW };
            let due = outbox.due(&shared, later, 10).len();
            assert_eq!(due, usize::from(!acknowledged), "{answer:?}");
        }
    }
}

#[test]
fn a_sign_out_that_the_service_rejects_gets_503_in_every_mode() {
    let json = "application/json";
    let code = r#"{"code":"some","detail":""}"#;
    for (response, verdict) in [
        (answer("401", json, code), Verdict::Unauthorized),
        (answer("403", "text/plain", "RBAC: access denied"), Verdict::Unauthorized),
        (answer("507", json, r#"{"code":"full","accepted":0}"#), Verdict::Full(0)),
        (answer("507", "text/html", "full"), Verdict::Full(0)),
        (answer("400", json, code), Verdict::Rejected),
        (answer("413", json, code), Verdict::Rejected),
        (answer("422", json, code), Verdict::Rejected),
    ] {
        for setting in [WhenUnreachable::Forward, WhenUnreachable::Refuse] {
            let shared = InMemory::default();
            let (set, outbox) = rooms();
            let (_, sign_out) = signed_out(&shared, setting);
            let step = sign_out.respond(&outbox, &shared, Some(&response), NOW);
            assert_eq!(step, Step::Rejected(verdict), "{response:?}");
            let token = TokenNames::of(RecordId::of_token("", None, "a"));
            let revoked = set.is_revoked(&shared, &token, None);
            assert_eq!(revoked, Ok(true), "it holds on this proxy");
            assert!(outbox.owes(
                &shared,
                &of_token(RecordId::of_token("", None, "a"), None, NOW.unix_seconds, None)
            ));
        }
    }
}

#[test]
fn a_full_service_that_has_the_record_continues_the_sign_out() {
    let shared = InMemory::default();
    let (_, outbox) = rooms();
    let (_, sign_out) = signed_out(&shared, WhenUnreachable::Refuse);
    let full = answer("507", "application/json", r#"{"code":"full","accepted":1}"#);
    assert_eq!(sign_out.respond(&outbox, &shared, Some(&full), NOW), Step::Continue);
    assert!(
        !outbox.owes(
            &shared,
            &of_token(RecordId::of_token("", None, "a"), None, NOW.unix_seconds, None)
        )
    );
}

#[test]
fn a_sign_out_that_cannot_be_stored_gets_503() {
    struct ReadOnly;
    impl SharedData for ReadOnly {
        fn get(&self, _: &str) -> Option<Stored> {
            None
        }
        fn set_if(&self, _: &str, _: &[u8], _: Expect) -> bool {
            false
        }
    }
    let (set, outbox) = rooms();
    let settings = settings(WhenUnreachable::Forward);
    let record = |number: u128| Record::token(RecordId((number << 8).to_be_bytes()), NEVER);
    let step = begin(&set, &outbox, &ReadOnly, vec![record(0)], &[], settings, NOW);
    assert_eq!(step, Step::NotStored);
    let shared = InMemory::default();
    let full: Vec<_> = (1..=ENTRIES_A_KEY as u128).map(record).collect();
    outbox.put(&shared, &full, DueTime::AtOnce).unwrap();
    let step = begin(&set, &outbox, &shared, vec![record(0)], &[], settings, NOW);
    assert_eq!(step, Step::NotStored);
    assert_eq!(
        set.is_revoked(&shared, &TokenNames::of(record(0).id), None),
        Ok(false),
        "and may try again"
    );
}

#[test]
fn a_second_sign_out_is_delivered_until_acknowledged() {
    let shared = InMemory::default();
    let (set, outbox) = rooms();
    let settings = settings(WhenUnreachable::Refuse);
    let again = |shared: &InMemory| {
        let record =
            of_token(RecordId::of_token("", None, "a"), Some(1_800_000_600), 1_800_000_000, None);
        begin(&set, &outbox, shared, Vec::<Record>::new(), &[record], settings, NOW)
    };
    assert_eq!(again(&shared), Step::Continue);
    let (call, sign_out) = signed_out(&shared, WhenUnreachable::Refuse);
    assert_eq!(again(&shared), Step::Deliver(call, sign_out.clone()));
    let yes = answer("201", "application/json", r#"{"cursor":"5.a"}"#);
    assert_eq!(sign_out.respond(&outbox, &shared, Some(&yes), NOW), Step::Continue);
    assert_eq!(again(&shared), Step::Continue);
}

#[test]
fn only_a_successful_response_sets_a_cutoff() {
    let cases: [(&[(&str, &str)], bool); 8] = [
        (&[(":status", "200")], true),
        (&[(":status", "204")], true),
        (&[(":status", "200"), ("grpc-status", "0")], true),
        (&[(":status", "200"), ("grpc-status", "14")], false),
        (&[(":status", "302")], false),
        (&[(":status", "503")], false),
        (&[(":status", "2000")], false),
        (&[], false),
    ];
    for (headers, success) in cases {
        assert_eq!(is_success(&Headers::from_pairs(headers)), success, "{headers:?}");
    }
}

#[test]
fn a_sign_out_without_records_continues() {
    let (set, outbox) = rooms();
    let settings = settings(WhenUnreachable::Refuse);
    let step = begin(&set, &outbox, &InMemory::default(), Vec::<Record>::new(), &[], settings, NOW);
    assert_eq!(step, Step::Continue);
}

#[test]
fn an_out_of_range_exp_is_revoked_for_ever() {
    let exp = |exp| of_token(RecordId::FIRST, exp, 2_000, None).exp;
    assert_eq!(exp(Some(1_800_000_000)), 1_800_000_000);
    assert_eq!(exp(None), NEVER);
    assert_eq!(exp(Some(1_800_000_000_000)), NEVER);
}

#[test]
fn a_cutoff_covers_the_response_and_the_requests_token() {
    let t = NOW.unix_seconds;
    let cases = [
        (Some(DATE), None, t + 2),
        (Some(DATE), Some(t - 50), t + 2),
        (Some(DATE), Some(t + 1), t + 2),
        (Some(DATE), Some(t + 20), t + 21),
        (Some(DATE), Some(u64::MAX), t + 301),
        (Some(b"Fri, 15 Jan 2027 07:59:00 GMT".as_slice()), None, t - 58),
        (Some(b"yesterday".as_slice()), None, t + 1),
        (Some(b"\xff".as_slice()), Some(t - 50), t + 1),
        (None, None, t + 1),
    ];
    for (date, iat, expected) in cases {
        let cutoff = of_user(RecordId::FIRST, date, iat, NOW, None);
        assert_eq!((cutoff.issued_before, cutoff.exp), (expected, NEVER), "{date:?} {iat:?}");
        assert!(cutoff.is_sound());
    }
    let cutoff = of_user(RecordId::FIRST, Some(DATE), None, NOW, Some(3_600));
    assert_eq!(cutoff.exp, t + 3_602);
}

#[test]
fn a_sessions_cutoff_covers_now_and_the_token_it_came_with() {
    let t = NOW.unix_seconds;
    let hour = |iat| (Some(iat), Some(iat + 3_600));
    let day = KEPT_AFTER_EXP_SECONDS;
    let cases = [
        // iat and exp, max_lifetime_seconds, issued_before, for how long after.
        (hour(t - 50), None, t + 1, day),
        (hour(t - 50), Some(7_200), t + 1, 7_200),
        (hour(t), None, t + 1, day),
        (hour(t + 20), None, t + 21, day),
        (hour(t + 299), None, t + 300, day),
        (hour(t + 9_999), None, t + 300, day),
        ((Some(t - 50), Some(t - 50 + 2 * day)), None, t + 1, 2 * day),
        ((Some(t - 50), Some(t - 50 + 2 * day)), Some(3_600), t + 1, 2 * day),
    ];
    for (times, lifetime, issued_before, kept) in cases {
        let cutoff = of_token_session(&genuine(times, Some("a")), t, lifetime).expect("a session");
        let expected = Record::session(session("a"), issued_before, issued_before + kept);
        assert_eq!(cutoff, expected, "{times:?} {lifetime:?}");
        assert!(cutoff.is_sound());
    }
    let endless = of_token_session(&genuine((Some(t), None), Some("a")), t, Some(60));
    assert_eq!(endless.map(|cutoff| cutoff.exp), Some(NEVER));
}

#[test]
fn only_a_token_with_iat_and_session_ends_one() {
    let t = NOW.unix_seconds;
    for (iat, sid) in [(None, Some("a")), (Some(t), None), (None, None)] {
        let token = genuine((iat, Some(t + 9)), sid);
        assert_eq!((of_token_session(&token, t, None), token.ends_session()), (None, false));
    }
}

/// A genuine token with these `iat` and `exp`, of that session.
fn genuine((iat, exp): (Option<u64>, Option<u64>), sid: Option<&str>) -> GenuineToken {
    let token = RecordId::of_token("", None, "1").into();
    let names = TokenNames { token, session: sid.map(|sid| session(sid).into()), user: None };
    GenuineToken::for_test(names, iat, exp)
}

fn session(sid: &str) -> RecordId {
    RecordId::of_session("", None, sid)
}

#[test]
fn an_answer_is_held_until_its_cutoff_has_passed_or_two_seconds() {
    let cutoff = |ahead| Record::user(RecordId::FIRST, NOW.unix_seconds + ahead, NEVER);
    let later = |milliseconds: u64| Now {
        unix_seconds: NOW.unix_seconds + milliseconds / 1_000,
        monotonic_milliseconds: NOW.monotonic_milliseconds + milliseconds,
    };
    let cases =
        [(0, 0, true), (1, 999, false), (1, 1_000, true), (9, 1_999, false), (9, 2_000, true)];
    for (ahead, milliseconds, over) in cases {
        let hold = Hold::new(&cutoff(ahead), NOW);
        assert_eq!(hold.is_over(later(milliseconds)), over, "{ahead} s, {milliseconds} ms");
    }
}
