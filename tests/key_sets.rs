//! Promise: every worker has the keys that an issuer publishes before the first request and after
//! each change. One VM of the process fetches them. They stay in use if the issuer fails, in
//! whatever way.
//! Method: an issuer over HTTP, in which the tests inject faults, and tokens signed by new keys.

use std::iter;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{ECDSAP256KeyPairLike, ECDSAP256PublicKeyLike, ES256KeyPair};
use jwt_simple::claims::Claims;
use serde_json::{Value, json};
use testbed::{
    Application, Configuration, Connection, ConnectionEnd, Fault, FaultProxy, Reply, Request,
    Testbed, Token, eventually, under_load,
};

#[test]
fn keys_are_fetched_once_for_all_workers() {
    for with_service in [true, false] {
        let issuer = Issuer::of(&[&Signer::new("a")]);
        let bed = Testbed::with(|configuration| {
            issuer.configure(configuration, 300);
            if !with_service {
                let filter = configuration.filter.as_object_mut().expect("an object");
                filter.remove("revocation");
                let routes = filter["routes"].as_array_mut().expect("rules");
                let revokes =
                    |it: &Value| it["access"] == "signout" || !it["revoke_user"].is_null();
                routes.retain(|route| !revokes(route));
            }
        });
        for worker in &mut bed.envoy.connection_per_worker() {
            let answer = worker.send(&page(&issuer.signers[0].token()));
            assert_eq!(answer.seen().headers("x-user-id"), ["ada"]);
            assert_eq!(worker.send(&page(&Signer::new("a").token())).code(), "bad_signature");
            assert_eq!(worker.send(&page(&Token::of("ada"))).status, 200, "the secret's");
        }
        eventually(SOON, || bed.envoy.metric("keys_fetched") == 1);
        assert_eq!(issuer.asked(), 1);
        let seen = issuer.application.seen();
        assert_eq!(seen[0].header("host"), Some("id.example.com"));
        assert_eq!(seen[0].header("authorization"), None, "the API token is not the issuer's");
    }
}

#[test]
fn a_ready_proxy_has_the_keys_on_every_worker() {
    let issuer = Issuer::of(&[&Signer::new("a")]);
    let token = issuer.signers[0].token();
    for _ in 0..3 {
        let change = |configuration: &mut Configuration| issuer.configure(configuration, 300);
        let bed = Testbed::from(|setup| setup.edit(change), Fault::None);
        let mut workers = bed.envoy.connection_per_worker();
        let ready = Request::get("/.session-guard/ready");
        eventually(SOON, || workers[0].send(&ready).status == 200);
        for worker in &mut workers {
            assert_eq!(worker.send(&page(&token)).status, 200);
        }
    }
}

#[test]
fn a_set_served_as_plain_text_is_used_with_a_warning() {
    let issuer = Issuer::of(&[&Signer::new("a")]);
    issuer
        .application
        .on(PATH, Reply::status(200).header("content-type", "text/plain").text(&issuer.set()));
    let bed = Testbed::with(|configuration| issuer.configure(configuration, 300));
    assert_eq!(bed.envoy.get("/page", &issuer.signers[0].token()).status, 200);
    eventually(SOON, || bed.envoy.log().contains("served as text/plain"));
}

