//! Promise: the periodic work of a VM produces the calls, gauges and waits of its configuration.
//! Method: configurations with and without each part, with shared data in memory.

use super::*;
use crate::exchange::tests::ExchangeBench;
use crate::keys::host::NoHost;
use crate::shared::InMemory;
use crate::sign_out::Hold;
use crate::token::builder::{NOW, SECRET, TokenBuilder};

const KEY: &str = r#""keys": [{"algorithm": "HS256", "secret": {"env": "SECRET"}}]"#;

#[test]
fn a_configuration_that_does_not_load_is_an_error() {
    let (shared, now) =
        (InMemory::default(), crate::clock::Now { unix_seconds: 0, monotonic_milliseconds: 0 });
    let host = Host { shared: &shared, clock: &now, random: || 0 };
    for text in ["", "{}", r#"{"keys": []}"#] {
        let root = Root::configure(text.as_bytes(), &|_| None, &NoHost, &|| [0; 16], host);
        assert!(root.is_err(), "{text}");
    }
}

#[test]
fn a_discovered_secret_is_loaded_and_replaced() {
    let (shared, now) =
        (InMemory::default(), crate::clock::Now { unix_seconds: NOW, monotonic_milliseconds: 0 });
    let host = Host { shared: &shared, clock: &now, random: || 0 };
    let text = br#"{"keys": [{"algorithm": "HS256", "secret": {"sds": {"name": "session"}}}]}"#;
    let refused = Root::configure(text, &|_| None, &NoHost, &|| [0; 16], host).err();
    assert_eq!(refused.map(|error| error.path).as_deref(), Some("keys[0].secret.sds"));

    let config = Config::parse(text, &|_| None).unwrap();
    let mut root = Root::of(config, &NoHost, &|| [0; 16], host);
    let token = TokenBuilder::new().sign();
    let (unavailable, bad) = (Some(Refusal::Unavailable), Some(Refusal::BadSignature));
    let (info, error) = (vec![Severity::Info], vec![Severity::Error]);
    for (value, logged, refusal) in [
        (None, vec![], unavailable),
        (Some(&b"too short"[..]), error.clone(), unavailable),
        (Some(&b"too short"[..]), vec![], unavailable),
        (Some(SECRET), info.clone(), None),
        (Some(SECRET), vec![], None),
        (Some(b"too short"), error.clone(), None),
        (Some(b""), vec![], None),
        (Some(b"\xff\xfe of more than thirty-two bytes"), error, None),
        (Some(b"another secret of thirty-two bytes"), info.clone(), bad),
        (Some(SECRET), info, None),
    ] {
        let log = root.read_secrets(|_| value.map(<[u8]>::to_vec));
        assert_eq!(log.iter().map(|(severity, _)| *severity).collect::<Vec<_>>(), logged);
        let objection = root.examine(token.as_bytes(), host).map(|it| it.refusal());
        assert_eq!(objection, refusal, "{value:?}: {log:?}");
        assert_eq!(root.lacks_secrets(), refusal == unavailable);
        assert!(log.iter().all(|(_, line)| !line.contains("short") || line.contains("bytes")));
    }
}

#[test]
fn a_new_configuration_says_so_and_ticks_soon() {
    let mut bench = ExchangeBench::of(&format!("{{{KEY}}}"));
    let log = bench.root.take_log();
    assert!(
        log.iter().any(|(severity, line)| *severity == Severity::Info && line.contains(VERSION))
    );
    assert_eq!(bench.root.take_log(), []);
    assert_eq!(bench.root.take_tick_period(), Some(FIRST_TICK_MILLISECONDS));
}

#[test]
fn without_revocation_the_tick_makes_no_call() {
    let mut bench = ExchangeBench::of(&format!("{{{KEY}}}"));
    let effects = bench.with_root(Root::tick);
    assert!(effects.calls.is_empty() && effects.gauges.is_empty());
    assert_eq!(bench.root.take_tick_period(), Some(TICK_MILLISECONDS));
    assert_eq!(bench.root.service(), None);
}

#[test]
fn a_poll_goes_to_the_service_and_a_failed_one_waits() {
    let token = r#"{"upstream": {"cluster": "there", "token": {"inline": "api-token"}}}"#;
    let mut bench = ExchangeBench::of(&format!("{{{KEY}, \"revocation\": {token}}}"));
    let question = first_call(&mut bench);
    assert_eq!(question, Question::Poll);
    let destination = bench.root.destination(question).unwrap();
    assert_eq!(destination.cluster, "there");
    assert_eq!(destination.authorization.as_deref(), Some("Bearer api-token"));
    let effects = bench.with_root(|root, host| root.call_response(question, None, host));
    assert!(effects.calls.is_empty(), "{effects:?}");
    let rejected = Counter::RefreshRejected(crate::feed::poll::PollRejection::NoResponse);
    assert_eq!(bench.count(rejected), 1);
}

#[test]
fn a_key_set_is_fetched_without_the_api_token() {
    let jwks = r#"{"cluster": "idp", "authority": "id.example", "path": "/jwks.json"}"#;
    let keys = format!(r#""keys": [{{"jwks": {jwks}}}], "claims": {{"audiences": ["a"]}}"#);
    let mut bench = ExchangeBench::of(&format!("{{{keys}}}"));
    let question = first_call(&mut bench);
    assert_eq!(question, Question::Keys(0));
    let destination = bench.root.destination(question).unwrap();
    assert_eq!(destination.cluster, "idp");
    assert_eq!(destination.authorization, None);
    assert_eq!(bench.root.destination(Question::Keys(1)), None);
}

#[test]
fn held_responses_resume_a_bounded_number_at_a_time() {
    let token = r#"{"upstream": {"token": {"inline": "api-token"}}}"#;
    let mut bench = ExchangeBench::of(&format!("{{{KEY}, \"revocation\": {token}}}"));
    let cutoff = crate::revocation::record::Record::user(
        crate::revocation::record::RecordId::FIRST,
        0,
        crate::revocation::record::NEVER,
    );
    bench.with_root(|root, host| {
        let revocation = root.revocation.as_mut().unwrap();
        (0..150).for_each(|context| revocation.hold(context, Hold::new(&cutoff, host.clock.now())));
    });
    let resumed = [(); 4].map(|()| bench.with_root(Root::tick).resume.len());
    assert_eq!(resumed, [64, 64, 22, 0]);
}

/// Ticks until the VM holds a lease and makes its first call.
fn first_call(bench: &mut ExchangeBench) -> Question {
    for _ in 0..100 {
        let effects = bench.with_root(Root::tick);
        if let Some((question, _)) = effects.calls.first() {
            return *question;
        }
        bench.wait(1_000);
    }
    panic!("no call");
}
