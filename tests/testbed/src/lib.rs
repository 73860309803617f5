//! How does a test get a real Envoy, a real service and an application?
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
//! | what | for |
//! | --- | --- |
//! | [`Testbed`] | all three together |
//! | [`Envoy`], [`Configuration`] | `envoy/envoy.yaml` with changes, statistics, logs, reload |
//! | [`Service`] | the real `signout` on a store of its own: kill it, start it again |
//! | [`Redis`] | the store that several services share: kill it, rob it, pause it |
//! | [`Fleet`] | several Envoys and services over one Redis |
//! | [`Program`], [`Script`] | any other program of the workspace, or one in Python |
//! | [`Prometheus`] | what an operator would see and be told |
//! | [`Application`], [`Reply`], [`Seen`] | the upstream: answers with what it saw, or as told |
//! | [`BareApplication`] | an upstream that takes any request line |
//! | [`FaultProxy`], [`Fault`] | between two of them: delay, cut, flip a bit, answer nonsense |
//! | [`Connection`], [`Http2`], [`Http2Stream`], [`Request`], [`Answer`] | clients that can send what nobody should |
//! | [`frames`] | HTTP/2 by hand |
//! | [`Load`], [`Answers`] | what must hold all the while, whatever breaks |
//! | [`Token`] | tokens, right and wrong |
//! | [`repository`] | the files that ship |
//! | [`Shared`] | one of these for all tests of a file |
//! | [`eventually`] | waits for a condition, never for a time |
//!
//! Everything stops when it is dropped. A test that panics prints the logs of what it started and
//! leaves its directories in place. Whatever must be built first is named with the command to run;
//! nothing is skipped.

mod answer;
mod application;
mod artifacts;
mod bare_application;
mod configuration;
mod connection;
mod envoy;
mod eventually;
mod fault_proxy;
mod fleet;
pub mod frames;
mod http2;
mod load;
mod ports;
mod process;
mod program;
mod prometheus;
mod redis;
pub mod repository;
mod request;
mod service;
mod shared;
mod token;
mod vitals;

pub use answer::Answer;
pub use application::{Application, Reply, Seen};
pub use bare_application::BareApplication;
pub use configuration::Configuration;
pub use connection::Connection;
pub use envoy::{Envoy, EnvoySetup};
pub use eventually::{eventually, until};
pub use fault_proxy::{Ending, Fault, FaultProxy};
pub use fleet::Fleet;
pub use http2::{Http2, Http2Stream};
pub use load::{Answers, Counts, Load};
pub use process::stop_everything;
pub use program::{Program, Script, command};
pub use prometheus::Prometheus;
pub use redis::{Redis, RedisSetup};
pub use request::Request;
pub use service::{Service, ServiceSetup};
pub use shared::Shared;
pub use token::{Token, unix_seconds};
pub use vitals::{come_first, open_files, processor_ticks, resident_kib};

/// The secret that Envoy gets as `SESSION_SECRET` and [`Token::of`] signs with.
pub const SESSION_SECRET: &str = "testbed-session-secret-of-44-characters-long";

/// The API token that Envoy and the service get as `SIGNOUT_TOKEN`.
pub const SIGNOUT_TOKEN: &str = "testbed-signout-token-of-44-characters-length";

/// The filter's module, as built.
///
/// # Panics
/// It is missing, or older than its sources.
#[must_use]
pub fn filter() -> Vec<u8> {
    std::fs::read(artifacts::filter("session_guard")).expect("the filter's module")
}

/// Envoy before an application, with a service behind it: as in production, on one machine.
#[derive(Debug)]
pub struct Testbed {
    /// The proxy under test.
    pub envoy: Envoy,
    /// Its way to the service, which a test may disturb.
    pub network: FaultProxy,
    /// Takes revocations and serves the feed.
    pub service: Service,
    /// Answers with what it saw.
    pub application: Application,
}

impl Testbed {
    /// All with the shipped configuration and two workers, each of them ready to judge tokens.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// The same with a changed configuration.
    #[must_use]
    #[track_caller]
    pub fn with(edit: impl FnOnce(&mut Configuration)) -> Self {
        let bed = Self::from(|setup| setup.edit(edit), Fault::None);
        bed.envoy.await_guarding();
        bed
    }

    /// The same before Envoy has ever reached the service: nobody listens at [`Testbed::network`].
    #[must_use]
    #[track_caller]
    pub fn cut_off(edit: impl FnOnce(&mut Configuration)) -> Self {
        Self::from(|setup| setup.edit(edit), Fault::Refuse)
    }

    /// The same with anything that can be said of an Envoy, and that fault in its network.
    #[must_use]
    #[track_caller]
    pub fn from(change: impl FnOnce(EnvoySetup) -> EnvoySetup, fault: Fault) -> Self {
        Self::of(Service::start(), change, fault)
    }

    /// The same with a service that the test has started.
    #[must_use]
    #[track_caller]
    pub fn of(
        service: Service,
        change: impl FnOnce(EnvoySetup) -> EnvoySetup,
        fault: Fault,
    ) -> Self {
        let application = Application::start();
        let network = FaultProxy::to(service.address());
        network.set(fault);
        let setup = Envoy::setup().application(application.address()).service(network.address());
        Self { envoy: change(setup).start(), network, service, application }
    }

    /// Another Envoy before the same application and service, with the shipped configuration and
    /// an undisturbed network, ready to judge tokens.
    #[must_use]
    #[track_caller]
    pub fn another_envoy(&self) -> Envoy {
        self.another_envoy_with(|_| {})
    }

    /// The same with a changed configuration.
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
    //! Where do the servers inside the test process run?

    use std::sync::LazyLock;

    use tokio::runtime::{Builder, Runtime};

    pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    });
}
