//! Runs the demo's steps against running proxies: `demo-walk FRONT PROXY PROXY …`, each `HOST:PORT`.
//!
//! Waits until every proxy is ready, then runs the steps. The exit status is 0 only if every
//! step had the expected result.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use demo::story::{Door, Story};
use testbed::{Connection, Request, until};

fn main() -> ExitCode {
    let mut addresses = env::args().skip(1);
    let (Some(front), proxies) = (addresses.next(), addresses.collect::<Vec<_>>()) else {
        return usage();
    };
    if proxies.is_empty() {
        return usage();
    }
    let front = await_ready(&front);
    let door = |name: &String| {
        let address = await_ready(name);
        let proxy = name.split(':').next().unwrap_or_default().to_owned();
        Door { proxy, worker: None, address, connection: Connection::to(address) }
    };
    let doors = proxies.iter().map(door).collect();
    if (Story { front, doors, provider: None }).tell() {
        println!("\nAll results are as expected.");
        ExitCode::SUCCESS
    } else {
        println!("\nSome results are not as expected (✗).");
        ExitCode::FAILURE
    }
}

fn usage() -> ExitCode {
    eprintln!("demo-walk FRONT PROXY PROXY …");
    ExitCode::from(2)
}

/// Resolves the name and waits until the proxy there is ready.
fn await_ready(name: &str) -> SocketAddr {
    until(READY_WITHIN, || {
        let address = name.to_socket_addrs().ok()?.next()?;
        let answer = Connection::try_to(address).ok()?.try_send(&Request::get(READY)).ok()?;
        (answer.status == 200).then_some(address)
    })
}

const READY: &str = "/.session-guard/ready";
const READY_WITHIN: Duration = Duration::from_secs(60);
