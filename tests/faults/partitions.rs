//! A partitioned proxy keeps its set, refuses everything once the set is stale, and is
//! up to date again after the partition; other proxies are not affected. The service runs in its own
//! network namespace with one virtual link to each proxy, on which the test drops packets.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{
    Application, Connection, Envoy, Load, Request, SignoutService, Token, UnavailablePolicy,
};
use testbed::{eventually, unix_seconds};

use crate::load::rounds;

#[test]
#[ignore = "needs root: `make faults` runs it"]
fn a_partitioned_proxy_refuses_and_the_other_continues() {
    let world = PartitionBed::start();
    let load = world.load();
    for (cut_off, direction) in [(0, "in"), (1, "out"), (0, "out"), (1, "in")] {
        let other = 1 - cut_off;
        let [mut apart, mut well] = [cut_off, other].map(|at: usize| world.envoys[at].connect());
        let (before, live) = (world.revoked(), Token::of("ada"));
        world.all_refuse(&before);
        load.enforced(std::slice::from_ref(&before));
        world.cable.cut(cut_off, direction);
        let during = world.revoked();
        let left = Instant::now();
        eventually(SOON, || well.send(&page(&during)).code() == "revoked");
        let elsewhere = left.elapsed();
        eventually(SOON, || {
            assert_eq!(apart.send(&page(&before)).code(), "revoked");
            apart.send(&page(&live)).status == 503
        });
        assert_eq!(well.send(&page(&live)).status, 200);
        world.cable.heal();
        let healed = Instant::now();
        eventually(SOON, || apart.send(&page(&live)).status == 200);
        assert_eq!(apart.send(&page(&during)).code(), "revoked", "before it is current again");
        println!(
            "figure: cut {direction}: the other refuses after {} ms, current {:.1} s after healing",
            elsewhere.as_millis(),
            healed.elapsed().as_secs_f32()
        );
    }
    println!("figure: {}", load.end());
}

#[test]
#[ignore = "needs root: `make faults` runs it"]
fn a_flapping_link_loses_nothing() {
    let world = PartitionBed::start();
    let load = world.load();
    let mut tokens = Vec::new();
    for round in 0..rounds(6, 30) {
        world.cable.cut(round % 2, ["in", "out"][round / 2 % 2]);
        tokens.push(world.revoked());
        let signed_out = Token::of("ada");
        let answer = world.envoys[round % 2].send(&Request::post("/sign-out").bearer(&signed_out));
        if answer.status == 200 {
            tokens.push(signed_out);
        }
        world.cable.heal();
        tokens.push(world.revoked());
    }
    for token in &tokens {
        world.all_refuse(token);
    }
    load.enforced(&tokens);
    load.end();
    println!("figure: {} revocations, all enforced by both", tokens.len());
}

/// Two proxies and the test, each with a link to one service.
struct PartitionBed {
    envoys: Vec<Envoy>,
    service: SignoutService,
    cable: Cables,
    application: Application,
}

impl PartitionBed {
    fn start() -> Self {
        let cable = Cables::lay();
        let address = |at| SocketAddr::from((cable.address(at), 8090));
        let service = SignoutService::setup().inside(&cable.name, address(2)).start();
        let application = Application::start();
        let envoys: Vec<_> = (0..2)
            .map(|at| {
                let setup = Envoy::setup().application(application.address());
                let setup = setup.service(address(at)).edit(|configuration| {
                    configuration.filter["revocation"]["max_staleness_seconds"] = json!(6);
                });
                setup.start()
            })
            .collect();
        envoys.iter().for_each(Envoy::await_guarding);
        Self { envoys, service, cable, application }
    }

    /// Returns a token whose revocation the service has acknowledged.
    fn revoked(&self) -> Token {
        let token = Token::of("ada");
        self.service.revoke(&json!({"jti": token.jti(), "exp": unix_seconds() + 3_600}));
        token
    }

    /// Starts clients of both; a partitioned proxy refuses everything after a while.
    fn load(&self) -> Load {
        let addresses = self.envoys.iter().map(Envoy::address);
        Load::start(&self.application, addresses, UnavailablePolicy::OrUnavailable, &[])
    }

    fn all_refuse(&self, token: &Token) {
        for envoy in &self.envoys {
            let mut connection: Connection = envoy.connect();
            eventually(SOON, || connection.send(&page(token)).code() == "revoked");
        }
    }
}

/// A network namespace with three links to this one.
struct Cables {
    name: String,
    net: u8,
}

impl Cables {
    fn lay() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = (std::process::id() + NEXT.fetch_add(97, Ordering::Relaxed)) % 200;
        let net = u8::try_from(number).unwrap_or_default() + 20;
        let cables = Self { name: format!("sg{net}"), net };
        let name = &cables.name;
        let made = ip(&format!("netns add {name}"));
        assert!(made, "a network namespace needs root and Debian's iproute2: run this as root");
        assert!(ip(&format!("-n {name} link set lo up")));
        for at in 0..3 {
            let (here, there) = (format!("{name}h{at}"), format!("{name}n{at}"));
            assert!(ip(&format!("link add {here} type veth peer name {there} netns {name}")));
            assert!(ip(&format!("addr add 10.{net}.{at}.1/24 dev {here}")));
            assert!(ip(&format!("link set {here} up")));
            assert!(ip(&format!("-n {name} addr add 10.{net}.{at}.2/24 dev {there}")));
            assert!(ip(&format!("-n {name} link set {there} up")));
        }
        cables.nft("add table ip cables");
        for (chain, hook) in [("in", "input"), ("out", "output")] {
            cables.nft(&format!(
                "add chain ip cables {chain} {{ type filter hook {hook} priority 0 ; }}"
            ));
        }
        cables
    }

    /// Returns the service's address on a link.
    fn address(&self, at: u8) -> [u8; 4] {
        [10, self.net, at, 2]
    }

    /// Drops all packets on a link that arrive at the service (`in`) or leave it (`out`).
    fn cut(&self, at: usize, direction: &str) {
        let side = if direction == "in" { "iifname" } else { "oifname" };
        self.nft(&format!("add rule ip cables {direction} {side} {}n{at} drop", self.name));
    }

    fn heal(&self) {
        self.nft("flush table ip cables");
    }

    fn nft(&self, words: &str) {
        let words: Vec<_> = words.split(' ').collect();
        let mut command = Command::new("ip");
        let done = command.args(["netns", "exec", &self.name, "nft"]).args(&words).status();
        assert!(done.expect("ip").success(), "nft {words:?}: install Debian's nftables");
    }
}

impl Drop for Cables {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(words: &str) -> bool {
    Command::new("ip").args(words.split(' ')).status().is_ok_and(|status| status.success())
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

const SOON: Duration = Duration::from_secs(60);
