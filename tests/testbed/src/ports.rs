//! Chooses ports for servers that are stopped and restarted.
//!
//! The ports are below the range that Linux uses for outgoing connections (32768 and
//! up). Otherwise a client could take the port while the server is down, or connect to itself: a
//! TCP connection to an unused local port of that range can connect to itself.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a loopback address that is free now. Another process may take it before it is used, so a
/// server that cannot listen tries the next one.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT)
}

/// Returns that port of the loopback address if it is free now, otherwise a free address.
#[must_use]
pub fn address_at(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if TcpListener::bind(address).is_ok() { address } else { free_address() }
}

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
