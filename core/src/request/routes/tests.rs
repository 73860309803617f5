//! Promise: no spelling of a path, host or method opens a route that a rule protects, and a rule
//! opens only the routes that it names.
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::request::path::tests::confusing_path;

fn routes(default: &str, rules: Value) -> Routes {
    let secret = json!({"inline": "a9f3c1e07b52d8460f1e2d3c4b5a6978"});
    let config = json!({
        "keys": [{"algorithm": "HS256", "secret": secret}],
        "revocation": {"upstream": {"token": {"inline": "api-token"}}},
        "routes": rules,
        "default_access": default,
    });
    Config::parse(config.to_string().as_bytes(), &|_| None).expect("loads").routes
}

fn request(method: &str, authority: &str, path: impl AsRef<[u8]>) -> Headers<'static> {
    let lines = [(":method", method.as_bytes()), (":authority", authority.as_bytes())];
    Headers::from_pairs(&[&lines[..], &[(":path", path.as_ref())]].concat())
}

fn access(routes: &Routes, path: impl AsRef<[u8]>) -> Access {
    routes.find(&request("GET", "app.example.com", path)).access
}

/// Spellings that bypassed some proxy, to reach `/admin` or to leave `/direct/`. None of them is
/// canonical.
const CONFUSION: &[&str] = &[
    "//direct/../admin",
    "//direct//x",
    "/%64irect/x",
    "/%61dmin",
    "/direct/%2e%2e/admin",
    "/direct/.%2e/admin",
    "/direct/%2E./admin",
    "/direct/..;/admin",
    "/direct/..;x=1/admin",
    "/direct/%2e%2e;/admin",
    "/direct/..%2fadmin",
    "/direct/%2F..%2Fadmin",
    "/direct%2fadmin",
    "/direct/%2f..",
    "/direct/%5c..",
    "/direct/..%5Cadmin",
    "/direct\\admin",
    "/direct\\..\\admin",
    "/direct/..\\admin",
    "/direct;x=1/admin",
    "/admin;x=1",
    "/direct/..%3b/admin",
    "/direct/%252e%252e/admin",
    "/direct/%252E",
    "/direct/%25",
    "/admin%00",
    "/direct/%00",
    "/./admin",
    "/direct/./x",
    "/direct/../admin",
    "/direct/..",
    "/direct/.",
    "/admin#",
    "/direct/#/../admin",
    "//admin",
    "/admin//",
    "///",
    "",
    "*",
    "admin",
    "http://app.example.com/admin",
    "http://app.example.com/direct/x",
    "/direct/%",
    "/direct/%4",
    "/direct/%zz",
    "/direct/%c3%a9",
    "/direct/é",
    "/direct/a\tb",
    "/direct/\u{7f}",
    "/direct/a\nb",
    "..",
    "./direct/x",
    "?/direct/x",
];

#[test]
fn a_path_that_is_not_canonical_is_always_protected() {
    let opened = routes("protected", json!([{"prefix": "/direct/", "access": "public"}]));
    let closed = routes("public", json!([{"prefix": "/admin", "access": "protected"}]));
    let all = routes("public", json!([{"prefix": "/", "access": "public"}]));
    for path in CONFUSION {
        for routes in [&opened, &closed, &all] {
            assert_eq!(access(routes, path), Access::Protected, "{path}");
        }
    }
    assert_eq!(access(&opened, "/direct/x?y=/../admin;//"), Access::Public);
    assert_eq!(access(&closed, "/direct/x"), Access::Public);
}

#[test]
fn a_request_without_path_is_protected() {
    let routes = routes("public", json!([{"prefix": "/", "access": "public"}]));
    let connect = Headers::from_pairs(&[(":method", "CONNECT"), (":authority", "a:443")]);
    assert_eq!(routes.find(&connect).access, Access::Protected);
    assert_eq!(routes.find(&Headers::default()).access, Access::Protected);
}

