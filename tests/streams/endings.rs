//! Which open requests end, how, and which go on?

use std::time::Duration;

use testbed::{Reply, Request, Shared, Testbed, Token, eventually};

use crate::client::{self, Client, PROMISED, alone, await_ended, open_all, sign_out};

static BED: Shared<Testbed> = Shared::new(|| client::bed(|_| {}));

#[test]
fn every_kind_ends_within_a_second_on_all_workers_and_no_other_users() {
    let (bed, _alone) = (BED.get(), alone());
    let (ada, ada_elsewhere, bob) = (Token::of("ada"), Token::of("ada"), Token::of("bob"));
    let mut ended = open_all(&bed.envoy, &ada);
    let mut going_on = open_all(&bed.envoy, &ada_elsewhere);
    going_on.extend(open_all(&bed.envoy, &bob));
    sign_out(&bed.envoy, &ada);
    let took = await_ended(&mut ended, PROMISED);
    println!("{} streams ended after {took:?}", ended.len());
    ended.iter_mut().for_each(Client::assert_revoked);
    going_on.iter_mut().for_each(Client::assert_goes_on);
}

#[test]
fn a_plain_answer_under_way_comes_whole() {
    const PIECES: usize = 12;
    let (bed, _alone) = (BED.get(), alone());
    let pieces = || Reply::pieces("application/octet-stream", PIECES, Duration::from_millis(250));
    let whole = Reply::PIECE.repeat(PIECES);
    bed.application.on("/download", pieces());
    let sized = pieces().header("content-length", &whole.len().to_string());
    bed.application.on("/download/sized", sized);
    for path in ["/download", "/download/sized"] {
        let token = Token::of("ada");
        let request = Request::get(path).bearer(&token);
        let (mut http1, http2) = (bed.envoy.connect(), bed.envoy.connect_http2());
        http1.send_bytes(&request.to_bytes());
        let stream = http2.open(&request);
        eventually(Duration::from_secs(5), || http1.arrived() > 0 && stream.arrived() > 0);
        sign_out(&bed.envoy, &token);
        assert_eq!(http1.read_answer().text(), whole, "{path}");
        eventually(Duration::from_secs(5), || stream.has_ended());
        assert!(!stream.was_cut(), "{path}");
        assert_eq!(stream.answer().expect("an answer").text(), whole, "{path}");
    }
}
