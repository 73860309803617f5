//! How does a test get several proxies, several services, and the Redis that they share?

use std::net::SocketAddr;

use crate::{
    Answers, Application, Configuration, Envoy, FaultProxy, Load, Redis, RedisSetup, SIGNOUT_TOKEN,
    Service, Token,
};

/// One Envoy a service, over one Redis, before one application; between any two a network that a
/// test may disturb.
#[derive(Debug)]
pub struct Fleet {
    /// The proxies; each asks the service of its number.
    pub envoys: Vec<Envoy>,
    /// The way of each proxy to its service.
    pub networks: Vec<FaultProxy>,
    /// The services.
    pub services: Vec<Service>,
    /// The way of each service to Redis.
    pub store_networks: Vec<FaultProxy>,
    /// What they share.
    pub redis: Redis,
    /// The upstream; it responds with the request that it received.
    pub application: Application,
}

impl Fleet {
    /// Two of each with the shipped configuration, ready to judge tokens.
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

    /// That many of each, with that Redis.
    #[must_use]
    #[track_caller]
    pub fn of(size: usize, redis: RedisSetup, edit: impl Fn(&mut Configuration)) -> Self {
        let redis = redis.start();
        let application = Application::start();
        let store_networks: Vec<_> = (0..size).map(|_| FaultProxy::to(redis.address())).collect();
        let services: Vec<_> = store_networks
            .iter()
            .map(|network| Service::setup().store(&format!("redis://{}", network.address())))
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
    /// Where clients connect, proxy by proxy.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.envoys.iter().map(Envoy::address).collect()
    }

    /// Clients of all proxies.
    #[must_use]
    pub fn load(&self, answers: Answers, enforced: &[Token]) -> Load {
        Load::start(&self.application, self.addresses(), answers, enforced)
    }
}
