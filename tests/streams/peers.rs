//! Promise: third-party clients see the end of their streams as `docs/streams.md` describes it.
//! Method: aiohttp, python-socketio and grpcio as clients and as servers, in `peers.py`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use testbed::{Envoy, Script, SignoutService, Token, eventually, until};

use crate::client::{alone, sign_out};

#[test]
fn third_party_clients_are_cut_and_refused_when_they_reconnect() {
    let _alone = alone();
    let (stage, ada, bob) = (PeersBed::start(), Token::of("ada"), Token::of("bob"));
    let (mut revoked, mut goes_on) = (stage.call(&ada), stage.call(&bob));
    for client in [&revoked, &goes_on] {
        eventually(LONG, || OPEN.iter().all(|line| client.log().contains(line)));
    }
    eventually(LONG, || stage.http.metric("streams_open") + stage.grpc.metric("streams_open") > 14);
    let before = revoked.log();
    sign_out(&stage.http, &ada);
    let start = Instant::now();
    eventually(LONG, || CUT.iter().all(|line| revoked.log().contains(line)));
    println!("all cut {:?} after the answer", start.elapsed());
    assert!(CUT.iter().all(|line| !before.contains(line)), "{before}");
    eventually(LONG, || revoked.has_ended());
    for line in AGAIN {
        assert!(revoked.log().contains(line), "{line}:\n{}", revoked.log());
    }
    let said = goes_on.log();
    assert!(CUT.iter().chain(AGAIN).all(|line| !said.contains(line)), "{said}");
    assert!(!goes_on.has_ended());
}

/// Lines that the script prints when each stream is open.
const OPEN: &[&str] = &[
    "websocket: word",
    "events: data: tick",
    "poll: sent",
    "socket.io websocket: connected",
    "socket.io polling: connected",
    "grpc events: tick",
    "grpc chat: word",
    "grpc wait: sent",
];

/// Lines that the script prints when each stream ends.
const CUT: &[&str] = &[
    "websocket: closed 1006",
    "events: cut",
    "poll: 401 revoked",
    "socket.io websocket: disconnected",
    "socket.io polling: disconnected",
    "grpc events: INTERNAL",
    "grpc chat: INTERNAL",
    "grpc wait: UNAUTHENTICATED",
];

/// Lines that the script prints when clients reconnect.
const AGAIN: &[&str] = &[
    "websocket again: 401",
    "socket.io websocket: refused",
    "socket.io polling: refused",
    "grpc again: UNAUTHENTICATED",
];

/// An Envoy for HTTP/1.1 and one for gRPC, in front of one application.
struct PeersBed {
    http: Envoy,
    grpc: Envoy,
    _service: SignoutService,
    _application: Script,
}

impl PeersBed {
    fn start() -> Self {
        let (application, service) =
            (Script::start("stream-peers", PEERS, &["serve"]), SignoutService::start());
        let address = |name: &str| -> SocketAddr {
            until(LONG, || {
                let log = application.log();
                let mut lines = log.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok())
            })
        };
        let before =
            |name: &str| Envoy::setup().application(address(name)).service(service.address());
        let http = before("http").start();
        let grpc = before("grpc").edit(|configuration| configuration.speak_http2("application"));
        let grpc = grpc.start();
        [&http, &grpc].into_iter().for_each(Envoy::await_guarding);
        Self { http, grpc, _service: service, _application: application }
    }

    fn call(&self, token: &Token) -> Script {
        let [http, grpc] = [&self.http, &self.grpc].map(|envoy| envoy.address().to_string());
        Script::start("stream-peers", PEERS, &["call", &http, &grpc, token.as_str()])
    }
}

const PEERS: &str = "tests/streams/peers.py";
const LONG: Duration = Duration::from_secs(60);
