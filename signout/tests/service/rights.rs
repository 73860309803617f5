//! Promise: each route responds only to an API token that has the route's right, in the realm that the
//! call concerns. A token without the right gets 403 and a sentence that names it; a stranger gets 401.
//! Method: every call of a table, with each right in all realms, in its realm, and in another one. A
//! route that is not in the table fails the test.

use std::collections::BTreeSet;
use std::fs;

use axum::body::Body;
use axum::http::Request;
use form_urlencoded::Serializer;
use serde_json::{Value, json};
use session_guard_core::root::REALM_HEADER;
use signout::access::right::Right::{self, Admin, Read, Revoke};
use signout::access::settings::NamedToken;
use signout::access::{ApiTokens, token_hash};
use signout::app::TOKEN_ROUTES;
use testbed::repository;

use crate::support::{ADMIN, InProcess, ServiceProcess, ServiceResponse, TOKEN, request, signout};

/// A call, and what it needs.
struct RouteCall {
    method: &'static str,
    /// The path of the route.
    route: &'static str,
    /// The rest of the path, or the query.
    rest: &'static str,
    body: String,
    right: Right,
    scope: NeededRealm,
}

/// In which realms a token needs the right.
#[derive(Clone, Copy, PartialEq)]
enum NeededRealm {
    /// In any realm: the response contains only what concerns the token's realms.
    Any,
    /// In the realm `shop`.
    Shop,
    /// In all realms.
    Every,
}

/// Returns a call of each kind.
fn calls() -> Vec<RouteCall> {
    let record = json!({"kind": "token", "id": "0".repeat(32)}).to_string();
    let [revocation, cutoff, question] = [
        r#"{"jti": "j", "realm": "shop"}"#,
        r#"{"issued_before": 5, "realm": "shop"}"#,
        r#"{"jti": "j", "realm": "shop"}"#,
    ]
    .map(str::to_owned);
    let none = String::new;
    let revocations = "/v1/revocations";
    let lookup = "/v1/revocations/lookup";
    let verification = "/v1/stream-verifications/{state}";
    [
        ("GET", revocations, "", none(), Read, NeededRealm::Every),
        ("POST", revocations, "", revocation, Revoke, NeededRealm::Shop),
        ("POST", revocations, "", cutoff, Admin, NeededRealm::Shop),
        ("POST", revocations, "", record, Revoke, NeededRealm::Every),
        ("GET", lookup, "?jti=j&realm=shop", none(), Read, NeededRealm::Shop),
        ("POST", lookup, "", question, Read, NeededRealm::Shop),
        ("GET", "/v1/audit", "", none(), Read, NeededRealm::Any),
        ("GET", "/v1/audit", "?realm=shop", none(), Read, NeededRealm::Shop),
        ("GET", "/v1/status", "", none(), Read, NeededRealm::Any),
        ("GET", verification, "", none(), Read, NeededRealm::Any),
        ("POST", "/", "", none(), Read, NeededRealm::Any),
        ("POST", "/", "", none(), Read, NeededRealm::Shop),
    ]
    .map(|(method, route, rest, body, right, scope)| RouteCall {
        method,
        route,
        rest,
        body,
        right,
        scope,
    })
    .into()
}

/// The routes that need no API token, or have their own check.
const OPEN_ROUTES: [&str; 4] = ["/", "/healthz", "/readyz", "/metrics"];

impl RouteCall {
    async fn send(&self, service: &InProcess, token: &str) -> ServiceResponse {
        let path = format!("{}{}", self.route.replace("{state}", "x"), self.rest);
        if self.route != "/" {
            let request = request(self.method, &path, token);
            return service.call(request.body(Body::from(self.body.clone())).unwrap()).await;
        }
        // The form of the status page contains the token, and looks up a revocation in a realm.
        let mut fields = vec![("api_token", token)];
        if self.scope == NeededRealm::Shop {
            fields.extend([("subject", "jti"), ("value", "j"), ("realm", "shop")]);
        }
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::builder().method(self.method).uri(path).body(Body::from(body));
        service.call(request.unwrap()).await
    }

    fn is_permitted(&self, right: Right, realms: Option<&[&str]>) -> bool {
        let reaches = match (self.scope, realms) {
            (NeededRealm::Any, _) | (_, None) => true,
            (NeededRealm::Shop, Some(realms)) => realms.contains(&"shop"),
            (NeededRealm::Every, Some(_)) => false,
        };
        right == self.right && reaches
    }
}

