//! Checks and compiles patterns of requests.
//!
//! Rules and token sources describe requests with the same settings.

use crate::config::error::{At, ConfigError};
use crate::config::{limits, raw, settings};
use crate::request::path;
use crate::request::routes::{HostPattern, Matcher, Part, RequestPattern};

/// A pattern as it is written.
pub(super) struct WrittenPattern<'a> {
    path: Option<&'a String>,
    prefix: Option<&'a String>,
    template: Option<&'a String>,
    preflight: Option<bool>,
    may_be_preflight: bool,
    upgrade: Option<bool>,
    methods: Option<&'a [String]>,
    hosts: Option<&'a [String]>,
}

impl<'a> WrittenPattern<'a> {
    /// Returns the pattern of a rule.
    pub(super) fn of_rule(rule: &'a raw::RawRoute) -> Self {
        Self {
            path: rule.path.as_ref(),
            prefix: rule.prefix.as_ref(),
            template: rule.template.as_ref(),
            preflight: rule.preflight,
            may_be_preflight: true,
            upgrade: rule.upgrade,
            methods: rule.methods.as_deref(),
            hosts: rule.hosts.as_deref(),
        }
    }

    /// Returns a pattern of requests that a token source may admit.
    pub(super) fn of_source(route: &'a raw::RawSourceRoute) -> Self {
        Self {
            path: route.path.as_ref(),
            prefix: route.prefix.as_ref(),
            template: route.template.as_ref(),
            preflight: None,
            may_be_preflight: false,
            upgrade: route.upgrade,
            methods: route.methods.as_deref(),
            hosts: route.hosts.as_deref(),
        }
    }
}

/// Returns the compiled pattern. For a template, also returns the name of each segment, or `None` for
/// a literal one.
pub(super) fn check(
    at: &At,
    written: &WrittenPattern<'_>,
    methods_if_absent: Vec<String>,
) -> Result<(RequestPattern, Vec<Option<String>>), ConfigError> {
    let (matcher, names) = matcher(at, written)?;
    let methods = match written.methods {
        Some(written) => methods(&at.field("methods"), written)?,
        None => methods_if_absent,
    };
    let hosts = match written.hosts {
        Some(written) => hosts(&at.field("hosts"), written)?,
        None => vec![],
    };
    let pattern = RequestPattern::new(matcher).only(methods, hosts);
    match written.upgrade {
        None => Ok((pattern, names)),
        Some(true) => Ok((pattern.only_upgrades(), names)),
        Some(false) => Err(at.field("upgrade").error("can only be true", "remove it, or the rule")),
    }
}

/// Returns the matcher. For a template, also returns the name of each segment, or `None` for a
/// literal one.
fn matcher(
    at: &At,
    written: &WrittenPattern<'_>,
) -> Result<(Matcher, Vec<Option<String>>), ConfigError> {
    let literal = |name: &str, text: &String| {
        let at = at.field(name);
        if text.contains(['{', '}']) {
            return Err(at.error("holds a brace", "use \"template\", or write %7B and %7D"));
        }
        canonical(&at, text).map(|()| text.clone().into_bytes())
    };
    match (written.path, written.prefix, written.template, written.preflight) {
        (Some(path), None, None, None) => Ok((Matcher::Path(literal("path", path)?), vec![])),
        (None, Some(prefix), None, None) => {
            Ok((Matcher::Prefix(literal("prefix", prefix)?), vec![]))
        }
        (None, None, Some(text), None) => template(&at.field("template"), text),
        (None, None, None, Some(true)) => Ok((Matcher::Preflight, vec![])),
        (None, None, None, Some(false)) => {
            Err(at.field("preflight").error("can only be true", "remove it, or the rule"))
        }
        _ if written.may_be_preflight => {
            Err(at.error("needs exactly one of path, prefix, template, preflight", ""))
        }
        _ => Err(at.error("needs exactly one of path, prefix, template", "")),
    }
}

fn template(at: &At, text: &str) -> Result<(Matcher, Vec<Option<String>>), ConfigError> {
    let (mut parts, mut names, mut plain) = (vec![], vec![], String::new());
    for segment in text.split('/').skip(1) {
        let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = name {
            let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if name.is_empty() || !name.bytes().all(sound) {
                return Err(at.error("a name in braces is letters, digits, `_`, `-`", ""));
            }
            if names.iter().flatten().any(|known| known == name) {
                return Err(at.error("a name in braces comes twice", "name each segment"));
            }
        } else if segment.contains(['{', '}']) {
            return Err(at.error("braces stand for a whole segment", "like /users/{id}/update"));
        }
        plain.push('/');
        plain.push_str(if name.is_some() { "x" } else { segment });
        parts.push(match name {
            Some(_) => Part::Any,
            None => Part::Literal(segment.as_bytes().to_vec()),
        });
        names.push(name.map(str::to_owned));
    }
    if !text.starts_with('/') {
        return Err(at.error("does not start with `/`", ""));
    }
    canonical(at, &plain)?;
    limits::count(at, parts.len(), settings::LIST_ITEMS)?;
    Ok((Matcher::Template(parts), names))
}

/// Returns an error if the path is not canonical, because no request could match it.
fn canonical(at: &At, text: &str) -> Result<(), ConfigError> {
    limits::text(at, text, settings::TEXT_BYTES)?;
    if text.contains('?') {
        return Err(at.error("holds a query", "rules match the path alone"));
    }
    if path::canonical(text.as_bytes()).is_none() {
        return Err(at.error(
            "is not canonical: no request could match it",
            "start with `/`; no `//`, `\\`, `;`, `#`, dot segment or non-ASCII character; `%XX` \
             upper-case, and only where it is needed",
        ));
    }
    Ok(())
}

fn methods(at: &At, written: &[String]) -> Result<Vec<String>, ConfigError> {
    limits::some(at, written.len(), settings::LIST_ITEMS, "leave it out to match all methods")?;
    for (index, method) in written.iter().enumerate() {
        if !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(at.item(index).error("is no method", "methods are upper case: GET"));
        }
    }
    limits::texts(at, written, settings::LIST_ITEMS, settings::NAME_BYTES)
}

fn hosts(at: &At, written: &[String]) -> Result<Vec<HostPattern>, ConfigError> {
    limits::some(at, written.len(), settings::LIST_ITEMS, "leave it out to match all hosts")?;
    limits::texts(at, written, settings::LIST_ITEMS, settings::NAME_BYTES)?;
    let remedy = "lower case, without port: app.example.com, *.example.com, [::1]";
    let patterns = written.iter().enumerate().map(|(index, host)| {
        HostPattern::new(host).ok_or_else(|| at.item(index).error("is no host", remedy))
    });
    patterns.collect()
}
