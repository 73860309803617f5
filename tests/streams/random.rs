//! Promise: no random event during the end of streams crashes Envoy or a VM.
//!
//! Each round opens many streams of all kinds and sends a sign-out. At the same time clients
//! disconnect, the application closes its connections, another token is revoked, or the
//! configuration changes. `STREAMS_ENDINGS` is the number of streams that end, `STREAMS_SEED` the
//! seed that repeats a run.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Envoy, Fault, FaultProxy, Request, Testbed, Token, unix_seconds};

use crate::client::{
    OpenClient, StreamKind, alone, assert_no_vm_died, await_ended, keep_open, make_room,
};
use crate::dice::{Dice, number};

#[test]
fn random_endings_of_random_streams_crash_nothing() {
    let _alone = alone();
    let wanted = usize::try_from(number("STREAMS_ENDINGS", 3_000)).expect("a count");
    let (mut stage, mut dice, start) = (RandomBed::start(), Dice::new(), Instant::now());
    let (mut endings, mut rounds) = (0, 0);
    while endings < wanted {
        endings += stage.round(&mut dice);
        rounds += 1;
        if rounds % 50 == 0 {
            println!("{endings} endings in {rounds} rounds, {:?}", start.elapsed());
        }
    }
    println!("{endings} endings in {rounds} rounds, {:?}", start.elapsed());
}

/// What happens at the same time as a sign-out.
#[derive(Clone, Copy, Debug)]
enum SignOutEvent {
    Nothing,
    ClientsLeave,
    /// Clients close their sending direction.
    ClientsFinish,
    ApplicationGoes,
    /// The service revokes another token.
    ServiceRevokes,
    UserIsCutOff,
    ConfigurationChanges,
}

struct RandomBed {
    bed: Testbed,
    /// The Envoy under test. `way` is its network to the application, in which a test can inject
    /// faults.
    envoy: Envoy,
    way: FaultProxy,
    going_on: Vec<(Token, OpenClient)>,
    changes: u64,
}

impl RandomBed {
    fn start() -> Self {
        let bed = Testbed::start();
        keep_open(&bed.application);
        let way = FaultProxy::to(bed.application.address());
        let setup = Envoy::setup().application(way.address()).service(bed.service.address());
        let drain = setup.argument("--drain-time-s").argument("2").reloadable();
        let envoy = drain.edit(make_room).start();
        envoy.await_guarding();
        Self { bed, envoy, way, going_on: Vec::new(), changes: 0 }
    }

    /// Opens streams, signs a user out during a random event, and waits until the streams that must
    /// end have ended. Returns how many streams have ended.
    fn round(&mut self, dice: &mut Dice) -> usize {
        let users = (0..4).map(|_| format!("user-{}", dice.below(usize::MAX)));
        let tokens: Vec<_> = users.map(|user| Token::of(&user)).collect();
        self.going_on.extend(crowd(&self.envoy, dice, &tokens));
        let before = self.going_on.len();
        let (event, mut revoked) = (*dice.one_of(&EVENTS), vec![dice.one_of(&tokens).clone()]);
        let pause = Duration::from_millis(dice.below(300) as u64); // until streams begin to end
        let sign_out = Request::post("/sign-out").bearer(&revoked[0]);
        let mut connection = self.envoy.connect();
        let answer = thread::spawn(move || connection.send(&sign_out).status);
        thread::sleep(pause);
        self.happen(event, dice, &tokens, &mut revoked);
        let status = answer.join().expect("an answer");
        let is_cut_too = matches!(event, SignOutEvent::ApplicationGoes) && status == 503; // still revoked
        assert!(status == 200 || is_cut_too, "{event:?}: {status}");

        let must_end = |token: &Token| event.ends_all() || revoked.contains(token);
        let all = self.going_on.drain(..);
        let (mut ended, kept): (Vec<_>, Vec<_>) = all.partition(|(token, _)| must_end(token));
        self.going_on = kept;
        await_ended(ended.iter_mut().map(|(_, client)| client), LONG);
        if !event.ends_all() {
            ended.iter_mut().for_each(|(_, client)| client.assert_revoked());
        }
        for (_, client) in &mut self.going_on {
            assert!(!client.has_ended(), "{event:?}: {client:?} has ended");
        }
        if self.going_on.len() > MOST_KEPT {
            self.going_on.retain(|_| dice.below(4) == 0);
        }
        assert_no_vm_died(&self.envoy);
        before - self.going_on.len()
    }