#[test]
fn the_log_says_why_no_key_can_be_used() {
    let short =
        r#"{"keys": [{"kid": "short", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}"#;
    let issuer = Issuer::of(&[&Signer::new("a")]);
    issuer.application.on(PATH, Reply::status(200).header("content-type", JSON).text(short));
    let change = |configuration: &mut Configuration| issuer.configure(configuration, 300);
    let bed = Testbed::from(|setup| setup.edit(change), Fault::None);
    eventually(SOON, || bed.envoy.metric("keys_rejected.no_keys") > 0);
    let log = bed.envoy.log();
    assert!(log.contains(r#"left out: keys[0] (kid "short")"#), "{log}");
}

#[test]
fn without_keys_a_token_gets_503() {
    let issuer = Issuer::of(&[&Signer::new("a")]);
    let network = FaultProxy::to(issuer.application.address());
    network.set(Fault::Refuse);
    let change = |configuration: &mut Configuration| {
        issuer.configure(configuration, 300);
        configuration.set_address("idp", network.address());
    };
    let bed = Testbed::from(|setup| setup.edit(change), Fault::None);
    let token = issuer.signers[0].token();
    eventually(SOON, || bed.envoy.metric("keys_rejected.unavailable") > 0);
    eventually(SOON, || bed.envoy.get("/page", &Token::of("ada")).status == 200);
    for worker in &mut bed.envoy.connection_per_worker() {
        let answer = worker.send(&page(&token));
        assert_eq!((answer.status, &*answer.code()), (503, "unavailable"));
        assert_eq!(answer.header("retry-after"), Some("2"));
        eventually(SOON, || worker.send(&Request::get("/.session-guard/ready")).status == 200);
        assert_eq!(worker.send(&Request::get("/")).status, 200, "public");
        assert_eq!(worker.send(&page(&Token::text("junk"))).code(), "malformed_token");
    }
    assert_eq!(bed.envoy.metric("keys_current_timestamp_seconds"), 0);
    network.set(Fault::None);
    for worker in &mut bed.envoy.connection_per_worker() {
        eventually(SOON, || worker.send(&page(&token)).status == 200);
    }
    eventually(SOON, || bed.envoy.metric("keys_current_timestamp_seconds") > 1_700_000_000);
}

#[test]
fn good_keys_stay_whatever_the_issuer_responds() {
    let (cut, refused) = (Fault::CutAfter(200, ConnectionEnd::Reset), Fault::Refuse);
    let whole = |reply: Reply| move |_: &str| reply.clone();
    let json = |text: &str| Reply::status(200).header("content-type", JSON).text(text);
    let html = |set: &str| Reply::status(200).header("content-type", "text/html").text(set);
    let padded = move |set: &str| json(&format!("{set}{}", " ".repeat(200_000)));
    let cases: Vec<Failing> = vec![
        ("status", Box::new(|set| published(set, 500)), Fault::None),
        ("content_type", Box::new(html), Fault::None),
        ("too_long", Box::new(padded), Fault::None),
        ("not_a_set", Box::new(move |set| json(&set[..set.len() - 2])), Fault::None),
        ("no_keys", Box::new(whole(json(r#"{"keys": [{"kty": "oct"}, 7]}"#))), Fault::None),
        ("timed_out", Box::new(|set| published(set, 200).after(SLOW)), Fault::None),
        ("no_answer", Box::new(|set| published(set, 200)), cut),
        ("unavailable", Box::new(|set| published(set, 200)), refused),
    ];
    let issuers: Vec<_> = cases.iter().map(|_| Issuer::of(&[&Signer::new("a")])).collect();
    let networks: Vec<_> =
        issuers.iter().map(|issuer| FaultProxy::to(issuer.application.address())).collect();
    let bed = Testbed::with(|configuration| {
        let mut keys = vec![];
        for (at, network) in networks.iter().enumerate() {
            let cluster = format!("idp-{at}");
            configuration.add_cluster(&cluster, network.address());
            keys.push(json!({"jwks": published_at(&cluster, 5)}));
        }
        configuration.filter["keys"] = Value::Array(keys);
    });
    for ((issuer, network), (_, reply, fault)) in iter::zip(iter::zip(&issuers, &networks), &cases)
    {
        issuer.application.on(PATH, reply(&issuer.set()));
        network.set(fault.clone());
    }
    let mut workers = bed.envoy.connection_per_worker();
    let mut all_stay = || {
        for worker in &mut workers {
            for (issuer, (reason, ..)) in iter::zip(&issuers, &cases) {
                assert_eq!(worker.send(&page(&issuer.signers[0].token())).status, 200, "{reason}");
            }
        }
    };
    eventually(LONG, || {
        all_stay();
        let counted = |reason: &str| bed.envoy.metric(&format!("keys_rejected.{reason}")) > 0;
        cases.iter().all(|(reason, ..)| counted(reason))
    });
    println!("{:?}", bed.envoy.stats("keys_rejected"));
    let later: Vec<_> = issuers.iter().map(|_| Signer::new("b")).collect();
    for ((issuer, network), signer) in iter::zip(iter::zip(&issuers, &networks), &later) {
        issuer.publish(&[&issuer.signers[0], signer]);
        network.set(Fault::None);
    }
    for signer in &later {
        eventually(LONG, || bed.envoy.get("/page", &signer.token()).status == 200);
    }
    all_stay();
    assert!(bed.envoy.stats("vm_reload").iter().all(|(_, count)| *count == 0));
}

#[test]
fn an_unknown_kid_causes_one_early_fetch() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::of(&[&a]);
    let bed = Testbed::with(|configuration| issuer.configure(configuration, 300));
    let mut workers = bed.envoy.connection_per_worker();
    assert_eq!(workers[0].send(&page(&a.token())).status, 200);
    issuer.publish(&[&a, &b]);
    assert_eq!(workers[0].send(&page(&b.token())).code(), "unknown_key");
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&b.token())).status == 200);
        assert_eq!(worker.send(&page(&a.token())).status, 200);
    }
    assert_eq!(issuer.asked(), 2);
    let begin = std::time::Instant::now();
    let mut flood = 0;
    while begin.elapsed() < Duration::from_secs(5) {
        let made_up = b.named(&format!("made-up-{flood}"));
        assert_eq!(workers[flood % 2].send(&page(&made_up)).code(), "unknown_key");
        flood += 1;
    }
    assert_eq!(issuer.asked(), 2, "{flood} tokens with unknown keys");
    assert_eq!(workers[0].send(&page(&b.token())).status, 200);
}

#[test]
fn a_removed_key_is_refused_for_tokens_seen_before() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let issuer = Issuer::of(&[&a, &b]);
    let bed = Testbed::with(|configuration| issuer.configure(configuration, 5));
    let (old, new) = (a.token(), b.token());
    let mut workers = bed.envoy.connection_per_worker();
    for worker in &mut workers {
        assert_eq!(worker.send(&page(&old)).status, 200);
        assert_eq!(worker.send(&page(&new)).status, 200);
    }
    let bad = json!({"kty": "EC", "crv": "P-256", "kid": "the-bad-one", "x": "AA", "y": "AA"});
    issuer.publish_raw(&json!({"keys": [bad, b.jwk()]}).to_string());
    for worker in &mut workers {
        eventually(LONG, || {
            assert_eq!(worker.send(&page(&new)).status, 200, "the other key's token all along");
            worker.send(&page(&old)).code() == "unknown_key"
        });
    }
    let log = bed.envoy.log();
    let named = log.lines().filter(|line| line.contains("left out: keys[0] (kid \"the-bad-one\")"));
    assert_eq!(named.count(), 1, "told once for all workers");
}

