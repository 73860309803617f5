//! Promise: `signout copy` copies everything in both directions, and fails if it did not.
//! Method: the real binary, with real files and a real Redis.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use testbed::Redis;

use crate::support::{ServiceProcess, TOKEN, signout};

/// Runs `signout copy`. Returns its exit code, standard output and standard error.
fn copy(from: &str, to: &str) -> (i32, String, String) {
    let output = signout().args(["copy", "--from", from, "--to", to]).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn redb(folder: &Path) -> String {
    format!("redb:{}", folder.join("db").display())
}

/// Starts a service on a file in that folder, and stores tokens, cutoffs without `exp` and a cutoff
/// for all users.
fn fill(folder: &Path, count: usize) -> BTreeSet<String> {
    let process = ServiceProcess::serve(folder);
    let tokens = (0..count).map(|n| format!(r#"{{"jti": "{n}", "exp": {}}}"#, 4_000_000_000 + n));
    let users = (0..5).map(|n| format!(r#"{{"user_id": "{n}", "issued_before": {}}}"#, 50 + n));
    let all = ["{\"issued_before\": 7}".to_owned()];
    let bodies: Vec<_> = tokens.chain(users).chain(all).collect();
    for bodies in bodies.chunks(5_000) {
        assert_eq!(process.post(&format!("[{}]", bodies.join(","))).unwrap().0, 201);
    }
    records(&process)
}

/// Returns all records of the service, each as text.
fn records(process: &ServiceProcess) -> BTreeSet<String> {
    let (mut records, mut path) = (BTreeSet::new(), "/v1/revocations".to_owned());
    loop {
        let (_, page) = process.get(&path).unwrap();
        records.extend(page["revocations"].as_array().unwrap().iter().map(Value::to_string));
        if page["more"] == false {
            return records;
        }
        path = format!("/v1/revocations?after={}", page["cursor"].as_str().unwrap());
    }
}

#[test]
fn a_copy_to_redis_and_back_is_complete() {
    let [source, back] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let redis = Redis::start();
    let expected = fill(source.path(), 30_000);
    let there = copy(&redb(source.path()), &redis.url());
    assert_eq!(there.1, "30006 revocations read, 30006 added; the target holds all of them\n");
    assert!(there.0 == 0 && there.2.contains("30006 of 30006"), "{there:?}");
    let again = copy(&redb(source.path()), &redis.url());
    assert!(again.0 == 0 && again.1.contains(" 0 added"), "{again:?}");
    let here = copy(&redis.url(), &redb(back.path()));
    assert!(here.0 == 0 && here.1.contains("30006 added"), "{here:?}");
    assert_eq!(records(&ServiceProcess::serve(back.path())), expected);
}

#[test]
fn the_target_keeps_its_records_and_later_times_win() {
    let [source, target] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (folder, body) in [
        (&source, r#"[{"jti": "a", "exp": 4000000009}, {"jti": "b", "exp": 4000000001}]"#),
        (&target, r#"[{"jti": "b", "exp": 4000000005}, {"jti": "c", "exp": 4000000003}]"#),
    ] {
        assert_eq!(ServiceProcess::serve(folder.path()).post(body).unwrap().0, 201);
    }
    let copied = copy(&redb(source.path()), &redb(target.path()));
    assert_eq!(copied.1, "2 revocations read, 1 added; the target holds all of them\n");
    let records = records(&ServiceProcess::serve(target.path()));
    for exp in ["4000000009", "4000000005", "4000000003"] {
        assert!(records.iter().any(|record| record.contains(exp)), "{exp} in {records:?}");
    }
}

#[test]
fn an_incomplete_copy_fails_with_its_exit_code() {
    let source = tempfile::tempdir().unwrap();
    fill(source.path(), 30_000);
    let missing = copy("redb:/no/such/file", "redb:/no/such/folder/file");
    assert!(missing.0 == 2 && missing.2.contains("no such file"), "{missing:?}");
    assert_eq!(copy("redb:", &redb(source.path())).0, 2);
    let full = Redis::setup().set("maxmemory", "3mb").start();
    let refused = copy(&redb(source.path()), &full.url());
    assert!(refused.0 == 1 && refused.2.contains("not everything is copied"), "{refused:?}");
    full.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(copy(&redb(source.path()), &full.url()).0, 0, "and the rest follows later");
    let forgetful = Redis::setup().set("appendonly", "no").start();
    let refused = copy(&redb(source.path()), &forgetful.url());
    assert!(refused.0 == 1 && refused.2.contains("appendonly"), "{refused:?}");
    let _serving = ServiceProcess::serve(source.path());
    let in_use = copy(&redb(source.path()), &full.url());
    assert!(in_use.0 == 1 && in_use.2.contains("another process has it open"), "{in_use:?}");
    assert!(!in_use.2.contains(TOKEN));
}
