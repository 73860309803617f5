//! Promise: `signout explain` finds the cause of every refusal with the filter's own code, and prints
//! neither a token nor a secret.
//! Method: the real binary with one request for each refusal, as an operator would run it.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use testbed::{SIGNOUT_TOKEN, SignoutService, Token};

const SECRET: &str = "canary-secret-0123456789-abcdefghijklmnop";
const SECOND: &str = "canary-second-0123456789-abcdefghijklmnop";

/// The result of one run.
struct Explained {
    code: i32,
    out: String,
    err: String,
}

/// Explains a request with this text on standard input.
fn run(config: &Value, input: &str, arguments: &[&str]) -> Explained {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filter.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    command.args(["explain", "--token", "-", "--config"]).arg(&file).args(arguments);
    command.env_remove("SIGNOUT_TOKEN").env_remove("SIGNOUT_URL").env("SESSION_SECRET", SECRET);
    if arguments.contains(&"--url") {
        command.env("SIGNOUT_TOKEN", SIGNOUT_TOKEN);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()); // it may not read to the end
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let explained =
        Explained { code: status.code().unwrap(), out: text(stdout), err: text(stderr) };
    let printed = format!("{}{}", explained.out, explained.err);
    for part in input.split(['.', ' ', '=', ';', '\n']).filter(|part| part.len() > 15) {
        assert!(!printed.contains(part), "a part of the token is printed: {printed}");
    }
    assert!(!printed.contains("canary"), "a secret is printed: {printed}");
    explained
}

