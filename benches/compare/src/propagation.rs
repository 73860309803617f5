//! How long after a sign-out on one Envoy does another one refuse the token?
//!
//! From the moment the request to sign out is sent, so the round trip to the service and the disk
//! are in it, until the other Envoy's first 401, asked again and again.

use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Request, SignoutService, Token};

use crate::cold_start::{await_ready, setup};
use crate::tokens;

/// Milliseconds of so many sign-outs.
///
/// # Errors
/// An answer that should not come.
pub(crate) fn measure(count: usize) -> Result<Vec<f64>, String> {
    let service = SignoutService::start();
    let [one, other] = [(), ()].map(|()| setup(service.address()).workers(1).start());
    await_ready(one.address());
    await_ready(other.address());
    let (mut here, mut there) = (Connection::to(one.address()), Connection::to(other.address()));
    (0..count).map(|number| one_sign_out(&mut here, &mut there, number)).collect()
}

fn one_sign_out(
    here: &mut Connection,
    there: &mut Connection,
    number: usize,
) -> Result<f64, String> {
    let token = Token::text(&tokens::hs256());
    let page = Request::get("/page").bearer(&token);
    for connection in [&mut *here, &mut *there] {
        expect(200, connection.try_send(&page)?.status)?;
    }
    // At any moment of the feed's round.
    thread::sleep(Duration::from_millis(5 + number as u64 * 7 % 40));
    let start = Instant::now();
    expect(200, here.try_send(&Request::post("/sign-out").bearer(&token))?.status)?;
    while there.try_send(&page)?.status == 200 {
        if start.elapsed() > GIVES_UP_AFTER {
            return Err("a signed-out token goes on being accepted".to_owned());
        }
    }
    let elapsed = start.elapsed().as_secs_f64() * 1_000.0;
    expect(401, there.try_send(&page)?.status)?;
    Ok(elapsed)
}

fn expect(wanted: u16, came: u16) -> Result<(), String> {
    if wanted == came { Ok(()) } else { Err(format!("{came} instead of {wanted}")) }
}

const GIVES_UP_AFTER: Duration = Duration::from_secs(20);
