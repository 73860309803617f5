//! Checks and compiles the rules for routes.

use crate::config::error::{At, ConfigError};
use crate::config::patterns::{self, WrittenPattern};
use crate::config::{limits, raw, settings};
use crate::request::routes::{Access, Revokes, Routes, Rule};

/// The other settings on which rules depend.
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
    let only_post = access == Access::Signout;
    let methods_if_absent = if only_post { vec!["POST".to_owned()] } else { vec![] };
    let (pattern, names) = patterns::check(at, &WrittenPattern::of_rule(rule), methods_if_absent)?;
    if pattern.is_preflight() {
        for_preflight(at, rule, access)?;
    }
    let revokes = revokes(&at.field("revoke_user"), rule, access, &names, given)?;
    let compiled = Rule::new(pattern, access).with_revokes(revokes);
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

const SERVICE: &str = "say where the signout service is: {\"upstream\": {\"cluster\": …}}";
