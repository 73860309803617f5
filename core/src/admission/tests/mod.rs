//! Promise: a request continues only if its route, its tokens and the known revocations allow it, and
//! its signature checks stay within their limits.
//! Method: whole decisions about requests to one configuration, with the set in memory.

use super::*;
use crate::feed::state::FeedState;
use crate::keys::host::NoHost;
use crate::revocation::horizon::Horizon;
use crate::revocation::record::{Kind, NEVER, Record};
use crate::revocation::shard::ShardSlot;
use crate::shared::names::KeySpace;
use crate::shared::{Expect, InMemory};
use crate::token::builder::{NOW, SECRET, TokenBuilder};

const CONFIGURATION: &str = r#"{
    "keys": [{"algorithm": "HS256", "secret": {"env": "SECRET"}}],
    "token_sources": [
        {"header": "authorization", "scheme": "Bearer", "pass_prefix": "sk-"},
        {"cookie": "token"}
    ],
    "routes": [
        {"path": "/public", "access": "public"},
        {"path": "/optional", "access": "optional"},
        {"path": "/sign-out", "access": "signout"},
        {"template": "/users/{id}", "access": "protected", "revoke_user": {"segment": "id"}},
        {"path": "/password", "access": "protected", "revoke_user": "token"},
        {"path": "/socket", "access": "protected", "api_keys": "refuse"},
        {"path": "/ready", "access": "ready"}
    ],
    "forward": {"token": "FORWARD"},
    "revocation": {"upstream": {"token": {"inline": "api-token"}}, "when_unknown": "WHEN"}
}"#;

/// An admission with its own revocation set.
struct AdmissionBench {
    admission: Admission,
    set: RevocationSet,
    shared: InMemory,
    knowledge: Knowledge,
    keys_settled: bool,
    elapsed_milliseconds: Cell<u64>,
}

impl AdmissionBench {
    fn new(when_unknown: &str) -> Self {
        Self::with(when_unknown, "keep")
    }

    fn with(when_unknown: &str, forward: &str) -> Self {
        Self::of(&CONFIGURATION.replace("WHEN", when_unknown).replace("FORWARD", forward))
    }

    fn of(text: &str) -> Self {
        let secret = || Some(String::from_utf8(SECRET.to_vec()).unwrap());
        let config = Config::parse(text.as_bytes(), &|_| secret()).unwrap();
        Self::with_config(config, &NoHost)
    }

    fn with_config(config: Config, host: &'static dyn SignatureHost) -> Self {
        let set = RevocationSet::new(KeySpace::of_feed("", "signout", "signout"), "");
        Self {
            admission: Admission::new(config, Some(set), host),
            set,
            shared: InMemory::default(),
            knowledge: Knowledge::Current,
            keys_settled: true,
            elapsed_milliseconds: Cell::default(),
        }
    }

    fn decide(&self, path: &str, lines: &[(&str, &str)]) -> Decision {
        let mut all = vec![(":method", "POST"), (":path", path), (":authority", "a.example")];
        all.extend(lines);
        self.admission.decide(&Headers::from_pairs(&all), self.moment())
    }

    fn moment(&self) -> Moment<'_> {
        let Self { knowledge, keys_settled, .. } = *self;
        let unix_milliseconds = NOW * 1_000 + self.elapsed_milliseconds.get();
        Moment { unix_milliseconds, knowledge, keys_settled, shared: &self.shared }
    }

    fn revoke(&self, record: Record) {
        self.set.add(&self.shared, &[record], Horizon::NONE).unwrap();
    }
}

fn token(user: &str, jti: &str) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    TokenBuilder::new().claim("sub", quoted(user)).claim("jti", quoted(jti)).sign()
}

/// Returns a token of this user from this issuer.
fn token_of(issuer: &str, user: &str, jti: &str) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    let builder = TokenBuilder::new().claim("sub", quoted(user)).claim("jti", quoted(jti));
    builder.claim("iss", quoted(issuer)).sign()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Returns the outcome of a request: the user that the application receives, or the refusal's code.
fn verdict(decision: &Decision) -> String {
    match decision {
        Decision::Refuse { objection, .. } => objection.refusal().answer().code.to_owned(),
        Decision::Ready(ready) => format!("ready: {ready}"),
        Decision::Forward(forward) => {
            let user = forward.edits.iter().find_map(|edit| match edit {
                Edit::Set(name, value) | Edit::Add(name, value) if **name == *b"x-user-id" => {
                    Some(&**value)
                }
                _ => None,
            });
            String::from_utf8_lossy(user.unwrap_or(b"nobody")).into_owned()
        }
    }
}

