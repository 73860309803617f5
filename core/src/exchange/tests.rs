//! Promise: each exchange ends according to its decision, whatever the service and the host
//! respond, and leaves nothing in the root. Method: whole exchanges of one configuration, with
//! shared data in memory.

use serde_json::json;

use super::*;
use crate::admission::Moment;
use crate::clock::Now;
use crate::feed::delivery;
use crate::feed::staleness::Knowledge;
use crate::keys::host::NoHost;
use crate::refusal::Refusal;
use crate::revocation::record::RecordId;
use crate::shared::InMemory;
use crate::token::builder::{NOW, SECRET, TokenBuilder};

const CONFIGURATION: &str = r#"{
    "keys": [{"algorithm": "HS256", "secret": {"env": "SECRET"}}],
    "routes": [
        {"path": "/public", "access": "public"},
        {"path": "/sign-out", "access": "signout"},
        {"path": "/leave", "methods": ["DELETE"], "access": "signout"},
        {"path": "/password", "access": "protected", "revoke_user": "token"},
        {"path": "/ready", "access": "ready"}
    ],
    "revocation": {
        "upstream": {"token": {"inline": "api-token"}},
        "signout": {"when_unreachable": "WHEN"}
    }
}"#;

/// One VM with the configuration, shared data in memory and a clock that tests move.
pub(crate) struct ExchangeBench {
    pub(crate) root: Root,
    shared: InMemory,
    now: Now,
    contexts: u32,
}

impl ExchangeBench {
    fn new() -> Self {
        Self::with("forward")
    }

    fn with(when_unreachable: &str) -> Self {
        Self::of(&CONFIGURATION.replace("WHEN", when_unreachable))
    }

    pub(crate) fn of(configuration: &str) -> Self {
        let (shared, now) = (InMemory::default(), at(0));
        let host = Host { shared: &shared, clock: &now, random: || 0 };
        let secret = |_: &str| Some(String::from_utf8(SECRET.to_vec()).unwrap());
        let text = configuration.as_bytes();
        let mut root = Root::configure(text, &secret, &NoHost, &|| [7; 16], host).unwrap();
        root.assume(Knowledge::Current);
        Self { root, shared, now, contexts: 0 }
    }

    pub(crate) fn with_root<T>(&mut self, act: impl FnOnce(&mut Root, Host<'_>) -> T) -> T {
        let host = Host { shared: &self.shared, clock: &self.now, random: || 0 };
        act(&mut self.root, host)
    }

    pub(crate) fn wait(&mut self, milliseconds: u64) {
        let passed = self.now.monotonic_milliseconds - at(0).monotonic_milliseconds + milliseconds;
        self.now = at(passed);
    }

    /// Handles a request with these header lines until it first waits.
    fn request(&mut self, path: &str, lines: &[(&str, &str)]) -> (Exchange, Next) {
        self.contexts += 1;
        let mut exchange = Exchange::new(self.contexts);
        let mut all = vec![(":method", "POST"), (":path", path), (":authority", "a.example")];
        all.extend(lines);
        let headers = Headers::from_pairs(&all);
        let next = self.with_root(|root, host| {
            match exchange.request_headers(root, Some(&headers), host) {
                Next::Change(forward) => exchange.changed(root, forward, true, host),
                next => next,
            }
        });
        (exchange, next)
    }

    fn with_token(&mut self, path: &str, token: &str) -> (Exchange, Next) {
        self.request(path, &[("authorization", &format!("Bearer {token}"))])
    }

    fn call_response(&mut self, exchange: &mut Exchange, answer: Option<&Response>) -> Next {
        self.with_root(|root, host| exchange.call_response(root, answer, host))
    }

    fn response(&mut self, exchange: &mut Exchange, lines: &[(&str, &str)]) -> Next {
        let headers = Headers::from_pairs(lines);
        self.with_root(|root, host| exchange.response_headers(root, Some(&headers), host))
    }

    /// Returns the outcome of a request to a page with this token.
    fn page(&mut self, token: &str) -> String {
        let (mut exchange, next) = self.with_token("/page", token);
        exchange.end(&mut self.root);
        outcome(&next)
    }

    pub(crate) fn count(&mut self, counter: Counter) -> u64 {
        let counts = self.root.take_counts();
        counts.iter().find(|(known, _)| *known == counter).map_or(0, |(_, sum)| *sum)
    }
}

fn at(milliseconds: u64) -> Now {
    let unix_seconds = NOW + milliseconds / 1_000;
    Now { unix_seconds, monotonic_milliseconds: 50_000 + milliseconds }
}

fn token(user: &str, jti: &str) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    let builder = TokenBuilder::new().claim("sub", quoted(user)).claim("jti", quoted(jti));
    builder.claim("iat", (NOW - 10).to_string()).sign()
}

