//! Promise: every token that a lenient server would find is found, and removal leaves none.
use proptest::prelude::*;

use super::*;
use crate::request::routes::{Matcher, RequestPattern};

fn header(name: &str, scheme: Option<&str>) -> Source {
    at(TokenLocation::Header { name: name.to_owned(), scheme: scheme.map(str::to_owned) })
}

fn at(location: TokenLocation) -> Source {
    Source { location, pass_prefix: None, routes: vec![] }
}

fn everywhere() -> Sources {
    Sources::new(vec![
        header("authorization", Some("Bearer")),
        header("x-token", None),
        at(TokenLocation::Cookie("token".to_owned())),
        at(TokenLocation::Query("access_token".to_owned())),
    ])
}

/// Returns the candidates, joined by `|`. A `~` marks those that cannot admit a request.
fn joined(candidates: &[Candidate<'_>]) -> Vec<u8> {
    let shown = candidates.iter().map(|candidate| {
        assert!(!candidate.bytes.is_empty(), "an empty value is no candidate");
        let mark = if candidate.exact.is_empty() { &b"~"[..] } else { b"" };
        [mark, &candidate.bytes].concat()
    });
    shown.collect::<Vec<_>>().join(&b"|"[..])
}

/// Returns the candidates of a request, or `!` for a refusal.
fn found(lines: &[(&str, &[u8])]) -> Vec<u8> {
    match everywhere().find(&Headers::from_pairs(lines)) {
        Ok(candidates) => joined(&candidates),
        Err(RefusalRule::Field | RefusalRule::Count) => b"!".to_vec(),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_credential_field_holds_one_credential() {
    for (value, tokens) in [
        (&b"Bearer a"[..], &b"a"[..]),
        (b"bEARER a", b"a"),
        (b"Bearer   a  ", b"a"),
        (b"Bearer a.b-c_d~e+f/g==", b"a.b-c_d~e+f/g=="),
        (b"Bearer Bearer", b"Bearer"),
        // No credential of the scheme.
        (b"Basic x", b""),
        (b"Basic xbearer", b""),
        (b"Digest username=\"a\", realm=\"x\"", b""),
        (b"Bearer", b""),
        (b"bearer ", b""),
        (b"Bearera", b""),
        (b"BearerX a", b""),
        (b"a", b""),
        (b"", b""),
        // A JWT under another scheme, because some applications take the last word of any field.
        (b"e30.b.c", b"~e30.b.c"),
        (b"Basic e30.b.c", b"~e30.b.c"),
        (b"x y e30.b.c,", b"~e30.b.c"),
        (b"Token token=\"e30.b.c\"", b"~e30.b.c"),
        (b"BearerX e30.b.c", b"~e30.b.c"),
        (b"Digest realm=\"eyes.example.com\", uri=\"a.b.c\"", b""),
        (b"Basic e30.b", b""),
        // One credential of the scheme together with anything else.
        (b"Bearer a,Bearer b", b"!"),
        (b"Bearer a, bearer a", b"!"),
        (b"Bearer a, b", b"!"),
        (b"Bearer a,", b"!"),
        (b",Bearer a", b"!"),
        (b"Bearer ,a", b"!"),
        (b"Bearer ,", b"!"),
        (b"Basic x, Bearer a", b"!"),
        (b"Bearer a, Basic x", b"!"),
        (b"Basic x Bearer a", b"!"),
        (b"Basic Bearer", b"!"),
        (b"x Bearer", b"!"),
        (b"Bearer Bearer a", b"!"),
        (b"Bearer a b", b"!"),
        (b"Bearer a\tb", b"!"),
        (b"Bearer a;b", b"!"),
        (b"Bearer token=\"a\"", b"!"),
        (b"Bearer \"a\"", b"!"),
        (b"Bearer a=b", b"!"),
        (b"Bearer =", b"!"),
        // Some servers treat these bytes as a space, others do not.
        (b"Bearer\ta", b"!"),
        (b"Bearer \ta", b"!"),
        (b"Bearer\xa0a", b"!"),
        (b"\xa0Bearer a", b"!"),
        (b"Bearer caf\xe9", b"!"),
        (b"Bearer:a", b"!"),
    ] {
        assert_eq!(found(&[("authorization", value)]), tokens, "{}", value.escape_ascii());
    }
}

#[test]
fn a_credential_field_has_one_line() {
    for (lines, tokens) in [
        ([&b"Bearer a"[..], b"Bearer b"], &b"!"[..]),
        ([b"Bearer a", b"Bearer a"], b"!"),
        ([b"Bearer a", b"x b"], b"!"),
        ([b"x b", b"Bearer a"], b"!"),
        ([b"Bearer a", b"b"], b"!"),
        ([b"Bearer", b"b"], b"!"),
        ([b"b", b"Bearer"], b"!"),
        ([b"Bearer a", b""], b"!"),
        ([b"Basic a", b"Digest b"], b""),
    ] {
        let field = lines.map(|line| ("authorization", line));
        assert_eq!(
            found(&field),
            tokens,
            "{:?}",
            lines.map(|line| line.escape_ascii().to_string())
        );
    }
}

#[test]
fn a_sign_out_finds_the_tokens_of_a_malformed_field() {
    for (lines, tokens) in [
        (&[&b"Bearer e30.b.c"[..]][..], &b"e30.b.c"[..]),
        (&[b"Bearer e30.b.c, e30.e.f"], b"~e30.b.c|~e30.e.f"),
        (&[b"Bearer e30.b.c", b"x e30.e.f"], b"~e30.b.c|~e30.e.f"),
        (&[b"Bearer\xa0e30.b.c"], b"~e30.b.c"),
        (&[b"Bearer token=\"e30.b.c\""], b"~e30.b.c"),
        (&[b"Bearer sk-0, e30.b, e30.b.c.d, a.example.com"], b""),
    ] {
        let field: Vec<_> = lines.iter().map(|line| ("authorization", *line)).collect();
        let headers = Headers::from_pairs(&field);
        let found = joined(&everywhere().find_to_sign_out(&headers));
        assert_eq!(found, tokens, "{}", String::from_utf8_lossy(&lines.join(&b" / "[..])));
    }
}

#[test]
fn a_malformed_field_is_removed_as_a_whole() {
    let headers =
        Headers::from_pairs(&[("authorization", "Basic x"), ("authorization", "Bearer a")]);
    assert_eq!(*everywhere().removal(&headers), [Edit::Remove(b"authorization"[..].into())]);
}

/// Returns the tokens, joined by `|`, and whether there is an API key.
fn found_beside_keys(lines: &[(&str, &str)]) -> (String, bool) {
    let Sources { sources, .. } = everywhere();
    let passing = |source| Source { pass_prefix: Some("sk-".to_owned()), ..source };
    let sources = Sources::new(sources.into_iter().map(passing).collect());
    let headers = Headers::from_pairs(lines);
    let Ok(tokens) = sources.find(&headers) else {
        return ("!".to_owned(), sources.find_api_keys(&headers).is_ok_and(|keys| keys.admits));
    };
    let tokens = joined(&tokens);
    let to_sign_out = joined(&sources.find_to_sign_out(&headers));
    assert_eq!(tokens, to_sign_out, "a sign-out finds the same tokens");
    (
        String::from_utf8(tokens).expect("text"),
        sources.find_api_keys(&headers).is_ok_and(|keys| keys.admits),
    )
}

#[test]
fn an_api_key_is_not_a_token_and_hides_none() {
    let long = |length: usize| format!("Bearer sk-{}", "k".repeat(length - 3));
    let (longest, too_long) = (long(512), long(513));
    for (name, value, tokens, has_key) in [
        ("authorization", "Bearer sk-0", "", true),
        ("authorization", "bearer  sk-a.b_c-d~e ", "", true),
        ("authorization", "Basic sk-0", "", false),
        ("authorization", "Bearer sk-0, Bearer a", "!", false),
        ("authorization", "Bearer a,Bearer sk-0", "!", false),
        ("authorization", "Bearer sk-0, a", "!", false),
        ("authorization", "Bearer sk-", "sk-", false),
        ("authorization", "Bearer SK-0", "SK-0", false),
        ("authorization", "Bearer sk_0", "sk_0", false),
        ("authorization", "Bearer  -sk-0", "-sk-0", false),
        // Not an API key, because a part of it may be a token to some server.
        ("authorization", "Bearer sk-0 a", "!", false),
        ("authorization", "Bearer sk-0;a", "!", false),
        ("authorization", "Bearer sk-0=", "sk-0=", false),
        ("authorization", "Bearer sk-0%20a", "!", false),
        ("authorization", "Bearer sk-\u{e9}", "!", false),
        ("authorization", &longest, "", true),
        ("authorization", &too_long, &too_long["Bearer ".len()..], false),
        ("x-token", "sk-0", "", true),
        ("x_token", " sk-0", "", false),
        ("x-token", "sk-0,a", "sk-0,a", false),
        ("x-token", "Bearer sk-0", "Bearer sk-0", false),
        ("cookie", "token=sk-0; token=a", "a", true),
        ("cookie", "token=\"sk-0\"", "", true),
        ("cookie", "token=sk-0 token=a", "sk-0 token=a", false),
        ("cookie", "token=sk-0+token=a", "sk-0+token=a", false),
        ("cookie", "other=sk-0; token=a", "a", false),
        (":path", "/?access_token=sk-0", "", true),
        (":path", "/?access_token=sk%2D0&access_token=a", "a", true),
        (":path", "/?access_token=sk-0%00a", "sk-0\0a", false),
    ] {
        let expected = (tokens.to_owned(), has_key);
        assert_eq!(found_beside_keys(&[(name, value)]), expected, "{name}: {value}");
    }
    assert_eq!(found(&[("authorization", b"Bearer sk-0")]), b"sk-0", "where none is configured");
}

#[test]
fn removal_leaves_api_keys() {
    let Sources { sources, .. } = everywhere();
    let passing = |source| Source { pass_prefix: Some("sk-".to_owned()), ..source };
    let sources = Sources::new(sources.into_iter().map(passing).collect());
    let left = |name: &str, value: &str| {
        let headers = Headers::from_pairs(&[(name, value)]);
        let left = headers.edited(&sources.removal(&headers));
        String::from_utf8_lossy(left.first(name.as_bytes()).unwrap_or(b"nothing")).into_owned()
    };
    for (name, value, expected) in [
        ("authorization", "Bearer sk-0", "Bearer sk-0"),
        ("authorization", "Bearer sk-0, Bearer a", "nothing"),
        ("x-token", "sk-0", "sk-0"),
        ("x-token", "a", "nothing"),
        ("cookie", "token=sk-0; token=a; b=c", "token=sk-0; b=c"),
        (":path", "/?access_token=sk-0&access_token=a", "/?access_token=sk-0"),
    ] {
        assert_eq!(left(name, value), expected, "{name}: {value}");
    }
}

#[test]
fn a_header_without_scheme_is_a_token_as_a_whole() {
    for (value, tokens) in [(&b" a "[..], &b"a"[..]), (b"a,b", b"a,b"), (b"", b""), (b" ", b"")] {
        assert_eq!(found(&[("x-token", value)]), tokens, "{}", value.escape_ascii());
    }
    assert_eq!(found(&[("x-token", b"a"), ("x-token", b"b")]), b"a|b");
}

/// A back end that splits `Authorization` at its first space, and ignores the first word.
#[test]
fn a_token_is_found_after_any_scheme() {
    let sources = Sources::new(vec![header("authorization", Some(ANY_SCHEME))]);
    for (value, token) in [
        (&b"Bearer a.b.c"[..], &b"a.b.c"[..]),
        (b"bearer a.b.c", b"a.b.c"),
        (b"Token a.b.c ", b"a.b.c"),
        (b"Bearer\ta.b.c", b"a.b.c"),
        (b"Bearer  a.b.c", b"a.b.c"),
        (b"Bearer a.b.c,", b"a.b.c,"),
        (b"Foo,x a.b.c", b",x a.b.c"),
        (b", a.b.c", b", a.b.c"),
        (b"\xe9 a.b.c", b"\xe9 a.b.c"),
        (b"F(o a.b.c", b"(o a.b.c"),
        (b"Bearer a, Bearer b", b"a, Bearer b"),
        (b"Bearer", b""),
        (b"Bearer ", b""),
        (b"a.b.c", b""),
        (b"e30.b.c", b"~e30.b.c"),
        (b"", b""),
    ] {
        let headers = Headers::from_pairs(&[("authorization", value)]);
        let found = joined(&sources.find(&headers).expect("few"));
        assert_eq!(found, token, "{}", value.escape_ascii());
        assert_eq!(sources.removal(&headers).is_empty(), token.is_empty());
    }
}

#[test]
fn every_cookie_of_the_name_is_found_on_every_line() {
    for (value, tokens) in [
        (&b"token=a"[..], &b"a"[..]),
        (b"x=1; token=a; token=b", b"a|b"),
        (b"token=a;token=a", b"a"),
        (b" token = a ", b"~a"),
        (b"token=\"a\"", b"a"),
        (b"to%6Ben=a", b"~a"),
        (b"x=1;\xa0token=a", b"~a"),
        (b"x=1; ,token=a", b"~a"),
        (b"token=a=", b"a="),
        (b"token=\"a; x=b\"", b"\"a"),
        // Servers that split cookies at white space or commas begin another cookie there.
        (b"token=a; x=1 token=b", b"a|~b"),
        (b"$Version=1,token=a", b"~a"),
        (b"$Version=1; token=a", b"a"),
        (b"x=1\ttoken=a", b"~a"),
        (b"x=1\xa0token=a", b"~a"),
        (b"x=1,token=a", b"~a"),
        (b"x=1 token = a", b"~a"),
        (b"x token=a", b"~a"),
        (b"x=1 y=2 token=\"a\"", b"~a"),
        (b"x=\"1 token=a\"", b"~a\""),
        (b"x=1 to%6Ben=a", b"~a"),
        (b"token=a token=b", b"a token=b"),
        // ASP.NET ignores case. WebOb and Undertow also begin a cookie after quotes and brackets.
        (b"Token=a; TOKEN=b", b"~a|~b"),
        (b"x=\"a\"token=a", b"~a"),
        (b"x=[token=a", b"~a"),
        (b"x=1]token=a", b"~a"),
        (b"x=1\\token=a", b"~a"),
        (b"\"token=a", b"~a"),
        // These are within values of other cookies.
        (b"x=token=a", b""),
        (b"x=1?token=a", b""),
        (b"x=1&token=a", b""),
        (b"x=a mytoken=a", b""),
        (b"x=my token", b""),
        (b"x={\"token\": \"a=\"}", b""),
        (b"x=1 token=", b""),
        (b"_ga=GA1.2.1.1; q=one two==; theme=dark", b""),
        (b"token=", b""),
        (b"token=\"\"", b""),
        (b"token", b""),
        (b"tokens=a; atoken=b", b""),
        (b";;=;", b""),
    ] {
        assert_eq!(found(&[("cookie", value)]), tokens, "{}", value.escape_ascii());
    }
    assert_eq!(found(&[("cookie", b"token=a"), ("cookie", b"y=1; token=b")]), b"a|b");
}

#[test]
fn every_query_parameter_of_the_name_is_found() {
    for (target, tokens) in [
        (&b"/?access_token=a"[..], &b"a"[..]),
        (b"/?x=1&access_token=a&access_token=b", b"a|b"),
        (b"/?x=1;access_token=a", b"~a"),
        (b"/?access%5Ftoken=%61", b"~a"),
        (b"/?access_token=%61", b"a"),
        (b"/?access_token=a;b", b"~a"),
        (b"/?%20access_token=a", b"~a"),
        (b"/?access_token=a+b", b"a b"),
        (b"/?access_token=a=", b"a="),
        (b"/../x;y?access_token=a", b"a"),
        (b"/?access_token=%ff", "\u{fffd}".as_bytes()),
        (b"/?access.token=a", b"~a"),
        (b"/?access%20token=a", b"~a"),
        (b"/?access+token=a", b"~a"),
        (b"/?access[token=a", b"~a"),
        (b"/?access%5Btoken=a", b"~a"),
        (b"/?%61ccess%2Etoken%00x=a", b"~a"),
        (b"/?ACCESS_TOKEN=a&%41ccess_Token=b", b"~a|~b"),
        (b"/?%00access_token=a", b""),
        (b"/?access-token=a", b""),
        (b"/?x[access_token]=a", b""),
        (b"/?xaccess_token=a&access_tokens=b", b""),
        (b"/?access_token=", b""),
        (b"/?access_token", b""),
        (b"/access_token=a", b""),
        (b"/?&;&", b""),
    ] {
        assert_eq!(found(&[(":path", target)]), tokens, "{}", target.escape_ascii());
    }
}

#[test]
fn one_token_in_several_places_is_one_token() {
    let lines: [(&str, &[u8]); 4] = [
        (":path", b"/?access_token=a"),
        ("authorization", b"Bearer a"),
        ("x-token", b"a"),
        ("cookie", b"token=a; token=b"),
    ];
    assert_eq!(found(&lines), b"a|b");
}

/// The sources of `everywhere`, limited to `/ws`, with API keys.
fn limited() -> Sources {
    let on_ws = || vec![RequestPattern::new(Matcher::Path(b"/ws".to_vec()))];
    let limited =
        |source| Source { routes: on_ws(), pass_prefix: Some("sk-".to_owned()), ..source };
    let Sources { sources, .. } = everywhere();
    Sources::new(sources.into_iter().map(limited).collect())
}

#[test]
fn a_limited_source_admits_only_its_routes() {
    let admits = |target: &str| {
        let headers = Headers::from_pairs(&[(":method", "GET"), (":path", target)]);
        limited().admitting(&headers) == everywhere().admitting(&headers)
    };
    for (target, expected) in [
        ("/ws", true),
        ("/ws?access_token=a", true),
        ("/ws/", false),
        ("/WS", false),
        ("/wss", false),
        ("/", false),
        ("//ws", false),
        ("/./ws", false),
        ("/%77s", false),
    ] {
        assert_eq!(admits(target), expected, "{target}");
    }
    let no_path = limited().admitting(&Headers::from_pairs(&[(":method", "CONNECT")]));
    assert!(no_path.is_empty());
}

#[test]
fn elsewhere_a_limited_source_finds_only_jwts() {
    let at = |target: &str, lines: &[(&str, &str)]| {
        let lines = [&[(":path", target)], lines].concat();
        let headers = Headers::from_pairs(&lines);
        let found = limited().find(&headers).map(|found| joined(&found));
        let found = found.map_or("!".to_owned(), |found| String::from_utf8(found).expect("text"));
        let left = headers.edited(&limited().removal(&headers));
        assert!(limited().find(&left).expect("few").is_empty(), "{lines:?}");
        (
            found,
            limited().find_api_keys(&headers).is_ok_and(|keys| keys.admits),
            limited().removal(&headers).is_empty(),
        )
    };
    let is = |found: &str, has_key, is_kept| (found.to_owned(), has_key, is_kept);
    assert_eq!(at("/ws?access_token=a", &[]), is("a", false, false));
    assert_eq!(at("/x?access_token=a", &[]), is("", false, true));
    assert_eq!(at("/x?access_token=e30.b.c", &[]), is("e30.b.c", false, false));
    assert_eq!(at("/x?access_token=e30%2Eb%2Ec", &[]), is("e30.b.c", false, false));
    assert_eq!(at("/x?access_token=%20e30.b.c,", &[]), is("~e30.b.c", false, false));
    assert_eq!(at("/ws?access_token=sk-0", &[]), is("", true, true));
    assert_eq!(at("/x?access_token=sk-0", &[]), is("", false, true));
    for (name, value, found) in [
        ("cookie", "token=reset-code", ""),
        ("cookie", "token=e30.b.c", "e30.b.c"),
        ("cookie", "Token=e30.b.c", "~e30.b.c"),
        ("authorization", "Bearer code", ""),
        ("authorization", "Bearer code, more", ""),
        ("authorization", "Bearer e30.b.c, more", "~e30.b.c"),
        ("x-token", "code", ""),
        ("x-token", "code e30.b.c", "~e30.b.c"),
    ] {
        assert_eq!(at("/x", &[(name, value)]), is(found, false, found.is_empty()), "{value}");
    }
}

#[test]
fn a_token_header_is_found_in_every_spelling() {
    for (name, value, tokens) in [
        ("x-token", &b"a"[..], &b"a"[..]),
        ("x_token", b"a", b"~a"),
        ("x.token", b"a", b"~a"),
        ("X-Token", b"a", b"~a"), // Envoy's names are lower case.
        ("authorization", b"Bearer a", b"a"),
        ("Authorization", b"Bearer a", b"~a"),
    ] {
        assert_eq!(found(&[(name, value)]), tokens, "{name}");
    }
    assert_eq!(found(&[("x-token", b"a"), ("x_token", b"b")]), b"a|~b");
    assert_eq!(found(&[("x_token", b"a"), ("x-token", b"a")]), b"a", "exact in one place");
    assert_eq!(found(&[("xtoken", b"a"), ("x--token", b"b"), ("x-tokens", b"c")]), b"");
}

#[test]
fn a_cookie_name_is_found_as_php_folds_it() {
    let sources = Sources::new(vec![at(TokenLocation::Cookie("access_token".to_owned()))]);
    for (value, count) in [
        ("access.token=a; access token=b; access[token=c; access%2etoken=d; access%5Btoken=e", 5),
        ("x=1 access.token=a", 1),
        ("access-token=a; access__token=b; access_token.=c; xaccess.token=d; access=token=e", 0),
    ] {
        let headers = Headers::from_pairs(&[("cookie", value)]);
        assert_eq!(sources.find(&headers).expect("few").len(), count, "{value}");
    }
}

#[test]
fn a_sign_out_finds_its_token_among_many() {
    let cookies = |junk: usize| {
        let lines: Vec<_> = (0..junk).map(|n| format!("token=a.{n}.c; token=a.{n}.c")).collect();
        let headers =
            Headers::from_pairs(&[("cookie", format!("{}; token=own", lines.join("; ")))]);
        let tokens = everywhere().find_to_sign_out(&headers);
        (tokens.len(), tokens.iter().any(|token| *token.bytes == *b"own"))
    };
    assert_eq!(cookies(8), (9, true));
    assert_eq!(cookies(180), (181, true));
    assert_eq!(cookies(MOST_TOKENS_TO_SIGN_OUT), (MOST_TOKENS_TO_SIGN_OUT, false));
}

#[test]
fn trailers_carry_no_tokens() {
    let trailers = Headers::from_pairs(&[
        ("authorization", "Bearer a"),
        ("x_token", "a"),
        ("x-token", "a"),
        ("x_token", "b"),
        ("cookie", "a=1"),
        ("x-sum", "1"),
    ]);
    let removed = ["authorization", "x_token", "x-token", "cookie"];
    assert_eq!(
        *everywhere().trailers(&trailers),
        removed.map(|it| Edit::Remove(it.as_bytes().into()))
    );
    let bearer_only = Sources::new(vec![header("authorization", Some("Bearer"))]);
    assert_eq!(*bearer_only.trailers(&trailers), [Edit::Remove(b"authorization"[..].into())]);
}

#[test]
fn eight_tokens_are_judged_and_nine_are_refused() {
    let cookies = |count: usize| {
        (0..count).map(|n| format!("token=t{n}; token=t{n}")).collect::<Vec<_>>().join(";")
    };
    assert_eq!(found(&[("cookie", cookies(8).as_bytes())]), b"t0|t1|t2|t3|t4|t5|t6|t7");
    assert_eq!(found(&[("cookie", cookies(9).as_bytes())]), b"!");
}

#[test]
fn tokens_in_other_places_are_not_found() {
    let sources = Sources::new(vec![at(TokenLocation::Cookie("token".to_owned()))]);
    let headers = Headers::from_pairs(&[
        (":path", "/?access_token=a"),
        ("authorization", "Bearer a"),
        ("cookie", "session=a"),
    ]);
    assert!(sources.find(&headers).expect("few").is_empty());
    assert_eq!(*sources.removal(&headers), []);
}

#[test]
fn removal_leaves_everything_else() {
    let headers = Headers::from_pairs(&[
        (":path", "/a?x=1&access_token=t;y=2&access%5ftoken=u&z"),
        ("authorization", "Bearer t"),
        ("cookie", "a=1; token=t"),
        ("cookie", "b=\"2\";token=u;c"),
    ]);
    let edit = |name: &str, value: &str| Edit::Set(name.as_bytes().into(), value.as_bytes().into());
    assert_eq!(
        *everywhere().removal(&headers),
        [
            Edit::Remove(b"authorization"[..].into()),
            edit("cookie", "a=1; b=\"2\"; c"),
            edit(":path", "/a?x=1&y=2&z"),
        ]
    );
}

#[test]
fn removal_uses_names_as_sent_and_removes_whole_cookies() {
    let headers = Headers::from_pairs(&[
        (":path", "/a?access.token=t&b"),
        ("x_token", "t"),
        ("x.token", ""),
        ("x-token", "u"),
        ("cookie", "a=1; b=2 token=t; c=3"),
    ]);
    assert_eq!(
        *everywhere().removal(&headers),
        [
            Edit::Remove(b"x_token"[..].into()),
            Edit::Remove(b"x-token"[..].into()),
            Edit::Set(b"cookie"[..].into(), b"a=1; c=3"[..].into()),
            Edit::Set(b":path"[..].into(), b"/a?b"[..].into()),
        ]
    );
}

#[test]
fn removing_everything_leaves_no_empty_cookie_or_query() {
    let headers = Headers::from_pairs(&[(":path", "/a?access_token=t"), ("cookie", "token=t")]);
    let path = Edit::Set(b":path"[..].into(), b"/a"[..].into());
    assert_eq!(*everywhere().removal(&headers), [Edit::Remove(b"cookie"[..].into()), path]);
}

#[test]
fn removal_leaves_credentials_of_other_schemes() {
    let headers = Headers::from_pairs(&[("authorization", "Basic x"), ("cookie", "a=1")]);
    assert_eq!(*everywhere().removal(&headers), []);
}

#[test]
fn clearing_names_the_cookies_of_the_refused_sources() {
    let sources = Sources::new(vec![
        header("authorization", Some("Bearer")),
        at(TokenLocation::Cookie("token".to_owned())),
        at(TokenLocation::Cookie("__Host-token".to_owned())),
    ]);
    let plain = "token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax";
    let secure = "__Host-token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure";
    let [first, second, third] = [0, 1, 2].map(SourceSet::of);
    assert_eq!(sources.clearing(first.union(second).union(third)), [plain, secure]);
    assert_eq!(sources.clearing(second), [plain]);
    assert_eq!(sources.clearing(third), [secure]);
    assert_eq!(sources.clearing(first), [""; 0]);
    assert_eq!(sources.cookies(), second.union(third));
}

#[test]
fn a_candidate_names_all_its_sources() {
    let lines = [("authorization", "Bearer a"), ("x_token", "a"), ("cookie", "token=a; Token=b")];
    let headers = Headers::from_pairs(&lines);
    let candidates = everywhere().find(&headers).expect("few");
    let [header, other_header, cookie] = [0, 1, 2].map(SourceSet::of);
    let sets: Vec<_> = candidates.iter().map(|it| (it.exact, it.other)).collect();
    assert_eq!(sets, [(header.union(cookie), other_header), (SourceSet::default(), cookie)]);
}

#[test]
fn only_cookies_with_given_values_are_removed() {
    let headers =
        Headers::from_pairs(&[("cookie", "a=1; token=x; token=y"), ("cookie", "token=x")]);
    let left = |values: &[&[u8]]| everywhere().cookie_removal(&headers, values);
    let edit = Edit::Set(b"cookie"[..].into(), b"a=1; token=y"[..].into());
    assert_eq!(left(&[b"x"]), Some(edit));
    assert_eq!(left(&[b"1"]), None);
}

fn line() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop::sample::select(vec![
        "authorization",
        "x-token",
        "x_token",
        "cookie",
        "cookie",
        ":path",
    ]);
    let piece = prop::sample::select(vec![
        &b"Bearer "[..],
        b"bearer",
        b"token=",
        b"token",
        b"access_token=",
        b"access%5ftoken",
        b"access.token",
        b"to%6ben=",
        b"keep=1",
        b"/",
        b"?",
        b"&",
        b";",
        b",",
        b"=",
        b"\"",
        b" ",
        b"\t",
        b"+",
        b"%20",
        b"\xa0",
        b"\xe9",
        b"a",
        b"b",
    ]);
    let value = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    (name, value).prop_map(|(name, value)| (name.to_owned(), value))
}

proptest! {
    #[test]
    fn after_removal_no_token_is_found(lines in prop::collection::vec(line(), 0..6)) {
        let headers = Headers::from_pairs(&lines);
        let left = headers.edited(&everywhere().removal(&headers));
        let tokens = everywhere().find(&left).expect("few");
        prop_assert!(tokens.is_empty(), "{tokens:?}");
        prop_assert!(everywhere().removal(&left).is_empty());
    }

    #[test]
    fn other_cookies_and_parameters_survive_in_order(
        kept in prop::collection::vec("[a-f]=[a-z0-9]{0,4}", 0..6), at: prop::sample::Index,
    ) {
        for (name, token, joint) in [("cookie", "token=t", "; "), (":path", "access_token=t", "&")] {
            let mut pieces = kept.clone();
            pieces.insert(at.index(kept.len() + 1), token.to_owned());
            let start = if name == ":path" { "/p?" } else { "" };
            let headers = Headers::from_pairs(&[(name, format!("{start}{}", pieces.join(joint)))]);
            let left = headers.edited(&everywhere().removal(&headers));
            let value = left.first(name.as_bytes()).unwrap_or_default();
            let expected = format!("{start}{}", kept.join(joint));
            prop_assert_eq!(value, expected.trim_end_matches('?').as_bytes());
        }
    }

    #[test]
    fn any_bytes_are_read(lines in prop::collection::vec(("authorization|cookie|:path|x-token", any::<Vec<u8>>()), 0..4)) {
        let headers = Headers::from_pairs(&lines);
        let _ = everywhere().find(&headers);
        let left = headers.edited(&everywhere().removal(&headers));
        prop_assert!(everywhere().find(&left).expect("few").is_empty());
    }
}