#[test]
fn each_access_requires_the_expected_tokens() {
    let bench = AdmissionBench::new("refuse");
    let [good, forged] = [bearer(&token("ada", "1")), bearer(&(token("ada", "1") + "A"))];
    let cases = [
        ("/public", "nobody", "nobody", "nobody"),
        ("/optional", "nobody", "ada", "nobody"),
        ("/sign-out", "nobody", "ada", "nobody"),
        ("/page", "missing_token", "ada", "bad_signature"),
        ("//public", "missing_token", "ada", "bad_signature"),
        ("/ready", "ready: true", "ready: true", "ready: true"),
    ];
    for (path, none, with_good, with_forged) in cases {
        assert_eq!(verdict(&bench.decide(path, &[])), none, "{path}");
        assert_eq!(verdict(&bench.decide(path, &[("authorization", &good)])), with_good, "{path}");
        let forged = verdict(&bench.decide(path, &[("authorization", &forged)]));
        assert!([with_forged, "malformed_token"].contains(&forged.as_str()), "{path}: {forged}");
    }
}

#[test]
fn a_good_token_passes_only_with_a_usable_set() {
    let good = bearer(&token("ada", "1"));
    let lines = [("authorization", good.as_str())];
    let cases = [
        (Knowledge::Current, "refuse", "ada"),
        (Knowledge::Current, "use_last", "ada"),
        (Knowledge::Stale, "refuse", "unavailable"),
        (Knowledge::Stale, "use_last", "ada"),
        (Knowledge::Never, "refuse", "unavailable"),
        (Knowledge::Never, "use_last", "unavailable"),
    ];
    for (knowledge, when_unknown, expected) in cases {
        let bench = AdmissionBench { knowledge, ..AdmissionBench::new(when_unknown) };
        let context = format!("{knowledge:?} {when_unknown}");
        assert_eq!(verdict(&bench.decide("/page", &lines)), expected, "{context}");
        let ready = format!("ready: {}", knowledge != Knowledge::Never);
        assert_eq!(verdict(&bench.decide("/ready", &[])), ready, "{context}");
        let optional = if expected == "ada" { "ada" } else { "nobody" };
        assert_eq!(verdict(&bench.decide("/optional", &lines)), optional, "{context}");
        assert_eq!(verdict(&bench.decide("/page", &[])), "missing_token", "{context}");
    }
}

#[test]
fn a_proxy_that_was_ready_stays_ready() {
    let mut bench = AdmissionBench::new("refuse");
    let mut is_ready = |knowledge, keys_settled| {
        (bench.knowledge, bench.keys_settled) = (knowledge, keys_settled);
        matches!(bench.decide("/ready", &[]), Decision::Ready(true))
    };
    assert!(!is_ready(Knowledge::Never, true));
    assert!(!is_ready(Knowledge::Current, false), "a key set was not asked for yet");
    assert!(is_ready(Knowledge::Current, true));
    for knowledge in [Knowledge::Stale, Knowledge::Never, Knowledge::Current] {
        assert!(is_ready(knowledge, true) && is_ready(knowledge, false), "{knowledge:?}");
    }
}

#[test]
fn a_damaged_shard_gets_503_and_restarts_the_load() {
    let bench = AdmissionBench::new("refuse");
    let space = bench.set.space();
    let loaded = FeedState { current_at: Some(1), ..FeedState::default() };
    assert!(loaded.write(&bench.shared, space, Expect::Absent));
    let slot = ShardSlot::of((RecordId::of_token("", None, "1"), Kind::Token));
    assert!(bench.shared.set_if(&slot.name(space), b"junk", Expect::Anything));
    let ada = bearer(&token("ada", "1"));
    assert_eq!(verdict(&bench.decide("/page", &[("authorization", &ada)])), "unavailable");
    assert_eq!(FeedState::read(&bench.shared, space).0.current_at, None);
}

#[test]
fn a_revocation_is_seen_on_the_next_request_of_a_token_seen_before() {
    let bench = AdmissionBench::new("refuse");
    let (ada, bob) = (bearer(&token("ada", "1")), bearer(&token("bob", "2")));
    let verdict_of = |token: &str| verdict(&bench.decide("/page", &[("authorization", token)]));
    assert_eq!([verdict_of(&ada), verdict_of(&bob)], ["ada", "bob"]);
    bench.revoke(Record::token(RecordId::of_token("", None, "1"), NEVER));
    assert_eq!([verdict_of(&ada), verdict_of(&bob)], ["revoked", "bob"]);
    bench.revoke(Record::user(RecordId::of_user("", None, "bob"), NOW, NEVER));
    assert_eq!([verdict_of(&ada), verdict_of(&bob)], ["revoked", "revoked"]);
}

