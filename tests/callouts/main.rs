//! Promise: a feed response is accepted only if it is complete and intact. Any other response changes
//! neither the set nor the cursor, is counted by its reason, and never makes a VM panic.
//! Method: one response of the real service (a page with one revocation), cut by FIN and by RST
//! before every byte, with a length and in chunks; with one bit flipped in every byte; and replaced by
//! other responses. Sixty-four feeds of one Envoy share the cases, a good response follows every
//! case, and the cursor of the next poll shows whether the case was accepted.

mod answers;
mod service;

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use serde_json::json;
use testbed::{Application, Configuration, Connection, Envoy, Request, Token, eventually};

use answers::{BadResponse, Real};
use service::FaultyService;

#[test]
fn damaged_responses_are_rejected_and_good_ones_accepted() {
    let real = Real::record();
    let mut cases = real.cut_everywhere();
    cases.extend(real.flipped_everywhere());
    cases.extend(real.replaced());
    let proving = Proving::start(&real, cases);
    proving.run();
    let (sent, counted) = (proving.service.sent(), proving.service.counted());
    let total = || proving.rejected().iter().map(|(_, count)| *count).sum::<u64>();
    // More are counted if good responses came too late on a busy machine.
    eventually(SOON, || total() >= (sent - counted) as u64);
    println!("{sent} cases, {counted} of them harmless; rejected: {:?}", proving.rejected());
}

#[test]
fn each_damage_is_counted_under_its_reason() {
    let real = Real::record();
    for (case, reason) in real.with_reasons() {
        let name = case.name.clone();
        let proving = Proving::start(&real, vec![case]);
        proving.run();
        assert_eq!(proving.rejected(), [(reason.to_owned(), 1)], "{name}");
    }
}

/// One Envoy whose feeds receive the cases in turn.
struct Proving<'a> {
    real: &'a Real,
    envoy: Envoy,
    service: FaultyService,
    _application: Application,
}

impl<'a> Proving<'a> {
    fn start(real: &'a Real, cases: Vec<BadResponse>) -> Self {
        let feeds = cases.len().min(FEEDS);
        let mut shares = vec![VecDeque::new(); feeds];
        for (number, case) in cases.into_iter().enumerate() {
            shares[number % feeds].push_back(case);
        }
        let service = FaultyService::start(real, shares);
        let application = Application::start();
        let setup = Envoy::setup().application(application.address()).service(service.address());
        let envoy =
            setup.workers(1).edit(|configuration| one_listener_a_feed(configuration, feeds));
        Self { real, envoy: envoy.start(), service, _application: application }
    }

    /// Runs until every feed has received all its cases and then the real response. The first
    /// revocation is enforced throughout, the second one at the end.
    fn run(&self) {
        let more = (1..self.service.feeds()).map(|feed| self.envoy.address_of(&name(feed)));
        let addresses = iter::once(self.envoy.address()).chain(more);
        let mut connections: Vec<_> = addresses.map(Connection::to).collect();
        let live = Token::of("ada");
        eventually(LONG, || self.service.all_loaded());
        eventually(LONG, || {
            for connection in &mut connections {
                assert_eq!(connection.send(&page(&self.real.first)).code(), "revoked");
                assert_eq!(connection.send(&page(&live)).status, 200);
            }
            self.service.all_done()
        });
        for connection in &mut connections {
            assert_eq!(connection.send(&page(&self.real.second)).code(), "revoked");
        }
        assert_eq!(self.service.violations(), [""; 0]);
        assert!(self.envoy.stats("vm_reload").iter().all(|(_, count)| *count == 0));
        assert!(!self.envoy.log().contains("panicked"));
    }

    /// Returns how often each reason was counted.
    fn rejected(&self) -> Vec<(String, u64)> {
        let prefix = "wasmcustom.session_guard.refresh_rejected.";
        let mut stats = self.envoy.stats(prefix);
        stats.retain(|(_, count)| *count > 0);
        stats.into_iter().map(|(stat, count)| (stat.replace(prefix, ""), count)).collect()
    }
}

/// Configures one listener per feed, distinguished by the authority. They use `use_last`, so that
/// a poll may time out quickly.
fn one_listener_a_feed(configuration: &mut Configuration, feeds: usize) {
    let revocation = &mut configuration.filter["revocation"];
    revocation["max_staleness_seconds"] = json!(3);
    revocation["when_unknown"] = json!("use_last");
    revocation["upstream"]["authority"] = json!(name(0));
    for feed in 1..feeds {
        let mut filter = configuration.filter.clone();
        filter["revocation"]["upstream"]["authority"] = json!(name(feed));
        configuration.more_listeners.push((name(feed), filter));
    }
}

fn name(feed: usize) -> String {
    format!("feed-{feed}")
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

const FEEDS: usize = 64;
const SOON: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(180);
