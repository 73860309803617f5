//! The named API tokens on the command line.

use std::path::PathBuf;

use clap::Args;
use signout::access::settings::{NamedToken, read_all};

use super::CommandError;

/// API tokens with names and rights.
#[derive(Args)]
pub(super) struct TokenOptions {
    /// API tokens with names and rights (JSON), in addition to those of the environment. See
    /// docs/operations.md#api-tokens.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
}

impl TokenOptions {
    /// Reads the file. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// Describes all mistakes in the file.
    pub(super) fn read(&self) -> Result<Option<Vec<NamedToken>>, CommandError> {
        let Some(file) = &self.tokens else { return Ok(None) };
        let wrong =
            |why: String| CommandError::Usage(format!("--tokens {}: {why}", file.display()));
        let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let (tokens, errors) = read_all(&text);
        if errors.is_empty() {
            return Ok(Some(tokens));
        }
        let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Err(wrong(lines.join("\n  ")))
    }
}
