//! The tables of the filter's own tests, through each proxy.

use serde_json::json;
use session_guard_core::refusal::Refusal;
use testbed::{AskingBed, AskingProxy, BareApplication, Request, ServiceSetup, Token};

use crate::odd_requests::{ODD_HEADS, ODD_LINES};
use crate::places::{
    MALFORMED, NO_PLACES, OTHER_SPELLINGS, PAIRS, PLACES, RequestLines, at, both, sources,
    with_lines,
};
use crate::shown::{answer, shown};
use crate::table::{self, ADA, Draft, cases, spellings, times};
use crate::targets::{
    OVERRIDES, Rules, closed_rules, is_below, open_rules, readings, target_of, targets,
};

#[test]
fn each_token_gets_the_verdict_of_the_filter() {
    for kind in AskingProxy::ALL {
        let bed = AskingBed::start(kind, |filter| *filter = table::filter());
        let mut connection = bed.connect();
        let now = testbed::unix_seconds();
        let ask = |token: &str| Request::get("/page").bearer(&Token::text(token));
        for (name, token, expected) in cases(now) {
            let response = connection.send(&ask(&token));
            assert_eq!(shown(&response), answer(expected), "{kind:?}: {name}");
        }
        for (name, token, expected) in times(now) {
            let is_second_later = testbed::unix_seconds() != now;
            let response = connection.send(&ask(&token));
            let matches = shown(&response) == answer(expected);
            assert!(matches || is_second_later, "{kind:?}: {name}: {}", response.text());
        }
        let token = Draft::new(now).sign();
        assert_eq!(shown(&connection.send(&ask(&token))), answer(ADA), "{kind:?}");
        for (name, spelling) in spellings(&token) {
            assert_eq!(connection.send(&ask(&spelling)).status, 401, "{kind:?}: {name}");
        }
    }
}

fn with_places(kind: AskingProxy) -> AskingBed {
    AskingBed::start(kind, |filter| filter["token_sources"] = sources())
}

/// Returns whether the proxy drops lines with such names. Then the application does not get them
/// either.
fn is_dropped(kind: AskingProxy, (_, lines): &RequestLines) -> bool {
    kind != AskingProxy::Envoy && lines.iter().any(|(name, _)| name.contains('.'))
}

/// Returns whether the proxy joins lines by commas in a check. The request is then refused, because
/// that is no cookie field.
fn is_joined(kind: AskingProxy, (_, lines): &RequestLines) -> bool {
    let mut names: Vec<_> = lines.iter().map(|(name, _)| *name).collect();
    names.dedup();
    kind == AskingProxy::Envoy && names.len() < lines.len()
}

/// Returns whether the proxy itself refuses the request: NGINX allows one line of this name.
fn is_refused(kind: AskingProxy, lines: &[(&str, &str)]) -> bool {
    let count = lines.iter().filter(|(name, _)| *name == "authorization").count();
    kind == AskingProxy::Nginx && count > 1
}

#[test]
fn tokens_are_found_in_the_places_of_the_filter() {
    for kind in AskingProxy::ALL {
        let bed = with_places(kind);
        let (ada, bob) = (Token::of("ada"), Token::of("bob"));
        let forged = ada.forged();
        let code = |request: &Request| bed.send(request).code();
        for place in PLACES {
            let response = bed.send(&at(place, &ada));
            if is_joined(kind, place) {
                assert_eq!(response.code(), "malformed_token", "{kind:?} {place:?}");
                continue;
            }
            assert_eq!(response.code(), "", "{kind:?} {place:?}");
            assert_eq!(response.seen().headers("x-user-id"), ["ada"], "{kind:?} {place:?}");
            assert_eq!(code(&at(place, &forged)), "bad_signature", "{kind:?} {place:?}");
        }
        for place in OTHER_SPELLINGS {
            let bad = if is_dropped(kind, place) { "missing_token" } else { "bad_signature" };
            assert_eq!(code(&at(place, &ada)), "missing_token", "{kind:?} {place:?}");
            assert_eq!(code(&at(place, &forged)), bad, "{kind:?} {place:?}");
        }
        for place in NO_PLACES {
            assert_eq!(code(&at(place, &ada)), "missing_token", "{kind:?} {place:?}");
        }
        for pair in PAIRS.iter().filter(|pair| !is_dropped(kind, pair)) {
            if is_joined(kind, pair) {
                assert_eq!(bed.send(&both(pair, &ada, &ada)).status, 401, "{kind:?} {pair:?}");
                continue;
            }
            assert_eq!(code(&both(pair, &ada, &ada)), "", "{kind:?} {pair:?}");
            assert_eq!(code(&both(pair, &ada, &bob)), "conflicting_tokens", "{kind:?} {pair:?}");
            // Also where the filter would remove the bad one of two cookies.
            assert_eq!(code(&both(pair, &ada, &forged)), "bad_signature", "{kind:?} {pair:?}");
            assert_eq!(code(&both(pair, &forged, &ada)), "bad_signature", "{kind:?} {pair:?}");
        }
    }
}

