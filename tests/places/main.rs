//! Promise: the filter checks every token of a request, in every place where the application may
//! look, even if there is another token.
//! Method: a table of requests with tokens in all places, and the effect of a bad token on each
//! kind of route.

mod table;

use serde_json::json;
use table::{MALFORMED, NO_PLACES, OTHER_SPELLINGS, PAIRS, PLACES, RequestLines};
use table::{at, both, sources, with_lines};
use testbed::{Configuration, Request, Shared, Testbed, Token};

static BED: Shared<Testbed> = Shared::new(|| Testbed::with(places));

/// A configuration in which Envoy passes header names with an underscore, trailers reach the
/// application, and the filter strips tokens.
static LENIENT: Shared<Testbed> = Shared::new(|| {
    Testbed::with(|configuration| {
        places(configuration);
        configuration.filter["forward"]["token"] = json!("strip");
        let manager = configuration.connection_manager();
        let options = manager["common_http_protocol_options"].as_object_mut();
        options.and_then(|it| it.remove("headers_with_underscores_action")).expect("the setting");
        configuration.speak_http2("application");
    })
});

fn places(configuration: &mut Configuration) {
    configuration.filter["token_sources"] = sources();
    let routes = configuration.filter["routes"].as_array_mut().expect("a list of routes");
    routes.push(json!({"path": "/optional", "access": "optional"}));
}

/// Tokens of two users.
struct Tokens {
    ada: Token,
    ada_again: Token,
    bob: Token,
    forged: Token,
}

impl Tokens {
    fn new() -> Self {
        let ada = Token::of("ada");
        Self { forged: ada.forged(), ada_again: Token::of("ada"), bob: Token::of("bob"), ada }
    }
}

#[test]
fn a_token_in_a_configured_place_admits() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for place in PLACES {
        let Tokens { ada, forged, .. } = Tokens::new();
        let (good, bad) = (connection.send(&at(place, &ada)), connection.send(&at(place, &forged)));
        assert_eq!(good.seen().headers("x-user-id"), ["ada"], "{place:?}");
        assert_eq!((bad.status, &*bad.code()), (401, "bad_signature"), "{place:?}");
    }
}

#[test]
fn a_token_under_another_spelling_refuses_and_never_admits() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for place in OTHER_SPELLINGS {
        let Tokens { ada, forged, .. } = Tokens::new();
        for (token, code) in [(&ada, "missing_token"), (&forged, "bad_signature")] {
            let answer = connection.send(&at(place, token));
            assert_eq!((answer.status, &*answer.code()), (401, code), "{place:?}");
            assert_eq!(answer.header("set-cookie"), None, "{place:?}");
        }
        let fill = |text: &str| text.replace("TOKEN", ada.as_str());
        let optional = fill(&place.0.replace("/page", "/optional"));
        let seen = connection.send(&with_lines(Request::get(&optional), place.1, fill)).seen();
        assert_eq!(seen.headers("x-user-id"), [""; 0], "{place:?}");
    }
}

#[test]
fn a_limited_source_admits_on_its_routes_and_refuses_everywhere() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let Tokens { ada, ada_again, bob, forged } = Tokens::new();
    assert_eq!(connection.send(&Request::post("/sign-out").bearer(&ada_again)).status, 200);
    let code = "code-of-another-feature";
    for (path, ticket, alone, beside_own) in [
        ("/socket", ada.as_str(), "", ""),
        ("/socket", forged.as_str(), "bad_signature", "bad_signature"),
        ("/socket", code, "malformed_token", "malformed_token"),
        ("/page", ada.as_str(), "missing_token", ""),
        ("/page", forged.as_str(), "bad_signature", "bad_signature"),
        ("/page", ada_again.as_str(), "revoked", "revoked"),
        ("/page", bob.as_str(), "missing_token", "conflicting_tokens"),
        ("/page", code, "missing_token", ""),
        ("/socket/", ada.as_str(), "missing_token", ""),
    ] {
        let request = Request::get(&format!("{path}?ticket={ticket}"));
        assert_eq!(connection.send(&request).code(), alone, "{path} {ticket}");
        assert_eq!(connection.send(&request.bearer(&ada)).code(), beside_own, "{path} {ticket}");
    }
    let sign_out = Request::post(&format!("/sign-out?ticket={bob}"));
    assert_eq!(connection.send(&sign_out).seen().path, format!("/sign-out?ticket={bob}"));
    assert_eq!(connection.send(&Request::get("/page").bearer(&bob)).code(), "revoked");
}