#[test]
fn all_tokens_must_be_valid_and_name_one_user() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let cases = [
        (token("ada", "1"), token("ada", "2"), "ada"),
        (token("ada", "1"), token("bob", "2"), "conflicting_tokens"),
        (token("ada", "1"), token("ada", "gone"), "revoked"),
        (token("ada", "gone"), token("bob", "1"), "conflicting_tokens"),
        (token("ada", "1"), "x".to_owned(), "malformed_token"),
    ];
    for (header, cookie, expected) in cases {
        let lines = [("authorization", &*bearer(&header)), ("cookie", &*format!("token={cookie}"))];
        assert_eq!(verdict(&bench.decide("/page", &lines)), expected);
    }
}

#[test]
fn an_api_key_passes_without_a_user_and_excuses_no_token() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let own = format!("token={}", token("ada", "1"));
    let gone = format!("token={}", token("ada", "gone"));
    let cases = [
        ("/page", "", "nobody"),
        ("/page", &own, "nobody"),
        ("/page", &gone, "revoked"),
        ("/page", "token=sk-0", "malformed_token"), // not configured there
        ("/optional", "", "nobody"),
        ("/optional", &own, "nobody"),
        ("/users/bob", "", "nobody"),
        ("/password", "", "missing_token"),
        ("/password", &own, "conflicting_tokens"),
        ("/password", &gone, "revoked"),
        ("/sign-out", &own, "nobody"),
        ("/socket", "", "missing_token"),
        ("/socket", &own, "ada"),
        ("/socket", &gone, "revoked"),
        ("/./socket", "", "missing_token"),
        ("//page", "", "missing_token"),
    ];
    for (path, cookie, expected) in cases {
        let lines = [("authorization", "Bearer sk-0"), ("cookie", cookie)];
        let spoofed = [lines[0], lines[1], ("x-user-id", "root")];
        let decision = bench.decide(path, &spoofed);
        assert_eq!(verdict(&decision), expected, "{path} {cookie}");
        if let ("nobody", Decision::Forward(forward)) = (expected, decision) {
            let removed = Edit::Remove(b"x-user-id"[..].into());
            assert!(forward.edits.contains(&removed), "{path} {cookie}: {:?}", forward.edits);
        }
    }
}

#[test]
fn an_api_key_needs_a_set_that_is_known() {
    for (knowledge, when_unknown, expected) in [
        (Knowledge::Never, "refuse", "unavailable"),
        (Knowledge::Stale, "refuse", "unavailable"),
        (Knowledge::Stale, "use_last", "nobody"),
        (Knowledge::Current, "refuse", "nobody"),
    ] {
        let bench = AdmissionBench { knowledge, ..AdmissionBench::new(when_unknown) };
        let key = ("authorization", "Bearer sk-0");
        assert_eq!(verdict(&bench.decide("/page", &[key])), expected, "{knowledge:?}");
        let own = format!("token={}", token("ada", "1"));
        assert_eq!(verdict(&bench.decide("/page", &[key, ("cookie", &own)])), expected);
        assert_eq!(verdict(&bench.decide("/public", &[key])), "nobody");
    }
}

#[test]
fn a_revoked_api_key_is_refused() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_credential("", b"sk-gone"), NEVER));
    bench.revoke(Record::all("", NOW, NEVER)); // a key cannot be issued again like a token
    let own = format!("token={}", TokenBuilder::new().claim("iat", NOW).sign());
    for (path, key, cookie, expected) in [
        ("/page", "Bearer sk-gone", "", "revoked"),
        ("/page", "Bearer sk-0", "", "nobody"),
        ("/page", "Bearer sk-gone", &*own, "revoked"),
        ("/page", "Bearer sk-gone", "token=junk", "malformed_token"),
        ("/socket", "Bearer sk-gone", "", "missing_token"),
        ("/socket", "Bearer sk-gone", &own, "revoked"),
        ("/public", "Bearer sk-gone", "", "nobody"),
        ("/sign-out", "Bearer sk-gone", "", "nobody"),
    ] {
        let lines = [("authorization", key), ("cookie", cookie)];
        assert_eq!(verdict(&bench.decide(path, &lines)), expected, "{path} {key} {cookie}");
    }
    let removed = Edit::Remove(b"authorization"[..].into());
    for (key, is_removed) in [("Bearer sk-gone", true), ("Bearer sk-0", false)] {
        let lines = [("authorization", key)];
        let Decision::Forward(forward) = bench.decide("/optional", &lines) else { panic!() };
        assert_eq!(forward.edits.contains(&removed), is_removed, "{key}");
    }
}

