//! Checks that values are within their limits.
//!
//! The error of each function names the setting and the limit.

use crate::config::error::{At, ConfigError};

/// The default and the range of a whole number.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The value if the setting is absent. `None` means that there is no limit.
    pub default: Option<u64>,
    /// The smallest allowed value.
    pub least: u64,
    /// The largest allowed value.
    pub most: u64,
}

/// Returns the number, or the default if it is absent.
///
/// # Errors
///
/// The number is out of range.
pub fn number(at: &At, written: Option<u64>, whole: Whole) -> Result<Option<u64>, ConfigError> {
    match written {
        Some(number) if !(whole.least..=whole.most).contains(&number) => {
            let (least, most) = (whole.least, whole.most);
            Err(at.error(format!("must be {least} to {most}"), ""))
        }
        Some(number) => Ok(Some(number)),
        None => Ok(whole.default),
    }
}

/// Returns a text if it is a single line, not empty and not too long.
///
/// # Errors
///
/// The text is not of that form.
pub fn text(at: &At, text: &str, most_bytes: usize) -> Result<String, ConfigError> {
    if text.is_empty() {
        return Err(at.error("must not be empty", ""));
    }
    if text.len() > most_bytes {
        return Err(at.error(format!("longer than {most_bytes} bytes"), ""));
    }
    if text.chars().any(char::is_control) {
        return Err(at.error("contains a control character", ""));
    }
    Ok(text.to_owned())
}

/// Returns a list of distinct texts if each is a single line and there are not too many.
///
/// # Errors
///
/// There are too many texts, one comes twice, or one is not of that form.
pub fn texts(
    at: &At,
    list: &[String],
    most: usize,
    most_bytes: usize,
) -> Result<Vec<String>, ConfigError> {
    count(at, list.len(), most)?;
    for (index, item) in list.iter().enumerate() {
        text(&at.item(index), item, most_bytes)?;
        if list.iter().take(index).any(|earlier| earlier == item) {
            return Err(at.item(index).error("comes twice", "remove one"));
        }
    }
    Ok(list.to_vec())
}

/// Returns an error if there are too many items.
pub(super) fn count(at: &At, items: usize, most: usize) -> Result<(), ConfigError> {
    if items > most { Err(at.error(format!("more than {most} items"), "")) } else { Ok(()) }
}

/// Returns an error if there are no items or too many.
///
/// # Errors
///
/// There are none, or too many.
pub fn some(at: &At, items: usize, most: usize, remedy: &str) -> Result<(), ConfigError> {
    if items == 0 { Err(at.error("must not be empty", remedy)) } else { count(at, items, most) }
}
