//! Promise: the service speaks HTTPS, and the command line verifies its certificate.
//! Method: the real binary.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::support::{ServiceProcess, TOKEN, signout};

/// Writes a new certificate for 127.0.0.1 and its key.
pub(crate) fn renew(folder: &Path, certificate: &str, key: &str) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join(certificate), made.cert.pem()).unwrap();
    fs::write(folder.join(key), made.signing_key.serialize_pem()).unwrap();
}

fn serve(folder: &Path) -> ServiceProcess {
    renew(folder, "tls.crt", "tls.key");
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name));
    let options = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    ServiceProcess::serve_with_options(folder, &[&options[..], &["--head-timeout", "1"]].concat())
}

/// Runs a command that trusts this certificate. Returns its exit code and standard error.
fn run(process: &ServiceProcess, ca: Option<&Path>, arguments: &[&str]) -> (i32, String) {
    let mut command = signout();
    command.args(arguments).args(["--url", &process.url]).env("SIGNOUT_TOKEN", TOKEN);
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn every_command_works_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let process = serve(folder.path());
    assert!(process.url.starts_with("https://"), "{}", process.url);
    let ca = folder.path().join("tls.crt");
    for arguments in [&["revoke", "--jti", "a"][..], &["list"], &["status"]] {
        let (code, error) = run(&process, Some(&ca), arguments);
        assert_eq!(code, 0, "{arguments:?}: {error}");
        let (code, error) = run(&process, None, arguments);
        assert_eq!(code, 3, "an unknown authority: {error}");
        assert!(error.contains("certificate"), "{error}");
    }
}

#[test]
fn a_renewed_certificate_is_served_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let process = serve(folder.path());
    let [first, broken, renewed] = ["first", "broken", "renewed"].map(|it| folder.path().join(it));
    fs::copy(folder.path().join("tls.crt"), &first).unwrap();
    assert_eq!(run(&process, Some(&first), &["status"]).0, 0);
    // At first only the certificate is replaced, so it does not belong to the key.
    renew(folder.path(), "broken", "broken.key");
    fs::copy(&broken, folder.path().join("tls.crt")).unwrap();
    eventually(|| process.log().contains("the previous one stays in use"));
    assert_eq!(run(&process, Some(&first), &["status"]).0, 0);
    renew(folder.path(), "tls.crt", "tls.key");
    fs::copy(folder.path().join("tls.crt"), &renewed).unwrap();
    eventually(|| run(&process, Some(&renewed), &["status"]).0 == 0);
    assert_eq!(run(&process, Some(&first), &["status"]).0, 3);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    renew(folder.path(), "a.crt", "a.key");
    renew(folder.path(), "b.crt", "b.key");
    fs::write(folder.path().join("empty"), "").unwrap();
    for (certificate, key, said) in [
        ("none.crt", "a.key", "cannot read"),
        ("a.crt", "none.key", "cannot read"),
        ("empty", "a.key", "no certificate in PEM"),
        ("a.key", "a.key", "no certificate in PEM"),
        ("a.crt", "a.crt", "no private key in PEM"),
        ("a.crt", "b.key", "cannot be used together"),
    ] {
        let store = format!("redb:{}", path("db"));
        let output = signout()
            .args(["serve", "--listen", "127.0.0.1:0", "--store", &store])
            .args(["--tls-cert", &path(certificate), "--tls-key", &path(key)])
            .env("SIGNOUT_TOKEN", TOKEN)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{certificate} {key}: {error}");
    }
}

#[test]
fn a_slow_handshake_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let process = serve(folder.path());
    let mut stream = TcpStream::connect(process.url.strip_prefix("https://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(matches!(std::io::Read::read(&mut stream, &mut [0]), Ok(0)), "closed, not waited for");
}