#[test]
fn an_open_request_ends_with_its_api_key() {
    let own = format!("token={}", token("ada", "1"));
    let junk = "token=junk".to_owned();
    for (path, cookie, ends) in [
        ("/page", "", true),
        ("/page", &*own, true),
        ("/socket", &own, true), // a new one with this key would be refused, too
        ("/optional", "", true),
        ("/optional", &junk, true),
        ("/public", "", false),
        ("/sign-out", &own, false),
    ] {
        let bench = AdmissionBench::new("refuse");
        let lines = [("authorization", "Bearer sk-0"), ("cookie", cookie)];
        let Decision::Forward(forward) = bench.decide(path, &lines) else { panic!("{path}") };
        let objection = || bench.admission.objection(&forward.credentials, bench.moment());
        assert_eq!(objection(), None, "{path} {cookie}");
        bench.revoke(Record::token(RecordId::of_credential("", b"sk-1"), NEVER));
        assert_eq!(objection(), None, "{path} {cookie}: another key");
        bench.revoke(Record::token(RecordId::of_credential("", b"sk-0"), NEVER));
        assert_eq!(objection(), ends.then_some(Refusal::Revoked), "{path} {cookie}");
    }
}

#[test]
fn a_request_has_few_api_keys() {
    let text = CONFIGURATION.replace("WHEN", "refuse").replace("FORWARD", "keep");
    let source = r#"{"query": "key", "pass_prefix": "sk-"}"#;
    let bench = AdmissionBench::of(&text.replace(r#"{"cookie": "token"}"#, source));
    for (count, expected) in [(8, "nobody"), (9, "malformed_token")] {
        let keys: Vec<_> = (0..count).map(|number| format!("key=sk-{number}")).collect();
        let twice = [keys.join("&"), keys.join("&")].join("&");
        assert_eq!(verdict(&bench.decide(&format!("/page?{twice}"), &[])), expected, "{count}");
    }
}

#[test]
fn the_admitted_user_is_published_to_other_filters() {
    let published = |filter_state: &str, path: &str, lines: &[(&str, &str)]| {
        let forward = format!("keep\", \"filter_state\": {filter_state}, \"user_id\": \"x-user-id");
        match AdmissionBench::with("refuse", &forward).decide(path, lines) {
            Decision::Forward(forward) => forward.published_user.map(|user| user.to_string()),
            decision => panic!("{decision:?}"),
        }
    };
    let good = bearer(&token("ada", "1"));
    let good = ("authorization", good.as_str());
    let ada = Some("ada".to_owned());
    for (path, lines, expected) in [
        ("/page", vec![good], ada.clone()),
        ("/optional", vec![good], ada.clone()),
        ("/sign-out", vec![good], ada),
        ("/public", vec![good], None),
        ("/optional", vec![], None),
        ("/optional", vec![("authorization", "Bearer junk")], None),
        ("/page", vec![("authorization", "Bearer sk-0")], None),
    ] {
        assert_eq!(published("true", path, &lines), expected, "{path} {lines:?}");
        assert_eq!(published("false", path, &lines), None, "{path} {lines:?}");
    }
}

#[test]
fn a_sign_out_separates_live_and_revoked_tokens() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let cookies = format!("token={}; token=junk; token={}", token("ada", "1"), token("bob", "2"));
    let gone = bearer(&token("eve", "gone"));
    let lines = [("authorization", gone.as_str()), ("cookie", cookies.as_str())];
    let Decision::Forward(forward) = bench.decide("/sign-out", &lines) else { panic!() };
    let ids = |tokens: &[GenuineToken]| -> Vec<_> {
        tokens.iter().map(GenuineToken::record_id).collect()
    };
    assert_eq!(ids(&forward.sign_out), ["1", "2"].map(|jti| RecordId::of_token("", None, jti)));
    assert_eq!(ids(&forward.signed_out), [RecordId::of_token("", None, "gone")]);
    assert!(forward.credentials.is_empty(), "it is to be answered, not ended");
}

#[test]
fn another_sites_sign_out_revokes_no_cookie() {
    let bench = AdmissionBench::new("refuse");
    let (ada, bob) = (bearer(&token("ada", "1")), format!("token={}", token("bob", "2")));
    let lines = [("authorization", &*ada), ("cookie", &*bob), ("sec-fetch-site", "cross-site")];
    let signed_out = |lines: &[(&str, &str)]| {
        let Decision::Forward(forward) = bench.decide("/sign-out", lines) else { panic!() };
        forward.sign_out.iter().map(|token| token.record_id()).collect::<Vec<_>>()
    };
    let [ada, bob] = ["1", "2"].map(|jti| RecordId::of_token("", None, jti));
    assert_eq!(signed_out(&lines), [ada]);
    assert_eq!(signed_out(&lines[..2]), [ada, bob]);
    let own = format!("token={}", token("ada", "1"));
    let both = [lines[0], ("cookie", &*own), lines[2]];
    assert_eq!(signed_out(&both), [ada], "the script sent it too");
}

#[test]
fn many_other_tokens_do_not_prevent_a_sign_out() {
    let own = token("ada", "1");
    let junk: Vec<_> =
        (0..40).map(|n| format!("token={}", token("ada", "x") + &n.to_string())).collect();
    let cookie = format!("{}; token={own}", junk.join("; "));
    let lines = [("cookie", cookie.as_str())];
    for forward in ["keep", "strip"] {
        let bench = AdmissionBench::with("refuse", forward);
        let Decision::Forward(crowded) = bench.decide("/sign-out", &lines) else { panic!() };
        let ids: Vec<_> = crowded.sign_out.iter().map(|token| token.record_id()).collect();
        assert_eq!((ids, crowded.edits), (vec![RecordId::of_token("", None, "1")], Edits::new()));
        assert_eq!(verdict(&bench.decide("/page", &lines)), "malformed_token");
        let alone = format!("a=1; token={own}");
        let cookie_at = |path: &str| {
            let Decision::Forward(it) = bench.decide(path, &[("cookie", &alone)]) else { panic!() };
            it.edits
                .into_iter()
                .find(|edit| matches!(edit, Edit::Set(name, _) if **name == *b"cookie"))
        };
        let stripped = Edit::Set(b"cookie"[..].into(), b"a=1"[..].into());
        assert_eq!(cookie_at("/sign-out"), None);
        assert_eq!(cookie_at("/public"), None);
        for path in ["/page", "/optional"] {
            assert_eq!(cookie_at(path), (forward == "strip").then(|| stripped.clone()), "{path}");
        }
    }
}

#[test]
fn a_cutoff_is_for_the_user_of_the_route() {
    let bench = AdmissionBench::new("refuse");
    let good = bearer(&token("ada", "1"));
    let too_long = format!("/users/{}", "x".repeat(257));
    let cases = [
        ("/users/bob%40b", Some(RecordId::of_user("", None, "bob@b"))),
        ("/password", Some(RecordId::of_user("", None, "ada"))),
        (too_long.as_str(), None),
        ("/page", None),
    ];
    for (path, expected) in cases {
        let decision = bench.decide(path, &[("authorization", &good)]);
        let Decision::Forward(Forward { cutoff, .. }) = decision else { panic!("{path}") };
        assert_eq!(cutoff.map(|cutoff| cutoff.user), expected, "{path}");
    }
}

#[test]
fn a_refusal_clears_the_cookies_whose_tokens_were_refused() {
    let [ada, bob, gone, junk] =
        [token("ada", "1"), token("bob", "2"), token("ada", "gone"), "junk".to_owned()];
    let expired = TokenBuilder::new().claim("exp", (NOW - 999).to_string()).sign();
    let none = String::new();
    use Knowledge::{Current, Never};
    // Knowledge, Authorization, cookies, code, whether the cookie is cleared.
    let cases = [
        (Current, &ada, format!("token={gone}"), "revoked", true),
        (Current, &none, format!("token={gone}"), "revoked", true),
        (Current, &none, format!("token={junk}"), "malformed_token", true),
        (Current, &none, format!("token={junk}; token={expired}"), "malformed_token", true),
        (Current, &none, format!("token={gone}; token={junk}"), "malformed_token", true),
        // Not the cookie is the reason, or only its user is.
        (Current, &junk, format!("token={ada}"), "malformed_token", false),
        (Current, &ada, format!("token={bob}"), "conflicting_tokens", false),
        (Current, &ada, format!("token={bob}; token={junk}"), "conflicting_tokens", false),
        (Never, &ada, format!("token={ada}"), "unavailable", false),
        // A value of the same name is good.
        (Current, &none, format!("token={ada}; token={gone}"), "revoked", false),
        (Current, &none, format!("token={gone}; token={ada}"), "revoked", false),
        (Current, &none, format!("token={gone}; Token={ada}"), "revoked", false),
        // A browser would not clear a cookie of another spelling.
        (Current, &none, format!("Token={gone}"), "revoked", false),
        (Current, &none, format!("token={ada}; Token={junk}"), "malformed_token", false),
        (Current, &none, format!("$Version=1,token={junk}"), "malformed_token", false),
        // A malformed field or too many tokens say nothing about each cookie.
        (Current, &format!("{ada}, x"), format!("token={ada}"), "malformed_token", false),
    ];
    for (knowledge, header, cookie, code, is_cleared) in cases {
        let bench = AdmissionBench { knowledge, ..AdmissionBench::new("refuse") };
        bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
        let header = if header.is_empty() { String::new() } else { bearer(header) };
        let decision = bench.decide("/page", &[("authorization", &header), ("cookie", &cookie)]);
        assert_eq!(verdict(&decision), code, "{header} {cookie}");
        let Decision::Refuse { clear_cookies, .. } = decision else { panic!("{cookie}") };
        assert_eq!(clear_cookies.len(), usize::from(is_cleared), "{header} {cookie}");
    }
}

#[test]
fn a_request_of_another_site_never_clears_a_cookie() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let expired = TokenBuilder::new().claim("exp", (NOW - 999).to_string()).sign();
    for (bad, code) in [
        (token("ada", "gone"), "revoked"),
        ("junk".to_owned(), "malformed_token"),
        (expired, "expired"),
    ] {
        let cookie = format!("token={bad}");
        for (site, clears) in [
            ("cross-site", false),
            ("Cross-Site", false),
            ("same-site", true),
            ("same-origin", true),
            ("none", true),
        ] {
            let decision = bench.decide("/page", &[("cookie", &cookie), ("sec-fetch-site", site)]);
            assert_eq!(verdict(&decision), code);
            let Decision::Refuse { clear_cookies, .. } = decision else { panic!("{site}") };
            assert_eq!(!clear_cookies.is_empty(), clears, "{site} {code}");
        }
    }
}

