//! Promise: the periodic work of a VM produces the calls, gauges and waits of its configuration.
//! Method: configurations with and without each part, with shared data in memory.

use super::*;
use crate::exchange::tests::ExchangeBench;
use crate::keys::host::NoHost;
use crate::shared::InMemory;
use crate::sign_out::Hold;

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
