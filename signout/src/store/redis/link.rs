//! The connection to a Redis: one server, the primary that Sentinels name, or a Cluster.
//!
//! After any error on a connection the next use opens a new one, which finds the new primary after
//! a failover.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisResult,
    TlsCertificates, TlsMode,
};

use super::super::StoreError;

/// The address of a Redis: one server, Sentinels or a Cluster.
pub struct Link {
    way: Way,
    name: String,
}

enum Way {
    One(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

/// A connection to one server or to a Cluster.
pub(super) enum Connected {
    One(Box<redis::Connection>),
    Cluster(Box<ClusterConnection>),
}

impl Connected {
    /// Executes the command.
    pub(super) fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => command.query(connection.as_mut()),
            Self::Cluster(connection) => command.query(connection.as_mut()),
        }
    }
}

impl Link {
    /// Parses an address: `redis://[user:password@]host[:port][/db]`,
    /// `redis+sentinel://[user:password@]host:port,host:port/primary[/db]` or
    /// `redis+cluster://[user:password@]host:port,host:port`. User and password are those of the
    /// Redis servers, not of the Sentinels. Each scheme has a form with `rediss` for TLS; the
    /// server is then verified with the certificates in `ca` (PEM), or with the system's.
    ///
    /// # Errors
    ///
    /// The address has another form, or `ca` cannot be read.
    pub fn new(address: &str, ca: Option<&Path>) -> Result<Self, StoreError> {
        let name = without_password(address);
        let wrong = |error: &dyn fmt::Display| StoreError::new(&name, error);
        let certificates = match ca {
            Some(path) => {
                let pem =
                    std::fs::read(path).map_err(|error| StoreError::new(path.display(), error))?;
                TlsCertificates { client_tls: None, root_cert: Some(pem) }
            }
            None => TlsCertificates { client_tls: None, root_cert: None },
        };
        let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong(&NO_ADDRESS))?;
        let way = match scheme {
            "redis" => Client::open(address).map(Way::One),
            "rediss" => Client::build_with_tls(address, certificates).map(Way::One),
            "redis+sentinel" | "rediss+sentinel" => {
                sentinel(rest, scheme.starts_with("rediss"), certificates)
                    .map(|client| Way::Sentinel(Mutex::new(client)))
            }
            "redis+cluster" | "rediss+cluster" => {
                cluster(rest, scheme.starts_with("rediss"), certificates).map(Way::Cluster)
            }
            _ => return Err(wrong(&NO_ADDRESS)),
        };
        let way = way.map_err(|error| wrong(&error))?;
        Ok(Self { way, name: format!("the store {name}") })
    }

    /// Returns the address for messages, without user and password.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether this is a Cluster. In a Cluster, `WAIT` cannot be used, because the command
    /// does not say which node it is for.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
    }

    /// Opens a connection. Its commands wait at most `response_timeout` for a response.
    pub(super) fn connect(&self, response_timeout: Duration) -> RedisResult<Connected> {
        let client = match &self.way {
            Way::One(client) => client.clone(),
            Way::Sentinel(client) => {
                client.lock().unwrap_or_else(PoisonError::into_inner).get_client()?
            }
            Way::Cluster(client) => {
                let connection = client.get_connection()?;
                connection.set_read_timeout(Some(response_timeout))?;
                connection.set_write_timeout(Some(response_timeout))?;
                return Ok(Connected::Cluster(Box::new(connection)));
            }
        };
        let connection = client.get_connection_with_timeout(CONNECT_TIMEOUT)?;
        connection.set_read_timeout(Some(response_timeout))?;
        connection.set_write_timeout(Some(response_timeout))?;
        Ok(Connected::One(Box::new(connection)))
    }
}

fn sentinel(rest: &str, tls: bool, certs: TlsCertificates) -> RedisResult<SentinelClient> {
    let (nodes, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (primary, db) = path.split_once('/').unwrap_or((path, "0"));
    let nodes = nodes_of(nodes, tls)?;
    let login = nodes.first().map(|node| node.redis_settings().clone()).unwrap_or_default();
    let addresses = nodes.iter().map(|node| node.addr().clone());
    let addresses: Vec<ConnectionAddr> = addresses.collect();
    let mut builder = SentinelClientBuilder::new(addresses, primary, SentinelServerType::Master)?
        .set_client_to_redis_db(db.parse().unwrap_or_default());
    if let Some(username) = login.username() {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = login.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certs.clone())
            .set_client_to_sentinel_certificates(certs);
    }
    builder.build()
}

fn cluster(rest: &str, tls: bool, certificates: TlsCertificates) -> RedisResult<ClusterClient> {
    let nodes = rest.split_once('/').map_or(rest, |(nodes, _)| nodes);
    let builder = ClusterClient::builder(nodes_of(nodes, tls)?)
        .connection_timeout(CONNECT_TIMEOUT)
        .retries(CLUSTER_RETRIES);
    if tls { builder.certs(certificates).build() } else { builder.build() }
}

/// Parses a list of nodes. A user and password before the first node are set for all of them.
fn nodes_of(list: &str, tls: bool) -> RedisResult<Vec<ConnectionInfo>> {
    let (login, nodes) = match list.rsplit_once('@') {
        Some((login, nodes)) => (format!("{login}@"), nodes),
        None => (String::new(), list),
    };
    let scheme = if tls { "rediss" } else { "redis" };
    let node = |node| format!("{scheme}://{login}{node}").into_connection_info();
    nodes.split(',').map(node).collect()
}

fn without_password(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => address.to_owned(),
    }
}

const NO_ADDRESS: &str = "this is not the address of a Redis";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The number of retries of one command. They suffice to follow a slot to another node. After that
/// the caller retries.
const CLUSTER_RETRIES: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redis_addresses_are_accepted_and_passwords_hidden() {
        for address in [
            "redis://127.0.0.1",
            "redis://:secret@127.0.0.1:6380/2",
            "rediss://user:secret@redis.example",
            "redis+sentinel://a:26379,b:26379/main",
            "rediss+sentinel://:secret@a:26379,b:26379/main/1",
            "redis+cluster://a:1,b:2",
        ] {
            let link = Link::new(address, None).map_err(|error| panic!("{address}: {error}"));
            assert!(link.is_ok_and(|link| !link.name().contains("secret")));
        }
        for address in ["redis", "http://a", "redis://", "redis+sentinel://"] {
            assert!(Link::new(address, None).is_err(), "{address}");
        }
    }
}