#[test]
fn a_good_cookie_replaces_a_bad_one_of_its_name() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let [ada, bob, gone] = [token("ada", "1"), token("bob", "2"), token("ada", "gone")];
    let claims = |name: &str, value: &str| TokenBuilder::new().claim(name, value).sign();
    let expired = claims("exp", &(NOW - 999).to_string());
    let foreign = TokenBuilder::new().sign_with(b"another-application-has-this-secret-0123");
    let incomplete = claims("jti", "7");
    for bad in [&expired, &foreign, &incomplete, "junk", &*(ada.clone() + "A")] {
        for cookies in
            [format!("token={bad}; a=1; token={ada}"), format!("token={ada}; a=1; token={bad}")]
        {
            for path in ["/page", "/optional"] {
                let decision = bench.decide(path, &[("cookie", &cookies)]);
                assert_eq!(verdict(&decision), "ada", "{path} {cookies}");
                let Decision::Forward(forward) = decision else { panic!() };
                let left = Edit::Set(
                    b"cookie"[..].into(),
                    match cookies.starts_with(&format!("token={bad}")) {
                        true => format!("a=1; token={ada}").into_bytes().into(),
                        false => format!("token={ada}; a=1").into_bytes().into(),
                    },
                );
                assert!(forward.edits.contains(&left), "{path} {cookies}: {:?}", forward.edits);
            }
        }
        // Only an exactly spelt cookie of the same name does.
        let header = bearer(&ada);
        for (header, cookie) in [
            (&*header, format!("token={bad}")),
            ("", format!("Token={ada}; token={bad}")),
            ("", format!("token={ada}; Token={bad}")),
            ("", format!("token={gone}; token={bad}")),
        ] {
            let decision = bench.decide("/page", &[("authorization", header), ("cookie", &cookie)]);
            assert!(matches!(decision, Decision::Refuse { .. }), "{header} {cookie}");
        }
    }
    for (cookies, code) in [
        (format!("token={ada}; token={gone}"), "revoked"),
        (format!("token={ada}; token={bob}"), "conflicting_tokens"),
        (format!("token={ada}; token={bob}; token=junk"), "conflicting_tokens"),
    ] {
        assert_eq!(verdict(&bench.decide("/page", &[("cookie", &cookies)])), code, "{cookies}");
    }
}