#[test]
fn malformed_fields_are_refused_and_sign_out_all_their_tokens() {
    for kind in AskingProxy::ALL {
        let bed = with_places(kind);
        for lines in MALFORMED {
            if is_refused(kind, lines) {
                let request = with_lines(Request::get("/page"), lines, str::to_owned);
                assert_eq!(bed.send(&request).status, 400, "{kind:?} {lines:?}");
                continue;
            }
            let (ada, bob) = (Token::of("ada"), Token::of("bob"));
            let page = bed.send(&both(&("/page", lines), &ada, &bob));
            assert_eq!(page.code(), "malformed_token", "{kind:?} {lines:?}");
            let fill =
                |text: &str| text.replace("FIRST", ada.as_str()).replace("SECOND", bob.as_str());
            let sign_out = bed.send(&with_lines(Request::post("/sign-out"), lines, fill));
            assert_eq!(sign_out.status, 200, "{kind:?} {lines:?}");
            for (token, name) in [(&ada, "FIRST"), (&bob, "SECOND")] {
                let was_sent = lines.iter().any(|line| line.1.contains(name));
                let is_revoked = bed.get("/page", token).code() == "revoked";
                assert_eq!(is_revoked, was_sent, "{kind:?} {name} of {lines:?}");
            }
        }
    }
}

#[test]
fn no_spelling_of_a_path_leaves_an_open_prefix() {
    confuse(&open_rules(), |reading| !is_below(reading, b"/public"));
}

#[test]
fn no_spelling_of_a_path_reaches_a_closed_prefix() {
    confuse(&closed_rules(), |reading| is_below(reading, b"/private"));
}

/// Sends every target without a token and then with one, and checks the targets that reached the
/// application.
fn confuse((routes, default_access): &Rules, is_protected: impl Fn(&[u8]) -> bool) {
    for kind in AskingProxy::ALL {
        let application = BareApplication::start();
        let edit = |filter: &mut serde_json::Value| {
            filter["routes"] = routes.clone();
            filter["default_access"] = json!(default_access);
        };
        let service = ServiceSetup::default();
        let bed = AskingBed::before(kind, service, application.address(), edit, |text| text);
        let token = format!("authorization: Bearer {}\r\n", Token::of("ada"));
        let [without, with] = ["", &*token].map(|line| {
            for target in targets() {
                let is_authority = target.contains(&b':') && !target.contains(&b'/');
                let method: &[u8] = if is_authority { b"CONNECT" } else { b"GET" };
                let rest = format!("HTTP/1.1\r\nhost: app.example.com\r\n{line}\r\n");
                let mut connection = bed.connect();
                connection.send_bytes(&[method, b" ", &*target, b" ", rest.as_bytes()].concat());
                connection.read_answer();
            }
            application.take_request_lines()
        });
        let leaks = |lines: &[Vec<u8>]| {
            let is_leak =
                |line: &&Vec<u8>| readings(target_of(line)).iter().any(|r| is_protected(r));
            let lines = lines.iter().filter(is_leak);
            lines.map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(leaks(&without), [""; 0], "{kind:?}");
        // The check itself works: with a token, the same targets reach the protected pages.
        let reached = leaks(&with);
        assert!(reached.iter().any(|line| line.starts_with("GET /private HTTP/")), "{kind:?}");
        assert!(reached.len() > 20 && !without.is_empty(), "{kind:?}: {}", reached.len());
    }
}

#[test]
fn no_header_in_place_of_the_request_line_reaches_the_application() {
    for kind in AskingProxy::ALL {
        let bed = AskingBed::start(kind, |_| {});
        for name in OVERRIDES {
            for path in ["/", "/page"] {
                let request = Request::get(path).bearer(&Token::of("ada"));
                let seen = bed.send(&request.header(name, "/private")).seen();
                let found = (seen.path.as_str(), seen.header(name));
                assert_eq!(found, (path, None), "{kind:?} {name} {path}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_utf_8_are_refused_and_harm_nothing() {
    for kind in AskingProxy::ALL {
        let bed = with_places(kind);
        let heads = ODD_LINES.iter().map(|(name, line, _)| {
            let head = [b"GET /page HTTP/1.1\r\nhost: app.example.com\r\n", *line, b"\r\n\r\n"];
            (name, head.concat())
        });
        let others = ODD_HEADS.iter().filter(|(name, ..)| !name.contains("open"));
        let heads = heads.chain(others.map(|(name, head, _)| (name, head.to_vec())));
        for (name, head) in heads {
            let mut connection = bed.connect();
            connection.send_bytes(&head);
            let status = connection.read_head().status;
            assert!([400, 401, 503].contains(&status), "{kind:?}: {name}: {status}");
            let ada = Token::of("ada");
            let seen = bed.get("/page", &ada).seen();
            assert_eq!(seen.headers("x-user-id"), ["ada"], "{kind:?} after {name}");
        }
        let refused = Refusal::BadSignature.answer().code;
        assert_eq!(bed.get("/page", &Token::of("ada").forged()).code(), refused, "{kind:?}");
    }
}
