//! An identity provider's logout ends its session, although the receiver is killed, the message comes
//! a hundred times, or the keys of another provider hang.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::{
    Application, Connection, Fault, FaultProxy, HttpResponse, Reply, Request, SignoutService,
    Testbed, Token, TokenSigner, eventually,
};

use crate::load::rounds;

const ISSUER: &str = "https://id.example.com";

#[test]
fn a_logout_whose_receiver_is_killed_is_not_lost() {
    let signer = TokenSigner::new("ES256");
    let keys = json!({"inline": {"keys": [signer.jwk()]}});
    let (service, _folder) = receiving(&[(ISSUER, keys)]);
    let mut bed = Testbed::of(service, |setup| setup, Fault::None);
    bed.envoy.await_guarding();
    let (rounds, mut without_response) = (rounds(3, 20), 0);
    for round in 0..rounds {
        let sid = format!("session-{round}");
        let token = of_session(&sid);
        assert_eq!(bed.envoy.get("/page", &token).status, 200);
        let logout = signer.logout_token(ISSUER, "app", &sid);
        let address = bed.service.address();
        let first = thread::scope(|scope| {
            let sending = scope.spawn(|| send(address, &logout));
            thread::sleep(Duration::from_millis(round as u64 * 97 % 1_000)); // at any stage
            bed.service.kill();
            sending.join().unwrap()
        });
        bed.service.restart();
        match first {
            Some(answer) => assert_eq!((answer.status, cutoffs(&bed)), (200, round + 1)),
            None => without_response += 1,
        }
        let again = send(address, &logout).expect("a response");
        assert_eq!(again.status, 200, "the provider repeats it: {}", again.text());
        eventually(SOON, || bed.envoy.get("/page", &token).code() == "revoked");
        assert_eq!(cutoffs(&bed), round + 1);
        assert_eq!(bed.envoy.get("/page", &of_session(&sid)).status, 200, "a new sign-in");
    }
    assert!(without_response > 0, "no logout was interrupted");
    println!("figure: {rounds} logouts, {without_response} without a response; all enforced");
}

#[test]
fn a_logout_that_comes_a_hundred_times_is_stored_once() {
    let signer = TokenSigner::new("RS256");
    let keys = json!({"inline": {"keys": [signer.jwk()]}});
    let (service, _folder) = receiving(&[(ISSUER, keys)]);
    let logout = signer.logout_token(ISSUER, "app", "session");
    let statuses = thread::scope(|scope| {
        let one = || send(service.address(), &logout).map(|answer| answer.status);
        let four = [(); 4].map(|()| scope.spawn(move || [(); 25].map(|()| one())));
        four.map(|sending| sending.join().unwrap()).concat()
    });
    assert_eq!(statuses, vec![Some(200); 100]);
    assert_eq!(service.records().len(), 1);
    let head = |service: &SignoutService| service.get("/v1/status").json()["log_entries"].clone();
    let before = head(&service);
    assert_eq!(send(service.address(), &logout).map(|answer| answer.status), Some(200));
    assert_eq!(head(&service), before, "nothing is written");
}

#[test]
fn keys_that_hang_delay_no_other_provider() {
    let [slow, other] = ["ES256", "EdDSA"].map(TokenSigner::new);
    let keys = Application::start();
    let document = json!({"keys": [slow.jwk()]}).to_string();
    let document = Reply::status(200).header("content-type", "application/json").text(&document);
    keys.on("/jwks.json", document);
    let network = FaultProxy::to(keys.address());
    network.set(Fault::Hang);
    let fetched = json!({"url": format!("http://{}/jwks.json", network.address())});
    let inline = json!({"inline": {"keys": [other.jwk()]}});
    let (service, _folder) = receiving(&[("https://slow.example.com", fetched), (ISSUER, inline)]);
    let address = service.address();
    let of_slow = || slow.logout_token("https://slow.example.com", "app", "session");
    let (slowest, delayed) = thread::scope(|scope| {
        let waiting: Vec<_> =
            (0..100).map(|_| scope.spawn(|| timed(|| send(address, &of_slow())))).collect();
        let delayed: Vec<_> = (0..5)
            .map(|number| {
                let sid = format!("session-{number}");
                let logout = other.logout_token(ISSUER, "app", &sid);
                let (took, answer) = timed(|| send(address, &logout));
                assert_eq!(answer.map(|answer| answer.status), Some(200));
                took
            })
            .collect();
        let waited = waiting.into_iter().map(|sending| {
            let (took, answer) = sending.join().unwrap();
            let answer = answer.expect("a response");
            let error = answer.json()["error"].clone();
            assert_eq!((answer.status, error), (400, json!("temporarily_unavailable")));
            took
        });
        (waited.max().unwrap(), delayed.into_iter().max().unwrap())
    });
    assert!(delayed < Duration::from_secs(5), "the other provider waited for {delayed:?}");
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    network.set(Fault::None);
    eventually(SOON, || send(address, &of_slow()).is_some_and(|answer| answer.status == 200));
    println!(
        "figure: 100 logouts without keys were answered within {} ms, those of another provider \
         within {} ms",
        slowest.as_millis(),
        delayed.as_millis()
    );
}

/// Starts a service that receives logouts of these issuers, each with its `jwks`.
fn receiving(issuers: &[(&str, Value)]) -> (SignoutService, TempDir) {
    let folder = TempDir::with_prefix("session-guard-issuers-").unwrap();
    let file = folder.path().join("issuers.json");
    let issuer = |(issuer, jwks): &(&str, Value)| {
        json!({
            "issuer": issuer, "jwks": jwks, "algorithms": ["ES256", "RS256", "EdDSA"],
            "backchannel_logout": {"audiences": ["app"]},
        })
    };
    let issuers: Vec<_> = issuers.iter().map(issuer).collect();
    fs::write(&file, json!({"issuers": issuers}).to_string()).unwrap();
    let setup = SignoutService::setup().argument("--issuers");
    (setup.argument(file.to_str().unwrap()).start(), folder)
}

/// Sends a logout token as a provider does. `None` if there is no response.
fn send(address: SocketAddr, logout: &str) -> Option<HttpResponse> {
    let request = Request::post("/v1/backchannel-logout")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("logout_token={logout}"));
    Connection::try_to(address).ok()?.try_send(&request).ok()
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let began = Instant::now();
    let came = act();
    (began.elapsed(), came)
}

/// Returns an access token of a session at the identity provider.
fn of_session(sid: &str) -> Token {
    let mut claims = Token::claims_of("ada");
    claims["iss"] = json!(ISSUER);
    claims["sid"] = json!(sid);
    Token::with(&claims)
}

fn cutoffs(bed: &Testbed) -> usize {
    bed.service.records().len()
}

const SOON: Duration = Duration::from_secs(60);
