//! The demo: starts the signout service, an application and Envoy, and goes through sign-in,
//! sign-out and a replayed token. `make demo` builds what it needs.
//!
//! On a terminal everything keeps running until Ctrl-C, so that a person can try requests. Secrets
//! and revocations are stored in `target/demo/`. The exit status is 0 only if every step had the
//! expected result.

use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use std::{fs, process, thread};

use demo::walk::Doors;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testbed::{Envoy, Program, SignoutService, command, stop_everything};

fn main() -> ExitCode {
    let stop = stop_on_signal();
    fs::create_dir_all(HOME).expect("a directory below target/");
    let session_secret = secret("session-secret");
    let api_token = secret("api-token");

    println!("starting the signout service, an application and Envoy with two workers …");
    let store = format!("redb:{HOME}/revocations");
    let service = SignoutService::setup().store(&store).env("SIGNOUT_TOKEN", &api_token).start();
    let environment = [("SESSION_SECRET", session_secret.as_str())];
    let application = Program::start("demo-application", &["127.0.0.1:0"], &environment);
    let envoy = Envoy::setup()
        .application(application.address())
        .service(service.address())
        .env("SESSION_SECRET", &session_secret)
        .env("SIGNOUT_TOKEN", &api_token)
        .start();
    envoy.await_guarding();

    let workers = envoy.connection_per_worker().into_iter().enumerate();
    let doors = workers.map(|(number, door)| (format!("worker {number}"), door)).collect();
    let propagation = Duration::ZERO;
    let as_expected = Doors { front: envoy.address(), doors, propagation }.walk();
    println!(
        "\n{}",
        if as_expected { "All results are as expected." } else { "Some results are not (✗)." }
    );
    if stdout().is_terminal() {
        print_what_to_try(&envoy, service.address());
        let _ = stop.recv();
    }
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns a secret of this demo, which the first start generates.
fn secret(name: &str) -> String {
    let path = Path::new(HOME).join(name);
    let made = command("signout").arg("keygen").arg(&path).output().expect("signout runs");
    assert!(made.status.success(), "signout keygen: {}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(path).expect("the secret just made").trim().to_owned()
}

fn print_what_to_try(envoy: &Envoy, service: SocketAddr) {
    let (edge, admin) = (envoy.address(), envoy.admin_address());
    println!(
        "
Everything keeps running until Ctrl-C.
  the application, behind Envoy  http://{edge}/   (a page to click through)
  Envoy's statistics             http://{admin}/stats?filter=session_guard
  the signout service            http://{service}

  curl -c {HOME}/cookies -d name=ada http://{edge}/sign-in
  curl -b {HOME}/cookies http://{edge}/whoami
  curl -b {HOME}/cookies -X POST http://{edge}/sign-out
  curl -b {HOME}/cookies http://{edge}/whoami   # the same token: revoked

  curl -d '{{\"user_id\": \"ada\", \"issued_before\": '$(date +%s)'}}' \\
       -H \"authorization: Bearer $(cat {HOME}/api-token)\" http://{service}/v1/revocations
"
    );
}

/// Returns a channel that receives a message on Ctrl-C or SIGTERM. Before the demo waits for it,
/// a signal stops all processes and ends the program.
fn stop_on_signal() -> Receiver<()> {
    let (sender, stop) = sync_channel(0);
    let mut signals = Signals::new([SIGINT, SIGTERM]).expect("signals can be watched");
    thread::spawn(move || {
        for _ in signals.forever() {
            if sender.try_send(()).is_err() {
                stop_everything();
                process::exit(130);
            }
        }
    });
    stop
}

/// Directory of the demo's secrets and revocations.
const HOME: &str = "target/demo";
