//! Promise: on Valkey, no acknowledged revocation is lost: not if a replica's disk lags, and not
//! when a Cluster or Sentinel fails over.
//! Method: real Valkey servers, which `make valkey` installs, and the real service.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Redis, SignoutService, Token, eventually, unix_seconds};

#[test]
fn acknowledgements_wait_for_the_disk_of_a_replica() {
    let primary = Redis::valkey().start();
    let wait = ["--redis-wait", "1", "--redis-wait-fsync"];
    let setup = SignoutService::setup().store(&primary.url());
    let service = wait.iter().fold(setup, |setup, argument| setup.argument(argument)).start();
    let post = || service.post(&revocation(&Token::of("ada"))).status;
    assert_eq!(post(), 503, "there is no replica");
    let mut replica = Redis::valkey().set("replicaof", &replica_of(&primary)).start();
    eventually(SOON, || post() == 201);
    let tokens = revoked(&service, 3);
    replica.kill();
    eventually(SOON, || post() == 503);
    replica.restart();
    eventually(SOON, || post() == 201);
    // The replica has written the revocations to its disk, so they survive the loss of the primary.
    drop(primary);
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    replica.kill();
    replica.restart();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    let fresh = SignoutService::setup().store(&replica.url()).start();
    assert!(tokens.iter().all(|token| fresh.holds(token)));
}

#[test]
fn a_cluster_of_six_fails_over_without_a_loss() {
    let setup = Redis::valkey().set("cluster-enabled", "yes").set("cluster-node-timeout", "2000");
    let mut nodes = cluster_of((0..6).map(|_| setup.clone().start()).collect());
    let address = |nodes: &[Redis]| {
        let addresses: Vec<_> = nodes.iter().map(|node| node.address().to_string()).collect();
        format!("redis+cluster://{}", addresses.join(","))
    };
    let service = SignoutService::setup().store(&address(&nodes)).start();
    let mut tokens = revoked(&service, 5);
    let slot: usize =
        nodes[0].command(&["CLUSTER", "KEYSLOT", "{session-guard}:log"]).parse().unwrap();
    nodes.remove(slot / SLOTS_PER_NODE).kill();
    eventually(LONG, || takes_revocations(&service));
    tokens.extend(revoked(&service, 5));
    let fresh = SignoutService::setup().store(&address(&nodes)).start();
    eventually(SOON, || tokens.iter().all(|token| fresh.holds(token)));
}

#[test]
fn sentinel_fails_over_without_a_loss() {
    let mut primary = Redis::valkey().start();
    let replica = Redis::valkey().set("replicaof", &replica_of(&primary)).start();
    let service = service_with_sentinel(&primary, &replica);
    let mut tokens = revoked(&service.0, 5);
    primary.kill();
    eventually(LONG, || takes_revocations(&service.0));
    tokens.extend(revoked(&service.0, 5));
    let fresh = SignoutService::setup().store(&replica.url()).start();
    assert!(tokens.iter().all(|token| fresh.holds(token)));
}

#[test]
fn a_failover_to_a_non_durable_server_stops_acknowledgements() {
    let mut primary = Redis::valkey().start();
    let replica = Redis::valkey().set("replicaof", &replica_of(&primary)).set("appendonly", "no");
    let replica = replica.start();
    let service = service_with_sentinel(&primary, &replica);
    let tokens = revoked(&service.0, 5);
    primary.kill();
    let code = || service.0.post(&revocation(&Token::of("eve"))).json()["code"].clone();
    eventually(LONG, || code() == "store_not_durable");
    assert!(tokens.iter().all(|token| service.0.holds(token)), "the feed goes on");
    let ready = service.0.get("/readyz").json();
    assert!(ready["detail"].as_str().is_some_and(|why| why.contains("appendonly yes")), "{ready}");
    replica.command(&["CONFIG", "SET", "appendonly", "yes"]);
    eventually(SOON, || takes_revocations(&service.0));
}

/// Starts a Sentinel that knows the primary and its replica, and a service that uses the Sentinel.
fn service_with_sentinel(primary: &Redis, replica: &Redis) -> (SignoutService, Redis) {
    eventually(SOON, || {
        replica.command(&["INFO", "replication"]).contains("master_link_status:up")
    });
    let sentinel = Redis::valkey().watching("main", primary.address()).start();
    eventually(SOON, || sentinel.command(&["SENTINEL", "REPLICAS", "main"]).contains("slave"));
    let store = format!("redis+sentinel://{}/main", sentinel.address());
    (SignoutService::setup().store(&store).start(), sentinel)
}

/// Forms a Cluster of six nodes: three primaries with a third of the slots each, then their
/// replicas.
fn cluster_of(nodes: Vec<Redis>) -> Vec<Redis> {
    let (primaries, replicas) = nodes.split_at(3);
    for (index, primary) in primaries.iter().enumerate() {
        let first = index * SLOTS_PER_NODE;
        let last = if index == 2 { 16_383 } else { first + SLOTS_PER_NODE - 1 };
        primary.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
    }
    for node in &nodes[1..] {
        let (ip, port) = (node.address().ip().to_string(), node.address().port().to_string());
        nodes[0].command(&["CLUSTER", "MEET", &ip, &port]);
    }
    let id = |node: &Redis| node.command(&["CLUSTER", "MYID"]);
    for (primary, replica) in primaries.iter().zip(replicas) {
        let primary = id(primary);
        eventually(SOON, || replica.try_command(&["CLUSTER", "REPLICATE", &primary]).is_ok());
    }
    eventually(SOON, || {
        let is_well = |node: &Redis| {
            node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
                && node.command(&["CLUSTER", "NODES"]).matches("slave").count() == 3
        };
        let in_step =
            |node: &Redis| node.command(&["INFO", "replication"]).contains("master_link_status:up");
        nodes.iter().all(is_well) && replicas.iter().all(in_step)
    });
    nodes
}

/// Revokes that many tokens one by one, each acknowledged.
fn revoked(service: &SignoutService, count: usize) -> Vec<Token> {
    let tokens: Vec<_> = (0..count).map(|_| Token::of("ada")).collect();
    tokens.iter().for_each(|token| service.revoke(&revocation(token)));
    tokens
}

fn takes_revocations(service: &SignoutService) -> bool {
    service.post(&revocation(&Token::of("ada"))).status == 201
}

fn revocation(token: &Token) -> Value {
    json!({"jti": token.jti(), "exp": unix_seconds() + 3_600})
}

fn replica_of(primary: &Redis) -> String {
    format!("127.0.0.1 {}", primary.address().port())
}

const SLOTS_PER_NODE: usize = 5_461;
const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