/// The configurations combine secrets and public keys, with and without ids, inline and fetched.
#[test]
fn reloads_under_load_change_keys_without_a_wrong_verdict() {
    let [first, second, fetched] = ["a", "b", "c"].map(Signer::new);
    let issuer = Issuer::of(&[&fetched]);
    let change = |configuration: &mut Configuration| issuer.configure(configuration, 300);
    let mut bed = Testbed::from(|setup| setup.edit(change).reloadable(), Fault::None);
    bed.envoy.await_guarding();
    let secret = |id: &str, secret: &str| json!({"id": id, "algorithm": "HS256", "secret": {"inline": secret}});
    let (old, next) = ("old-secret-of-more-than-32-bytes-", "next-secret-of-more-than-32-bytes");
    let by = |id: &str, secret: &str| {
        let header = json!({"alg": "HS256", "kid": id}).to_string();
        Token::signed(&header, &Token::claims_of("ada").to_string(), secret)
    };
    let inline = |signer: &Signer| json!({"jwks": {"inline": {"keys": [signer.jwk()]}}});
    let remote = json!({"jwks": published_at("idp", 300)});
    // Each step has tokens that are valid in its configuration and in the previous one.
    let steps = [
        (vec![remote.clone(), secret("old", old)], vec![fetched.token()]),
        (
            vec![secret("old", old), secret("next", next), remote.clone()],
            vec![fetched.token(), by("old", old)],
        ),
        (
            vec![secret("next", next), inline(&first), remote.clone()],
            vec![fetched.token(), by("next", next)],
        ),
        (
            vec![inline(&first), inline(&second), remote.clone()],
            vec![fetched.token(), first.token()],
        ),
        (vec![remote.clone(), inline(&second)], vec![fetched.token(), second.token()]),
        (vec![remote, secret("old", old)], vec![fetched.token()]),
    ];
    for (keys, good) in steps {
        let bad = Signer::new("c").token();
        let check = |address| {
            let ask = |token| Connection::to(address).send(&page(token));
            for token in &good {
                let answer = ask(token);
                assert_eq!(answer.status, 200, "{} {}", answer.code(), token.as_str());
            }
            assert_eq!(ask(&bad).code(), "bad_signature");
            good.len() as u64 + 1
        };
        let asked = under_load(&mut bed.envoy, check, |envoy| {
            assert!(envoy.reload(|configuration| configuration.filter["keys"] = json!(keys)));
        });
        println!("{} keys, {asked} verdicts", keys.len());
    }
    for gone in [first.token(), second.token(), by("next", next)] {
        eventually(SOON, || bed.envoy.get("/page", &gone).status == 401);
    }
    eventually(SOON, || bed.envoy.get("/page", &by("old", old)).status == 200);
    assert_eq!(issuer.asked(), 1, "what is fetched survives every configuration");
}

