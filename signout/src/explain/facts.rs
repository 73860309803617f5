//! Reads the facts of a token that an explanation shows: its algorithm, key id, times and the names
//! of its claims.
//!
//! The token is not verified, and the facts have no effect on the decision. The values of other
//! claims are not shown, because they may be personal data.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_guard_core::token::statement::StatementClaims;

use crate::clock::{distance, rfc_3339};
use crate::explain::Stage;

/// The facts of one token. A fact that cannot be read is empty.
#[derive(Debug, Default)]
pub struct TokenFacts {
    algorithm: Option<String>,
    kid: Option<String>,
    times: Vec<(&'static str, u64)>,
    names: Vec<String>,
}

impl TokenFacts {
    /// Reads a token.
    #[must_use]
    pub fn read(token: &[u8]) -> Self {
        let mut parts = token.split(|byte| *byte == b'.');
        let mut part = || URL_SAFE_NO_PAD.decode(parts.next().unwrap_or_default()).ok();
        let (header, payload) = (part(), part());
        let header = header.as_deref().and_then(StatementClaims::parse);
        let payload = payload.as_deref().and_then(StatementClaims::parse);
        let member = |name| {
            let text = header.as_ref()?.text(name).ok()??;
            Some(shortened(&text))
        };
        let time = |name| Some((name, payload.as_ref()?.time(name).ok()??));
        Self {
            algorithm: member("alg"),
            kid: member("kid"),
            times: ["iat", "nbf", "exp"].into_iter().filter_map(time).collect(),
            names: payload.iter().flat_map(StatementClaims::names).map(shortened).collect(),
        }
    }

    /// Returns the facts that this stage checks, as text.
    pub(super) fn of(&self, stage: Stage, now: u64) -> String {
        match stage {
            Stage::Key => {
                let kid = self.kid.as_ref().map_or("no kid".to_owned(), |kid| format!("kid {kid}"));
                self.algorithm.as_ref().map_or(String::new(), |alg| format!("alg {alg}, {kid}"))
            }
            Stage::Times => {
                let time = |(name, at): &(&str, u64)| {
                    format!("{name} {} ({})", rfc_3339(*at), distance(*at, now))
                };
                self.times.iter().map(time).collect::<Vec<_>>().join(", ")
            }
            Stage::Claims if !self.names.is_empty() => {
                let shown = self.names.iter().take(NAMES_LIMIT);
                format!("it has {}", shown.cloned().collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        }
    }
}

fn shortened(text: &str) -> String {
    text.escape_debug().take(CHARACTERS_LIMIT).collect()
}

/// The maximum number of names of claims that are shown.
const NAMES_LIMIT: usize = 32;

/// The maximum number of characters of one name.
const CHARACTERS_LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_tokens_have_no_facts() {
        for token in [&b""[..], b"a", b"a.b", b"\xff.\xff", b"bnVsbA.bnVsbA."] {
            let facts = TokenFacts::read(token);
            let shown: String = Stage::ALL.map(|stage| facts.of(stage, 0)).concat();
            assert_eq!(shown, "", "{token:?}");
        }
    }
}
