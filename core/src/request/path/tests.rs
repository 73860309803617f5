//! Promise: a canonical path cannot be normalised any further. Method: an independent normaliser,
//! which applies every equivalence that servers are known to apply, leaves it unchanged.
use proptest::prelude::*;

use super::*;

const CANONICAL: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a.b",
    "/.a",
    "/..a",
    "/...",
    "/a/.b/c..",
    "/.../x",
    "/a%20b",
    "/a%2Cb",
    "/%C3%A9",
    "/%C3%80/%E3%81%82/%F0%9F%98%80",
    "/%E2%80%A6",
    "/%C0",
    "/%FF%FE",
    "/@x:y!$&'()*+,=",
    "/~-_.x",
    "/%3F",
    "/%23",
    "/a..%20b",
];

/// Examples of every known path confusion, each with the reason why it is not canonical.
const CONFUSING: &[&str] = &[
    "",
    "*",
    "a",
    "http://host/a",
    "//",
    "//a",
    "/a//b",
    "/a//",
    "/a/./b",
    "/.",
    "/a/.",
    "/a/..",
    "/..",
    "/a/../b",
    "/../b",
    "/a\\b",
    "/a/..\\b",
    "/a;x=1/b",
    "/a/..;/b",
    "/a/..;x=1/b",
    "/a;",
    "/a#b",
    "/%61",
    "/%2D",
    "/%2E",
    "/%2e%2e/a",
    "/.%2e/a",
    "/a%2Fb",
    "/a%2fb",
    "/..%2fb",
    "/%5C",
    "/..%5cb",
    "/%3B",
    "/%3b",
    "/..%3b/x",
    "/%25",
    "/%252e%252e/a",
    "/%00",
    "/a%09",
    "/a%0Ab",
    "/%7F",
    "/a/..%20/b",
    "/a/..%3Fb",
    "/a/.%23",
    // A server may strip spaces.
    "/ ",
    "/%20",
    "/ /b",
    "/%20/b",
    "/a%20",
    "/a%20/b",
    "/%20a/b",
    "/a%20%20/b",
    "/a b",
    // Overlong UTF-8, and characters that some conversion turns into `.` or `/`.
    "/a/%C0%AE%C0%AE/b",
    "/a%C0%AFb",
    "/a%C1%9Cb",
    "/a%E0%80%AFb",
    "/a%F0%80%80%AFb",
    "/a/%EF%BC%8E%EF%BC%8E/b",
    "/a/%E2%80%A5/b",
    "/a%EF%BC%8Fb",
    "/a%E2%88%95b",
    "/a%EF%BC%BCb",
    "/a%C2%A5b",
    "/a%EF%BC%9Bx",
    "/a%EF%BC%85x",
    "/%",
    "/%2",
    "/a%G0",
    "/a%c3%a9",
    "/a\u{0}",
    "/a\tb",
    "/a\u{7f}",
    "/é",
];

#[test]
fn canonical_paths_are_recognised() {
    for path in CANONICAL {
        assert_eq!(canonical(path.as_bytes()), Some(path.as_bytes()), "{path}");
    }
    for path in CONFUSING {
        assert_eq!(canonical(path.as_bytes()), None, "{path}");
    }
}

#[test]
fn the_query_is_not_part_of_the_path() {
    assert_eq!(canonical(b"/a?x=/../b;c"), Some(&b"/a"[..]));
    assert_eq!(canonical(b"/a/..?x"), None);
    assert_eq!(canonical(b"?x"), None);
    assert_eq!(split(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
    assert_eq!(split(b"/a"), (&b"/a"[..], None));
    assert_eq!(split(b"/a?"), (&b"/a"[..], Some(&b""[..])));
}

/// Normalises a path as a very lenient server would: decodes escapes of plain bytes (twice),
/// changes hex to upper case and `\` to `/`, cuts `;…` and spaces off each segment, and removes
/// empty and dot segments.
pub(crate) fn normalised(path: &[u8]) -> Vec<u8> {
    let path = unescaped(&unescaped(path));
    let path: Vec<u8> = path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
    let mut kept: Vec<&[u8]> = vec![];
    let segments: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    let last = segments.len() - 1;
    for (at, segment) in segments.into_iter().enumerate() {
        let segment = stripped(segment.split(|b| *b == b';').next().unwrap());
        match segment {
            b"" | b"." => {}
            b".." => drop(kept.pop()),
            name => kept.push(name),
        }
        if at == last && matches!(segment, b"" | b"." | b"..") {
            kept.push(b"");
        }
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

/// Removes spaces, escaped or not, at both ends of a segment.
fn stripped(mut segment: &[u8]) -> &[u8] {
    const SPACES: [&[u8]; 2] = [b" ", b"%20"];
    while let Some(rest) = SPACES
        .iter()
        .find_map(|space| segment.strip_prefix(*space).or(segment.strip_suffix(*space)))
    {
        segment = rest;
    }
    segment
}

fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    let mut at = 0;
    while at < path.len() {
        let hex = path.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
        let byte = hex.and_then(|d| u8::from_str_radix(d, 16).ok());
        match byte {
            Some(byte) if path[at] == b'%' => {
                if byte.is_ascii_alphanumeric() || b"-._~/\\;%\0".contains(&byte) {
                    out.push(byte);
                } else {
                    out.extend(format!("%{byte:02X}").bytes());
                }
                at += 3;
            }
            _ => {
                out.push(path[at]);
                at += 1;
            }
        }
    }
    out
}

/// Paths made of the pieces that cause confusion.
pub(crate) fn confusing_path() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "a", "B", "admin", "%2f", "%2F", "%2e", "%2E", "%5c", "%5C",
        "%25", "%00", "%3b", "%3B", "%61", "%C3%A9", "%c3", "%20", " ", "%", "\\", ";", "#", "//",
        "~", "\u{e9}",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_normaliser_does_not_change_a_canonical_path(tail in confusing_path()) {
        let path = [b"/", &tail[..]].concat();
        if let Some(path) = canonical(&path) {
            prop_assert_eq!(normalised(path), path);
        }
    }

    #[test]
    fn a_path_that_no_normaliser_changes_is_canonical(tail in confusing_path()) {
        let path = [b"/", &tail[..]].concat();
        if canonical(&path).is_none() {
            let odd = path.iter().any(|byte| !byte.is_ascii() || b"#;% ".contains(byte));
            prop_assert!(odd || normalised(&path) != path);
        }
    }

    #[test]
    fn any_bytes_get_a_verdict(target: Vec<u8>) {
        let _ = canonical(&target);
        let _ = decoded(&target);
    }
}
