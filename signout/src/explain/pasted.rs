//! Reads the text that an operator pastes: a token, or a request as developer tools copy it.
//!
//! Firefox begins with the request line (`GET /page HTTP/1.1`), and Chrome with pseudo-headers
//! (`:method: GET`). Both name the request, so the operator need not name it again.

use session_guard_core::request::sources::{Sources, TokenLocation};

use crate::check::Asked;

/// A pasted token or request.
#[derive(Debug)]
pub struct Pasted {
    /// The request, if the text names one.
    pub request: Option<Asked>,
    /// Its header lines. A token without header lines is put into the first of the configured token
    /// sources.
    pub lines: Vec<(String, String)>,
}

/// The header name that [`Pasted::read`] uses for a token in the query. No real header can have
/// this name.
pub const QUERY: &str = "?";

impl Pasted {
    /// Reads a text.
    #[must_use]
    pub fn read(sources: &Sources, text: &str) -> Self {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        let first = lines.peek().and_then(|line| request_line(line));
        let fields: Option<Vec<_>> = lines.skip(first.iter().count()).map(field).collect();
        match fields.filter(|fields| first.is_some() || !fields.is_empty()) {
            Some(fields) => Self::of_request(first, fields),
            None => Self { request: None, lines: with_token(sources, text.trim()) },
        }
    }

    fn of_request(first: Option<(&str, &str)>, fields: Vec<(String, String)>) -> Self {
        let value = |name| fields.iter().find(|(known, _)| known == name).map(|(_, it)| &**it);
        let pseudo = || Some((value(":method").unwrap_or("GET"), value(":path")?));
        let request = first.or_else(pseudo).and_then(|(method, target)| {
            let host = value(":authority").or_else(|| value("host")).unwrap_or_default();
            let origin = if target.starts_with('/') && !host.is_empty() { "https://" } else { "" };
            let host = if origin.is_empty() { "" } else { host };
            Asked::read(&format!("{method} {origin}{host}{target}"))
        });
        let is_field = |(name, _): &(String, String)| !name.starts_with(':');
        Self { request, lines: fields.into_iter().filter(is_field).collect() }
    }
}

/// Returns method and target of a request line (RFC 9112 §3).
fn request_line(line: &str) -> Option<(&str, &str)> {
    let (request, _version) = line.rsplit_once(" HTTP/")?;
    request.split_once(' ')
}

/// Returns name and value of a header line.
fn field(line: &str) -> Option<(String, String)> {
    let start = usize::from(line.starts_with(':'));
    let colon = start + line.get(start..)?.find(':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_name = colon > start && name.bytes().skip(start).all(is_name);
    is_name.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn with_token(sources: &Sources, text: &str) -> Vec<(String, String)> {
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    match sources.locations(sources.all()).next() {
        Some(TokenLocation::Header { name, scheme: Some(scheme) }) => {
            let scheme = if scheme == "*" { "Bearer" } else { scheme };
            vec![(name.clone(), format!("{scheme} {token}"))]
        }
        Some(TokenLocation::Header { name, scheme: None }) => vec![(name.clone(), token.into())],
        Some(TokenLocation::Cookie(name)) => vec![("cookie".to_owned(), format!("{name}={token}"))],
        Some(TokenLocation::Query(name)) => vec![(QUERY.to_owned(), format!("{name}={token}"))],
        None => vec![],
    }
}
