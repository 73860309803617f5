//! Promise: the listener of forward auth speaks HTTPS if it is told to, and a proxy that is not set up
//! cannot fill the log.
//! Method: the real binary.

use std::fs;
use std::path::Path;

use crate::support::{ServiceProcess, TOKEN, signout};
use crate::tls::renew;

const SECRET: &str = "4d8c1fbb0a7e4c0f9b9d2f6f2b6a3c11";

/// Starts a service with forward auth. Returns it and the address of forward auth.
fn guarding(folder: &Path, options: &[&str]) -> (ServiceProcess, String) {
    let filter = folder.join("filter.json");
    let text = r#"{"keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "routes": [{"path": "/", "access": "public"}], "revocation": {}}"#;
    fs::write(&filter, text).unwrap();
    let guard = ["--guard", filter.to_str().unwrap(), "--guard-listen", "127.0.0.1:0"];
    let environment = [("SIGNOUT_TOKEN", TOKEN), ("SESSION_SECRET", SECRET)];
    let process = ServiceProcess::receiving(folder, &environment, &[&guard[..], options].concat());
    let address = process.said.split("guarding on ").nth(1).unwrap();
    let end = address.find("listening on ").unwrap();
    let address = address[..end].to_owned();
    (process, address)
}

/// Sends a check of the public page in the form of Envoy. Returns its status.
fn check(address: &str, certificate: Option<&Path>, path: &str) -> Result<u16, ureq::Error> {
    let mut config = ureq::Agent::config_builder().http_status_as_error(false);
    if let Some(certificate) = certificate {
        let pem = fs::read(certificate).unwrap();
        let root = ureq::tls::Certificate::from_pem(&pem).unwrap();
        let roots = ureq::tls::RootCerts::from(vec![root]);
        config = config.tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build());
    }
    let agent: ureq::Agent = config.build().into();
    agent.get(format!("{address}{path}")).call().map(|response| response.status().as_u16())
}

#[test]
fn forward_auth_speaks_https_only_if_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    renew(folder.path(), "tls.crt", "tls.key");
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    let files = ["--tls-cert", certificate.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    for (tls, scheme) in [(&[][..], "http://"), (&["--guard-tls"], "https://")] {
        let (process, address) = guarding(folder.path(), &[&files, tls].concat());
        assert!(address.starts_with(scheme) && process.url.starts_with("https://"), "{address}");
        let status = check(&address, Some(&certificate), "/healthz").unwrap();
        assert_eq!(status, 200, "{address}");
        let other = address.replace("https://", "http+").replace("http://", "https://");
        let other = other.replace("http+", "http://");
        let of_other = check(&other, Some(&certificate), "/healthz");
        assert!(of_other.is_err(), "{other}: {of_other:?}");
    }
}

#[test]
fn https_for_forward_auth_needs_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("db").display());
    let output = signout()
        .args(["serve", "--store", &store, "--guard", "filter.json", "--guard-tls"])
        .env("SIGNOUT_TOKEN", TOKEN)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--tls-cert"));
}

#[test]
fn checks_without_a_request_are_logged_once_for_each_header() {
    let folder = tempfile::tempdir().unwrap();
    let (process, address) = guarding(folder.path(), &[]);
    for _ in 0..5 {
        for path in ["/check/original", "/check/forwarded"] {
            assert_eq!(check(&address, None, path).unwrap(), 400);
        }
    }
    // Each line is written before its check gets a response.
    assert_eq!(process.log().matches("its proxy is not set up").count(), 2, "{}", process.log());
}
