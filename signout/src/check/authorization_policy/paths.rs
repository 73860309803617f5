//! Which paths two rules share, and how Istio writes the paths of a rule.
//!
//! The filter compares the paths of a `protected` rule generously: without letter case, decoded, with
//! a slash more or less at the end. So do [`Paths::may_share`] and [`Paths::are_within`], otherwise a
//! rule would open what an earlier one protects.

use serde_json::Value;
use session_guard_core::request::path;

/// The paths of one rule, as the configuration writes them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paths<'a> {
    /// One path.
    Exact(&'a str),
    /// The paths that begin like this.
    Prefix(&'a str),
    /// The paths with these segments.
    Template(&'a str),
    /// Every path of a CORS preflight.
    Preflight,
}

/// The segments of some paths, decoded and in lower case. `None` is a segment with any text.
struct Shape {
    segments: Vec<Option<Vec<u8>>>,
    tail: Tail,
}

/// What may follow the segments of a [`Shape`].
#[derive(PartialEq, Eq)]
enum Tail {
    /// Nothing but a slash.
    End,
    /// Nothing, or more segments.
    Below,
    /// A segment that begins like this, and then anything.
    Within(Vec<u8>),
}

impl<'a> Paths<'a> {
    /// Returns the paths of a rule of the effective configuration.
    pub(super) fn of_rule(rule: &'a Value) -> Self {
        let text = |name: &str| rule[name].as_str();
        match (text("path"), text("prefix"), text("template")) {
            (Some(path), _, _) => Self::Exact(path),
            (_, Some(prefix), _) => Self::Prefix(prefix),
            (_, _, Some(template)) => Self::Template(template),
            _ => Self::Preflight,
        }
    }

    /// Returns whether a rule that opens these paths shares a path with a rule that protects `closed`.
    pub(super) fn may_share(self, closed: Self) -> bool {
        let (open, closed) = (self.opened(), closed.closed());
        let pairs = open.segments.iter().zip(&closed.segments);
        if pairs.into_iter().any(|pair| matches!(pair, (Some(a), Some(b)) if a != b)) {
            return false;
        }
        match (open.segments.get(closed.segments.len()), &closed.tail) {
            (Some(_), Tail::End) => false,
            (Some(_), Tail::Below) => true,
            (Some(next), Tail::Within(start)) => {
                next.as_ref().is_none_or(|next| next.starts_with(start))
            }
            (None, Tail::End | Tail::Below) if open.segments.len() == closed.segments.len() => true,
            (None, _) => open.tail == Tail::Below,
        }
    }

    /// Returns whether a rule that protects `closed` protects all these paths.
    pub(super) fn are_within(self, closed: Self) -> bool {
        let (open, closed) = (self.opened(), closed.closed());
        let same = |(index, part): (usize, &Option<Vec<u8>>)| {
            let opened = open.segments.get(index);
            opened.is_some_and(|opened| part.is_none() || part == opened)
        };
        if !closed.segments.iter().enumerate().all(same) {
            return false;
        }
        match (open.segments.get(closed.segments.len()), &closed.tail) {
            (_, Tail::Below) => true,
            (Some(_), Tail::End) | (None, Tail::Within(_)) => false,
            (None, Tail::End) => open.tail == Tail::End,
            (Some(next), Tail::Within(start)) => {
                next.as_ref().is_some_and(|next| next.starts_with(start))
            }
        }
    }

    /// Returns Istio's `paths` for a rule that opens these paths, or `None` if Istio cannot express
    /// them. With `any_end` a slash at the end does not matter.
    pub(super) fn istio(self, any_end: bool) -> Option<Vec<String>> {
        let mut paths = match self {
            Self::Exact(path) | Self::Template(path) if path.ends_with('*') => return None,
            Self::Exact(path) => vec![path.to_owned()],
            Self::Prefix(prefix) if prefix.ends_with('/') => vec![format!("{prefix}*")],
            Self::Prefix(prefix) => vec![prefix.to_owned(), format!("{prefix}/*")],
            Self::Template(template) => vec![istio_template(template)?],
            Self::Preflight => vec![],
        };
        if any_end && let Self::Exact(path) | Self::Template(path) = self {
            match path.strip_suffix('/') {
                Some("") => {}
                Some(_) => paths.extend(paths.first().map(|path| without_slash(path).to_owned())),
                None => paths.extend(paths.first().map(|path| format!("{path}/"))),
            }
        }
        Some(paths)
    }

    /// Returns Istio's `notPaths` that remove at least these paths from paths that begin with `head`.
    /// `None` if nothing would remain, or if the two are spelled differently.
    pub(super) fn excluded_from(self, head: &str) -> Option<Vec<String>> {
        let all = |start: &str| format!("{start}*");
        let excluded = match self {
            Self::Exact("/") => vec!["/".to_owned()],
            Self::Exact(path) => {
                let path = without_slash(path);
                vec![path.to_owned(), format!("{path}/")]
            }
            Self::Prefix(prefix) => vec![all(prefix), without_slash(prefix).to_owned()],
            // Envoy's `{*}` matches fewer characters than the filter's segment.
            Self::Template(_) => vec![all(self.head())],
            Self::Preflight => return None,
        };
        let start = self.literal_head();
        let leaves_some = matches!(self, Self::Exact(_)) || start.len() > head.len();
        (leaves_some && start.starts_with(head)).then_some(excluded)
    }

    /// Returns the text with which all these paths begin, without a slash at its end.
    pub(super) fn literal_head(self) -> &'a str {
        without_slash(self.head())
    }

    fn head(self) -> &'a str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Template(text) => text.split('{').next().unwrap_or_default(),
            Self::Preflight => "",
        }
    }

    fn opened(self) -> Shape {
        match self {
            Self::Exact(text) | Self::Template(text) => Shape::of(text, Tail::End),
            Self::Prefix(text) => Shape::of(text, Tail::Below),
            Self::Preflight => Shape::of("", Tail::Below),
        }
    }

    fn closed(self) -> Shape {
        match self {
            Self::Prefix(text) if !text.ends_with('/') => {
                let mut shape = Shape::of(text, Tail::Below);
                if let Some(Some(last)) = shape.segments.pop() {
                    shape.tail = Tail::Within(last);
                }
                shape
            }
            other => other.opened(),
        }
    }
}

impl Shape {
    fn of(text: &str, tail: Tail) -> Self {
        let segments = without_slash(text).split('/').skip(1).map(|segment| {
            let is_any = segment.starts_with('{');
            (!is_any).then(|| path::decoded(segment.as_bytes()).to_ascii_lowercase())
        });
        Self { segments: segments.collect(), tail }
    }
}

/// Returns the template with `{*}` for each name, or `None` if a segment has a character that Envoy's
/// templates cannot have.
fn istio_template(template: &str) -> Option<String> {
    let segments = template.split('/').map(|segment| match segment.starts_with('{') {
        true => Some("{*}"),
        false => segment.bytes().all(may_be_in_template).then_some(segment),
    });
    Some(segments.collect::<Option<Vec<_>>>()?.join("/"))
}

fn may_be_in_template(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,:@".contains(&byte)
}

fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}
