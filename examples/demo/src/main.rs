//! The demo: starts the signout service, an application and two Envoys, and shows what ends at a
//! sign-out. `make demo` builds what it needs.
//!
//! On a terminal everything keeps running until Ctrl-C, so that a person can try requests. Secrets and
//! revocations are stored in a new directory below `target/`, so that two demos do not share them; it
//! is removed at the end. The exit status is 0 only if every step had the expected result.

use std::io::{IsTerminal, stdout};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;
use std::{fs, process, thread};

use demo::IdentityProvider;
use demo::story::{Door, Story};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;
use testbed::{Build, Envoy, Program, SignoutService, address_at, command, stop_everything};

fn main() -> ExitCode {
    fs::create_dir_all("target").expect("a directory");
    let folder = TempDir::with_prefix_in("demo-", "target").expect("a directory below target/");
    let home = folder.path();
    let stop = stop_on_signal(home.to_owned());
    let filter = match Build::chosen() {
        Build::Wasm => "proxy-wasm",
        Build::Native => "dynamic module",
    };
    println!("starting the signout service, an application and two Envoys ({filter}) …");
    let start = Instant::now();
    let secrets = DemoSecrets::make(home);
    let provider = IdentityProvider::new();
    let service = start_service(home, &secrets, &provider);
    let application = start_application(&secrets);
    let start_envoy = |port| start_envoy(port, &secrets, application.address(), service.address());
    // Both compile the filter at their start, which takes longest.
    let edges = thread::scope(|scope| {
        let edges = [8080, 8081].map(|port| scope.spawn(move || start_envoy(port)));
        edges.map(|edge| edge.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    println!("ready after {:.1} s", start.elapsed().as_secs_f64());

    let provider = Some((provider, service.address()));
    let story = Story { front: edges[0].address(), doors: doors(&edges), provider };
    let as_expected = story.tell();
    println!(
        "\n{}",
        if as_expected { "All results are as expected." } else { "Some results are not (✗)." }
    );
    if stdout().is_terminal() {
        print_what_to_try(home, &edges, service.address());
        let _ = stop.recv();
    }
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The secrets of this demo.
struct DemoSecrets {
    session: String,
    api_token: String,
}

impl DemoSecrets {
    fn make(home: &Path) -> Self {
        Self { session: secret(home, "session-secret"), api_token: secret(home, "api-token") }
    }
}

fn secret(home: &Path, name: &str) -> String {
    let path = home.join(name);
    let made = command("signout").arg("keygen").arg(&path).output().expect("signout runs");
    assert!(made.status.success(), "signout keygen: {}", String::from_utf8_lossy(&made.stderr));
    fs::read_to_string(path).expect("the secret just made").trim().to_owned()
}

fn start_service(
    home: &Path,
    secrets: &DemoSecrets,
    provider: &IdentityProvider,
) -> SignoutService {
    let home = home.display();
    let issuers = format!("{home}/issuers.json");
    fs::write(&issuers, provider.issuers_file().to_string()).expect("a file below target/");
    let setup = SignoutService::setup().prefer(address_at(8090));
    let setup = setup.store(&format!("redb:{home}/revocations")).argument("--issuers");
    setup.argument(&issuers).env("SIGNOUT_TOKEN", &secrets.api_token).start()
}

fn start_application(secrets: &DemoSecrets) -> Program {
    let environment = [("SESSION_SECRET", secrets.session.as_str())];
    Program::start("demo-application", &["127.0.0.1:0"], &environment)
}

/// Starts an Envoy at this port, or at a free one, and waits until it has loaded the revocations.
fn start_envoy(
    port: u16,
    secrets: &DemoSecrets,
    application: SocketAddr,
    service: SocketAddr,
) -> Envoy {
    let setup = Envoy::setup()
        .application(application)
        .service(service)
        .env("SESSION_SECRET", &secrets.session)
        .env("SIGNOUT_TOKEN", &secrets.api_token);
    let fixed = setup.clone().listen(address_at(port)).try_start();
    let envoy = fixed.unwrap_or_else(|_| setup.start()); // another process may have taken the port
    envoy.await_guarding();
    envoy
}

/// Opens a connection to each worker of each Envoy.
fn doors(edges: &[Envoy]) -> Vec<Door> {
    let mut doors = Vec::new();
    for (edge, envoy) in (1..).zip(edges) {
        for (worker, connection) in envoy.connection_per_worker().into_iter().enumerate() {
            let (proxy, address) = (format!("edge {edge}"), envoy.address());
            doors.push(Door { proxy, worker: Some(worker), address, connection });
        }
    }
    doors
}

fn print_what_to_try(home: &Path, edges: &[Envoy], service: SocketAddr) {
    let home = home.display();
    let [edge_1, edge_2] = [0, 1].map(|edge| edges[edge].address());
    let [admin_1, admin_2] = [0, 1].map(|edge| edges[edge].admin_address());
    println!(
        "
Everything keeps running until Ctrl-C.
  the application, behind edge 1  http://{edge_1}/   (a page to click through)
  behind edge 2                   http://{edge_2}/
  statistics of edge 1            http://{admin_1}/stats?filter=session_guard
  statistics of edge 2            http://{admin_2}/stats?filter=session_guard
  the signout service             http://{service}

Sign in, and open a stream at edge 2:
  curl -c {home}/cookies -d name=ada http://{edge_1}/sign-in
  curl -N -b {home}/cookies http://{edge_2}/events
Sign out at edge 1, in another terminal, and send the same token again:
  curl -b {home}/cookies -X POST http://{edge_1}/sign-out
  curl -b {home}/cookies http://{edge_2}/whoami
Sign ada out everywhere:
  curl -d '{{\"user_id\": \"ada\"}}' \\
       -H \"authorization: Bearer $(cat {home}/api-token)\" http://{service}/v1/revocations
"
    );
}

/// Returns a channel that receives a message on Ctrl-C or SIGTERM. Before the demo waits for it,
/// a signal stops all processes, removes the directory and ends the program.
fn stop_on_signal(home: PathBuf) -> Receiver<()> {
    let (sender, stop) = sync_channel(0);
    let mut signals = Signals::new([SIGINT, SIGTERM]).expect("signals can be watched");
    thread::spawn(move || {
        for _ in signals.forever() {
            if sender.try_send(()).is_err() {
                stop_everything();
                let _ = fs::remove_dir_all(&home);
                process::exit(130);
            }
        }
    });
    stop
}