    fn happen(
        &mut self,
        event: SignOutEvent,
        dice: &mut Dice,
        tokens: &[Token],
        revoked: &mut Vec<Token>,
    ) {
        match event {
            SignOutEvent::Nothing => {}
            SignOutEvent::ClientsLeave => self.going_on.retain(|_| dice.below(3) > 0),
            SignOutEvent::ClientsFinish => {
                let mut finished = Vec::new();
                for entry in std::mem::take(&mut self.going_on) {
                    let list = if dice.below(3) > 0 { &mut self.going_on } else { &mut finished };
                    list.push(entry);
                }
                finished.iter().for_each(|(_, client)| client.finish()); // this ends some of them
            }
            SignOutEvent::ApplicationGoes => self.way.set(Fault::None), // closes all connections
            SignOutEvent::ServiceRevokes => {
                let token = dice.one_of(tokens).clone();
                self.bed.service.revoke(&json!({"jti": token.jti()}));
                revoked.push(token);
            }
            SignOutEvent::UserIsCutOff => {
                let token = dice.one_of(tokens).clone();
                let cutoff = json!({"user_id": token.user(), "issued_before": unix_seconds() + 1});
                self.bed.service.revoke(&cutoff);
                revoked.push(token);
            }
            SignOutEvent::ConfigurationChanges => {
                self.changes += 1;
                let skew = 30 + self.changes % 30;
                assert!(self.envoy.reload(|configuration| {
                    configuration.filter["claims"]["clock_skew_seconds"] = json!(skew);
                }));
            }
        }
    }
}

impl SignOutEvent {
    /// Returns whether this event ends all open requests.
    fn ends_all(self) -> bool {
        matches!(self, Self::ApplicationGoes | Self::ConfigurationChanges)
    }
}

/// Opens some 300 streams with these tokens on four connections, and some on one connection each.
fn crowd(envoy: &Envoy, dice: &mut Dice, tokens: &[Token]) -> Vec<(Token, OpenClient)> {
    let (http2, http1): (Vec<_>, Vec<_>) =
        StreamKind::ALL.into_iter().partition(|kind| kind.is_http2());
    let mut clients = Vec::new();
    for _ in 0..4 {
        let connection = Arc::new(envoy.connect_http2());
        for _ in 0..10 + dice.below(120) {
            let token = dice.one_of(tokens);
            let client = OpenClient::open_among(&connection, *dice.one_of(&http2), token);
            clients.push((token.clone(), client.keeping(&connection)));
        }
    }
    for _ in 0..dice.below(40) {
        let token = dice.one_of(tokens);
        clients.push((token.clone(), OpenClient::open_soon(envoy, *dice.one_of(&http1), token)));
    }
    clients.into_iter().map(|(token, client)| (token, client.begun())).collect()
}

/// The events, with their frequencies. A change of the configuration is rare, because it takes as
/// long as the draining of connections.
const EVENTS: [SignOutEvent; 19] = {
    let mut events = [SignOutEvent::Nothing; 19];
    let often = [
        SignOutEvent::ClientsLeave,
        SignOutEvent::ClientsFinish,
        SignOutEvent::ApplicationGoes,
        SignOutEvent::ServiceRevokes,
        SignOutEvent::UserIsCutOff,
    ];
    let mut at = 0;
    while at < 15 {
        events[at] = often[at % often.len()];
        at += 1;
    }
    events[15] = SignOutEvent::ConfigurationChanges;
    events
};

const MOST_KEPT: usize = 1_500;
const LONG: Duration = Duration::from_secs(60);
