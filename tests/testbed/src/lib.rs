//! Starts a real Envoy, a real signout service and an application for a test.
//!
//! ```no_run
//! use testbed::{Request, Testbed, Token};
//!
//! let bed = Testbed::start(); // Envoy with two workers, the signout service, an application
//! let token = Token::of("ada");
//! for connection in &mut bed.envoy.connection_per_worker() {
//!     assert_eq!(connection.send(&Request::get("/page").bearer(&token)).status, 200);
//! }
//! ```
//!
//! | item | use |
//! | --- | --- |
//! | [`Testbed`] | all three together |
//! | [`Build`] | the proxy-wasm filter or the dynamic module: `SESSION_GUARD_BUILD` |
//! | [`Envoy`], [`Configuration`] | `envoy/envoy.yaml` with changes, statistics, logs, reload |
//! | [`SignoutService`] | the real `signout` with its own store; can be killed and restarted |
//! | [`Redis`] | the store that several services share; can be killed, emptied and paused |
//! | [`Server`] | what both have in common: kill, pause, restart, log |
//! | [`Fleet`] | several Envoys and services over one Redis |
//! | [`AskingBed`], [`AskingProxy`] | NGINX, Caddy or Envoy that asks the service about each request |
//! | [`Front`] | a proxy in front of several guarded Envoys, as in the compose example |
//! | [`Program`], [`Script`] | any other program of the workspace, or a Python script |
//! | [`Prometheus`], [`Alertmanager`] | the metrics and alerts that an operator would see, and who is paged |
//! | [`Application`], [`Reply`], [`Seen`] | the upstream: responds with the request it received, or as configured |
//! | [`BareApplication`] | an upstream that accepts any request line |
//! | [`FaultProxy`], [`Fault`] | a TCP proxy that delays, cuts, flips bits or responds with given bytes |
//! | [`Connection`], [`Http2`], [`Http2Stream`], [`Request`], [`HttpResponse`] | clients that can also send malformed requests |
//! | [`frames`] | raw HTTP/2 frames |
//! | [`Load`], [`UnavailablePolicy`] | continuous requests whose invariants hold during every fault |
//! | [`under_load`] | a change of Envoy while clients send requests |
//! | [`Token`] | valid and invalid tokens |
//! | [`TokenSigner`], [`forged`] | keys of every algorithm, and tokens that are not signed by them |
//! | [`repository`] | the files of the repository |
//! | [`Shared`] | one instance for all tests of a file |
//! | [`eventually`] | waits for a condition, never for a fixed time |
//! | [`address_at`] | a fixed port if it is free |
//!
//! Everything stops when it is dropped. A test that panics prints the logs of its processes and
//! keeps its directories. If something must be built first, the test fails with the command to run;
//! no test is skipped silently.

mod alertmanager;
mod application;
mod artifacts;
mod asking;
mod bare_application;
mod build;
mod configuration;
mod connection;
mod envoy;
mod eventually;
mod fault_proxy;
mod fleet;
pub mod frames;
mod front;
mod http2;
mod load;
mod ports;
mod process;
mod program;
mod prometheus;
mod redis;
pub mod repository;
mod request;
mod response;
mod server;
mod service;
mod shared;
mod signer;
mod token;
mod vitals;

pub use alertmanager::Alertmanager;
pub use application::{Application, Reply, Seen};
pub use asking::{AskingBed, AskingProxy};
pub use bare_application::BareApplication;
pub use build::{Build, native_configuration};
pub use configuration::Configuration;
pub use connection::Connection;
pub use envoy::{Envoy, EnvoySetup};
pub use eventually::{eventually, until};
pub use fault_proxy::{ConnectionEnd, Fault, FaultProxy};
pub use fleet::Fleet;
pub use front::Front;
pub use http2::{Http2, Http2Stream};
pub use load::{Load, ResponseCounts, UnavailablePolicy, under_load};
pub use ports::address_at;
pub use process::stop_everything;
pub use program::{Program, Script, command};
pub use prometheus::Prometheus;
pub use redis::{Redis, RedisSetup};
pub use request::Request;
pub use response::HttpResponse;
pub use server::{Server, ServerSetup};
pub use service::{ServiceSetup, SignoutService};
pub use shared::Shared;
pub use signer::{TokenSigner, forged};
pub use token::{Token, unix_seconds};
pub use vitals::{come_first, open_files, processor_ticks, resident_kib, workers_nanoseconds};

/// The secret in Envoy's `SESSION_SECRET`; [`Token::of`] signs with it.
pub const SESSION_SECRET: &str = "testbed-session-secret-of-44-characters-long";

/// The API token in `SIGNOUT_TOKEN` of Envoy and the service.
pub const SIGNOUT_TOKEN: &str = "testbed-signout-token-of-44-characters-length";

/// Returns the filter's compiled module.
///
/// # Panics
/// The module is missing or older than its sources.
#[must_use]
pub fn filter() -> Vec<u8> {
    std::fs::read(artifacts::filter("session_guard", Build::Wasm)).expect("the filter's module")
}

/// Envoy in front of an application, with a signout service, on one machine.
#[derive(Debug)]
pub struct Testbed {
    /// The Envoy under test.
    pub envoy: Envoy,
    /// The network between Envoy and the service, in which a test can inject faults.
    pub network: FaultProxy,
    /// The signout service.
    pub service: SignoutService,
    /// The upstream; it responds with the request that it received.
    pub application: Application,
}

impl Testbed {
    /// Starts all of them with the shipped configuration and waits until both workers are ready.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Like the above, with an edited configuration.
    #[must_use]
    #[track_caller]
    pub fn with(edit: impl FnOnce(&mut Configuration)) -> Self {
        let bed = Self::from(|setup| setup.edit(edit), Fault::None);
        bed.envoy.await_guarding();
        bed
    }

    /// Starts an Envoy that has never reached the service: [`Testbed::network`] refuses connections.
    #[must_use]
    #[track_caller]
    pub fn cut_off(edit: impl FnOnce(&mut Configuration)) -> Self {
        Self::from(|setup| setup.edit(edit), Fault::Refuse)
    }

    /// Starts all of them with the given Envoy set-up and the given network fault.
    #[must_use]
    #[track_caller]
    pub fn from(change: impl FnOnce(EnvoySetup) -> EnvoySetup, fault: Fault) -> Self {
        Self::of(SignoutService::start(), change, fault)
    }

    /// Uses a service that the test has started.
    #[must_use]
    #[track_caller]
    pub fn of(
        service: SignoutService,
        change: impl FnOnce(EnvoySetup) -> EnvoySetup,
        fault: Fault,
    ) -> Self {
        let application = Application::start();
        let network = FaultProxy::to(service.address());
        network.set(fault);
        let setup = Envoy::setup().application(application.address()).service(network.address());
        Self { envoy: change(setup).start(), network, service, application }
    }

    /// Starts another Envoy for the same application and service, with the shipped configuration and
    /// without network faults, and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn another_envoy(&self) -> Envoy {
        self.another_envoy_with(|_| {})
    }

    /// Like the above, with an edited configuration.
    #[must_use]
    #[track_caller]
    pub fn another_envoy_with(&self, edit: impl FnOnce(&mut Configuration)) -> Envoy {
        let setup = Envoy::setup().application(self.application.address());
        let envoy = setup.service(self.service.address()).edit(edit).start();
        envoy.await_guarding();
        envoy
    }
}

mod runtime {
    //! The async runtime of the servers inside the test process.

    use std::sync::LazyLock;

    use tokio::runtime::{Builder, Runtime};

    pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    });
}
