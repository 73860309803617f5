//! Starts several proxies and several services that share one Redis.

use std::net::SocketAddr;

use crate::{
    Application, Configuration, Envoy, FaultProxy, Load, Redis, RedisSetup, SIGNOUT_TOKEN,
    SignoutService, Token, UnavailablePolicy,
};

/// One Envoy per service, one Redis and one application. Each link is a network in which a
/// test can inject faults.
#[derive(Debug)]
pub struct Fleet {
    /// The proxies; each polls the service with its index.
    pub envoys: Vec<Envoy>,
    /// The network between each proxy and its service.
    pub networks: Vec<FaultProxy>,
    /// The services.
    pub services: Vec<SignoutService>,
    /// The network between each service and Redis.
    pub store_networks: Vec<FaultProxy>,
    /// The shared store.
    pub redis: Redis,
    /// The upstream; it responds with the request that it received.
    pub application: Application,
}

impl Fleet {
    /// Starts two of each with the shipped configuration and waits until the proxies are ready.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Like the above, with an edited configuration.
    #[must_use]
    #[track_caller]
    pub fn with(edit: impl Fn(&mut Configuration)) -> Self {
        Self::of(2, Redis::setup(), edit)
    }

    /// Starts the given number of each, with the given Redis.
    #[must_use]
    #[track_caller]
    pub fn of(size: usize, redis: RedisSetup, edit: impl Fn(&mut Configuration)) -> Self {
        let redis = redis.start();
        let application = Application::start();
        let store_networks: Vec<_> = (0..size).map(|_| FaultProxy::to(redis.address())).collect();
        let services: Vec<_> = store_networks
            .iter()
            .map(|network| SignoutService::setup().store(&format!("redis://{}", network.address())))
            .map(|setup| setup.env("SIGNOUT_TOKEN", SIGNOUT_TOKEN).start())
            .collect();
        let networks: Vec<_> =
            services.iter().map(|service| FaultProxy::to(service.address())).collect();
        let envoys: Vec<_> = networks
            .iter()
            .map(|network| {
                let setup = Envoy::setup().application(application.address());
                setup.service(network.address()).edit(&edit).start()
            })
            .collect();
        for envoy in &envoys {
            envoy.await_guarding();
        }
        Self { envoys, networks, services, store_networks, redis, application }
    }
    /// Returns the listener address of each proxy.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.envoys.iter().map(Envoy::address).collect()
    }

    /// Starts a [`Load`] on all proxies.
    #[must_use]
    pub fn load(&self, answers: UnavailablePolicy, enforced: &[Token]) -> Load {
        Load::start(&self.application, self.addresses(), answers, enforced)
    }
}
