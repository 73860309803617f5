//! Spellings of paths, and all ways in which an application may read them: for the filter in Envoy, and
//! for proxies that ask the service.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Routes and default access.
pub(crate) type Rules = (Value, &'static str);

pub(crate) fn open_rules() -> Rules {
    let routes = json!([
        {"path": "/.session-guard/ready", "access": "ready"},
        {"prefix": "/public", "access": "public"},
        {"template": "/public/{name}/picture", "access": "public"},
    ]);
    (routes, "protected")
}

pub(crate) fn closed_rules() -> Rules {
    let routes = json!([
        {"path": "/.session-guard/ready", "access": "ready"},
        {"prefix": "/private", "access": "protected"},
    ]);
    (routes, "public")
}

/// Headers that some framework or server reads in place of the request line. Every shipped
/// configuration removes exactly these.
pub(crate) const OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-rewrite-url",
    "x-forwarded-uri",
    "x-forwarded-path",
    "x-forwarded-method",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

pub(crate) fn target_of(line: &[u8]) -> &[u8] {
    let end = line.len() - b" HTTP/1.1".len();
    let start = line.iter().position(|byte| *byte == b' ').expect("a method") + 1;
    &line[start..end]
}

pub(crate) fn targets() -> Vec<Vec<u8>> {
    let mut targets: Vec<Vec<u8>> = WHOLE.iter().map(|target| target.to_vec()).collect();
    for dots in DOTS {
        for slash in SLASHES {
            for (before, after) in [(slash, &&b"/"[..]), (&&b"/"[..], slash), (slash, slash)] {
                targets.push([b"/public", *before, dots, *after, b"private"].concat());
            }
            targets
                .push([b"/public/x/picture", *slash, dots, *slash, dots, b"/../private"].concat());
        }
    }
    for slash in SLASHES {
        targets.push([*slash, b"private"].concat());
        targets.push([b"/", *slash, b"private"].concat());
        targets.push([b"/private", *slash].concat());
        targets.push([b"/private", *slash, b"public"].concat());
        targets.push([b"/public", *slash, b"private"].concat());
    }
    targets
}

/// Texts that some server reads as a slash, or ignores next to a slash.
const SLASHES: &[&[u8]] = &[
    b"/",
    b"//",
    b"///",
    b"/./",
    b"/%2e/",
    b"/.;/",
    b"\\",
    b"\\\\",
    b"/\\",
    b"\\/",
    b"%2f",
    b"%2F",
    b"%5c",
    b"%5C",
    b"/%2f",
    b"%252f",
    b"%255c",
    b"%25252f",
    b"%c0%af",
    b"%u002f",
    b"%%32%66",
    b"\xc0\xaf",
    b";/",
    b";x=1/",
    b"/;/",
    b"/;x/",
    b"%3b/",
    b"%3B%2F",
    b"%00/",
    b"/%00",
    b"%00",
    b"%09/",
    b"/%20",
    b"%20/",
    b"%0d%0a/",
    b"?/",
    b"?",
    b"%3f/",
    b"%3F",
    b"#/",
    b"#",
    b"%23/",
    b"%2",
    b"%",
    b"%zz/",
];

/// Texts that some server reads as two dots.
const DOTS: &[&[u8]] = &[
    b"..",
    b"%2e%2e",
    b"%2E%2E",
    b".%2e",
    b"%2e.",
    b"..;",
    b"..;x=1",
    b"%2e%2e;",
    b"..%3b",
    b"%252e%252e",
    b".%252e",
    b"..%00",
    b"..%20",
    b"..%09",
    b"...",
    b"..\\",
    b"%c0%ae%c0%ae",
    b"\xc0\xae\xc0\xae",
    b"%u002e%u002e",
    b"..%23",
    b"..%3f",
    b"..?",
    b"..#",
];

const WHOLE: &[&[u8]] = &[
    b"/public",
    b"/public/a",
    b"/private",
    b"/private/a",
    b"/private?a=1",
    b"/private?/public",
    b"/public?/../private",
    b"/?/private",
    b"/other",
    b"/Private",
    b"/PRIVATE",
    b"/PUBLIC",
    b"/PUBLIC/../private",
    b"/%70rivate",
    b"/privat%65",
    b"/%50RIVATE",
    b"/%2570rivate",
    b"/private%00",
    b"/private%20",
    b"/private.",
    b"/private.json",
    b"/private;a=1",
    b"/private%3Ba",
    b"/private#a",
    b"/private%23a",
    b"/private\xc2\xa0",
    b"/pr\xc4\xb1vate",
    b"/pr%C4%B1vate",
    b"/publicity",
    b"/public-private",
    b"/x/../private",
    b"/public/../../private",
    b"/public/a/b/../../../private",
    b"http://app.example.com/private",
    b"http://app.example.com/public/../private",
    b"http://app.example.com//private",
    b"http://app.example.com\\private",
    b"HTTP://app.example.com/private",
    b"http://user@app.example.com/private",
    b"http://app.example.com?/private",
    b"http://app.example.com",
    b"http:///private",
    b"//app.example.com/private",
    b"private",
    b"public/../private",
    b"*",
    b"?/private",
    b"app.example.com:443",
    b"/private/public/..",
];

/// Returns every path as which some application may read the target.
pub(crate) fn readings(target: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut readings = BTreeSet::new();
    let mut unread = vec![cut_at(target, b"?")]; // all servers agree on this (RFC 9112 §3.2)
    while let Some(reading) = unread.pop() {
        if readings.insert(reading.clone()) {
            unread.extend(LENIENCIES.iter().map(|lenient| lenient(&reading)));
        }
    }
    // An application looks up a path only after it has resolved all dot segments.
    readings.retain(|reading| !has_dots(reading));
    readings
}

type Leniency = fn(&[u8]) -> Vec<u8>;

const LENIENCIES: &[Leniency] = &[
    |path| path.to_ascii_lowercase(),
    |path| percent_encoding::percent_decode(path).collect(),
    |path| cut_at(path, b"?"),
    |path| cut_at(path, b"#"),
    |path| cut_at(path, b"\0"),
    |path| path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect(),
    |path| path.iter().copied().filter(|byte| !byte.is_ascii_control()).collect(),
    |path| segments(path, without_space_at_the_end),
    |path| segments(path, |segment| cut_at(segment, b";")),
    |path| merged(path),
    |path| resolved(path),
];

fn cut_at(path: &[u8], end: &[u8]) -> Vec<u8> {
    path.split(|byte| end.contains(byte)).next().unwrap_or_default().to_vec()
}

fn segments(path: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    path.split(|byte| *byte == b'/').map(change).collect::<Vec<_>>().join(&b'/')
}

/// Removes trailing white space, as Windows does in names. Keeps a segment of only white space.
fn without_space_at_the_end(segment: &[u8]) -> Vec<u8> {
    let trimmed = segment.trim_ascii_end();
    if trimmed.is_empty() { segment.to_vec() } else { trimmed.to_vec() }
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|a, b| (*a, *b) == (b'/', b'/'));
    merged
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let mut resolved: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"." => {}
            b".." => drop(resolved.pop().filter(|_| resolved.len() > 1)),
            _ => resolved.push(segment),
        }
    }
    if resolved.first().is_some_and(|first| !first.is_empty()) {
        resolved.insert(0, b"");
    }
    resolved.join(&b'/')
}

fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
}

pub(crate) fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')))
}
