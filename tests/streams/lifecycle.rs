//! Promise: after a change of the configuration the filter still ends open requests. After a crash
//! of their VM Envoy forwards nothing more of them, and after a panic of the dynamic module the
//! filter still ends them.

use std::time::Duration;

use serde_json::json;
use testbed::{Build, EnvoySetup, Fault, Reply, Request, Testbed, Token, eventually};

use crate::client::{
    self, OpenClient, PROMISED, StreamKind, alone, assert_all_go_on, await_ended, keep_open,
    make_room, open_all, sign_out,
};

#[test]
fn the_old_configuration_still_ends_its_open_requests() {
    let _alone = alone();
    let mut bed = start(|setup| setup.reloadable().edit(make_room));
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let (mut revoked, mut going_on) = (open_all(&bed.envoy, &ada), open_all(&bed.envoy, &bob));
    let changed = |configuration: &mut testbed::Configuration| {
        configuration.filter["forward"]["user_id"] = json!("x-changed");
    };
    assert!(bed.envoy.reload(changed));
    eventually(LONG, || bed.envoy.get("/page", &bob).seen().header("x-changed") == Some("bob"));
    assert_all_go_on(going_on.iter_mut().chain(&mut revoked));
    sign_out(&bed.envoy, &ada);
    await_ended(&mut revoked, PROMISED);
    revoked.iter_mut().for_each(OpenClient::assert_revoked);
    assert_all_go_on(&mut going_on);
    client::assert_no_vm_died(&bed.envoy);
}

#[test]
fn streams_of_a_crashed_vm_end_at_their_next_byte() {
    if Build::Native.skips("there is no VM; see a_panic_of_the_module_ends_no_other_stream") {
        return;
    }
    let _alone = alone();
    let bed = start(|setup| setup.drill().workers(1).edit(make_room));
    bed.application.on("/soon", Reply::status(200).after(Duration::from_secs(1)));
    let token = Token::of("ada");
    let mut idle = OpenClient::open(&bed.envoy, StreamKind::IdleSocket, &token);
    let mut moving = [
        StreamKind::BusySocket,
        StreamKind::Events,
        StreamKind::Http2Events,
        StreamKind::Http2Grpc,
    ]
    .map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    let mut pending = bed.envoy.connect();
    pending.send_bytes(&Request::get("/soon").bearer(&token).to_bytes());
    eventually(LONG, || !bed.application.seen_at("/soon").is_empty());

    let fatal = Request::get("/page").bearer(&token).header("x-panic-drill", "request");
    assert_eq!(bed.envoy.send(&fatal).status, 503);
    await_ended(&mut moving, LONG);
    assert_eq!(pending.read_answer().status, 503, "its answer is not forwarded");
    assert!(!idle.has_ended(), "nobody knows of it any more");
    idle.send_word();
    await_ended(std::slice::from_mut(&mut idle), LONG);
    assert_eq!(idle.arrived(), 0, "the byte that ended it was not forwarded");

    // The new VM ends the requests that it has admitted.
    eventually(LONG, || bed.envoy.get("/page", &token).status == 200);
    let mut clients = StreamKind::ALL.map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    sign_out(&bed.envoy, &token);
    await_ended(&mut clients, PROMISED);
    clients.iter_mut().for_each(OpenClient::assert_revoked);
}

/// The module keeps the open requests of a worker on which it panics, and still ends them.
#[test]
fn a_panic_of_the_module_ends_no_other_stream() {
    let _alone = alone();
    let bed = start(|setup| setup.native().drill().workers(1).edit(make_room));
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let open = |token| StreamKind::ALL.map(|kind| OpenClient::open(&bed.envoy, kind, token));
    let (mut before, mut going_on) = (open(&ada), open(&bob));
    let fatal = Request::get("/page").bearer(&ada).header("x-panic-drill", "request");
    assert_eq!(bed.envoy.send(&fatal).status, 503);
    let mut after = open(&ada);
    assert_all_go_on(before.iter_mut().chain(&mut after).chain(&mut going_on));
    sign_out(&bed.envoy, &ada);
    await_ended(before.iter_mut().chain(&mut after), PROMISED);
    before.iter_mut().chain(&mut after).for_each(OpenClient::assert_revoked);
    assert_all_go_on(&mut going_on);
}

fn start(change: impl FnOnce(EnvoySetup) -> EnvoySetup) -> Testbed {
    let bed = Testbed::from(change, Fault::None);
    keep_open(&bed.application);
    bed.envoy.await_guarding();
    bed
}

const LONG: Duration = Duration::from_secs(20);