fn outcome(next: &Next) -> String {
    match next {
        Next::Change(_) => "change".to_owned(),
        Next::Continue(half) => format!("continue {half:?}"),
        Next::Respond(response) => format!("{} {}", response.status, response.code_details),
        Next::Call(call) => format!("call {}", call.path),
        Next::Hold => "hold".to_owned(),
    }
}

fn answer(status: &str, body: &str) -> Response {
    let lines = [(":status", status), ("content-type", "application/json")];
    Response { headers: Headers::from_pairs(&lines), body: body.as_bytes().to_vec() }
}

fn accepted() -> Response {
    answer("201", r#"{"cursor": "5.a"}"#)
}

const CONTINUES: &str = "continue Request";
const REVOKED: &str = "401 session_guard_revoked";
const UNREADABLE: &str = "503 session_guard_unavailable:headers";
const UNREACHABLE: &str = "503 session_guard_unavailable:unreachable";
const REJECTED: &str = "503 session_guard_unavailable:rejected";
const CALLS: &str = "call /v1/revocations";

#[test]
fn a_request_continues_or_gets_its_refusal() {
    let mut bench = ExchangeBench::new();
    let good = format!("Bearer {}", token("ada", "1"));
    for (path, lines, expected) in [
        ("/public", [].as_slice(), CONTINUES),
        ("/page", &[], "401 session_guard_missing_token"),
        ("/page", &[("authorization", "Bearer x")], "401 session_guard_malformed_token:parts"),
        ("/page", &[("authorization", &good)], CONTINUES),
        ("/sign-out", &[], CONTINUES),
        ("/sign-out", &[("authorization", &good)], CALLS),
        ("/ready", &[], "200 session_guard_ready"),
    ] {
        let (mut exchange, next) = bench.request(path, lines);
        assert!(outcome(&next).starts_with(expected), "{path}: {next:?}");
        exchange.end(&mut bench.root);
    }
}

#[test]
fn a_call_belongs_to_the_trace_of_its_request() {
    let mut bench = ExchangeBench::new();
    let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    for path in ["/sign-out", "/password"] {
        for (lines, expected) in [
            (vec![parent, ("tracestate", "a=1")], vec![parent, ("tracestate", "a=1")]),
            (vec![("traceparent", "x"), ("tracestate", "a=1")], vec![]),
        ] {
            let bearer = format!("Bearer {}", token(lines[0].1, path));
            let lines = [vec![("authorization", &*bearer)], lines].concat();
            let (mut exchange, next) = bench.request(path, &lines);
            let next = match next {
                Next::Continue(Half::Request) => {
                    bench.response(&mut exchange, &[(":status", "200")])
                }
                next => next,
            };
            let Next::Call(call) = next else { panic!("{path}: {next:?}") };
            let mut sent = call.headers.iter().map(|(name, value)| (*name, &**value));
            let traced: Vec<_> = sent.by_ref().filter(|line| line.0.starts_with("trace")).collect();
            assert_eq!(traced, expected, "{path}");
        }
    }
}

#[test]
fn a_refusal_names_the_claim_in_details_and_log_only() {
    let mut bench = ExchangeBench::new();
    let undated = TokenBuilder::new().claim("sub", "\"ada\"").without("jti").sign();
    for _ in 0..3 {
        let (_, next) = bench.with_token("/page", &undated);
        let Next::Respond(response) = next else { panic!("{next:?}") };
        assert_eq!(response.code_details, "session_guard_bad_claims:jti");
        let sent = format!("{:?} {}", response.headers, response.body);
        assert!(sent.contains("bad_claims") && !sent.contains("jti"), "{sent}");
    }
    let log = bench.root.take_log();
    let lines: Vec<_> = log.iter().filter(|(_, line)| line.contains("a request got")).collect();
    let [(Severity::Warning, line)] = lines[..] else { panic!("once a minute: {lines:?}") };
    let expected = "a request got 401 (bad_claims:jti): the token has no claim `jti`";
    assert!(line.starts_with(expected), "{line}");
    assert!(!line.contains("ada"), "no value: {line}");
    bench.wait(60_000);
    bench.root.assume(Knowledge::Current);
    let _ = bench.with_token("/page", &undated);
    assert!(bench.root.take_log().iter().any(|(_, line)| line.starts_with(expected)));
}

#[test]
fn each_reason_for_503_is_named() {
    let bearer = format!("Bearer {}", token("ada", "1"));
    for (knowledge, expected) in [
        (Knowledge::Never, "503 session_guard_unavailable:feed_not_loaded"),
        (Knowledge::Stale, "503 session_guard_unavailable:feed_stale"),
    ] {
        let mut bench = ExchangeBench::new();
        let headers = Headers::from_pairs(&[
            (":method", "GET"),
            (":path", "/page"),
            (":authority", "a.example"),
            ("authorization", &bearer),
        ]);
        let next = bench.with_root(|root, host| {
            let moment = Moment { knowledge, ..root.moment(host) };
            let Decision::Refuse { objection, .. } = root.admission.decide(&headers, moment) else {
                panic!("{knowledge:?}")
            };
            Next::Respond(root.refuse(&objection, &[], host))
        });
        assert_eq!(outcome(&next), expected);
        let log = bench.root.take_log();
        assert!(log.iter().any(|(severity, _)| *severity == Severity::Error), "{log:?}");
    }
}

#[test]
fn daily_refusals_leave_no_log_line() {
    let mut bench = ExchangeBench::new();
    let token = token("ada", "1");
    let _ = bench.request("/page", &[]);
    let _ = bench.with_token("/page", &TokenBuilder::new().claim("exp", NOW - 3_600).sign());
    let _ = bench.with_token("/sign-out", &token);
    assert_eq!(bench.page(&token), REVOKED);
    let log = bench.root.take_log();
    assert!(!log.iter().any(|(_, line)| line.contains("a request got")), "{log:?}");
}

/// The same configuration with `enforce: false`, and with headers and options that change requests.
fn dry_run(when_unreachable: &str) -> ExchangeBench {
    let text = CONFIGURATION.replace("WHEN", when_unreachable);
    let settings = r#"{"enforce": false, "forward": {"token": "strip", "filter_state": true},"#;
    ExchangeBench::of(&text.replacen('{', settings, 1))
}

/// Returns the code with which a dry run would refuse a request, and the edits that it makes.
fn judged(bench: &mut ExchangeBench, path: &str, lines: &[(&str, &str)]) -> (String, Edits) {
    let mut all = vec![(":method", "POST"), (":path", path), (":authority", "a.example")];
    all.extend(lines);
    let headers = Headers::from_pairs(&all);
    bench.with_root(|root, host| {
        let moment = root.moment(host);
        match root.admission.decide(&headers, moment) {
            Decision::Forward(forward) => {
                assert_eq!(forward.published_user, None, "{path}");
                (forward.would_refuse.map_or("none".into(), |it| it.name()), forward.edits)
            }
            other => panic!("{path}: {other:?}"),
        }
    })
}

#[test]
fn a_dry_run_refuses_nothing_and_names_each_refusal() {
    let good = format!("Bearer {}", token("ada", "1"));
    let expired = TokenBuilder::new().claim("exp", NOW - 3_600).sign();
    let expired = format!("Bearer {expired}");
    for (path, lines, expected) in [
        ("/page", &[][..], "missing_token"),
        ("/page", &[("authorization", "Bearer x")], "malformed_token:parts"),
        ("/page", &[("authorization", &*expired)], "expired"),
        ("/page", &[("authorization", "Bearer a"), ("x-user-id", "eve")], "malformed_token:parts"),
        ("/page", &[("authorization", &*good), ("x-user-id", "eve")], "none"),
        ("/public", &[("x-user-id", "eve")], "none"),
        ("/sign-out", &[("authorization", &*good), ("x-user-id", "eve")], "none"),
    ] {
        let mut bench = dry_run("forward");
        let forged = lines.iter().filter(|(name, _)| *name == "x-user-id");
        let removed: Edits =
            forged.map(|(name, _)| crate::headers::Edit::Remove(name.as_bytes().into())).collect();
        assert_eq!(judged(&mut bench, path, lines), (expected.to_owned(), removed), "{path}");
        let (_, next) = bench.request(path, lines);
        assert!([CONTINUES, CALLS].contains(&&*outcome(&next)), "{path}: {next:?}");
    }
}

#[test]
fn a_dry_run_counts_each_request_once() {
    let mut bench = dry_run("forward");
    for lines in [&[][..], &[("authorization", "Bearer x")], &[("authorization", "Bearer y")]] {
        let _ = bench.request("/page", lines);
    }
    let _ = bench.with_token("/page", &token("ada", "1"));
    let expected = [
        (Counter::Allowed, 1),
        (Counter::WouldRefuse(Refusal::MissingToken), 1),
        (Counter::WouldRefuse(Refusal::MalformedToken), 2),
    ];
    assert_eq!(*bench.root.take_counts(), expected);
    let log = bench.root.take_log();
    let line = "a request would get, but for `enforce: false`, 401 (malformed_token:parts)";
    assert_eq!(log.iter().filter(|(_, it)| it.starts_with(line)).count(), 1, "{log:?}");
}

#[test]
fn a_dry_run_revokes_and_ends_no_request() {
    let mut bench = dry_run("forward");
    let token = token("ada", "1");
    let (_open, _) = bench.with_token("/page", &token);
    let (mut sign_out, next) = bench.with_token("/sign-out", &token);
    assert_eq!(outcome(&next), CALLS);
    assert_eq!(outcome(&bench.call_response(&mut sign_out, Some(&accepted()))), CONTINUES);
    let bearer = format!("Bearer {token}");
    let (code, _) = judged(&mut bench, "/page", &[("authorization", &bearer)]);
    assert_eq!(code, "revoked");
    bench.wait(3_000);
    assert_eq!(bench.with_root(Root::tick).end, []);
}

#[test]
fn a_dry_run_forwards_a_sign_out_that_is_not_recorded() {
    for response in [None, Some(answer("507", r#"{"code": "full", "detail": "", "accepted": 0}"#))]
    {
        let mut bench = dry_run("refuse");
        let (mut exchange, _) = bench.with_token("/sign-out", &token("ada", "1"));
        assert_eq!(outcome(&bench.call_response(&mut exchange, response.as_ref())), CONTINUES);
        assert_eq!(bench.count(Counter::WouldRefuse(Refusal::Unavailable)), 1);
    }
}

#[test]
fn a_dry_run_sets_the_cutoff_of_an_accepted_request_only() {
    let mut bench = dry_run("forward");
    let (mut refused, _) = bench.request("/password", &[]);
    assert_eq!(outcome(&bench.response(&mut refused, &[(":status", "200")])), "continue Response");
    let undated = TokenBuilder::new().without("iat").sign();
    let (mut exchange, _) = bench.with_token("/password", &undated);
    assert_eq!(outcome(&bench.response(&mut exchange, &[(":status", "200")])), "continue Response");
    let (mut exchange, _) = bench.with_token("/password", &token("ada", "1"));
    assert_eq!(outcome(&bench.response(&mut exchange, &[(":status", "200")])), CALLS);
}

#[test]
fn headers_that_cannot_be_read_or_changed_refuse_the_request() {
    let mut bench = ExchangeBench::new();
    let next = bench.with_root(|root, host| Exchange::new(1).request_headers(root, None, host));
    assert_eq!(outcome(&next), UNREADABLE);
    let bearer = format!("Bearer {}", token("ada", "1"));
    let headers = Headers::from_pairs(&[
        (":method", "POST"),
        (":path", "/sign-out"),
        (":authority", "a.example"),
        ("authorization", &bearer),
    ]);
    let next = bench.with_root(|root, host| {
        let mut exchange = Exchange::new(2);
        let Next::Change(forward) = exchange.request_headers(root, Some(&headers), host) else {
            panic!("a sign-out is forwarded");
        };
        exchange.changed(root, forward, false, host)
    });
    assert_eq!(outcome(&next), UNREADABLE);
    assert_eq!(bench.page(&token("ada", "1")), CONTINUES, "nothing was revoked");
}

#[test]
fn a_sign_out_continues_when_the_service_has_responded() {
    let mut bench = ExchangeBench::new();
    let token = token("ada", "1");
    let (mut exchange, next) = bench.with_token("/sign-out", &token);
    assert_eq!(outcome(&next), CALLS);
    assert_eq!(bench.page(&token), REVOKED, "before the service has responded");
    let next = bench.call_response(&mut exchange, Some(&accepted()));
    assert_eq!(outcome(&next), CONTINUES);
    assert_eq!(bench.count(Counter::SignedOut), 1);
}

#[test]
fn a_sign_out_without_a_response_follows_the_configuration() {
    for (when_unreachable, expected) in [("forward", CONTINUES), ("refuse", UNREACHABLE)] {
        let mut bench = ExchangeBench::with(when_unreachable);
        let token = token("ada", "1");
        let (mut exchange, _) = bench.with_token("/sign-out", &token);
        assert_eq!(outcome(&bench.call_response(&mut exchange, None)), expected);
        assert_eq!(bench.page(&token), REVOKED, "{when_unreachable}");
    }
}

#[test]
fn a_response_to_a_password_change_is_held_until_the_cutoff_is_past() {
    let mut bench = ExchangeBench::new();
    let other = token("ada", "2");
    let (mut exchange, next) = bench.with_token("/password", &token("ada", "1"));
    assert_eq!(outcome(&next), CONTINUES);
    assert!(exchange.reads_response_headers());
    let next = bench.response(&mut exchange, &[(":status", "200")]);
    assert_eq!(outcome(&next), CALLS);
    let next = bench.call_response(&mut exchange, Some(&accepted()));
    assert_eq!(outcome(&next), "hold");
    assert_eq!(bench.page(&other), REVOKED);
    bench.wait(900);
    assert!(bench.with_root(Root::tick).resume.is_empty());
    bench.wait(100);
    assert_eq!(bench.with_root(Root::tick).resume, [1]);
    assert!(bench.with_root(Root::tick).resume.is_empty(), "once");
}

/// A token of that session, issued so many seconds after [`NOW`].
fn token_of_session(jti: &str, sid: &str, seconds: i64) -> String {
    let quoted = |text: &str| format!("\"{text}\"");
    let builder = TokenBuilder::new().claim("jti", quoted(jti)).claim("sid", quoted(sid));
    builder.claim("iat", (NOW.strict_add_signed(seconds)).to_string()).sign()
}

#[test]
fn a_sign_out_ends_its_session_and_no_other() {
    let mut bench = ExchangeBench::new();
    let [own, other, elsewhere] =
        [("1", "a"), ("2", "a"), ("3", "b")].map(|(jti, sid)| token_of_session(jti, sid, -10));
    assert_eq!(bench.page(&other), CONTINUES);
    let (mut exchange, next) = bench.with_token("/sign-out", &own);
    assert_eq!(outcome(&next), CALLS);
    for (token, expected) in [(&own, REVOKED), (&other, REVOKED), (&elsewhere, CONTINUES)] {
        assert_eq!(bench.page(token), expected, "before the service has responded");
    }
    let next = bench.call_response(&mut exchange, Some(&accepted()));
    assert_eq!(outcome(&next), CONTINUES);
    assert_eq!(bench.count(Counter::SessionSignedOut), 1);
}

#[test]
fn a_sign_out_tells_the_service_whose_records_they_are() {
    let mut bench = ExchangeBench::new();
    let (mut exchange, next) = bench.with_token("/sign-out", &token_of_session("1", "a", -10));
    let Next::Call(call) = next else { panic!("no call") };
    let records: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
    let user = RecordId::of_user("", None, "user-1").to_string();
    let said = |at: usize| [&records[at]["kind"], &records[at]["user"], &records[at]["iat"]];
    assert_eq!(said(0), [&json!("token"), &json!(user), &json!(NOW - 10)]);
    assert_eq!(said(1), [&json!("user"), &json!(user), &json!(null)]);
    let _ = bench.call_response(&mut exchange, None);
    bench.wait(3_000);
    let outbox = *bench.root.revocation.as_ref().unwrap().feed.outbox();
    let due = outbox.due(&bench.shared, bench.now, 9);
    let body = |records: &[_]| delivery::call(records, 1).body;
    let other_order: Vec<_> = due.iter().rev().copied().collect();
    assert!([body(&due), body(&other_order)].contains(&call.body), "the leader says the same");
}

#[test]
fn a_sign_in_after_the_response_works_with_the_same_session() {
    let mut bench = ExchangeBench::new();
    let (mut exchange, _) = bench.with_token("/sign-out", &token_of_session("1", "a", 0));
    let _ = bench.call_response(&mut exchange, Some(&accepted()));
    assert!(exchange.reads_response_headers());
    assert_eq!(outcome(&bench.response(&mut exchange, &[(":status", "302")])), "hold");
    assert_eq!(bench.page(&token_of_session("2", "a", 0)), REVOKED, "the second of the cutoff");
    bench.wait(999);
    assert!(bench.with_root(Root::tick).resume.is_empty());
    bench.wait(1);
    assert_eq!(bench.with_root(Root::tick).resume, [1]);
    bench.root.assume(Knowledge::Current);
    assert_eq!(bench.page(&token_of_session("2", "a", 1)), CONTINUES);
    assert_eq!(bench.page(&token_of_session("1", "a", 0)), REVOKED);
}

#[test]
fn a_token_without_iat_ends_alone() {
    let mut bench = ExchangeBench::new();
    let without = |jti: &str| {
        let builder = TokenBuilder::new().claim("jti", format!("\"{jti}\"")).without("iat");
        builder.claim("sid", "\"a\"").sign()
    };
    let (exchange, next) = bench.with_token("/sign-out", &without("1"));
    assert_eq!(outcome(&next), CALLS);
    assert!(!exchange.reads_response_headers(), "nothing to wait for");
    assert_eq!(bench.page(&without("1")), REVOKED);
    for other in [without("2"), token_of_session("3", "a", -10)] {
        assert_eq!(bench.page(&other), CONTINUES);
    }
}

#[test]
fn an_expired_token_ends_its_session_once() {
    let mut bench = ExchangeBench::new();
    let sid = "\"a\"";
    let old = TokenBuilder::new().claim("jti", "\"1\"").claim("sid", sid);
    let old = old.claim("iat", NOW - 7_200).claim("exp", NOW - 3_600).sign();
    let live = token_of_session("2", "a", -10);
    let (mut exchange, next) = bench.with_token("/sign-out", &old);
    let Next::Call(call) = &next else { panic!("{next:?}") };
    let sent = String::from_utf8(call.body.clone()).unwrap();
    assert!(!sent.contains("\"token\"") && sent.contains("\"user\""), "{sent}");
    assert_eq!(bench.page(&live), REVOKED);
    let _ = bench.call_response(&mut exchange, Some(&accepted()));
    exchange.end(&mut bench.root);
    bench.wait(5_000);
    let later = token_of_session("3", "a", 4);
    let (mut exchange, next) = bench.with_token("/sign-out", &old);
    assert_eq!(outcome(&next), CONTINUES, "it was signed out before");
    exchange.end(&mut bench.root);
    assert_eq!(bench.page(&later), CONTINUES);
}

#[test]
fn a_retry_sends_the_cutoff_that_the_service_lacks() {
    let mut bench = ExchangeBench::new();
    let token = token_of_session("1", "a", -10);
    let (mut first, next) = bench.with_token("/sign-out", &token);
    let Next::Call(sent) = next else { panic!("no call") };
    let _ = bench.call_response(&mut first, Some(&answer("507", "{}")));
    bench.wait(3_000);
    let (_, next) = bench.with_token("/sign-out", &token);
    let Next::Call(again) = next else { panic!("no call") };
    assert_eq!(again.body, sent.body);
}

#[test]
fn a_response_other_than_2xx_sets_no_cutoff() {
    let mut bench = ExchangeBench::new();
    for status in ["302", "401", "500"] {
        let (mut exchange, _) = bench.with_token("/password", &token("ada", "1"));
        let next = bench.response(&mut exchange, &[(":status", status)]);
        assert_eq!(outcome(&next), "continue Response", "{status}");
        exchange.end(&mut bench.root);
    }
    assert_eq!(bench.page(&token("ada", "1")), CONTINUES);
}

#[test]
fn a_client_that_leaves_is_not_resumed_or_ended() {
    let mut bench = ExchangeBench::new();
    let (mut held, _) = bench.with_token("/password", &token("ada", "1"));
    let _ = bench.response(&mut held, &[(":status", "200")]);
    let _ = bench.call_response(&mut held, None);
    let (mut open, _) = bench.with_token("/page", &token("eve", "2"));
    held.end(&mut bench.root);
    open.end(&mut bench.root);
    let (_sign_out, _) = bench.with_token("/sign-out", &token("eve", "2"));
    bench.wait(3_000);
    let effects = bench.with_root(Root::tick);
    assert_eq!((effects.resume, effects.end), (vec![], vec![]));
}

#[test]
fn a_sign_out_ends_the_open_requests_of_its_token_only() {
    let mut bench = ExchangeBench::new();
    let (ada, eve) = (token("ada", "1"), token("eve", "2"));
    let open: Vec<_> =
        [&ada, &eve, &ada].map(|token| bench.with_token("/page", token).0).into_iter().collect();
    let (sign_out, _) = bench.with_token("/sign-out", &ada);
    let ending = |exchange: &Exchange| exchange.context;
    let ended: Vec<_> =
        bench.with_root(Root::tick).end.into_iter().map(|ending| ending.context).collect();
    assert_eq!(ended, [ending(&open[0]), ending(&open[2])]);
    assert!(!ended.contains(&ending(&sign_out)), "the application responds to it");
    assert_eq!(bench.with_root(Root::tick).end, [], "each ends once");
}

#[test]
fn the_response_that_sets_a_cutoff_is_not_ended() {
    let mut bench = ExchangeBench::new();
    let (open, _) = bench.with_token("/page", &token("ada", "2"));
    let (mut password, _) = bench.with_token("/password", &token("ada", "1"));
    let _ = bench.response(&mut password, &[(":status", "200")]);
    let ended: Vec<_> =
        bench.with_root(Root::tick).end.into_iter().map(|ending| ending.context).collect();
    assert_eq!(ended, [open.context]);
}

#[test]
fn the_tick_is_frequent_while_a_request_is_open_or_held() {
    let mut bench = ExchangeBench::new();
    for _ in 0..10 {
        let _ = bench.with_root(Root::tick); // until the poll is under way
        bench.wait(1_000);
    }
    let idle = bench.root.take_tick_period();
    bench.root.assume(Knowledge::Current); // the poll has no response
    let (mut open, _) = bench.with_token("/page", &token("ada", "1"));
    assert_eq!(bench.root.take_tick_period(), Some(OPEN_REQUESTS_TICK_MILLISECONDS));
    let (mut held, _) = bench.with_token("/password", &token("eve", "2"));
    let _ = bench.response(&mut held, &[(":status", "200")]);
    assert_eq!(outcome(&bench.call_response(&mut held, None)), "hold");
    assert_eq!(bench.root.take_tick_period(), Some(HOLD_TICK_MILLISECONDS));
    open.end(&mut bench.root);
    held.end(&mut bench.root);
    let _ = bench.with_root(Root::tick);
    assert_eq!(bench.root.take_tick_period(), idle);
}

#[test]
fn a_rejected_sign_out_gets_503_and_can_be_repeated() {
    let mut bench = ExchangeBench::new();
    let token = token("ada", "1");
    for round in 0..3 {
        let (mut exchange, next) = bench.with_token("/sign-out", &token);
        assert_eq!(outcome(&next), CALLS, "{round}");
        let full = answer("507", r#"{"code": "full", "detail": "", "accepted": 0}"#);
        assert_eq!(outcome(&bench.call_response(&mut exchange, Some(&full))), REJECTED);
        assert_eq!(bench.count(Counter::SignOutRejected), 1);
    }
    let log = bench.root.take_log();
    let lines = log.iter().filter(|(_, line)| line.contains("is full (507)"));
    assert_eq!(lines.count(), 1, "at most once a minute");
}

#[test]
fn a_rejected_cutoff_replaces_the_applications_response() {
    let mut bench = ExchangeBench::new();
    let (mut exchange, _) = bench.with_token("/password", &token("ada", "1"));
    let _ = bench.response(&mut exchange, &[(":status", "200")]);
    let unauthorized = answer("401", r#"{"code": "unauthorized", "detail": ""}"#);
    assert_eq!(outcome(&bench.call_response(&mut exchange, Some(&unauthorized))), REJECTED);
}

#[test]
fn a_sign_out_without_effect_is_counted_and_logged_by_reason() {
    let good = format!("Bearer {}", token("ada", "1"));
    let forged = format!("Bearer {}x", token("ada", "1"));
    let expired = TokenBuilder::new().claim("exp", (NOW - 3_600).to_string()).sign();
    let expired = format!("Bearer {expired}");
    for (path, lines, reason) in [
        ("/sign-out", &[][..], WithoutEffect::NoToken),
        ("/sign-out", &[("authorization", forged.as_str())], WithoutEffect::NotGenuine),
        ("/sign-out", &[("authorization", "Bearer x")], WithoutEffect::NotGenuine),
        ("/sign-out", &[("authorization", expired.as_str())], WithoutEffect::Expired),
        ("/leave", &[("authorization", good.as_str())], WithoutEffect::OtherMethod),
    ] {
        let mut bench = ExchangeBench::new();
        let (_, next) = bench.request(path, lines);
        assert_eq!(outcome(&next), CONTINUES, "{reason:?}");
        assert_eq!(bench.count(Counter::SignOutWithoutEffect(reason)), 1, "{reason:?}");
        let log = bench.root.take_log();
        assert!(log.iter().any(|(_, line)| line == reason.line()), "{reason:?}");
    }
    let mut bench = ExchangeBench::new();
    let (_, next) = bench.request("/sign-out", &[("authorization", &good)]);
    assert_eq!(outcome(&next), CALLS);
    let counted =
        |(counter, _): &(Counter, u64)| matches!(counter, Counter::SignOutWithoutEffect(_));
    assert!(!bench.root.take_counts().iter().any(counted));
}

#[test]
fn a_token_without_iat_sets_no_cutoff_for_its_user() {
    let mut bench = ExchangeBench::new();
    let undated = |jti: &str| {
        let builder = TokenBuilder::new().claim("sub", "\"ada\"".to_owned());
        builder.without("iat").claim("jti", format!("\"{jti}\"")).sign()
    };
    let (mut exchange, _) = bench.with_token("/password", &undated("1"));
    let next = bench.response(&mut exchange, &[(":status", "200")]);
    assert_eq!(outcome(&next), "continue Response");
    assert_eq!(bench.count(Counter::SignOutWithoutEffect(WithoutEffect::NoIat)), 1);
    assert_eq!(bench.page(&undated("2")), CONTINUES, "a later sign-in works");
}
