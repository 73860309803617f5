//! Is a value within its limits?
//!
//! The error of each function names the setting and the limit.

use crate::config::error::{At, ConfigError};

/// A whole number with a default and two ends.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// Where nothing is written; `None`: no such limit.
    pub default: Option<u64>,
    /// The least value that loads.
    pub least: u64,
    /// The greatest value that loads.
    pub most: u64,
}

/// The number, or the default.
///
/// # Errors
///
/// It is out of range.
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

/// Text of one line, not empty and not too long.
///
/// # Errors
///
/// It is something else.
pub fn text(at: &At, text: &str, most_bytes: usize) -> Result<String, ConfigError> {
    if text.is_empty() {
        return Err(at.error("must not be empty", ""));
    }
    if text.len() > most_bytes {
        return Err(at.error(format!("longer than {most_bytes} bytes"), ""));
    }
    if text.chars().any(char::is_control) {
        return Err(at.error("holds a control character", ""));
    }
    Ok(text.to_owned())
}

/// Distinct texts of one line, not too many.
///
/// # Errors
///
/// One of them is something else.
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

/// Not too many items.
pub(super) fn count(at: &At, items: usize, most: usize) -> Result<(), ConfigError> {
    if items > most { Err(at.error(format!("more than {most} items"), "")) } else { Ok(()) }
}

/// One or more items, not too many.
///
/// # Errors
///
/// There are none, or too many.
pub fn some(at: &At, items: usize, most: usize, remedy: &str) -> Result<(), ConfigError> {
    if items == 0 { Err(at.error("must not be empty", remedy)) } else { count(at, items, most) }
}
