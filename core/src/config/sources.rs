//! Where may tokens be, and what else may be there?

use crate::config::error::{At, ConfigError};
use crate::config::{header_name, limits, raw, settings};
use crate::request::sources::{Source, TokenLocation};

/// The places, without the same one twice.
pub(super) fn check(written: Option<&[raw::RawTokenSource]>) -> Result<Vec<Source>, ConfigError> {
    let at = At::root().field("token_sources");
    let bearer = || Source {
        location: TokenLocation::Header {
            name: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        },
        pass_prefix: None,
    };
    let Some(written) = written else { return Ok(vec![bearer()]) };
    limits::some(&at, written.len(), settings::TOKEN_SOURCES, "leave it out for Bearer")?;
    let mut sources: Vec<Source> = vec![];
    for (index, source) in written.iter().enumerate() {
        let at = at.item(index);
        let location = location(&at, source)?;
        if sources.iter().any(|source| source.location == location) {
            return Err(at.error("comes twice", "remove one"));
        }
        let prefix = source.pass_prefix.as_deref();
        let pass_prefix = prefix.map(|text| prefix_of_keys(&at.field("pass_prefix"), text));
        sources.push(Source { location, pass_prefix: pass_prefix.transpose()? });
    }
    Ok(sources)
}

fn location(at: &At, source: &raw::RawTokenSource) -> Result<TokenLocation, ConfigError> {
    let word = |name: &str, text: &str| {
        let at = at.field(name);
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$*".contains(&byte);
        if limits::text(&at, text, settings::NAME_BYTES)?.bytes().all(sound) {
            Ok(text.to_owned())
        } else {
            Err(at.error("is no plain name", "use letters, digits, `-`, `_`, `.`"))
        }
    };
    match (&source.header, &source.cookie, &source.query, &source.scheme) {
        (Some(header), None, None, scheme) => Ok(TokenLocation::Header {
            name: header_name::carrying_a_token(&at.field("header"), header)?,
            scheme: scheme.as_ref().map(|scheme| word("scheme", scheme)).transpose()?,
        }),
        (None, Some(cookie), None, None) => Ok(TokenLocation::Cookie(word("cookie", cookie)?)),
        (None, None, Some(query), None) => Ok(TokenLocation::Query(word("query", query)?)),
        (None, _, _, Some(_)) => Err(at.field("scheme").error("is for headers", "remove it")),
        _ => Err(at.error("needs exactly one of header, cookie, query", "")),
    }
}

/// How API keys begin, and no token.
///
/// The first sign of base64url gives six bits of the first byte. A token's first byte is `{`, or space
/// before it; some readers of JSON skip a byte order mark, or take UTF-16. So those signs are out, and
/// so is every one that a lenient decoder leaves out, which would bring the next one to the front.
fn prefix_of_keys(at: &At, written: &str) -> Result<String, ConfigError> {
    let prefix = limits::text(at, written, settings::PREFIX_BYTES)?;
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if prefix.len() < 2 || !prefix.bytes().all(is_sign) {
        return Err(at.error("is no prefix of keys", "two or more letters, digits, `-`, `_`: sk-"));
    }
    let first = prefix.bytes().next().unwrap_or_default();
    if !first.is_ascii_alphanumeric() || BEGINS_TOKENS.contains(&first) {
        return Err(at.error("may begin a token", "name the longer prefix that keys have"));
    }
    Ok(prefix)
}

/// NUL; tab and the ends of a line; space; `{`; a byte order mark.
const BEGINS_TOKENS: &[u8] = b"ACDIe7";