#[test]
fn no_other_place_holds_a_token() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for place in NO_PLACES {
        let answer = connection.send(&at(place, &Token::of("ada")));
        let challenge = answer.header("www-authenticate");
        let expected = (401, "missing_token", Some("Bearer"));
        assert_eq!((answer.status, &*answer.code(), challenge), expected, "{place:?}");
    }
    assert_eq!(connection.send(&Request::get("/page")).code(), "missing_token");
}

#[test]
fn tokens_in_two_places_must_both_hold_and_agree() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let Tokens { ada, ada_again, bob, forged } = Tokens::new();
    let cases = [
        (&ada, &ada, ""),
        (&ada, &ada_again, ""),
        (&ada, &bob, "conflicting_tokens"),
        (&bob, &ada, "conflicting_tokens"),
        (&ada, &forged, "bad_signature"),
        (&forged, &ada, "bad_signature"),
        (&forged, &bob, "bad_signature"),
    ];
    let is_replaced = |pair: &RequestLines, code: &str| {
        let is_one_name =
            pair.1.iter().all(|line| line.0 == "cookie") && !pair.0.contains("access");
        let cookies: String = pair.1.iter().map(|line| format!("; {}", line.1)).collect();
        code == "bad_signature" && is_one_name && cookies.matches("; token=").count() == 2
    };
    for pair in PAIRS {
        for (index, (first, second, expected)) in cases.iter().enumerate() {
            let answer = connection.send(&both(pair, first, second));
            let expected = if is_replaced(pair, expected) { "" } else { expected };
            let status = if expected.is_empty() { 200 } else { 401 };
            assert_eq!((answer.status, &*answer.code()), (status, expected), "{pair:?} {index}");
        }
    }
}

#[test]
fn a_credential_beside_anything_else_is_malformed() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for lines in MALFORMED {
        let Tokens { ada, ada_again, .. } = Tokens::new();
        let page = connection.send(&both(&("/page", lines), &ada, &ada_again));
        assert_eq!((page.status, &*page.code()), (401, "malformed_token"), "{lines:?}");
        let optional = connection.send(&both(&("/optional", lines), &ada, &ada_again)).seen();
        assert_eq!((optional.header("x-user-id"), optional.header("authorization")), (None, None));
    }
}

#[test]
fn a_sign_out_revokes_every_token_of_a_malformed_field() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for lines in MALFORMED {
        let Tokens { ada, bob, .. } = Tokens::new();
        let fill = |text: &str| text.replace("FIRST", ada.as_str()).replace("SECOND", bob.as_str());
        let sign_out = with_lines(Request::post("/sign-out"), lines, fill);
        assert_eq!(connection.send(&sign_out).seen().path, "/sign-out");
        for (token, name) in [(&ada, "FIRST"), (&bob, "SECOND")] {
            let was_sent = lines.iter().any(|line| line.1.contains(name));
            let code = connection.send(&Request::get("/page").bearer(token)).code();
            assert_eq!(code == "revoked", was_sent, "{name} of {lines:?}");
        }
    }
}

#[test]
fn a_good_cookie_replaces_a_bad_one_of_its_name() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let Tokens { ada, forged, .. } = Tokens::new();
    let (ada, forged) = (ada.as_str(), forged.as_str());
    for (sent, left) in [
        (format!("token={forged}; a=1; token={ada}"), format!("a=1; token={ada}")),
        (format!("token={ada}; a=1; token={forged}"), format!("token={ada}; a=1")),
        (format!("token=junk; token={ada}"), format!("token={ada}")),
    ] {
        let answer = connection.send(&Request::get("/page").header("cookie", &sent));
        assert_eq!(answer.header("set-cookie"), None, "{sent}");
        let seen = answer.seen();
        assert_eq!(
            (seen.headers("x-user-id"), seen.headers("cookie")),
            (vec!["ada"], vec![&*left])
        );
    }
}

