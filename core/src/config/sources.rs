//! Checks the configured places of tokens, and the prefixes of API keys.

use crate::config::error::{At, ConfigError};
use crate::config::patterns::{self, WrittenPattern};
use crate::config::{header_name, limits, raw, settings};
use crate::request::routes::RequestPattern;
use crate::request::sources::{Source, TokenLocation};

/// Returns the token sources. Duplicates are an error.
pub(super) fn check(written: Option<&[raw::RawTokenSource]>) -> Result<Vec<Source>, ConfigError> {
    let at = At::root().field("token_sources");
    let bearer = || Source {
        location: TokenLocation::Header {
            name: "authorization".to_owned(),
            scheme: Some("Bearer".to_owned()),
        },
        pass_prefix: None,
        routes: vec![],
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
        let pass_prefix = pass_prefix.transpose()?;
        let routes = routes(&at.field("routes"), source.routes.as_deref())?;
        sources.push(Source { location, pass_prefix, routes });
    }
    Ok(sources)
}

/// Returns the requests that the source may admit. An empty list stands for all requests.
fn routes(
    at: &At,
    written: Option<&[raw::RawSourceRoute]>,
) -> Result<Vec<RequestPattern>, ConfigError> {
    let Some(written) = written else { return Ok(vec![]) };
    limits::some(at, written.len(), settings::LIST_ITEMS, "leave it out to match all routes")?;
    let routes = written.iter().enumerate().map(|(index, route)| {
        let written = WrittenPattern::of_source(route);
        patterns::check(&at.item(index), &written, vec![]).map(|(pattern, _)| pattern)
    });
    routes.collect()
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

/// Returns the prefix of API keys, after checking that no token can begin with it.
///
/// The first character of base64url encodes six bits of the first byte. The first byte of a token's
/// header is `{`, or white space before it. Some JSON parsers also accept a byte order mark or
/// UTF-16. Characters that encode these first bytes are refused, and so are characters that a
/// lenient decoder skips, because the next character would then be the first.
fn prefix_of_keys(at: &At, written: &str) -> Result<String, ConfigError> {
    let prefix = limits::text(at, written, settings::PREFIX_BYTES)?;
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if prefix.len() < 2 || !prefix.bytes().all(is_sign) {
        return Err(
            at.error("is not a prefix of API keys", "two or more letters, digits, `-`, `_`: sk-")
        );
    }
    let first = prefix.bytes().next().unwrap_or_default();
    if !first.is_ascii_alphanumeric() || BEGINS_TOKENS.contains(&first) {
        return Err(at.error("may begin a token", "name the longer prefix that keys have"));
    }
    Ok(prefix)
}

/// The first characters of the base64url of NUL, tab and line ends, space, `{`, and byte order
/// marks.
const BEGINS_TOKENS: &[u8] = b"ACDIe7";
