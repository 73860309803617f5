//! Promise: acknowledged revocations survive `kill -9` and SIGTERM.
//! Method: the real binary over a real file.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use session_guard_core::revocation::record::RecordId;

use crate::support::{ServiceProcess, TOKEN, signout};

/// Revokes tokens from four threads until the process has ended. Returns the acknowledged ids.
fn revoke_until_it_dies(
    process: &ServiceProcess,
    acknowledged: &AtomicU32,
    round: u32,
) -> BTreeSet<String> {
    let ids = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ids = &ids;
            scope.spawn(move || {
                for number in 0.. {
                    let jtis = [0, 1, 2].map(|part| format!("{round}.{thread}.{number}.{part}"));
                    let body =
                        jtis.each_ref().map(|jti| format!(r#"{{"jti": "{jti}"}}"#)).join(",");
                    match process.post(&format!("[{body}]")) {
                        Some((201, _)) => {
                            let new = jtis
                                .iter()
                                .map(|jti| RecordId::of_token("", None, jti).to_string());
                            ids.lock().unwrap().extend(new);
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(other) => panic!("{other:?}"),
                        None => return,
                    }
                }
            });
        }
    });
    ids.into_inner().unwrap()
}

#[test]
fn acknowledged_revocations_survive_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeSet::new();
    for round in 0..5 {
        let process = ServiceProcess::serve(folder.path());
        let acknowledged = AtomicU32::new(0);
        std::thread::scope(|scope| {
            let revoking = scope.spawn(|| revoke_until_it_dies(&process, &acknowledged, round));
            while acknowledged.load(Ordering::Relaxed) < 20 * (round + 1) {
                std::thread::yield_now();
            }
            process.signal("KILL");
            expected.extend(revoking.join().unwrap());
        });
    }
    let live: BTreeSet<_> = ServiceProcess::serve(folder.path()).live_ids().into_iter().collect();
    assert!(expected.len() >= 3 * (20 + 40 + 60 + 80 + 100));
    assert!(expected.is_subset(&live), "{} lost", expected.difference(&live).count());
    // A batch is stored completely or not at all.
    assert_eq!(live.len() % 3, 0);
}

#[test]
fn a_cursor_stays_valid_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    let (_, answer) = process.post(r#"{"jti": "a"}"#).unwrap();
    let cursor = answer["cursor"].as_str().unwrap().to_owned();
    process.post(r#"{"jti": "b"}"#).unwrap();
    process.signal("KILL");
    drop(process);
    let process = ServiceProcess::serve(folder.path());
    let (_, page) = process.get(&format!("/v1/revocations?after={cursor}")).unwrap();
    assert_eq!(page["reset"], false);
    assert_eq!(page["revocations"][0]["id"], RecordId::of_token("", None, "b").to_string());
    assert_eq!(page["revocations"].as_array().unwrap().len(), 1);
}

#[test]
fn a_restored_backup_causes_resets_and_accepts_lost_records() {
    let folder = tempfile::tempdir().unwrap();
    let [db, backup] = ["db", "backup"].map(|name| folder.path().join(name));
    let process = ServiceProcess::serve(folder.path());
    process.post(r#"{"jti": "before"}"#).unwrap();
    process.signal("KILL");
    drop(process);
    std::fs::copy(&db, &backup).unwrap();
    let process = ServiceProcess::serve(folder.path());
    let (_, answer) = process.post(r#"{"jti": "after", "exp": 4000000000}"#).unwrap();
    let known = process.live_ids();
    drop(process);
    std::fs::rename(&backup, &db).unwrap();

    let process = ServiceProcess::serve(folder.path());
    // Another entry now has the sequence number that the proxy knows, with another tag.
    process.post(r#"{"jti": "other"}"#).unwrap();
    let cursor = answer["cursor"].as_str().unwrap();
    let (_, page) = process.get(&format!("/v1/revocations?after={cursor}")).unwrap();
    assert_eq!(page["reset"], true);
    let lost = RecordId::of_token("", None, "after").to_string();
    assert!(known.contains(&lost) && !process.live_ids().contains(&lost));
    let record = format!(r#"[{{"kind": "token", "id": "{lost}", "exp": 4000000000}}]"#);
    assert_eq!(process.post(&record).unwrap().0, 201);
    assert!(process.live_ids().contains(&lost));
}

#[test]
fn sigterm_ends_waiting_polls_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut process = ServiceProcess::serve(folder.path());
        let (_, answer) = process.post(r#"{"jti": "a"}"#).unwrap();
        let path = format!("/v1/revocations?wait=30&after={}", answer["cursor"].as_str().unwrap());
        let began = Instant::now();
        std::thread::scope(|scope| {
            let poll = scope.spawn(|| process.get(&path));
            while process.get("/v1/status").unwrap().1["waiting_polls"] != 1 {
                std::thread::yield_now();
            }
            process.signal(signal);
            let (status, page) = poll.join().unwrap().expect("an answer");
            assert_eq!((status, &page["cursor"]), (200, &answer["cursor"]));
        });
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{}", process.log());
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    }
}

#[test]
fn a_second_service_on_the_same_store_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let _first = ServiceProcess::serve(folder.path());
    let store = format!("redb:{}", folder.path().join("db").display());
    let second = signout()
        .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
        .env("SIGNOUT_TOKEN", TOKEN)
        .output()
        .unwrap();
    let message = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(message.contains("another process has it open"), "{message}");
}

#[test]
fn no_log_line_contains_a_token_or_an_id() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    process.post(r#"[{"jti": "canary-jti"}, {"user_id": "canary-user"}]"#).unwrap();
    process.post(r#"{"jti": "canary-jti", "exp": "canary-value"}"#).unwrap();
    process.get("/v1/revocations").unwrap();
    let log = process.log();
    assert!(log.contains("revocations received"), "the log is at its most talkative: {log}");
    for secret in [TOKEN, "canary"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}