#[test]
fn a_revoked_cookie_next_to_a_good_one_is_refused() {
    let bed = BED.get();
    let Tokens { ada, ada_again, .. } = Tokens::new();
    assert_eq!(bed.envoy.send(&Request::post("/sign-out").cookie(&ada)).status, 200);
    for (first, second) in [(&ada, &ada_again), (&ada_again, &ada)] {
        let answer = bed.envoy.send(&Request::get("/page").cookie(first).cookie(second));
        assert_eq!((&*answer.code(), answer.header("set-cookie")), ("revoked", None));
    }
    assert_eq!(bed.envoy.get("/page", &ada_again).status, 200);
}

#[test]
fn eight_tokens_are_judged_and_nine_are_too_many() {
    let bed = BED.get();
    let request = |count: usize| {
        (0..count).fold(Request::get("/page"), |request, _| request.cookie(&Token::of("ada")))
    };
    assert_eq!(bed.envoy.send(&request(8)).seen().headers("x-user-id"), ["ada"]);
    assert_eq!(bed.envoy.send(&request(9)).code(), "malformed_token");
    let same = Token::of("ada");
    let same = (0..9).fold(Request::get("/page"), |request, _| request.cookie(&same));
    assert_eq!(bed.envoy.send(&same).status, 200, "nine times one token is one token");
}

#[test]
fn an_optional_route_uses_a_good_token_and_hides_a_bad_one() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let mut seen = |token: &Token| {
        let request = Request::get(&format!("/optional?a=1&access_token={token}&b=2"));
        let request = request.bearer(token).header("x-token", token.as_str());
        let cookies = format!("theme=dark; token={token}; __Host-session={token}; lang=de");
        connection.send(&request.header("cookie", cookies)).seen()
    };
    let Tokens { ada, forged, .. } = Tokens::new();
    let good = seen(&ada);
    assert_eq!(good.headers("x-user-id"), ["ada"]);
    assert_eq!(good.headers("authorization"), [format!("Bearer {ada}")]);
    let bad = seen(&forged);
    assert_eq!(
        (bad.path.as_str(), bad.headers("cookie")),
        ("/optional?a=1&b=2", vec!["theme=dark; lang=de"])
    );
    for name in ["x-user-id", "authorization", "x-token"] {
        assert_eq!(bad.headers(name), [""; 0], "{name}");
    }
}

#[test]
fn an_optional_route_without_a_token_goes_on_as_it_came() {
    let bed = BED.get();
    let request = Request::get("/optional?a=1").header("cookie", "theme=dark");
    let seen = bed.envoy.send(&request.header("authorization", "Basic YTpi")).seen();
    assert_eq!(seen.path, "/optional?a=1");
    assert_eq!(
        (seen.headers("cookie"), seen.headers("authorization")),
        (vec!["theme=dark"], vec!["Basic YTpi"])
    );
    assert_eq!(seen.headers("x-user-id"), [""; 0]);
}

#[test]
fn two_users_on_an_optional_route_are_nobody() {
    let bed = BED.get();
    let Tokens { ada, bob, .. } = Tokens::new();
    let seen = bed.envoy.send(&Request::get("/optional").bearer(&ada).cookie(&bob)).seen();
    for name in ["x-user-id", "authorization", "cookie"] {
        assert_eq!(seen.headers(name), [""; 0], "{name}");
    }
}

#[test]
fn a_sign_out_route_forwards_whatever_comes() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let Tokens { ada, bob, forged, .. } = Tokens::new();
    let requests = [
        Request::post("/sign-out"),
        Request::post("/sign-out").cookie(&forged),
        Request::post("/sign-out").bearer(&Token::text("nonsense")).cookie(&ada),
        Request::post("/sign-out").bearer(&bob).cookie(&Token::of("ada")),
    ];
    for request in requests {
        let seen = connection.send(&request).seen();
        assert_eq!(
            (seen.path.as_str(), seen.headers("x-user-id")),
            ("/sign-out", vec![]),
            "{request:?}"
        );
    }
    for token in [ada, bob] {
        assert_eq!(connection.send(&Request::get("/page").bearer(&token)).code(), "revoked");
    }
}

