//! The header lines of a request, as bytes.
//!
//! The headers are read once per request. They borrow the host's memory, so nothing is copied:
//! proxy-wasm's serialised map, or the lines of Envoy's own header map. The filter assumes nothing
//! about the encoding, because a header may contain any byte.
//!
//! # Spellings
//!
//! CGI and its successors (WSGI, Rack, PHP) turn header names into variable names. They ignore case
//! and map `-`, `_` and sometimes every other special character to the same character. To detect
//! forged names, the filter therefore compares names without regard to case, and treats all
//! characters other than letters and digits as equal.

use std::borrow::Cow;
use std::rc::Rc;

use smallvec::SmallVec;

/// The header lines of one request, in the order in which they arrived. Names are lower case.
///
/// Pseudo-headers (`:path`, `:method`, `:authority`) are included.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    lines: Vec<NameAndValue<'a>>,
}

/// A name and its value, borrowed or owned.
type NameAndValue<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

impl<'a> Headers<'a> {
    /// Reads proxy-wasm's serialised map: a u32 count, then two u32 lengths for each line, then
    /// each name and value followed by NUL, all little-endian. Returns `None` if the buffer does
    /// not have that form.
    #[must_use]
    pub fn parse(buffer: &'a [u8]) -> Option<Self> {
        if buffer.is_empty() {
            return Some(Self::default());
        }
        let count = usize::try_from(number_at(buffer, 0)?).ok()?;
        let mut at = count.checked_mul(8)?.checked_add(4)?;
        if at > buffer.len() {
            return None;
        }
        let mut lines = Vec::with_capacity(count);
        let mut text = |length: u32| {
            let end = at.checked_add(usize::try_from(length).ok()?)?;
            let text = buffer.get(at..end)?;
            at = end.checked_add(1)?;
            (at <= buffer.len()).then_some(Cow::Borrowed(text))
        };
        for line in 0..count {
            let name = text(number_at(buffer, 4 + line * 8)?)?;
            let value = text(number_at(buffer, 8 + line * 8)?)?;
            lines.push((name, value));
        }
        Some(Self { lines })
    }

    /// Returns headers that borrow these lines.
    #[must_use]
    pub fn from_lines(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        Self { lines: lines.map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// Returns headers that own a copy of these lines.
    #[must_use]
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Self {
        let copy = |(name, value): &(N, V)| {
            (name.as_ref().to_vec().into(), value.as_ref().to_vec().into())
        };
        Self { lines: pairs.iter().map(copy).collect() }
    }

    /// Copies the lines that are borrowed.
    #[must_use]
    pub fn into_owned(self) -> Headers<'static> {
        let own = |(name, value): NameAndValue<'_>| {
            (Cow::Owned(name.into_owned()), Cow::Owned(value.into_owned()))
        };
        Headers { lines: self.lines.into_iter().map(own).collect() }
    }

    /// Returns the headers after these edits, as every host applies them. For tests.
    #[must_use]
    pub fn edited(&self, edits: &[Edit]) -> Headers<'static> {
        let mut lines = self.clone().into_owned().lines;
        for edit in edits {
            if let Edit::Remove(name) | Edit::Set(name, _) = edit {
                lines.retain(|line| *line.0 != **name);
            }
            if let Edit::Set(name, value) | Edit::Add(name, value) = edit {
                lines.push((name.to_vec().into(), value.to_vec().into()));
            }
        }
        Headers { lines }
    }

    /// Returns the name and value of every line.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the value of every line with this (lower-case) name.
    pub fn values<'s>(&'s self, name: &'s [u8]) -> impl Iterator<Item = &'s [u8]> {
        self.of_length(name.len()).filter(move |line| line.0 == name).map(|line| line.1)
    }

    /// Returns the value of the first line with this (lower-case) name.
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.of_length(name.len()).find(|line| line.0 == name).map(|line| line.1)
    }

    /// Returns the name and value of every line whose name some server treats as equal to this one.
    pub fn alike<'s>(&'s self, name: &[u8]) -> impl Iterator<Item = (&'s [u8], &'s [u8])> {
        self.of_length(name.len()).filter(move |line| passes_for(line.0, name))
    }

    /// Returns the names whose length is one of these.
    pub(crate) fn names_of(&self, lengths: Lengths) -> impl Iterator<Item = &[u8]> {
        self.lines().map(|(name, _)| name).filter(move |name| lengths.contain(name.len()))
    }

    /// Returns the lines whose name has this length. Comparing lengths first rules out most lines
    /// cheaply.
    fn of_length(&self, length: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines().filter(move |(name, _)| name.len() == length)
    }
}

/// A set of name lengths, one bit for each length. All lengths above 62 share bit 63.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths(u64);

impl Lengths {
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        Self(names.fold(0, |lengths, name| lengths | Self::bit(name.len())))
    }

    fn contain(self, length: usize) -> bool {
        self.0 & Self::bit(length) != 0
    }

    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