#[test]
fn credentials_to_remove_come_with_the_refusal_of_a_host_that_cannot() {
    let bench = AdmissionBench::new("refuse");
    let (good, gone) = (token("ada", "1"), token("ada", "2"));
    let junk = bearer("junk");
    bench.revoke(Record::token(RecordId::of_token("", None, "2"), NEVER));
    let cookies =
        |tokens: &[&str]| tokens.iter().map(|it| format!("token={it}")).collect::<Vec<_>>();
    let (own, revoked) = (cookies(&[&good]).concat(), cookies(&[&gone]).concat());
    let replaced = cookies(&["junk", &good]).join("; ");
    for (path, lines, expected) in [
        ("/public", vec![("authorization", junk.as_str())], None),
        ("/optional", vec![], None),
        ("/optional", vec![("cookie", own.as_str())], None),
        ("/optional", vec![("authorization", &junk)], Some((Refusal::MalformedToken, 0))),
        ("/optional", vec![("cookie", &revoked)], Some((Refusal::Revoked, 1))),
        ("/page", vec![("cookie", &replaced)], Some((Refusal::MalformedToken, 0))),
        ("/sign-out", vec![("cookie", &revoked)], None),
    ] {
        let Decision::Forward(forward) = bench.decide(path, &lines) else { panic!("{path}") };
        let refusal =
            forward.unless_removed.map(|it| (it.objection.refusal(), it.clear_cookies.len()));
        assert_eq!(refusal, expected, "{path} {lines:?}");
    }
}

