//! Checks the claims that settings name.

use crate::config::error::{At, ConfigError};
use crate::config::lists::{ClaimValues, Names, PerClaim};
use crate::config::{limits, settings};
use crate::token::ClaimPath;

/// Returns the path of a claim, which is written as one name, or as a list of names from the
/// outermost object inwards.
pub(super) fn check(at: &At, Names(names): &Names) -> Result<ClaimPath, ConfigError> {
    limits::some(at, names.len(), settings::CLAIM_NAMES, "name the claim")?;
    for (index, name) in names.iter().enumerate() {
        let at = if names.len() > 1 { at.item(index) } else { at.clone() };
        limits::text(&at, name, settings::NAME_BYTES)?;
    }
    Ok(ClaimPath::new(names.clone()))
}

/// Returns claims with the values that are accepted. Each claim must have one of its values.
pub(super) fn check_values(
    at: &At,
    PerClaim(written): &PerClaim<ClaimValues>,
) -> Result<Vec<(ClaimPath, Vec<String>)>, ConfigError> {
    limits::count(at, written.len(), settings::LIST_ITEMS)?;
    let check_one = |(claim, values): &(Names, Vec<String>)| {
        let claim = check(at, claim)?;
        let at = at.field(&claim.to_string());
        limits::some(&at, values.len(), settings::LIST_ITEMS, "list the values that are accepted")?;
        let values = limits::texts(&at, values, settings::LIST_ITEMS, settings::TEXT_BYTES)?;
        Ok((claim, values))
    };
    written.iter().map(check_one).collect()
}

/// Returns the paths of distinct claims, if there are not too many.
pub(super) fn check_list(at: &At, list: &[Names]) -> Result<Vec<ClaimPath>, ConfigError> {
    limits::count(at, list.len(), settings::LIST_ITEMS)?;
    let mut claims: Vec<ClaimPath> = vec![];
    for (index, written) in list.iter().enumerate() {
        let claim = check(&at.item(index), written)?;
        if claims.contains(&claim) {
            return Err(at.item(index).error("comes twice", "remove one"));
        }
        claims.push(claim);
    }
    Ok(claims)
}