fn named(name: &str, rights: &[Right], realms: Option<&[&str]>) -> NamedToken {
    let realms = realms.map(|realms| realms.iter().map(|&realm| realm.to_owned()).collect());
    let (name, hash, rights) = (name.to_owned(), token_hash(name), rights.to_vec());
    NamedToken { name, hash, rights, realms }
}

fn with(tokens: Vec<NamedToken>) -> InProcess {
    InProcess::with(ApiTokens::new([TOKEN], Some(ADMIN)).and(tokens), 1_000)
}

#[tokio::test]
async fn each_call_needs_its_right_in_its_realm() {
    let grants = Right::ALL.into_iter().flat_map(|right| {
        let realms: [Option<&[&str]>; 3] = [None, Some(&["", "shop"]), Some(&["other"])];
        realms.map(|realms| (format!("{right} in {realms:?}"), right, realms))
    });
    let grants: Vec<_> = grants.collect();
    let tokens = grants.iter().map(|(name, right, realms)| named(name, &[*right], *realms));
    let service = with(tokens.collect());
    for call in calls() {
        let what = format!("{} {}{} {}", call.method, call.route, call.rest, call.body);
        for (name, right, realms) in &grants {
            let response = call.send(&service, name).await;
            let text = String::from_utf8_lossy(&response.body).into_owned();
            if call.is_permitted(*right, *realms) {
                assert!(
                    [200, 201, 404].contains(&response.status.as_u16()),
                    "{what}, {name}: {text}"
                );
            } else {
                assert_eq!(response.status, 403, "{what}, {name}: {text}");
                assert!(text.contains(&format!("`{}`", call.right)), "{what}, {name}: {text}");
            }
        }
        assert_eq!(call.send(&service, "stranger").await.status, 401, "{what}");
        assert_ne!(call.send(&service, ADMIN).await.status, 403, "{what}");
    }
}

#[test]
fn every_route_is_in_the_table() {
    let calls = calls();
    for route in &TOKEN_ROUTES {
        let is_called = calls.iter().any(|it| (it.method, it.route) == (route.method, route.path));
        assert!(is_called, "{} {}", route.method, route.path);
    }
    let source = repository::read("signout/src/app.rs");
    let paths = source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    let known: BTreeSet<_> = TOKEN_ROUTES.iter().map(|it| it.path).chain(OPEN_ROUTES).collect();
    assert_eq!(paths.collect::<BTreeSet<_>>(), known);
}