fn config() -> Value {
    json!({
        "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "claims": {
            "issuer": "https://id.example", "audiences": ["api"],
            "required": ["exp", "jti"], "max_lifetime_seconds": 100_000,
        },
        "token_sources": [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "token"}],
        "routes": [
            {"path": "/public", "access": "public"},
            {"path": "/sign-out", "access": "signout"},
            {"path": "/password", "access": "protected", "revoke_user": "token"},
        ],
        "revocation": {},
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token by this secret; the changes replace claims, or remove them if they are null.
fn signed(header: &Value, changes: Value, secret: &str) -> String {
    let now = now();
    let mut claims = json!({
        "iss": "https://id.example", "aud": "api", "sub": "canary-user", "jti": "canary-jti",
        "iat": now - 60, "exp": now + 3_600,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let token = Token::signed(&header.to_string(), &claims.to_string(), secret);
    token.as_str().to_owned()
}

fn token(changes: Value) -> String {
    signed(&json!({"alg": "HS256"}), changes, SECRET)
}

#[test]
fn an_accepted_token_passes_every_check() {
    for input in [
        token(json!({})),
        format!("{}\n", token(json!({}))),
        format!("Bearer {}", token(json!({}))),
        format!("Authorization: Bearer {}\nAccept: */*\n", token(json!({}))),
        format!("cookie: a=b; token={}", token(json!({}))),
    ] {
        let Explained { code, out, err } = run(&config(), &input, &[]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert_eq!(out.matches(" ok").count(), 7, "{out}");
        assert!(out.contains("revocation not checked: give --url"), "{out}");
        assert!(out.contains("verdict      continues with the token's user"), "{out}");
    }
}

/// A name of a refusal, the token, the stage that fails, and a part of the remedy.
fn cases() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let header = |changes: Value| signed(&changes, json!({}), SECRET);
    let late = now() + 10_000;
    vec![
        ("malformed_token:parts", "sk-1234".into(), "structure", "pass_prefix"),
        ("malformed_token:field", format!("\"{}\"", token(json!({}))), "", "one credential"),
        ("malformed_token:alg", header(json!({"typ": "JWT"})), "structure", "name the algorithm"),
        (
            "malformed_token:typ",
            header(json!({"alg": "HS256", "typ": "dpop+jwt"})),
            "structure",
            "",
        ),
        ("unsupported_algorithm", header(json!({"alg": "RS256"})), "key", "add a key"),
        ("unknown_key", header(json!({"alg": "HS256", "kid": "other"})), "key", "add that key"),
        (
            "bad_signature",
            signed(&json!({"alg": "HS256"}), json!({}), SECOND),
            "signature",
            "a newline at its end",
        ),
        ("expired", token(json!({"iat": 1, "exp": 2})), "times", "sign in again"),
        ("not_yet_valid:nbf", token(json!({"nbf": late})), "times", "clocks"),
        ("not_yet_valid:iat", token(json!({"iat": late})), "times", "clocks"),
        ("wrong_issuer", token(json!({"iss": "https://id.example/"})), "issuer", "slash"),
        ("wrong_issuer:absent", token(json!({"iss": null})), "issuer", "add `iss`"),
        ("wrong_audience", token(json!({"aud": "web"})), "audience", "exactly"),
        ("wrong_audience:absent", token(json!({"aud": null})), "audience", "add `aud`"),
        ("bad_claims:jti", token(json!({"jti": null})), "claims", "add it"),
        ("bad_claims:exp", token(json!({"exp": "soon"})), "claims", "correct it"),
        ("bad_claims:sub", token(json!({"sub": null})), "claims", "add it"),
        (
            "bad_claims:max_lifetime_seconds",
            token(json!({"exp": now() + 200_000})),
            "claims",
            "raise max_lifetime_seconds",
        ),
    ]
}

#[test]
fn each_refusal_names_its_stage_and_its_remedy() {
    let mut config = config();
    config["keys"][0]["id"] = json!("2026");
    for (name, token, stage, remedy) in cases() {
        let Explained { code, out, err } = run(&config, &token, &[]);
        assert_eq!(code, 1, "{name}: {out}{err}");
        let verdict = format!("refused: 401 session_guard_{name}\n");
        assert!(
            out.contains(&format!("verdict      {verdict}")) && err.ends_with(&verdict),
            "{out}"
        );
        let failed: Vec<_> = out.lines().filter(|line| line.contains(" FAILED: ")).collect();
        match stage {
            "" => assert!(failed.is_empty(), "{out}"),
            stage => assert!(failed.len() == 1 && failed[0].contains(stage), "{name}: {out}"),
        }
        let line = out.lines().find(|line| line.starts_with("remedy ")).unwrap();
        assert!(line.contains(remedy), "{name}: {line}");
    }
}

#[test]
fn times_and_names_of_claims_are_shown_without_their_values() {
    let out = run(&config(), &token(json!({"iat": 1, "exp": 2, "sub": null})), &[]).out;
    assert!(out.contains("exp 1970-01-01T00:00:02Z ("), "{out}");
    let out = run(&config(), &token(json!({"sub": null})), &[]).out;
    assert!(out.contains("the token has no claim `sub`"), "{out}");
    assert!(out.contains("it has aud, exp, iat, iss, jti"), "{out}");
}

#[test]
fn several_tokens_of_one_request_are_explained_one_by_one() {
    let good = token(json!({}));
    let other = token(json!({"sub": "somebody-else", "jti": "other"}));
    let lines = format!("authorization: Bearer {good}\ncookie: token={other}\n");
    let Explained { code, out, .. } = run(&config(), &lines, &[]);
    assert_eq!((code, out.matches("token        in the ").count()), (1, 2), "{out}");
    assert!(out.contains("refused: 401 session_guard_conflicting_tokens"), "{out}");
    let stale = token(json!({"iat": 1, "exp": 2}));
    let lines = format!("authorization: Bearer {good}\ncookie: token={stale}\n");
    let out = run(&config(), &lines, &[]).out;
    assert!(out.contains("in the cookie token") && out.contains("session_guard_expired"), "{out}");
}

#[test]
fn a_request_is_read_as_developer_tools_copy_it() {
    let good = token(json!({}));
    for (first, expected) in [
        ("POST /sign-out HTTP/1.1\nHost: a.example\n", "POST a.example/sign-out: signout"),
        ("POST /sign-out HTTP/2\r\nHost: a.example\r\n", "POST a.example/sign-out: signout"),
        (
            ":authority: a.example:8443\n:method: POST\n:path: /sign-out?a=b\n",
            "POST a.example:8443/sign-out: signout",
        ),
        ("GET /page HTTP/1.1\n", "GET /page: protected"),
        ("Host: a.example\n", "none given, so as on a protected route: protected"),
    ] {
        let Explained { code, out, err } =
            run(&config(), &format!("{first}Cookie: token={good}\n"), &[]);
        assert_eq!((code, err.as_str()), (0, ""), "{first}: {out}");
        assert!(out.contains(&format!("request      {expected}")), "{first}: {out}");
        assert!(out.contains("in the cookie token"), "{out}");
    }
    let text = format!("GET /page HTTP/1.1\nCookie: token={good}\n");
    let out = run(&config(), &text, &["--request", "POST /sign-out"]).out;
    assert!(out.contains("request      POST /sign-out: signout"), "the option wins: {out}");
}

#[test]
fn a_nearly_right_secret_is_explained() {
    let hex = "6b".repeat(40);
    for (signed_with, here, encoding, expected) in [
        (format!("{SECRET}\n"), SECRET.to_owned(), "utf8", "a newline after the secret"),
        (SECRET.to_owned(), format!("{SECRET}\n"), "utf8", "without the white space around"),
        ("k".repeat(40), hex.clone(), "utf8", "add `\"encoding\": \"hex\"`"),
        (hex.clone(), hex.clone(), "hex", "remove `encoding`"),
        (SECOND.to_owned(), SECRET.to_owned(), "utf8", ""),
    ] {
        let mut config = config();
        // The program gets the secret of this test as a variable of its own.
        config["keys"][0]["secret"] = json!({"inline": here, "encoding": encoding});
        let token = signed(&json!({"alg": "HS256"}), json!({}), &signed_with);
        let Explained { code, out, .. } = run(&config, &token, &[]);
        let line = out.lines().find(|line| line.starts_with("  signature")).unwrap();
        assert_eq!((code, line.contains("it verifies")), (1, !expected.is_empty()), "{out}");
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn a_variable_that_is_not_set_here_is_named() {
    let mut config = config();
    config["keys"][0]["secret"] = json!({"env": "UNSET"});
    let Explained { code, err, .. } = run(&config, &token(json!({})), &[]);
    assert!(code == 2 && err.contains("UNSET; set the variable here"), "{err}");
    assert!(!err.contains("host_env_keys"), "that is about the proxy: {err}");
}

#[test]
fn a_request_is_explained_by_its_route() {
    let good = token(json!({}));
    for (request, input, code, expected) in [
        ("GET /public", "x", 0, "continues without a user"),
        ("POST /sign-out", &*good, 0, "continues, and revokes its token"),
        ("POST /sign-out", "x", 0, "no token of the request is genuine"),
        ("GET /sign-out", &*good, 0, "revoked nothing: the sign-out rule names other methods"),
        ("GET /page", &*good, 0, "continues with the token's user"),
        ("POST /password", &*good, 0, "a 2xx response signs the user out everywhere"),
        ("GET https://a.example/page", "x", 1, "refused: 401"),
    ] {
        let explained = run(&config(), input, &["--request", request]);
        assert_eq!(explained.code, code, "{request}: {}", explained.out);
        assert!(explained.out.contains(expected), "{request}: {}", explained.out);
    }
    let mut dry_run = config();
    dry_run["enforce"] = json!(false);
    let out = run(&dry_run, "x", &[]).out;
    assert!(out.contains("dry run: it continues; with enforcement refused: 401"), "{out}");
}

#[test]
fn published_keys_come_from_files_and_left_out_keys_are_named() {
    let mut config = config();
    let set = json!({"cluster": "idp", "authority": "id.example", "path": "/keys"});
    config["keys"] = json!([{"jwks": set}]);
    let header = json!({"alg": "RS256", "kid": "a"});
    let token = signed(&header, json!({}), SECRET);
    let out = run(&config, &token, &[]).out;
    assert!(out.contains("session_guard_unavailable:keys"), "{out}");
    assert!(out.contains("log          keys[0].jwks: not fetched by this command"), "{out}");
    assert!(out.contains("--jwks FILE") && !out.contains("no_answer"), "{out}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys = json!({"keys": [
        {"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "b",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    ]});
    std::fs::write(file.path(), keys.to_string()).unwrap();
    let out = run(&config, &token, &["--jwks", file.path().to_str().unwrap()]).out;
    assert!(out.contains("keys[0] (kid \"a\"): names no `alg`"), "{out}");
    assert!(out.contains("session_guard_unsupported_algorithm"), "{out}");
}

#[test]
fn a_service_tells_whether_the_token_is_revoked() {
    let service = SignoutService::start();
    let url = format!("http://{}", service.address());
    let arguments = ["--url", &*url];
    let good = token(json!({}));
    let Explained { code, out, err } = run(&config(), &good, &arguments);
    assert!(code == 0 && out.contains("revocation ok"), "{out}{err}");
    service.post(&json!({"jti": "canary-jti"}));
    let Explained { code, out, .. } = run(&config(), &good, &arguments);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("revocation FAILED") && out.contains("session_guard_revoked"), "{out}");
    drop(service);
    assert_eq!(run(&config(), &good, &arguments).code, 3);
}

#[test]
fn a_revoked_token_is_explained_with_who_revoked_it_and_when() {
    let service = SignoutService::start();
    let url = format!("http://{}", service.address());
    let mut revoke = service.command(&["revoke", "--jti", "canary-jti", "--reason", "lost phone"]);
    assert!(revoke.output().unwrap().status.success());
    let before = service.get("/v1/audit").json()["entries"][0]["time"].clone();
    let out = run(&config(), &token(json!({})), &["--url", &url]).out;
    let line = out.lines().find(|line| line.starts_with("revoked by")).unwrap_or_default();
    let since = before.as_str().unwrap();
    for part in ["token: refused", since, "by command_line", "(lost phone)"] {
        assert!(line.contains(part), "{part}: {out}");
    }
}

#[test]
fn wrong_use_is_named() {
    for (config, expected) in [
        (json!({"keys": []}), "keys"),
        (json!({"kind": "Service"}), "no configuration of this filter"),
        (json!({"keys": [{"algorithm": "HS256", "secret": {"env": "UNSET"}}]}), "UNSET"),
    ] {
        let Explained { code, out, err } = run(&config, "x", &[]);
        assert!(code == 2 && out.is_empty() && err.contains(expected), "{err}");
    }
}

#[test]
fn json_has_every_step() {
    let explained = run(&config(), &token(json!({"jti": null})), &["--json"]);
    let json: Value = serde_json::from_str(&explained.out).unwrap();
    assert_eq!(json["refusal"]["name"], "bad_claims:jti");
    assert_eq!(json["is_accepted"], false);
    let steps = json["tokens"][0]["steps"].as_array().unwrap();
    let results: Vec<_> = steps.iter().map(|step| step["result"].as_str().unwrap()).collect();
    assert_eq!(&results[5..], ["passed", "failed", "not_reached"]);
}