#[test]
fn a_token_under_another_spelling_never_admits() {
    let bench = AdmissionBench::new("refuse");
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let (ada, gone) = (token("ada", "1"), token("ada", "gone"));
    for (name, line) in [
        ("cookie", "Token=JWT"),
        ("cookie", "t%6Fken=JWT"),
        ("cookie", "$Version=1,token=JWT"),
        ("cookie", "\u{a0}token=JWT"),
        ("cookie", "a=1 token=JWT"),
        ("cookie", "token =JWT"),
        ("authorization", "JWT"),
        ("authorization", "Basic JWT"),
        ("authorization", "x y JWT"),
        ("authorization", "Token token=\"JWT\""),
    ] {
        let of = |jwt: &str| (name, line.replace("JWT", jwt));
        let code = |(name, line): (&str, String), more: &[(&str, &str)], path: &str| {
            verdict(&bench.decide(path, &[&[(name, &*line)], more].concat()))
        };
        assert_eq!(code(of(&ada), &[], "/page"), "missing_token", "{line}");
        assert_eq!(code(of(&ada), &[], "/optional"), "nobody", "{line}");
        assert_eq!(code(of(&gone), &[], "/page"), "revoked", "{line}");
        assert_eq!(code(of(&gone), &[], "/optional"), "nobody", "{line}");
        let own = if name == "cookie" {
            ("authorization", bearer(&ada))
        } else {
            ("cookie", format!("token={ada}"))
        };
        let own = (own.0, own.1.as_str());
        assert_eq!(code(of(&ada), &[own], "/page"), "ada", "{line}");
        assert_eq!(code(of(&gone), &[own], "/page"), "revoked", "{line}");
    }
}

/// The configuration with a query parameter that only `/socket` reads.
fn with_socket_token() -> AdmissionBench {
    let cookie = "{\"cookie\": \"token\"}";
    let query = r#"{"query": "ticket", "pass_prefix": "sk-", "routes": [{"path": "/socket"}]}"#;
    let text = CONFIGURATION.replace("WHEN", "refuse").replace("FORWARD", "strip");
    let text = text.replace(cookie, &format!("{cookie}, {query}"));
    AdmissionBench::of(&text.replace(", \"api_keys\": \"refuse\"", ""))
}

#[test]
fn a_source_admits_on_its_routes_and_refuses_everywhere() {
    let bench = with_socket_token();
    bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
    let (ada, bob, gone) = (token("ada", "1"), token("bob", "2"), token("ada", "gone"));
    let own = bearer(&ada);
    let own = [("authorization", own.as_str())];
    for (path, ticket, alone, beside_own) in [
        ("/socket", &*ada, "ada", "ada"),
        ("/socket", &gone, "revoked", "revoked"),
        ("/socket", "reset-code", "malformed_token", "malformed_token"),
        ("/socket", "sk-0", "nobody", "nobody"),
        ("/page", &ada, "missing_token", "ada"),
        ("/page", &gone, "revoked", "revoked"),
        ("/page", &bob, "missing_token", "conflicting_tokens"),
        ("/page", "reset-code", "missing_token", "ada"),
        ("/page", "sk-0", "missing_token", "ada"),
        ("/optional", &ada, "nobody", "ada"),
        ("/optional", &gone, "nobody", "nobody"),
        ("/public", &gone, "nobody", "nobody"),
    ] {
        let target = format!("{path}?ticket={ticket}");
        assert_eq!(verdict(&bench.decide(&target, &[])), alone, "{target}");
        assert_eq!(verdict(&bench.decide(&target, &own)), beside_own, "{target}");
    }
}