/// A way in which an issuer fails: the reason under which it is counted, the reply made from its
/// good set, and the network fault.
type Failing = (&'static str, Box<dyn Fn(&str) -> Reply>, Fault);

/// Publishes a set over HTTP.
struct Issuer {
    application: Application,
    signers: Vec<Signer>,
}

impl Issuer {
    fn of(signers: &[&Signer]) -> Self {
        let signers: Vec<_> = signers.iter().map(|signer| (*signer).clone()).collect();
        let issuer = Self { application: Application::start(), signers };
        issuer.publish_raw(&issuer.set());
        issuer
    }

    /// Adds it to a configuration, next to the existing key.
    fn configure(&self, configuration: &mut Configuration, refresh_seconds: u64) {
        configuration.add_cluster("idp", self.application.address());
        let keys = configuration.filter["keys"].as_array_mut().expect("a list of keys");
        keys.push(json!({"jwks": published_at("idp", refresh_seconds)}));
    }

    fn set(&self) -> String {
        set_of(&self.signers.iter().collect::<Vec<_>>())
    }

    fn publish(&self, signers: &[&Signer]) {
        self.publish_raw(&set_of(signers));
    }

    fn publish_raw(&self, set: &str) {
        self.application.on(PATH, published(set, 200));
    }

    /// Returns how often the set was fetched.
    fn asked(&self) -> usize {
        self.application.seen_at(PATH).len()
    }
}

/// A key pair of an issuer.
#[derive(Clone)]
struct Signer {
    id: String,
    private: Vec<u8>,
}

impl Signer {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), private: ES256KeyPair::generate().to_bytes() }
    }

    fn pair(&self) -> ES256KeyPair {
        ES256KeyPair::from_bytes(&self.private).expect("a key").with_key_id(&self.id)
    }

    fn jwk(&self) -> Value {
        let point = self.pair().public_key().public_key().to_bytes_uncompressed();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
        json!({"kid": self.id, "kty": "EC", "crv": "P-256", "x": x, "y": y})
    }

    fn token(&self) -> Token {
        let own = json!({"id": "ada"});
        let claims = Claims::with_custom_claims(own, jwt_simple::prelude::Duration::from_hours(1));
        let claims = claims.with_jwt_id(Token::of("ada").jti());
        Token::text(&self.pair().sign(claims).expect("signed"))
    }

    /// A token under that `kid`.
    fn named(&self, id: &str) -> Token {
        Self { id: id.to_owned(), ..self.clone() }.token()
    }
}

fn set_of(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({"keys": keys}).to_string()
}

fn published(set: &str, status: u16) -> Reply {
    Reply::status(status).header("content-type", JSON).text(set)
}

fn published_at(cluster: &str, refresh_seconds: u64) -> Value {
    let authority = "id.example.com";
    json!({"cluster": cluster, "authority": authority, "path": PATH, "refresh_seconds": refresh_seconds})
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

const PATH: &str = "/jwks.json";
const JSON: &str = "application/json; charset=utf-8";
const SLOW: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(120);
