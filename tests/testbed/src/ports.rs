//! On which port can a server listen that is stopped and started again?
//!
//! Ports below the range from which Linux takes the local ports of outgoing connections (32768 and
//! up). Otherwise some client may own the port while its server is down, or connect to itself: a
//! TCP connection to an unused local port of that range can meet itself half-way.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A loopback address where nobody listens now. Another process may take it before it is used: who
/// listens there tries again with the next one.
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

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;
