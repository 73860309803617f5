//! Promise: the service does not start with a Redis of another installation, or with a damaged
//! store.
//! Method: the real binary.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use testbed::Redis;

use crate::support::{ServiceProcess, signout};

/// Starts `signout serve` with these arguments. Returns its error message, or `None` if it serves.
fn serve(token: &str, arguments: &[&str]) -> Option<String> {
    let mut command: Command = signout();
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
    command.env("SIGNOUT_TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = [0; 64];
    // The first line of the output is the address. The output ends if the process ends.
    let read = std::io::Read::read(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    if read > 0 {
        child.kill().unwrap();
        child.wait().unwrap();
        return None;
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    Some(String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_second_installation_on_one_redis_does_not_start() {
    let redis = Redis::start();
    let store = ["--store", &redis.url()];
    let staging = [store[0], store[1], "--redis-prefix", "staging"];
    let adopt = [store[0], store[1], "--redis-adopt"];
    assert_eq!(serve("production-token-1,production-token-2", &store), None);
    let refused = serve("staging-token-1", &store).expect("it does not start");
    assert!(refused.contains("another installation"), "{refused}");
    assert!(refused.contains("--redis-prefix") && refused.contains("--redis-adopt"), "{refused}");
    assert_eq!(serve("staging-token-1", &staging), None);
    assert_eq!(serve("production-token-2,production-token-3", &store), None, "rotated");
    assert_eq!(serve("staging-token-1", &adopt), None);
    assert!(serve("production-token-3", &store).is_some(), "its keys were taken over");
}

#[test]
fn a_damaged_file_prevents_the_start_and_names_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    process.post(r#"[{"jti": "a"}, {"jti": "b"}]"#).unwrap();
    let id: Vec<u8> = process.live_ids()[0]
        .as_bytes()
        .chunks(2)
        .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap())
        .collect();
    process.signal("TERM");
    let ended = Instant::now();
    let mut process = process;
    while process.child.try_wait().unwrap().is_none() {
        assert!(ended.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let path = folder.path().join("db");
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<_> =
        (0..bytes.len() - 16).filter(|at| bytes[*at..*at + 16] == id[..]).collect();
    places.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(&path, bytes).unwrap();
    let store = format!("redb:{}", path.display());
    let refused = serve("token", &["--store", &store]).expect("it does not start");
    assert!(refused.contains("has a wrong checksum"), "{refused}");
    assert!(refused.contains("Restore a backup"), "{refused}");
}