#[tokio::test]
async fn a_limited_token_sees_only_its_realms() {
    let service = with(vec![named("reader", &[Read], Some(&["shop"]))]);
    for realm in ["shop", "bank", ""] {
        let body = json!({"user_id": "alice", "realm": realm, "reason": format!("in {realm}")});
        service.revoke(&body.to_string()).await;
        let poll = request("GET", "/v1/revocations", TOKEN).header(REALM_HEADER, realm);
        let poll = poll.header("user-agent", format!("session-guard/0.1.0 (wasm; of-{realm})"));
        assert_eq!(service.call(poll.body(Body::empty()).unwrap()).await.status, 200);
    }
    let get = async |path: &str| {
        service.call(request("GET", path, "reader").body(Body::empty()).unwrap()).await.json()
    };
    let realms = |entries: &Value| -> Vec<String> {
        let entries = entries.as_array().unwrap().iter();
        entries.map(|entry| entry["realm"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(realms(&get("/v1/audit").await["entries"]), ["shop"]);
    let status = get("/v1/status").await;
    assert_eq!(realms(&status["last_revocations"]), ["shop"]);
    assert_eq!(realms(&status["proxies"]), ["shop"]);
    let found = get("/v1/revocations/lookup?user_id=alice&realm=shop").await;
    assert_eq!(found["records"][0]["audit"]["reason"], "in shop");
    let form = "api_token=reader";
    let page = service.call(Request::post("/").body(Body::from(form)).unwrap()).await;
    let html = String::from_utf8(page.body).unwrap();
    assert!(html.contains("in shop") && html.contains("of-shop"), "{html}");
    assert!(!html.contains("bank"), "{html}");
}

#[tokio::test]
async fn a_list_needs_the_right_for_each_of_its_revocations() {
    let tokens = vec![
        named("shop", &[Revoke], Some(&["shop"])),
        named("proxy", &[Revoke, Read], None),
        named("owner", &[Admin], None),
    ];
    let service = with(tokens);
    let shop = json!({"jti": "a", "realm": "shop"});
    let bank = json!({"jti": "b", "realm": "bank"});
    let all = json!({"issued_before": 5});
    let record = json!({"kind": "all", "id": "0".repeat(32), "issued_before": 5});
    for (token, body, status, code) in [
        ("shop", json!([shop, shop]), 201, ""),
        ("shop", json!([shop, bank]), 403, "other_realm"),
        ("shop", json!([shop, {"kind": "token", "id": "1".repeat(32)}]), 403, "every_realm"),
        ("proxy", json!([bank, all]), 403, "missing_right"),
        // A proxy then sends each record of the batch alone, and drops this one.
        ("proxy", json!([bank, record]), 422, "needs_admin_token"),
        ("owner", json!([bank, all]), 403, "missing_right"),
        ("owner", all.clone(), 201, ""),
        ("owner", record.clone(), 201, ""),
    ] {
        let call = request("POST", "/v1/revocations", token).body(Body::from(body.to_string()));
        let response = service.call(call.unwrap()).await;
        assert_eq!(
            (response.status.as_u16(), &*response.code()),
            (status, code),
            "{token} {body}: {response:?}"
        );
    }
    assert_eq!(service.get("/v1/status").await.json()["revocations"]["token"], 1);
}

#[tokio::test]
async fn the_audit_names_the_token_and_the_realm_of_its_revocation() {
    let service = with(vec![named("support", &[Revoke], Some(&["shop"]))]);
    let call = request("POST", "/v1/revocations", "support").header(REALM_HEADER, "bank");
    let body = Body::from(r#"{"user_id": "alice", "realm": "shop"}"#);
    assert_eq!(service.call(call.body(body).unwrap()).await.status, 201);
    let entry = service.get("/v1/audit").await.json()["entries"][0].clone();
    assert_eq!((&entry["api_token"], &entry["realm"]), (&json!("support"), &json!("shop")));
}

#[test]
fn the_service_reads_named_tokens_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let hash = session_guard_core::hash::hex(&token_hash(TOKEN));
    let tokens = json!({"tokens": [{"name": "ops", "token_sha256": hash, "rights": ["revoke"]}]});
    fs::write(&file, tokens.to_string()).unwrap();
    let options = ["--tokens", file.to_str().unwrap()];
    let process = ServiceProcess::receiving(folder.path(), &[], &options);
    assert!(!process.said.contains("API token in"), "none is generated: {}", process.said);
    assert_eq!(process.post(r#"{"user_id": "alice"}"#).unwrap().0, 201);
    for _ in 0..2 {
        assert_eq!(process.get("/v1/status").unwrap().0, 403);
    }
    let log = process.log();
    assert!(log.contains("api_token=\"ops\""), "{log}");
    assert_eq!(log.matches("lacks a right").count(), 1, "{log}");
    assert!(!log.contains(TOKEN), "{log}");
}

#[test]
fn a_wrong_tokens_file_stops_the_start_with_all_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.json");
    let start = |tokens: Value| {
        fs::write(&file, json!({"tokens": tokens}).to_string()).unwrap();
        let mut command = signout();
        command.args(["serve", "--listen", "127.0.0.1:0", "--store"]);
        command.arg(format!("redb:{}", folder.path().join("db").display()));
        let output =
            command.arg("--tokens").arg(&file).env("SIGNOUT_TOKEN", TOKEN).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = start(json!([
        {"name": "", "token": "short", "rights": ["read"]},
        {"name": "b", "token": TOKEN, "rights": []},
    ]));
    for path in ["tokens[0].name", "tokens[0].token", "tokens[1].rights"] {
        assert!(told.contains(path), "{told}");
    }
    assert!(!told.contains("short") && !told.contains(TOKEN), "{told}");
    let told = start(json!([{"name": "b", "token": TOKEN, "rights": ["read"]}]));
    assert!(told.contains("SIGNOUT_TOKEN") && !told.contains(TOKEN), "{told}");
}
