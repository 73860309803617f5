//! Checks before the measurement that every peer verifies tokens and knows revocations as claimed.

use testbed::{Connection, Envoy, Request, Token};

use crate::peers::PEERS;
use crate::selection::Selection;
use crate::tokens::{self, REVOKED_JTI};

/// Checks that every peer admits a genuine token, and refuses a forged one and, if it knows
/// revocations, a revoked one.
///
/// # Errors
/// Names the peer that does not.
pub(crate) fn check(envoy: &Envoy, selection: &Selection) -> Result<(), String> {
    let genuine = Token::text(&tokens::hs256());
    let revoked = Token::text(&tokens::hs256_with(&format!("{REVOKED_JTI}-0")));
    for peer in PEERS.iter().filter(|peer| peer.baseline == "bare" && selection.holds(peer)) {
        let status = |token: &Token| {
            let request = Request::get("/api/v1/page").bearer(token);
            Connection::to(envoy.address_of(peer.listener)).send(&request).status
        };
        let verifies = !["bare", "empty", "crossings", "module_crossings", "calls_"]
            .iter()
            .any(|it| peer.listener.starts_with(it));
        let revokes = ["million", "authz", "before"].iter().any(|it| peer.listener.contains(it));
        let came = (status(&genuine), status(&genuine.forged()), status(&revoked));
        let refusal = |refuses| if refuses { 401 } else { 200 };
        let forged = if peer.listener == "authz_grpc" { 403 } else { refusal(verifies) };
        let signed_out = if peer.listener == "authz_grpc" { 403 } else { refusal(revokes) };
        if came != (200, forged, signed_out) {
            return Err(format!(
                "{} answers {came:?} to a genuine, a forged and a revoked token",
                peer.name
            ));
        }
    }
    Ok(())
}
