//! Checks the tokens file.
//!
//! There are two layers, as for the issuers file: the file as [written](super::raw), and [`NamedToken`],
//! which has the token's hash only. The error names the field and the remedy, never a token.

use session_guard_core::config::{At, ConfigError, limits, settings, text};
use session_guard_core::hash::from_hex;

use super::right::Right;
use super::{TokenHash, is_short, raw, token_hash};
use crate::json_file::FileErrors;

/// An API token of the tokens file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedToken {
    /// Its name in the audit and in the log.
    pub name: String,
    /// The SHA-256 of the token.
    pub hash: TokenHash,
    /// Its rights.
    pub rights: Vec<Right>,
    /// The realms to which it is limited; `None` if it is valid in all realms.
    pub realms: Option<Vec<String>>,
}

/// Reads a tokens file. Returns the tokens that have no errors, and all errors. If the file has not the
/// right structure, that is the only error.
#[must_use]
pub fn read_all(file: &[u8]) -> (Vec<NamedToken>, Vec<ConfigError>) {
    let (mut errors, mut checked) = (FileErrors::default(), Vec::<NamedToken>::new());
    let tokens = errors.note(text::read_object(file, &OBJECTS));
    let Some(raw::TokensFile { tokens }) = tokens else { return (vec![], errors.0) };
    let at = At::root().field("tokens");
    errors.note(limits::some(&at, tokens.len(), TOKENS, "name the callers of the service"));
    for (index, written) in tokens.into_iter().enumerate().take(TOKENS) {
        let at = at.item(index);
        let Some(token) = check(&at, written, &mut errors) else { continue };
        let before = errors.0.len();
        if checked.iter().any(|other| other.name == token.name) {
            let remedy = "give each token its own name, so that the audit can tell them apart";
            errors.0.push(at.field("name").error("comes twice", remedy));
        }
        if let Some(other) = checked.iter().find(|other| other.hash == token.hash) {
            let remedy = "generate a token for each of them, so that each has its own rights";
            errors.0.push(at.error(format!("is the same token as {}", other.name), remedy));
        }
        if errors.0.len() == before {
            checked.push(token);
        }
    }
    (checked, errors.0)
}

/// Checks one entry. `None` if it has errors.
fn check(at: &At, written: raw::WrittenToken, errors: &mut FileErrors) -> Option<NamedToken> {
    let before = errors.0.len();
    errors.note(name(&at.field("name"), &written.name));
    let hash = errors.note(hash(at, &written));
    errors.note(rights(&at.field("rights"), &written.rights));
    if let Some(list) = &written.realms {
        errors.note(realms(&at.field("realms"), list));
    }
    (errors.0.len() == before).then_some(NamedToken {
        name: written.name,
        hash: hash?,
        rights: written.rights,
        realms: written.realms,
    })
}

/// Checks a name. It has at least one letter, because the tokens of `SIGNOUT_TOKEN` have numbers.
fn name(at: &At, name: &str) -> Result<(), ConfigError> {
    limits::text(at, name, NAME_BYTES)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(is_plain) || !name.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(
            at.error("is no name", "letters, digits, `-`, `_` and `.`, at least one letter")
        );
    }
    if name == super::ADMIN {
        return Err(at.error("is the name of SIGNOUT_ADMIN_TOKEN", "take another name"));
    }
    Ok(())
}

fn hash(at: &At, written: &raw::WrittenToken) -> Result<TokenHash, ConfigError> {
    match (&written.token, &written.token_sha256) {
        (Some(token), None) => {
            let at = at.field("token");
            if is_short(token) {
                return Err(
                    at.error("has fewer than 16 characters, so it may be guessed", GENERATE)
                );
            }
            limits::text(&at, token, settings::TEXT_BYTES)?;
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                let problem =
                    "contains a space or a character outside ASCII, which a header cannot carry";
                return Err(at.error(problem, GENERATE));
            }
            Ok(token_hash(token))
        }
        (None, Some(digits)) => {
            let hash = from_hex(digits.as_bytes()).and_then(|bytes| bytes.try_into().ok());
            let remedy = "64 lower-case hex digits: printf %s \"$TOKEN\" | sha256sum";
            hash.ok_or_else(|| at.field("token_sha256").error("is no SHA-256", remedy))
        }
        (None, None) => Err(at.error("names no token", "give `token` or `token_sha256`")),
        (Some(_), Some(_)) => {
            Err(at.error("names a token twice", "give `token` or `token_sha256`, not both"))
        }
    }
}

fn rights(at: &At, rights: &[Right]) -> Result<(), ConfigError> {
    let remedy = "one or more of revoke, read, admin; a proxy needs revoke and read";
    limits::some(at, rights.len(), Right::ALL.len(), remedy)?;
    for (index, right) in rights.iter().enumerate() {
        if rights.iter().take(index).any(|earlier| earlier == right) {
            return Err(at.item(index).error("comes twice", "remove one"));
        }
    }
    Ok(())
}

fn realms(at: &At, realms: &[String]) -> Result<(), ConfigError> {
    let remedy = "leave `realms` out if the token is valid in all realms";
    limits::some(at, realms.len(), REALMS, remedy)?;
    for (index, realm) in realms.iter().enumerate() {
        let at = at.item(index);
        if !realm.is_empty() {
            limits::text(&at, realm, settings::NAME_BYTES)?;
        }
        if realms.iter().take(index).any(|earlier| earlier == realm) {
            return Err(at.error("comes twice", "remove one"));
        }
    }
    Ok(())
}