#[test]
fn protected_rules_match_widely_and_all_others_exactly() {
    let rules = |access: &str| {
        json!([
            {"path": "/one", "access": access},
            {"prefix": "/many", "access": access},
            {"template": "/users/{id}/Key", "access": access},
            {"path": "/@me", "access": access},
        ])
    };
    let closed = routes("public", rules("protected"));
    let opened = routes("protected", rules("public"));
    // The columns are: path, whether the wide reading matches, whether the exact reading matches.
    for (path, wide, exact) in [
        ("/one", true, true),
        ("/one?x", true, true),
        ("/ONE", true, false),
        ("/one/", true, false),
        ("/on", false, false),
        ("/on%40", false, false),
        ("/many", true, true),
        ("/many/x", true, true),
        ("/Many/x", true, false),
        ("/many-more", true, false),
        ("/man", false, false),
        ("/users/7/Key", true, true),
        ("/users/a%20b/Key", true, true),
        ("/users/7/key", true, false),
        ("/users/7/key/", true, false),
        ("/users/7/Key/", true, false),
        ("/users/7/Key//", true, false),
        ("/users/7/x/key", false, false),
        ("/users/key", false, false),
        ("/@me", true, true),
        ("/%40me", true, false),
        ("/%40ME", true, false),
    ] {
        assert_eq!(access(&closed, path) == Access::Protected, wide, "{path}");
        assert_eq!(access(&opened, path) == Access::Public, exact, "{path}");
    }
}

