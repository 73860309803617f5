//! Requests with tokens in every place and spelling: for the filter in Envoy, and for proxies that ask
//! the service.

use serde_json::{Value, json};
use testbed::{Request, Token};

/// Returns the token sources of these requests.
pub(crate) fn sources() -> Value {
    json!([
        {"header": "authorization", "scheme": "Bearer"},
        {"header": "x-token"},
        {"cookie": "token"},
        {"cookie": "__Host-session"},
        {"query": "access_token"},
        {"query": "ticket", "routes": [{"path": "/socket", "methods": ["GET"]}]},
    ])
}

/// The target, then header lines. `TOKEN` stands for the token.
pub(crate) type RequestLines = (&'static str, &'static [(&'static str, &'static str)]);

pub(crate) const PLACES: &[RequestLines] = &[
    ("/page", &[("authorization", "Bearer TOKEN")]),
    ("/page", &[("authorization", "bearer TOKEN")]),
    ("/page", &[("authorization", "BEARER   TOKEN")]),
    ("/page", &[("Authorization", "Bearer TOKEN ")]),
    ("/page", &[("x-token", "TOKEN")]),
    ("/page", &[("X-Token", "  TOKEN  ")]),
    ("/page", &[("cookie", "token=TOKEN")]),
    ("/page", &[("cookie", "a=1;token=TOKEN;b=2")]),
    ("/page", &[("cookie", "token=\"TOKEN\"")]),
    ("/page", &[("cookie", "a=1"), ("cookie", "token=TOKEN"), ("cookie", "b=2")]),
    ("/page", &[("cookie", "__Host-session=TOKEN")]),
    ("/page?access_token=TOKEN", &[]),
    ("/page?a=1&access_token=TOKEN&b", &[]),
];

/// Spellings that some servers read as a configured place.
pub(crate) const OTHER_SPELLINGS: &[RequestLines] = &[
    ("/page", &[("authorization", "TOKEN")]),
    ("/page", &[("authorization", "Basic TOKEN")]),
    ("/page", &[("authorization", "Token token=\"TOKEN\"")]),
    ("/page", &[("x.token", "TOKEN")]),
    ("/page", &[("cookie", "a=1; token = TOKEN; b=2")]),
    ("/page", &[("cookie", "to%6ben=TOKEN")]),
    ("/page", &[("cookie", "a=1 token=TOKEN")]),
    ("/page", &[("cookie", "a=1\ttoken=TOKEN; b=2")]),
    ("/page", &[("cookie", "a=1,token=TOKEN")]),
    ("/page", &[("cookie", "$Version=1,token=TOKEN")]),
    ("/page", &[("cookie", "..Host-session=TOKEN")]),
    ("/page", &[("cookie", "__HOST-session=TOKEN")]),
    ("/page", &[("cookie", "__%48ost-session=TOKEN")]),
    ("/page", &[("cookie", "Token=TOKEN")]),
    ("/page", &[("cookie", "a=\"1\"token=TOKEN")]),
    ("/page?Access_Token=TOKEN", &[]),
    ("/page?a=1;access_token=TOKEN", &[]),
    ("/page?access%5Ftoken=TOKEN", &[]),
    ("/page?access.token=TOKEN", &[]),
    ("/page?access%20token=TOKEN", &[]),
    ("/page?access[token=TOKEN", &[]),
    ("/page?access%5Btoken%00=TOKEN", &[]),
];

pub(crate) const NO_PLACES: &[RequestLines] = &[
    ("/page", &[("authorization", "Bearer")]),
    ("/page", &[("proxy-authorization", "Bearer TOKEN")]),
    ("/page", &[("cookie", "TOKEN")]),
    ("/page", &[("cookie", "token")]),
    ("/page", &[("cookie", "token=")]),
    ("/page", &[("cookie", "token2=TOKEN")]),
    ("/page", &[("cookie", "a=token=TOKEN")]),
    ("/page", &[("cookie", "a=1 mytoken=TOKEN")]),
    ("/page", &[("x-token", "")]),
    ("/page", &[("xtoken", "TOKEN")]),
    ("/page?token=TOKEN", &[]),
    ("/page?access_token", &[]),
    ("/page?access-token=TOKEN", &[]),
    ("/page/TOKEN", &[]),
];

/// Header lines of one field that contain a credential and something else.
pub(crate) const MALFORMED: &[&[(&str, &str)]] = &[
    &[("authorization", "Bearer FIRST, SECOND")],
    &[("authorization", "Bearer FIRST, Bearer SECOND")],
    &[("authorization", "Bearer FIRST"), ("authorization", "Bearer SECOND")],
    &[("authorization", "Bearer FIRST"), ("authorization", "x SECOND")],
    &[("authorization", "x SECOND"), ("authorization", "Bearer FIRST")],
    &[("authorization", "Bearer FIRST SECOND")],
    &[("authorization", "Bearer FIRST"), ("authorization", "Bearer FIRST")],
    &[("authorization", "Basic YTpi, Bearer FIRST")],
    &[("authorization", "Basic YTpi"), ("authorization", "Bearer FIRST")],
    &[("authorization", "Bearer\tFIRST")],
    &[("authorization", "Bearer token=\"FIRST\"")],
];

/// Requests with two tokens, `FIRST` and `SECOND`.
pub(crate) const PAIRS: &[RequestLines] = &[
    ("/page", &[("authorization", "Bearer FIRST"), ("cookie", "token=SECOND")]),
    ("/page", &[("authorization", "Bearer FIRST"), ("x-token", "SECOND")]),
    ("/page", &[("x-token", "FIRST"), ("x-token", "SECOND")]),
    ("/page", &[("x-token", "FIRST"), ("x.token", "SECOND")]),
    ("/page", &[("cookie", "token=FIRST; token=SECOND")]),
    ("/page", &[("cookie", "token=FIRST; x=1 token=SECOND")]),
    ("/page", &[("cookie", "token=FIRST"), ("cookie", "token=SECOND")]),
    ("/page", &[("cookie", "token=FIRST; __Host-session=SECOND")]),
    ("/page?access_token=FIRST", &[("cookie", "token=SECOND")]),
    ("/page?access_token=FIRST&access_token=SECOND", &[]),
    ("/page?access_token=FIRST&access.token=SECOND", &[]),
];

pub(crate) fn at(place: &RequestLines, token: &Token) -> Request {
    filled(place, |text| text.replace("TOKEN", token.as_str()))
}

pub(crate) fn both(place: &RequestLines, first: &Token, second: &Token) -> Request {
    filled(place, |text| text.replace("FIRST", first.as_str()).replace("SECOND", second.as_str()))
}

fn filled((target, lines): &RequestLines, fill: impl Fn(&str) -> String) -> Request {
    with_lines(Request::get(&fill(target)), lines, fill)
}

pub(crate) fn with_lines(
    request: Request,
    lines: &[(&str, &str)],
    fill: impl Fn(&str) -> String,
) -> Request {
    lines.iter().fold(request, |request, (name, value)| request.header(name, fill(value)))
}
