//! Promise: no token and no secret appears in logs, statistics, responses or the admin interface.
//! Method: a complete scenario with a canary in place of every secret, and the most verbose logs of
//! filter and service. Then the test searches all their output for the canaries.
//!
//! Envoy's own component `http` logs request headers at level debug, so it stays at info: the test
//! is about the filter's own output.

use serde_json::json;
use testbed::{Application, Build, Envoy, Request, SignoutService, Token, eventually};

use std::time::Duration;

const SECRET: &str = "canary-session-secret-0123456789-abcdefgh";
const API_TOKEN: &str = "canary-api-token-0123456789-abcdefghijklmn";
const JTI: &str = "canary-jti-0123456789";
const USER: &str = "canary-user-0123456789";

#[test]
fn a_complete_scenario_leaves_no_secret_in_any_output() {
    let stage = HygieneBed::start();
    let tokens = stage.play();
    let traces = stage.traces();
    for (name, secret) in secrets(&tokens) {
        for (place, text) in &traces {
            let lines: Vec<_> = text.lines().filter(|line| line.contains(&secret)).collect();
            assert_eq!(lines, [""; 0], "{name} in the {place}");
        }
    }
}

#[test]
fn the_searched_output_contains_the_scenario() {
    let stage = HygieneBed::start();
    stage.play();
    let traces = stage.traces();
    let text = |place: &str| &traces.iter().find(|(known, _)| *known == place).unwrap().1;
    assert!(text("log of Envoy").contains("session-guard: version"), "the filter's own words");
    let line = match Build::chosen() {
        Build::Wasm => "[trace][wasm]",
        Build::Native => "[info][dynamic_modules]", // nothing is logged at a lower level
    };
    assert!(text("log of Envoy").contains(line), "the most talkative level");
    assert!(text("access log").contains("session_guard_revoked"));
    assert!(text("statistics").contains("session_guard.refused.revoked"));
    assert!(text("configuration in the admin interface").contains("SESSION_SECRET"));
    assert!(text("log of the service").contains("serving"));
    assert!(text("answers").contains("bad_signature"));
}

struct HygieneBed {
    envoy: Envoy,
    service: SignoutService,
    _application: Application,
    answers: std::cell::RefCell<String>,
}

impl HygieneBed {
    fn start() -> Self {
        let application = Application::start();
        let service =
            SignoutService::setup().env("SIGNOUT_TOKEN", API_TOKEN).env("RUST_LOG", "trace");
        let service = service.start();
        let envoy = Envoy::setup().application(application.address()).service(service.address());
        let envoy = envoy.env("SESSION_SECRET", SECRET).env("SIGNOUT_TOKEN", API_TOKEN);
        let envoy = envoy.log_levels("wasm:trace,misc:trace");
        let envoy = envoy.edit(|configuration| {
            configuration.filter["token_sources"] = json!([
                {"header": "authorization", "scheme": "Bearer"},
                {"cookie": "token"},
                {"query": "access_token"},
            ]);
        });
        let envoy = envoy.start();
        envoy.await_guarding();
        Self { envoy, service, _application: application, answers: String::new().into() }
    }

    /// Sends valid, revoked and invalid tokens in every place.
    fn play(&self) -> Vec<Token> {
        let mut claims = Token::claims_of(USER);
        claims["jti"] = json!(JTI);
        let sign = |claims: &serde_json::Value| {
            Token::signed("{\"alg\":\"HS256\"}", &claims.to_string(), SECRET)
        };
        let good = sign(&claims);
        claims["exp"] = json!(1);
        let expired = sign(&claims);
        let bent = Token::text(&format!("{good}="));
        let tokens = vec![good.clone(), good.forged(), expired, bent];
        for token in &tokens {
            self.ask(&Request::get("/page").bearer(token));
            self.ask(&Request::get("/page").cookie(token));
            self.ask(&Request::get(&format!("/page?access_token={token}")));
            self.ask(&Request::get("/page").bearer(&good).cookie(token).header("x-odd", b"\xff"));
        }
        self.ask(&Request::post("/sign-out").bearer(&good));
        self.ask(&Request::get("/page").bearer(&good));
        let metric = || self.envoy.metric("refused.revoked") == 1;
        eventually(Duration::from_secs(20), metric);
        tokens
    }

    fn ask(&self, request: &Request) {
        let answer = self.envoy.send(request);
        // The application's own responses contain the request.
        if answer.status != 200 {
            self.answers.borrow_mut().push_str(&format!("{answer:?} {}\n", answer.text()));
        }
    }

    /// Returns all output.
    fn traces(&self) -> Vec<(&'static str, String)> {
        let admin = |path: &str| self.envoy.admin(&Request::get(path)).text();
        eventually(Duration::from_secs(20), || {
            self.envoy.access_log().contains("session_guard_revoked")
        });
        vec![
            ("log of Envoy", self.envoy.log()),
            ("log of the service", self.service.log()),
            ("access log", self.envoy.access_log()),
            ("configuration in the admin interface", admin("/config_dump?include_eds")),
            ("statistics", admin("/stats") + &admin("/stats/prometheus")),
            ("clusters in the admin interface", admin("/clusters")),
            ("answers", self.answers.borrow().clone()),
        ]
    }
}

/// Texts that no output may contain. A token is identified by its signature.
fn secrets(tokens: &[Token]) -> Vec<(String, String)> {
    let mut secrets = vec![
        ("the session secret".to_owned(), SECRET.to_owned()),
        ("the API token".to_owned(), API_TOKEN.to_owned()),
        ("the jti".to_owned(), JTI.to_owned()),
        ("the user".to_owned(), USER.to_owned()),
    ];
    for (index, token) in tokens.iter().enumerate() {
        let (input, signature) = token.as_str().rsplit_once('.').expect("a signature");
        secrets.push((format!("the payload of token {index}"), input.to_owned()));
        secrets.push((format!("the signature of token {index}"), signature.to_owned()));
    }
    secrets
}