#[test]
fn a_placeholder_stands_for_one_segment_that_is_not_empty() {
    let routes = routes("protected", json!([{"template": "/a/{x}", "access": "public"}]));
    for (path, public) in [("/a/b", true), ("/a/", false), ("/a", false), ("/a/b/", false)] {
        assert_eq!(access(&routes, path) == Access::Public, public, "{path}");
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let routes = routes(
        "optional",
        json!([
            {"path": "/a/secret", "access": "protected"},
            {"prefix": "/a/", "access": "public"},
            {"prefix": "/a/b/", "access": "protected"},
            {"path": "/ready", "access": "ready"},
        ]),
    );
    for (path, expected) in [
        ("/a/secret", Access::Protected),
        ("/A/SECRET", Access::Protected),
        ("/a/b/c", Access::Public),
        ("/A/b/c", Access::Protected),
        ("/ready", Access::Ready),
        ("/Ready", Access::Optional),
        ("/", Access::Optional),
    ] {
        assert_eq!(access(&routes, path), expected, "{path}");
    }
}

#[test]
fn an_odd_path_takes_api_keys_if_all_rules_do() {
    for (written, taken) in [("pass", [true; 3]), ("refuse", [false, true, false])] {
        let rule = json!({"prefix": "/ws/", "access": "protected", "api_keys": written});
        let routes = routes("protected", json!([rule]));
        let is_taken = |path| routes.find(&request("GET", "app.example.com", path)).api_keys;
        assert_eq!(["/ws/a", "/page", "//page"].map(is_taken), taken, "{written}");
    }
}

#[test]
fn hosts_and_methods_narrow_a_rule() {
    let narrow = |access: &str| {
        json!([{"prefix": "/", "access": access, "methods": ["GET"],
            "hosts": ["app.example.com", "*.apps.example.com"]}])
    };
    let (closed, opened) =
        (routes("public", narrow("protected")), routes("protected", narrow("public")));
    for (method, authority, wide, exact) in [
        ("GET", "app.example.com", true, true),
        ("GET", "app.example.com:8443", true, true),
        ("GET", "a.b.apps.example.com", true, true),
        ("get", "app.example.com", true, false),
        ("GET", "APP.example.com:80", true, true),
        ("GET", "a..apps.example.com", true, false),
        ("GET", ".apps.example.com", true, false),
        ("GET", "app.example.com.", true, false),
        ("GET", "", true, false),
        ("GET", "evil@app.example.com", true, false),
        ("HEAD", "app.example.com", true, false),
        ("head", "app.example.com", true, false),
        ("POST", "app.example.com", false, false),
        ("GET", "apps.example.com", false, false),
        ("GET", "app.example.com.evil.net", false, false),
    ] {
        let headers = request(method, authority, "/x");
        assert_eq!(closed.find(&headers).access == Access::Protected, wide, "{method} {authority}");
        assert_eq!(opened.find(&headers).access == Access::Public, exact, "{method} {authority}");
    }
}

#[test]
fn a_preflight_is_options_with_both_of_its_headers() {
    let routes = routes("protected", json!([{"preflight": true, "access": "public"}]));
    let full = [
        (":method", "OPTIONS"),
        (":path", "/x"),
        ("origin", "https://a"),
        ("access-control-request-method", "PUT"),
    ];
    assert_eq!(routes.find(&Headers::from_pairs(&full)).access, Access::Public);
    for empty in 2..full.len() {
        let mut lines = full.to_vec();
        lines[empty].1 = "";
        assert_eq!(routes.find(&Headers::from_pairs(&lines)).access, Access::Protected);
    }
    for missing in 0..full.len() {
        let mut lines = full.to_vec();
        lines.remove(missing);
        assert_eq!(routes.find(&Headers::from_pairs(&lines)).access, Access::Protected);
    }
    let other = full.map(|(name, value)| (name, if name == ":method" { "PUT" } else { value }));
    assert_eq!(routes.find(&Headers::from_pairs(&other)).access, Access::Protected);
    let odd = full.map(|(name, value)| (name, if name == ":path" { "/a/../x" } else { value }));
    assert_eq!(routes.find(&Headers::from_pairs(&odd)).access, Access::Protected);
}

/// Returns the access, and whether the request revokes, for a sign-out rule with these extra
/// fields.
fn signout(more: Value, method: &str, site: Option<&str>) -> (Access, bool) {
    let mut rule = json!({"path": "/signout", "access": "signout"});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let routes = routes("protected", json!([rule]));
    let mut lines = vec![(":method", method), (":path", "/signout")];
    lines.extend(site.map(|site| ("sec-fetch-site", site)));
    let headers = Headers::from_pairs(&lines);
    let route = routes.find(&headers);
    (route.access, route.revokes())
}

#[test]
fn a_sign_out_is_a_post_from_the_same_site() {
    let none = || json!({});
    let all = || json!({"methods": ["GET", "HEAD", "OPTIONS", "POST"]});
    let open = || json!({"cross_site": "revoke", "methods": ["HEAD", "POST"]});
    for (more, method, site, expected) in [
        (none(), "POST", None, (Access::Signout, true)),
        (none(), "POST", Some("same-origin"), (Access::Signout, true)),
        (none(), "POST", Some("none"), (Access::Signout, true)),
        (none(), "POST", Some("same-site"), (Access::Signout, true)),
        (none(), "GET", None, (Access::Protected, false)),
        (none(), "post", None, (Access::Protected, false)),
        (all(), "GET", None, (Access::Signout, true)),
        (all(), "HEAD", None, (Access::Signout, false)),
        (all(), "OPTIONS", None, (Access::Signout, false)),
        (open(), "POST", Some("cross-site"), (Access::Signout, true)),
        (open(), "HEAD", Some("cross-site"), (Access::Signout, false)),
    ] {
        assert_eq!(signout(more.clone(), method, site), expected, "{more} {method} {site:?}");
    }
}

#[test]
fn a_sign_out_matches_a_last_slash_and_head() {
    for (path, rule, matches) in [
        ("/out", "/out", true),
        ("/out/", "/out", true),
        ("/out", "/out/", true),
        ("/out//", "/out", false),
        ("/OUT", "/out", false),
        ("/out/x", "/out", false),
    ] {
        let methods = json!(["GET"]);
        let rules = json!([{"path": rule, "access": "signout", "methods": methods}]);
        let routes = routes("optional", rules);
        for (method, revokes) in [("GET", true), ("HEAD", false)] {
            let headers = request(method, "app.example.com", path);
            let route = routes.find(&headers);
            assert_eq!(route.access == Access::Signout, matches, "{method} {path}");
            assert_eq!(route.revokes(), matches && revokes, "{method} {path}");
        }
    }
}

#[test]
fn a_sign_out_by_a_method_that_no_rule_names_is_noticed() {
    let rules = |more: &[Value]| {
        let sign_out = json!({"path": "/out", "methods": ["POST"], "access": "signout"});
        routes("protected", json!([&[sign_out], more].concat()))
    };
    let noticed = SignsOut::Nothing(Some(NoSignOut::OtherMethod));
    for (method, path, expected) in [
        ("GET", "/out", noticed),
        ("GET", "/out/", noticed),
        ("DELETE", "/out?next=/", noticed),
        ("POST", "/out", SignsOut::All),
        ("HEAD", "/out", SignsOut::Nothing(None)),
        ("OPTIONS", "/out", SignsOut::Nothing(None)),
        ("GET", "/output", SignsOut::Nothing(None)),
    ] {
        let found = rules(&[]).find(&request(method, "app.example.com", path)).signs_out;
        assert_eq!(found, expected, "{method} {path}");
    }
    let own_rule = json!({"path": "/out", "methods": ["GET"], "access": "protected"});
    let headers = request("GET", "app.example.com", "/out");
    assert_eq!(rules(&[own_rule]).find(&headers).signs_out, SignsOut::Nothing(None));
}

#[test]
fn a_page_of_another_site_cannot_use_cookies_to_sign_out() {
    for (rule, site, expected) in [
        (json!({}), "cross-site", SignsOut::AllButCookies),
        (json!({}), "Cross-Site", SignsOut::AllButCookies),
        (json!({"cross_site": "forward"}), "cross-site", SignsOut::AllButCookies),
        (json!({"cross_site": "revoke"}), "cross-site", SignsOut::All),
        (json!({}), "same-site", SignsOut::All),
        (json!({}), "none", SignsOut::All),
    ] {
        let mut rules = json!([{"path": "/out", "access": "signout"}]);
        rules[0].as_object_mut().unwrap().extend(rule.as_object().unwrap().clone());
        let lines = [(":method", "POST"), (":path", "/out"), ("sec-fetch-site", site)];
        let headers = Headers::from_pairs(&lines);
        assert_eq!(routes("protected", rules).find(&headers).signs_out, expected, "{rule} {site}");
    }
}

#[test]
fn a_page_cannot_sign_its_reader_out_by_embedding() {
    let all = json!([{"path": "/out", "access": "signout", "methods": ["GET", "POST"]}]);
    let routes = routes("protected", all);
    let [embedded, prefetch] =
        [NoSignOut::Embedded, NoSignOut::Prefetch].map(|why| SignsOut::Nothing(Some(why)));
    for (lines, expected) in [
        (vec![], SignsOut::All),
        (vec![("sec-fetch-dest", "document")], SignsOut::All),
        (vec![("sec-fetch-dest", "empty")], SignsOut::All),
        (vec![("sec-fetch-dest", "EMPTY")], SignsOut::All),
        (vec![("sec-fetch-dest", "image")], embedded),
        (vec![("sec-fetch-dest", "iframe")], embedded),
        (vec![("sec-fetch-dest", "")], embedded),
        (vec![("sec-fetch-dest", "document"), ("sec-fetch-dest", "image")], embedded),
        (vec![("sec-fetch-dest", "empty"), ("sec-purpose", "prefetch")], prefetch),
        (vec![("sec-fetch-dest", "document"), ("sec-purpose", "prefetch;prerender")], prefetch),
        (vec![("purpose", "Prefetch")], prefetch),
        (vec![("x-purpose", "preview")], prefetch),
        (vec![("x-sec-purpose", "prefetch")], prefetch),
        (vec![("x-moz", "prefetch")], prefetch),
        (vec![("next-router-prefetch", "1")], prefetch),
        (vec![("next-router-segment-prefetch", "/x")], prefetch),
        (vec![("x-middleware-prefetch", "1")], prefetch),
        (vec![("hx-preloaded", "true")], prefetch),
        (vec![("purpose", "sign-out")], SignsOut::All),
        (
            vec![("sec-fetch-dest", "document"), ("sec-fetch-site", "cross-site")],
            SignsOut::AllButCookies,
        ),
        (vec![("sec-fetch-dest", "image"), ("sec-fetch-site", "cross-site")], embedded),
    ] {
        let pseudo = [(":method", "GET"), (":path", "/out")];
        let headers = Headers::from_pairs(&[&pseudo[..], &lines].concat());
        assert_eq!(routes.find(&headers).signs_out, expected, "{lines:?}");
        let posted = Headers::from_pairs(&[&[(":method", "POST"), pseudo[1]], &lines[..]].concat());
        assert!(routes.find(&posted).revokes(), "{lines:?}");
    }
}

#[test]
fn every_way_to_upgrade_is_an_upgrade() {
    let rule = |access: &str| json!([{"prefix": "/", "upgrade": true, "access": access}]);
    let (closed, opened) =
        (routes("public", rule("protected")), routes("protected", rule("public")));
    for (method, lines, wide, exact) in [
        ("GET", vec![], false, false),
        ("GET", vec![("connection", "keep-alive")], false, false),
        ("GET", vec![("connection", "Upgrade"), ("upgrade", "websocket")], true, true),
        ("GET", vec![("connection", "keep-alive, upgrade"), ("upgrade", "x")], true, true),
        ("CONNECT", vec![(":protocol", "websocket")], true, true),
        ("GET", vec![("upgrade", "websocket")], true, false),
        ("GET", vec![("connection", "upgrade"), ("upgrade", "")], true, false),
        ("CONNECT", vec![], true, false),
    ] {
        let pseudo = [(":method", method), (":path", "/socket"), (":authority", "a")];
        let headers = Headers::from_pairs(&[&pseudo[..], &lines].concat());
        assert_eq!(closed.find(&headers).access == Access::Protected, wide, "{method} {lines:?}");
        assert_eq!(opened.find(&headers).access == Access::Public, exact, "{method} {lines:?}");
        // The filter does not check API keys, and an application may check nothing afterwards.
        assert_eq!(opened.find(&headers).api_keys, !wide, "{method} {lines:?}");
    }
}

#[test]
fn a_doubtful_spelling_still_revokes_its_user() {
    for access in ["public", "optional", "protected"] {
        let routes = routes(
            "public",
            json!([
                {"template": "/users/{id}", "methods": ["DELETE"], "access": access,
                    "revoke_user": {"segment": "id"}},
                {"prefix": "/users/", "access": "optional"},
            ]),
        );
        for (method, path, user) in [
            ("DELETE", "/users/v", Some("v")),
            ("DELETE", "/users/v/", Some("v")),
            ("delete", "/USERS/v", Some("v")),
            ("GET", "/users/v/", None),
            ("DELETE", "/users/v/x", None),
            ("DELETE", "/users/", None),
        ] {
            let headers = request(method, "a", path);
            let expected = user.map(|user| RevokeUser::Named(user.into()));
            assert_eq!(routes.find(&headers).revoke_user, expected, "{access} {method} {path}");
        }
    }
}

#[test]
fn the_user_whose_tokens_are_revoked_is_named_by_token_or_path() {
    let routes = routes(
        "protected",
        json!([
            {"template": "/api/{kind}/{id}", "access": "protected", "revoke_user": {"segment": "id"}},
            {"path": "/password", "access": "protected", "revoke_user": "token"},
        ]),
    );
    let named = |id: &'static str| Some(RevokeUser::Named(id.into()));
    for (method, path, expected) in [
        ("DELETE", "/api/users/42", named("42")),
        ("delete", "/API/users/Bob", named("Bob")),
        ("DELETE", "/api/users/a%40b%20c", named("a@b c")),
        ("DELETE", "/api/users/%C3%A9?x=1", named("é")),
        ("DELETE", "/api/users/%FF", None),
        ("DELETE", "/api/users/", None),
        ("HEAD", "/api/users/42", None),
        ("OPTIONS", "/api/users/42", None),
        ("POST", "/password", Some(RevokeUser::OfToken)),
        ("HEAD", "/password", None),
        ("POST", "/other", None),
    ] {
        let headers = request(method, "app.example.com", path);
        let route = routes.find(&headers);
        assert_eq!((route.access, route.revoke_user), (Access::Protected, expected), "{path}");
    }
}

proptest! {
    #[test]
    fn no_spelling_of_a_protected_path_is_open(tail in confusing_path()) {
        // Does a lenient application, which undoes every escape and dot segment, read it as
        // `/admin`?
        let path = [b"/", &tail[..]].concat();
        let routes = routes("public", json!([{"prefix": "/admin", "access": "protected"}]));
        let reaches_admin = crate::request::path::tests::normalised(&path)
            .get(..6)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"/admin"));
        if reaches_admin {
            prop_assert_eq!(access(&routes, &path), Access::Protected);
        }
    }

    #[test]
    fn an_open_path_is_below_its_prefix_for_every_server(tail in confusing_path()) {
        let path = [b"/a/", &tail[..]].concat();
        let routes = routes("protected", json!([{"prefix": "/a/", "access": "public"}]));
        if access(&routes, &path) == Access::Public {
            prop_assert!(crate::request::path::tests::normalised(&path).starts_with(b"/a/"));
        }
    }

    #[test]
    fn any_bytes_have_a_route(path: Vec<u8>, authority: Vec<u8>, method: Vec<u8>) {
        let routes = routes("public", json!([
            {"template": "/{a}/b", "hosts": ["*.a"], "access": "protected", "revoke_user": {"segment": "a"}},
            {"prefix": "/", "hosts": ["a"], "methods": ["GET"], "access": "public"},
        ]));
        let lines = [(":path", path), (":authority", authority), (":method", method)];
        let _ = routes.find(&Headers::from_pairs(&lines));
    }
}
