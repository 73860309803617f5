//! Headers with which a client tries to name another user or another request.

use testbed::{AskingBed, AskingProxy, Request, Token};

use crate::beds;

#[test]
fn a_public_page_has_no_user_whatever_the_client_sends() {
    for bed in beds() {
        let (kind, ada, mut connection) = (bed.kind(), Token::of("ada"), bed.connect());
        for request in [
            Request::get("/"),
            Request::get("/").header("x-user-id", "eve"),
            Request::get("/").header("X-User-Id", "eve").header("x-user-id", "mallory"),
            Request::get("/").bearer(&ada).header("x-user-id", "eve"),
        ] {
            let seen = connection.send(&request).seen();
            assert_eq!(seen.headers("x-user-id").concat(), "", "{kind:?}");
        }
    }
}

#[test]
fn no_spelling_of_the_users_header_reaches_the_application() {
    for bed in beds() {
        let kind = bed.kind();
        for name in ["x-user-id", "X-USER-ID", "x_user_id", "X_User_Id", "x-user_id", "x.user.id"] {
            for path in ["/", "/page"] {
                let request = Request::get(path).bearer(&Token::of("ada")).header(name, "eve");
                let response = bed.send(&request);
                if response.status != 200 {
                    let refused = (response.status, &*response.code());
                    // Envoy itself refuses names with an underscore, and replaces a 503.
                    assert_eq!(kind, AskingProxy::Envoy, "{name}: {refused:?}");
                    assert!([(503, ""), (400, "")].contains(&refused), "{name}: {refused:?}");
                    continue;
                }
                let seen = response.seen();
                let user = if path == "/page" { "ada" } else { "" };
                assert_eq!(seen.headers("x-user-id").concat(), user, "{kind:?} {name} {path}");
                let values = seen.lines.iter().filter(|(_, value)| value == "eve");
                assert_eq!(values.count(), 0, "{kind:?} {name} {path}: {:?}", seen.lines);
            }
        }
    }
}

#[test]
fn no_client_makes_the_proxy_remove_the_user() {
    for bed in beds() {
        let kind = bed.kind();
        for option in ["x-user-id", "close, X-User-Id", "keep-alive, x-user-id"] {
            let request = Request::get("/page").bearer(&Token::of("ada"));
            let response = bed.send(&request.header("connection", option));
            if response.status == 200 {
                let seen = response.seen();
                assert_eq!(seen.headers("x-user-id"), ["ada"], "{kind:?} {option}");
            } else {
                assert_eq!(response.status, 503, "{kind:?} {option}");
            }
        }
    }
}

#[test]
fn no_client_names_another_request() {
    for bed in beds() {
        let (kind, ada) = (bed.kind(), Token::of("ada"));
        for (name, value) in [
            ("x-original-uri", "/"),
            ("X-Original-URI", "/sign-out"),
            ("x_original_uri", "/"),
            ("x-original-method", "POST"),
            ("x-original-host", "other.example.com"),
            ("x-forwarded-uri", "/"),
            ("X-Forwarded-Uri", "/sign-out"),
            ("x_forwarded_uri", "/"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-host", "other.example.com"),
            ("x-original-url", "/"),
            ("x-envoy-original-path", "/"),
            ("x-rewrite-url", "/"),
            ("host", "other.example.com"),
        ] {
            let once = Request::get("/page").header(name, value);
            for request in [once.clone(), once.clone().header(name, value)] {
                let status = bed.send(&request).status;
                assert!([400, 401].contains(&status), "{kind:?} {name}: {status}");
                let status = bed.send(&request.bearer(&ada)).status;
                assert!([200, 400].contains(&status), "{kind:?} {name}: {status}");
            }
        }
        assert_eq!(bed.get("/page", &ada).status, 200, "{kind:?}: nothing was signed out");
    }
}

#[test]
fn no_client_says_where_it_comes_from() {
    for bed in beds().filter(|bed| bed.kind() != AskingProxy::Envoy) {
        let kind = bed.kind();
        let request = Request::get("/page").bearer(&Token::of("ada"));
        let request = request.header("x-forwarded-for", "6.6.6.6");
        let request = request.header("x-forwarded-proto", "https");
        let seen = bed.send(&request.header("x-forwarded-host", "other.example.com")).seen();
        assert_eq!(seen.headers("x-forwarded-for"), ["127.0.0.1"], "{kind:?}");
        assert_eq!(seen.headers("x-forwarded-proto"), ["http"], "{kind:?}");
        let hosts = seen.headers("x-forwarded-host");
        assert!(!hosts.contains(&"other.example.com"), "{kind:?}: {hosts:?}");
    }
}

#[test]
fn no_path_of_the_client_reaches_another_check() {
    for bed in beds() {
        let kind = bed.kind();
        for path in [
            "/check/original",
            "/check/request/",
            "/refusal/original",
            "/.session-guard/check",
            "/.session-guard/refusal",
            "/../original",
            "//",
            "/healthz",
            "/v1/revocations",
        ] {
            let status = bed.send(&Request::get(path)).status;
            assert!([301, 307, 308, 400, 401, 404].contains(&status), "{kind:?} {path}: {status}");
        }
    }
}

#[test]
fn a_check_without_its_request_is_refused_with_the_remedy() {
    let bed = AskingBed::start(AskingProxy::Nginx, |_| {});
    let named = |prefix: &str, path: &str| {
        let request = Request::get(&format!("/check/{prefix}"));
        let request = request.header(format!("x-{prefix}-method"), "GET");
        let request = request.header(format!("x-{prefix}-host"), "app.example.com");
        request.header(format!("x-{prefix}-uri"), path)
    };
    for prefix in ["original", "forwarded"] {
        assert_eq!(bed.ask(&named(prefix, "/")).status, 200);
        assert_eq!(bed.ask(&named(prefix, "/page")).code(), "missing_token");
        let twice = named(prefix, "/page").header(format!("x-{prefix}-uri"), "/");
        for request in [twice, Request::get(&format!("/check/{prefix}")), named(prefix, "")] {
            let response = bed.ask(&request);
            assert_eq!((response.status, &*response.code()), (400, "bad_check"), "{request:?}");
            assert!(response.text().contains("docs/forward-auth.md"), "{}", response.text());
        }
    }
    // The names of one shape mean nothing in another.
    let crossed = named("forwarded", "/").header("x-original-uri", "/");
    assert_eq!(bed.ask(&crossed).status, 200);
    assert_eq!(bed.ask(&Request::get("/check/request/page")).code(), "missing_token");
    for path in ["/v1/revocations", "/metrics", "/check", "/check/requests/"] {
        assert_eq!(bed.ask(&Request::get(path)).status, 404, "{path}");
    }
}
