//! Runs the demo's steps against running proxies: `demo-walk FRONT DOOR …`, each `HOST:PORT`.
//!
//! Waits until every proxy is ready, then runs the steps. The exit status is 0 only if every
//! step had the expected result.

use std::env;
use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use demo::walk::Doors;
use testbed::{Connection, Request, until};

fn main() -> ExitCode {
    let mut addresses = env::args().skip(1);
    let (Some(front), doors) = (addresses.next(), addresses.collect::<Vec<_>>()) else {
        eprintln!("demo-walk FRONT DOOR …");
        return ExitCode::from(2);
    };
    let front = await_ready(&front);
    let door = |door: &String| (door.clone(), Connection::to(await_ready(door)));
    let doors = doors.iter().map(door).collect();
    if (Doors { front, doors, propagation: PROPAGATION }).walk() {
        println!("\nAll results are as expected.");
        ExitCode::SUCCESS
    } else {
        println!("\nSome results are not as expected (✗).");
        ExitCode::FAILURE
    }
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

/// Far longer than one feed round trip on one machine.
const PROPAGATION: Duration = Duration::from_secs(1);
