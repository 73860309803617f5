//! Checks and compiles the rules for routes.

use crate::config::error::{At, ConfigError};
use crate::config::{limits, raw, settings};
use crate::request::path;
use crate::request::routes::{Access, HostPattern, Matcher, Part, Revokes, Routes, Rule};

/// Other settings on which rules depend.
#[derive(Clone, Copy)]
pub(super) struct Given {
    /// Whether there is a signout service.
    pub(super) revocation: bool,
    /// Whether tokens name a user.
    pub(super) user: bool,
}

/// Returns the compiled rules.
pub(super) fn check(
    written: &[raw::RawRoute],
    default: raw::DefaultAccess,
    given: Given,
) -> Result<Routes, ConfigError> {
    let at = At::root().field("routes");
    limits::count(&at, written.len(), settings::ROUTES)?;
    let rules = written.iter().enumerate().map(|(index, rule)| one(&at.item(index), rule, given));
    let default = match default {
        raw::DefaultAccess::Public => Access::Public,
        raw::DefaultAccess::Optional => Access::Optional,
        raw::DefaultAccess::Protected => Access::Protected,
    };
    Ok(Routes::new(rules.collect::<Result<_, _>>()?, default))
}

fn one(at: &At, rule: &raw::RawRoute, given: Given) -> Result<Rule, ConfigError> {
    let remedy = "one of public, optional, protected, signout, ready";
    let access_at = at.field("access");
    let access = rule.access.ok_or_else(|| access_at.error("missing", remedy))?;
    if access == Access::Signout && !given.revocation {
        return Err(access_at.error("sign-out revokes, but `revocation` is missing", SERVICE));
    }
    let (matcher, names) = matcher(at, rule)?;
    if matcher == Matcher::Preflight {
        for_preflight(at, rule, access)?;
    }
    let revokes = revokes(&at.field("revoke_user"), rule, access, &names, given)?;
    let compiled = Rule::new(matcher, access)
        .only(methods(at, rule, access)?, hosts(at, rule)?)
        .with_revokes(revokes);
    let compiled = match rule.upgrade {
        None => compiled,
        Some(true) => compiled.only_upgrades(),
        Some(false) => {
            return Err(at.field("upgrade").error("can only be true", "remove it, or the rule"));
        }
    };
    let compiled = match rule.api_keys {
        None | Some(raw::ApiKeys::Pass) => compiled,
        Some(raw::ApiKeys::Refuse) if access == Access::Protected => compiled.without_api_keys(),
        Some(raw::ApiKeys::Refuse) => {
            return Err(at.field("api_keys").error("is for protected routes", "remove it"));
        }
    };
    match rule.cross_site {
        None => Ok(compiled),
        Some(_) if access != Access::Signout => {
            Err(at.field("cross_site").error("is for sign-out routes", "remove it"))
        }
        Some(raw::CrossSite::Forward) => Ok(compiled),
        Some(raw::CrossSite::Revoke) => Ok(compiled.with_cross_site_revoking()),
    }
}

/// Returns the matcher. For a template, also returns the name of each segment, or `None` for a
/// literal one.
fn matcher(at: &At, rule: &raw::RawRoute) -> Result<(Matcher, Vec<Option<String>>), ConfigError> {
    let literal = |name: &str, text: &String| {
        let at = at.field(name);
        if text.contains(['{', '}']) {
            return Err(at.error("holds a brace", "use \"template\", or write %7B and %7D"));
        }
        canonical(&at, text).map(|()| text.clone().into_bytes())
    };
    match (&rule.path, &rule.prefix, &rule.template, rule.preflight) {
        (Some(path), None, None, None) => Ok((Matcher::Path(literal("path", path)?), vec![])),
        (None, Some(prefix), None, None) => {
            Ok((Matcher::Prefix(literal("prefix", prefix)?), vec![]))
        }
        (None, None, Some(text), None) => template(&at.field("template"), text),
        (None, None, None, Some(true)) => Ok((Matcher::Preflight, vec![])),
        (None, None, None, Some(false)) => {
            Err(at.field("preflight").error("can only be true", "remove it, or the rule"))
        }
        _ => Err(at.error("needs exactly one of path, prefix, template, preflight", "")),
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

fn for_preflight(at: &At, rule: &raw::RawRoute, access: Access) -> Result<(), ConfigError> {
    if rule.methods.is_some() {
        return Err(at.field("methods").error("a preflight is always OPTIONS", "remove it"));
    }
    if matches!(access, Access::Signout | Access::Ready) {
        return Err(at.field("access").error("has no meaning for a preflight", "use public"));
    }
    Ok(())
}

/// Returns the user whose tokens the rule's 2xx responses revoke.
fn revokes(
    at: &At,
    rule: &raw::RawRoute,
    access: Access,
    names: &[Option<String>],
    given: Given,
) -> Result<Option<Revokes>, ConfigError> {
    let Some(user) = &rule.revoke_user else { return Ok(None) };
    if !given.revocation {
        return Err(at.error("revokes, but `revocation` is missing", SERVICE));
    }
    if !given.user {
        return Err(at.error("tokens name no user", "set `claims.user_id`"));
    }
    match (user, access) {
        (_, Access::Signout | Access::Ready) => {
            Err(at.error("does not apply to routes with this access", "use protected"))
        }
        (raw::RawRevokeUser::Token, Access::Public) => {
            Err(at.error("a public route does not read tokens", "use protected"))
        }
        (raw::RawRevokeUser::Token, _) => Ok(Some(Revokes::UserOfToken)),
        (raw::RawRevokeUser::Segment(name), _) => {
            let index = names.iter().position(|known| known.as_ref() == Some(name));
            let remedy = "name one in braces: \"template\": \"/users/{id}\"";
            let index = index.ok_or_else(|| {
                at.field("segment").error("the rule has no segment of that name", remedy)
            })?;
            Ok(Some(Revokes::UserInSegment(index)))
        }
    }
}

fn methods(at: &At, rule: &raw::RawRoute, access: Access) -> Result<Vec<String>, ConfigError> {
    let at = at.field("methods");
    let Some(written) = &rule.methods else {
        let only_post = access == Access::Signout;
        return Ok(if only_post { vec!["POST".to_owned()] } else { vec![] });
    };
    limits::some(&at, written.len(), settings::LIST_ITEMS, "leave it out for all methods")?;
    for (index, method) in written.iter().enumerate() {
        if !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
            return Err(at.item(index).error("is no method", "methods are upper case: GET"));
        }
    }
    limits::texts(&at, written, settings::LIST_ITEMS, settings::NAME_BYTES)
}

fn hosts(at: &At, rule: &raw::RawRoute) -> Result<Vec<HostPattern>, ConfigError> {
    let at = at.field("hosts");
    let Some(written) = &rule.hosts else { return Ok(vec![]) };
    limits::some(&at, written.len(), settings::LIST_ITEMS, "leave it out for all hosts")?;
    limits::texts(&at, written, settings::LIST_ITEMS, settings::NAME_BYTES)?;
    let remedy = "lower case, without port: app.example.com, *.example.com, [::1]";
    let patterns = written.iter().enumerate().map(|(index, host)| {
        HostPattern::new(host).ok_or_else(|| at.item(index).error("is no host", remedy))
    });
    patterns.collect()
}

const SERVICE: &str = "say where the signout service is: {\"upstream\": {\"cluster\": …}}";
