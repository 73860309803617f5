//! The Envoy of the matrix: a listener for each subject, algorithm and number of keys.
//!
//! Each is the shipped listener with other keys. Envoy itself responds to what the filter forwards,
//! so a valid request costs as little as possible.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use testbed::{Configuration, Envoy, TokenSigner};

use super::{ALGORITHMS, KEYS, MeasuredFilter};
use crate::cold_start;
use crate::listeners::{NOBODY, answer_directly};

/// The name of a listener, and of its statistics.
pub(super) fn name(subject: MeasuredFilter, algorithm: &str, keys: usize) -> String {
    format!("{}_{algorithm}_{keys}", subject.name())
}

/// Makes the shipped configuration one with all listeners.
pub(super) fn configure(
    configuration: &mut Configuration,
    signers: &[Vec<TokenSigner>],
    service: SocketAddr,
) {
    let manager = configuration.connection_manager();
    manager["access_log"] = json!([]); // costs every request the same
    answer_directly(manager);
    configuration.set_address("application", NOBODY);
    configuration.set_address("signout", service);
    let (shipped, filter) = (configuration.listener().clone(), configuration.filter.clone());
    let mut listeners = Vec::new();
    for (algorithm, signers) in ALGORITHMS.into_iter().zip(signers) {
        for keys in KEYS {
            for subject in MeasuredFilter::ALL {
                let name = name(subject, algorithm, keys);
                let mut listener = shipped.clone();
                listener["name"] = json!(name);
                let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
                manager["stat_prefix"] = json!(name);
                let plugin = &mut manager["http_filters"][0];
                match subject {
                    MeasuredFilter::JwtAuthn => *plugin = jwt_authn(&signers[..keys]),
                    ours => {
                        let mut filter = filter.clone();
                        let keys = signers[..keys].iter().map(TokenSigner::key).collect();
                        filter["keys"] = Value::Array(keys);
                        // A realm for each, so that a sign-out concerns one listener only.
                        filter["revocation"]["realm"] = json!(name);
                        let config = &mut plugin["typed_config"]["config"];
                        config["configuration"]["value"] = json!(filter.to_string());
                        if ours == MeasuredFilter::Native {
                            let module = &mut config["vm_config"]["code"]["local"]["filename"];
                            *module = json!(Path::new("target/libsession_guard_native.so"));
                        }
                    }
                }
                listeners.push(listener);
            }
        }
    }
    let all = &mut configuration.bootstrap["static_resources"]["listeners"];
    all.as_array_mut().expect("a list of listeners").extend(listeners);
}

/// Waits until every filter has loaded its set.
pub(super) fn await_ready(envoy: &Envoy) {
    for algorithm in ALGORITHMS {
        for keys in KEYS {
            for subject in [MeasuredFilter::Wasm, MeasuredFilter::Native] {
                cold_start::await_ready(envoy.address_of(&name(subject, algorithm, keys)));
            }
        }
    }
}

/// Reads the token from the same cookie, and has no other requirements.
fn jwt_authn(signers: &[TokenSigner]) -> Value {
    let keys: Vec<_> = signers.iter().map(TokenSigner::jwk).collect();
    let provider = json!({
        "forward": true,
        "from_cookies": ["token"],
        "local_jwks": {"inline_string": json!({"keys": keys}).to_string()},
        "claim_to_headers": [{"header_name": "x-user-id", "claim_name": "id"}]
    });
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"issuer": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "issuer"}}]
        }
    })
}

/// For all listeners.
pub(super) const MEMORY_MIB: u64 = cold_start::MEMORY_MIB;
