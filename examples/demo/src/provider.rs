//! An identity provider: it signs users in, and reports their sign-outs to the signout service
//! (OpenID Connect Back-Channel Logout 1.0).

use std::net::SocketAddr;

use serde_json::{Value, json};
use testbed::{Connection, HttpResponse, Request, TokenSigner};

/// The demo's identity provider.
#[derive(Debug)]
pub struct IdentityProvider {
    key: TokenSigner,
}

impl IdentityProvider {
    /// Generates a provider with a new key.
    #[must_use]
    pub fn new() -> Self {
        Self { key: TokenSigner::new("ES256") }
    }

    /// Returns the issuers file with which the signout service accepts messages of this provider.
    #[must_use]
    pub fn issuers_file(&self) -> Value {
        json!({"issuers": [{
            "issuer": ISSUER,
            "token_issuers": [APPLICATION],
            "jwks": {"inline": {"keys": [self.key.jwk()]}},
            "algorithms": ["ES256"],
            "backchannel_logout": {"audiences": [APPLICATION]},
        }]})
    }

    /// Ends a session: sends a logout token to the signout service.
    pub(crate) fn end_session(&self, session: &str, service: SocketAddr) -> HttpResponse {
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let claims =
            json!({"iss": ISSUER, "aud": APPLICATION, "sid": session, "events": {event: {}}});
        let form = format!("logout_token={}", self.key.sign(claims));
        let request = Request::post("/v1/backchannel-logout");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        Connection::to(service).send(&request.body(form))
    }
}

impl Default for IdentityProvider {
    fn default() -> Self {
        Self::new()
    }
}

const ISSUER: &str = "https://id.example.com";

/// The `iss` of the application's tokens, and its client id at the provider.
const APPLICATION: &str = "demo-application";