#[test]
fn a_name_with_an_underscore_carries_tokens_where_envoy_lets_it_pass() {
    let bed = LENIENT.get();
    let mut connection = bed.envoy.connect();
    let Tokens { ada, forged, .. } = Tokens::new();
    for name in ["x_token", "X_Token"] {
        let beside = Request::get("/page").bearer(&ada).header(name, forged.as_str());
        assert_eq!(connection.send(&beside).code(), "bad_signature", "{name}");
        let optional = Request::get("/optional").header(name, forged.as_str());
        assert_eq!(connection.send(&optional).seen().header("x_token"), None, "{name}");
        let good = Request::get("/page").header(name, ada.as_str());
        assert_eq!(connection.send(&good).code(), "missing_token", "{name}");
        let seen = connection.send(&good.bearer(&ada)).seen();
        assert_eq!((seen.header("x-user-id"), seen.header("x_token")), (Some("ada"), None));
    }
}

#[test]
fn trailers_carry_no_token() {
    let bed = LENIENT.get();
    let http2 = bed.envoy.connect_http2();
    let Tokens { ada, forged, .. } = Tokens::new();
    for path in ["/page", "/optional", "/sign-in"] {
        let request = Request::post(path).bearer(&ada).body("words").trailer("x-sum", "1");
        let bearer = format!("Bearer {forged}");
        let request = request.trailer("authorization", &bearer).trailer("x-token", "a");
        let request = request.trailer("x_token", "a").trailer("cookie", "token=a");
        let seen = http2.send(&request).seen();
        assert_eq!(seen.trailers, [("x-sum".to_owned(), "1".to_owned())], "{path}");
    }
}

#[test]
fn a_token_that_the_application_is_not_to_see_reaches_its_sign_out() {
    let bed = LENIENT.get();
    let ada = Token::of("ada");
    let cookie = format!("theme=dark; token={ada}");
    let seen = |request: Request| {
        let request = request.bearer(&ada).header("cookie", cookie.clone());
        let seen = bed.envoy.send(&request).seen();
        (seen.headers("authorization").len(), seen.headers("cookie").join("; "))
    };
    assert_eq!(seen(Request::get("/page")), (0, "theme=dark".to_owned()));
    assert_eq!(seen(Request::post("/sign-out")), (1, cookie.clone()));
}

#[test]
fn junk_cookies_keep_no_session_alive() {
    let bed = BED.get();
    let own = Token::of("ada");
    let header = own.as_str().split('.').next().expect("a header");
    let junk: String = (0..180).map(|n| format!("token={header}.{n:02x}.AAAA; ")).collect();
    let request = Request::post("/sign-out").header("cookie", format!("{junk}token={own}"));
    assert_eq!(bed.envoy.send(&request).seen().path, "/sign-out");
    assert_eq!(bed.envoy.get("/page", &own).code(), "revoked");
}

#[test]
fn a_refused_cookie_is_cleared_and_no_other_one() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let mut cleared = |request: Request| {
        let answer = connection.send(&request);
        let lines = answer.headers("set-cookie").into_iter().map(str::to_owned).collect::<Vec<_>>();
        (answer.code(), lines)
    };
    let Tokens { ada, bob, forged, .. } = Tokens::new();
    let token = "token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax".to_owned();
    let host = "__Host-session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure".to_owned();
    let page = || Request::get("/page");
    let cookies = |first: &Token, second: &Token| {
        page().header("cookie", format!("token={first}; __Host-session={second}"))
    };
    let cases = [
        (page().bearer(&forged), "bad_signature", vec![]),
        (page(), "missing_token", vec![]),
        (page().cookie(&forged), "bad_signature", vec![token.clone()]),
        (cookies(&forged, &ada), "bad_signature", vec![token.clone()]),
        (cookies(&ada, &forged), "bad_signature", vec![host.clone()]),
        (cookies(&forged, &forged), "bad_signature", vec![token.clone(), host.clone()]),
        (cookies(&ada, &bob), "conflicting_tokens", vec![]),
        (
            Request::get(&format!("/page?access_token={bob}")).cookie(&ada),
            "conflicting_tokens",
            vec![],
        ),
        (page().bearer(&forged).cookie(&ada), "bad_signature", vec![]),
    ];
    for (request, code, lines) in cases {
        assert_eq!(cleared(request.clone()), (code.to_owned(), lines), "{request:?}");
    }
}