/// A change to the headers of a request before it goes to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Removes every line of this name.
    Remove(HeaderText),
    /// Replaces all lines of this name by one line.
    Set(HeaderText, HeaderText),
    /// Adds a line to a request that has no line of this name.
    Add(HeaderText, HeaderText),
}

/// The name or the value of a header line. It is shared with the configuration or the token that it
/// comes from.
pub type HeaderText = Rc<[u8]>;

/// Changes to a request, in their order. Most requests have one.
pub type Edits = SmallVec<[Edit; 1]>;

impl Edit {
    /// Returns the edit that gives these headers one line of this name. If they have none, the line
    /// is added: for a replacement, Envoy would build an index of all names.
    pub(crate) fn one_line(
        headers: &Headers,
        name: HeaderText,
        value: impl Into<HeaderText>,
    ) -> Self {
        let line = if headers.first(&name).is_some() { Self::Set } else { Self::Add };
        line(name, value.into())
    }

    /// Returns one removal for each different name.
    pub(crate) fn removals<'a>(names: impl Iterator<Item = &'a [u8]>) -> Edits {
        let mut edits = Edits::new();
        for name in names {
            let edit = Self::Remove(name.into());
            if !edits.contains(&edit) {
                edits.push(edit);
            }
        }
        edits
    }
}

/// Returns whether some server treats the two header names as equal. Pseudo-headers equal only
/// themselves, because servers do not turn them into variables.
pub(crate) fn passes_for(name: &[u8], other: &[u8]) -> bool {
    let is_sign = |byte: &u8| !byte.is_ascii_alphanumeric();
    let same = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || is_sign(a) && is_sign(b);
    let is_twin = || !name.starts_with(b":") && name.iter().zip(other).all(same);
    name == other || name.len() == other.len() && is_twin()
}

fn number_at(buffer: &[u8], at: usize) -> Option<u32> {
    let bytes = buffer.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn serialised(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let mut buffer = u32::try_from(pairs.len()).unwrap().to_le_bytes().to_vec();
        for (name, value) in pairs {
            buffer.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            buffer.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            buffer.extend(text);
            buffer.push(0);
        }
        buffer
    }

    proptest! {
        #[test]
        fn serialised_headers_are_read_back(
            pairs in prop::collection::vec(any::<(Vec<u8>, Vec<u8>)>(), 0..20),
        ) {
            let buffer = serialised(&pairs);
            let headers = Headers::parse(&buffer).expect("well-formed");
            let read: Vec<_> = headers.lines().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(read, pairs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(buffer: Vec<u8>) {
            let _ = Headers::parse(&buffer);
        }
    }

    #[test]
    fn a_buffer_that_ends_early_is_refused() {
        let whole = serialised(&[(b"cookie".to_vec(), b"token=a".to_vec())]);
        assert!(Headers::parse(&whole).is_some());
        for length in 1..whole.len() {
            assert!(Headers::parse(&whole[..length]).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn all_lines_of_a_name_are_found() {
        let headers = Headers::from_pairs(&[("cookie", "a=1"), ("x", "\u{e9}"), ("cookie", "b=2")]);
        let cookies: Vec<_> = headers.values(b"cookie").collect();
        assert_eq!(cookies, [b"a=1", b"b=2"]);
        assert_eq!(headers.first(b"host"), None);
    }

    #[test]
    fn names_are_compared_by_letters_and_digits() {
        let names = [
            "x-token", "x_token", "X.Token", "x-tokem", "x0token", "x-tokens", "xtoken", "-x-token",
        ];
        let headers = Headers::from_pairs(&names.map(|name| (name, "")));
        let alike: Vec<_> = headers.alike(b"x_token").map(|line| line.0).collect();
        assert_eq!(alike, [b"x-token", b"x_token", b"X.Token"]);
        let headers = Headers::from_pairs(&[(":path", "/"), ("_path", "/")]);
        assert_eq!(headers.alike(b"-path").map(|line| line.0).collect::<Vec<_>>(), [b"_path"]);
    }

    #[test]
    fn names_are_selected_by_their_lengths() {
        let long = "x".repeat(62);
        let longer = "x".repeat(70);
        let sent = ["host", "x-a", "cookie", &longer, "accept"].map(|name| (name, ""));
        let headers = Headers::from_pairs(&sent);
        let of = |names: &[&str]| -> Vec<_> {
            let lengths = Lengths::of(names.iter().map(|name| name.as_bytes()));
            headers.names_of(lengths).map(|name| std::str::from_utf8(name).unwrap()).collect()
        };
        assert_eq!(of(&["date"]), ["host"]);
        assert_eq!(of(&["cookie", "accept", "x-b"]), ["x-a", "cookie", "accept"]);
        assert_eq!(of(&[]), [""; 0]);
        assert_eq!(of(&[&long]), [""; 0]);
        assert_eq!(of(&[&"x".repeat(63)]), [&*longer], "the longest are not told apart");
    }
}