/// The places in the file that must hold objects.
const OBJECTS: [&str; 1] = ["tokens[]"];

/// The maximum number of tokens. Each call compares its token with all of them.
pub(super) const TOKENS: usize = 256;

/// The maximum number of realms of a token.
pub(super) const REALMS: usize = 64;

/// The longest name of a token. It is a part of every audit entry.
const NAME_BYTES: usize = 64;

const GENERATE: &str = "`signout keygen FILE` generates one";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the paths and problems of all errors.
    fn errors(entry: &str) -> Vec<String> {
        let (tokens, errors) = read_all(format!("{{\"tokens\": [{entry}]}}").as_bytes());
        assert!(errors.is_empty() || tokens.len() < 2, "{entry}");
        assert!(errors.iter().all(|error| !error.to_string().contains(SECRET)), "{errors:?}");
        errors.into_iter().map(|error| error.path).collect()
    }

    #[test]
    fn a_token_and_its_hash_are_the_same() {
        let hash = session_guard_core::hash::hex(&token_hash(SECRET));
        for token in [format!(r#""token": "{SECRET}""#), format!(r#""token_sha256": "{hash}""#)] {
            let file = format!(
                r#"{{"tokens": [{{"name": "a.1", {token}, "rights": ["read"], "realms": ["", "b"]}}]}}"#
            );
            let (tokens, errors) = read_all(file.as_bytes());
            assert_eq!(errors, []);
            let expected = NamedToken {
                name: "a.1".to_owned(),
                hash: token_hash(SECRET),
                rights: vec![Right::Read],
                realms: Some(vec![String::new(), "b".to_owned()]),
            };
            assert_eq!(tokens, [expected]);
        }
    }

    #[test]
    fn each_mistake_names_its_field_and_no_token() {
        let token = format!(r#""token": "{SECRET}""#);
        for (entry, path) in [
            (format!(r#"{{"name": "", {token}, "rights": ["read"]}}"#), "tokens[0].name"),
            (format!(r#"{{"name": "a b", {token}, "rights": ["read"]}}"#), "tokens[0].name"),
            (format!(r#"{{"name": "7", {token}, "rights": ["read"]}}"#), "tokens[0].name"),
            (format!(r#"{{"name": "admin", {token}, "rights": ["read"]}}"#), "tokens[0].name"),
            (r#"{"name": "a", "rights": ["read"]}"#.to_owned(), "tokens[0]"),
            (
                r#"{"name": "a", "token": "short", "rights": ["read"]}"#.to_owned(),
                "tokens[0].token",
            ),
            (
                format!(r#"{{"name": "a", "token": "{SECRET} x", "rights": ["read"]}}"#),
                "tokens[0].token",
            ),
            (
                format!(r#"{{"name": "a", "token_sha256": "{SECRET}", "rights": ["read"]}}"#),
                "tokens[0].token_sha256",
            ),
            (
                format!(r#"{{"name": "a", {token}, "token_sha256": "", "rights": ["read"]}}"#),
                "tokens[0]",
            ),
            (format!(r#"{{"name": "a", {token}, "rights": []}}"#), "tokens[0].rights"),
            (
                format!(r#"{{"name": "a", {token}, "rights": ["read", "read"]}}"#),
                "tokens[0].rights[1]",
            ),
            (format!(r#"{{"name": "a", {token}, "rights": ["write"]}}"#), "tokens[0].rights[0]"),
            (
                format!(r#"{{"name": "a", {token}, "rights": ["read"], "realms": []}}"#),
                "tokens[0].realms",
            ),
            (
                format!(r#"{{"name": "a", {token}, "rights": ["read"], "realms": null}}"#),
                "tokens[0].realms",
            ),
            (
                format!(r#"{{"name": "a", {token}, "rights": ["read"], "realms": ["", ""]}}"#),
                "tokens[0].realms[1]",
            ),
            (
                format!(r#"{{"name": "a", {token}, "rights": ["read"], "realm": "b"}}"#),
                "tokens[0].realm",
            ),
            (
                format!(r#"{{"name": "{SECRET}\u0007", {token}, "rights": ["read"]}}"#),
                "tokens[0].name",
            ),
        ] {
            assert_eq!(errors(&entry), [path], "{entry}");
        }
        assert_eq!(errors(""), ["tokens"]);
    }

    #[test]
    fn all_mistakes_are_found_at_once() {
        let one = format!(r#"{{"name": "a", "token": "{SECRET}", "rights": ["read"]}}"#);
        assert_eq!(errors(&format!("{one}, {one}")), ["tokens[1].name", "tokens[1]"]);
        let bad = r#"{"name": "", "token": "x", "rights": [], "realms": []}"#;
        let names = ["name", "token", "rights", "realms"];
        let all = [0, 1].map(|at| names.map(|name| format!("tokens[{at}].{name}")));
        assert_eq!(errors(&format!("{bad}, {bad}")), all.concat());
    }

    const SECRET: &str = "a-token-that-no-error-may-contain";
}
