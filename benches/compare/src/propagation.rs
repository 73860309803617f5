//! Measures the time from a sign-out at one Envoy to the refusal by another.
//!
//! The time begins when the sign-out is sent, so it includes the round trip to the service and its
//! disk. It ends with the first 401 of the other Envoy, which receives requests all the time.

use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Request, SignoutService, Token};

use crate::cold_start::{await_ready, setup};
use crate::tokens;

/// Returns the milliseconds of that many sign-outs.
///
/// # Errors
/// A response has an unexpected status.
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
    // A varying pause, so that sign-outs are spread over the feed's polling interval.
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