#[test]
fn elsewhere_only_tokens_are_removed_from_a_source() {
    let bench = with_socket_token();
    let ada = token("ada", "1");
    for (path, ticket, left) in [
        ("/page", &*ada, Some("/page")),
        ("/page", "reset-code", None),
        ("/optional", &ada, Some("/optional")),
        ("/optional", "reset-code", None),
        ("/socket", &ada, Some("/socket")),
    ] {
        let own = bearer(&ada);
        let target = format!("{path}?ticket={ticket}");
        let decision = bench.decide(&target, &[("authorization", &own)]);
        let Decision::Forward(forward) = decision else { panic!("{target}") };
        let set = forward.edits.iter().find_map(|edit| match edit {
            Edit::Set(name, value) if **name == *b":path" => Some(String::from_utf8_lossy(value)),
            _ => None,
        });
        assert_eq!(set.as_deref(), left, "{target}");
    }
}

#[test]
fn a_sign_out_revokes_tokens_of_every_source() {
    let bench = with_socket_token();
    let (ada, bob) = (token("ada", "1"), token("bob", "2"));
    let own = bearer(&ada);
    let decision = bench.decide(&format!("/sign-out?ticket={bob}"), &[("authorization", &own)]);
    let Decision::Forward(forward) = decision else { panic!("forwarded") };
    assert_eq!(forward.sign_out.len(), 2);
}

#[test]
fn a_bad_cookie_is_cleared_outside_the_routes_of_its_source() {
    let limited = "{\"cookie\": \"token\", \"routes\": [{\"path\": \"/socket\"}]}";
    let text = CONFIGURATION.replace("WHEN", "refuse").replace("FORWARD", "keep");
    let bench = AdmissionBench::of(&text.replace("{\"cookie\": \"token\"}", limited));
    let expired = TokenBuilder::new().claim("exp", (NOW - 999).to_string()).sign();
    let good = token("ada", "1");
    let decide = |cookie: String| bench.decide("/page", &[("cookie", &cookie)]);
    let Decision::Refuse { objection, clear_cookies, .. } = decide(format!("token={expired}"))
    else {
        panic!("refused")
    };
    assert_eq!((objection.refusal(), clear_cookies.len()), (Refusal::Expired, 1));
    let both = decide(format!("token={expired}; token={good}"));
    assert_eq!(verdict(&both), "missing_token");
    let Decision::Refuse { clear_cookies, .. } = both else { panic!("refused") };
    assert_eq!(clear_cookies, [""; 0], "the other one is good on its own routes");
}

mod limits;
mod models;

#[test]
fn equal_ids_of_two_issuers_are_different_users_and_tokens() {
    let [a, b, none] = [token_of("a", "ada", "1"), token_of("b", "ada", "1"), token("ada", "1")];
    let (of_token, of_user) = (RecordId::of_token, RecordId::of_user);
    let cutoff = |issuer| Record::user(of_user("", issuer, "ada"), NOW, NEVER);
    let one = |issuer| Record::token(of_token("", issuer, "1"), NEVER);
    for (record, refused) in [
        (one(Some("a")), [true, false, false]),
        (cutoff(Some("a")), [true, false, false]),
        (one(None), [true, true, true]),
        (cutoff(None), [true, true, true]),
        (one(Some("")), [false, false, false]),
        (cutoff(Some("")), [false, false, false]),
    ] {
        let bench = AdmissionBench::new("refuse");
        bench.revoke(record);
        for (token, is_refused) in [&a, &b, &none].into_iter().zip(refused) {
            let verdict = verdict(&bench.decide("/page", &[("authorization", &bearer(token))]));
            assert_eq!(verdict, if is_refused { "revoked" } else { "ada" }, "{record:?}");
        }
    }
    for cookie in [&b, &none] {
        let lines = [("authorization", &*bearer(&a)), ("cookie", &*format!("token={cookie}"))];
        let verdict = verdict(&AdmissionBench::new("refuse").decide("/page", &lines));
        assert_eq!(verdict, "conflicting_tokens");
    }
}

#[test]
fn a_sign_out_revokes_the_token_of_its_issuer() {
    let bench = AdmissionBench::new("refuse");
    let [a, b] = ["a", "b"].map(|issuer| token_of(issuer, "ada", "1"));
    let Decision::Forward(forward) = bench.decide("/sign-out", &[("authorization", &bearer(&a))])
    else {
        panic!("refused")
    };
    let id = forward.sign_out[0].record_id();
    assert_eq!(id, RecordId::of_token("", Some("a"), "1"));
    bench.revoke(Record::token(id, NEVER));
    for (token, expected) in [(&a, "revoked"), (&b, "ada")] {
        let decision = bench.decide("/page", &[("authorization", &bearer(token))]);
        assert_eq!(verdict(&decision), expected);
    }
}
