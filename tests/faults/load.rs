//! Revokes tokens during a fault, and repeats a scenario as configured.

use std::net::SocketAddr;

use serde_json::json;
use testbed::{Connection, Envoy, Request, SIGNOUT_TOKEN, Token, unix_seconds};

/// A client of a service that may be killed meanwhile.
pub(crate) struct Revoker {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Revoker {
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Revokes tokens for an hour. Returns the status, or none without a response.
    pub(crate) fn revoke(&mut self, tokens: &[Token]) -> Option<u16> {
        let exp = unix_seconds() + 3_600;
        let one = |token: &Token| json!({"jti": token.jti(), "exp": exp});
        self.post(&json!(tokens.iter().map(one).collect::<Vec<_>>()).to_string())
    }

    /// Like the above, with any body.
    pub(crate) fn post(&mut self, body: &str) -> Option<u16> {
        let open = self.connection.take().or_else(|| Connection::try_to(self.address).ok());
        let request = Request::post("/v1/revocations").body(body);
        let request = request.header("content-type", "application/json");
        let request = request.header("authorization", format!("Bearer {SIGNOUT_TOKEN}"));
        let mut open = open?;
        let answer = open.try_send(&request).ok()?;
        self.connection = Some(open);
        Some(answer.status)
    }
}

/// Returns whether a status acknowledges that the request is durable.
pub(crate) fn is_acknowledged(status: Option<u16>) -> bool {
    matches!(status, Some(200 | 201))
}

pub(crate) fn tokens(count: usize) -> Vec<Token> {
    (0..count).map(|_| Token::of("eve")).collect()
}

/// Returns whether the proxy refuses all tokens as revoked.
pub(crate) fn are_refused(envoy: &Envoy, tokens: &[Token]) -> bool {
    let mut connection = envoy.connect();
    let mut code = |token| connection.send(&Request::get("/page").bearer(token)).code();
    tokens.iter().all(|token| code(token) == "revoked")
}

/// Number of rounds: many for `make faults`, one for `make test`.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("FAULTS_LONG").is_some() { long } else { short }
}
