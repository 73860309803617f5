//! Promise: each refusal of a token names the claim or the rule that causes it, at first sight and
//! when the token is remembered. Method: one table of tokens, each with one fault.

use super::*;

fn strict() -> Policy {
    Policy {
        issuer: Some("https://id.example".into()),
        audiences: vec!["api".into()],
        required: vec!["exp".into(), "jti".into(), "https://a.example/org".into()],
        max_lifetime_seconds: Some(3_660),
        max_token_bytes: 1_000,
        ..policy()
    }
}

fn sound() -> TokenBuilder {
    let named = token().claim("iss", "\"https://id.example\"").claim("aud", "[\"api\"]");
    named.claim("https://a.example/org", 7)
}

/// The names of the objections to a token, asked twice.
fn objections(verifier: &Verifier, token: &str) -> [String; 2] {
    [1, 2].map(|_| match verifier.examine(token.as_bytes(), NOW) {
        Ok(_) => "none".to_owned(),
        Err(objection) => objection.name(),
    })
}

fn malformed() -> Vec<(&'static str, String)> {
    let sealed = sound().sign();
    vec![
        ("malformed_token:size", sound().claim("x", format!("{:?}", "x".repeat(1_000))).sign()),
        ("malformed_token:parts", String::new()),
        ("malformed_token:parts", "sk-1".into()),
        ("malformed_token:parts", format!("{sealed}.AAAA.AAAA")),
        ("malformed_token:base64", format!("\"{sealed}\"")),
        ("malformed_token:base64", format!("{sealed}=")),
        ("malformed_token:base64", sealed.replacen('.', ".!", 1)),
        ("malformed_token:header", format!("AAAA.{}", sealed.split_once('.').unwrap().1)),
        ("malformed_token:header", sound().header("\\u0061lg", "\"none\"").sign()),
        ("malformed_token:payload", sound().payload(b"[]").sign()),
        ("malformed_token:payload", sound().payload(b"{\"sub\":\"a\",\"sub\":\"b\"}").sign()),
        ("malformed_token:signature", format!("{}.", sound().signing_input())),
        ("malformed_token:alg", sound().without_header("alg").sign()),
        ("malformed_token:alg", sound().header("alg", "null").sign()),
        ("malformed_token:kid", sound().header("kid", 7).sign()),
        ("malformed_token:kid", sound().header("kid", format!("{:?}", "k".repeat(257))).sign()),
        ("malformed_token:typ", sound().header("typ", "\"dpop+jwt\"").sign()),
        ("malformed_token:crit", sound().header("crit", "[\"exp\"]").sign()),
        ("malformed_token:b64", sound().header("b64", "false").sign()),
        ("malformed_token:zip", sound().header("zip", "\"DEF\"").sign()),
        ("malformed_token:enc", sound().header("enc", "\"A128GCM\"").sign()),
    ]
}

fn unacceptable() -> Vec<(&'static str, TokenBuilder)> {
    vec![
        ("none", sound()),
        ("unsupported_algorithm", sound().header("alg", "\"HS512\"")),
        ("expired", sound().claim("exp", NOW - 60).claim("iat", NOW - 90)),
        ("not_yet_valid:nbf", sound().claim("nbf", NOW + 61)),
        ("not_yet_valid:iat", sound().claim("iat", NOW + 61)),
        ("wrong_issuer", sound().claim("iss", "\"https://id.example/\"")),
        ("wrong_issuer:absent", sound().without("iss")),
        ("wrong_audience", sound().claim("aud", "\"web\"")),
        ("wrong_audience:absent", sound().without("aud")),
        ("wrong_audience:absent", sound().claim("aud", "[]")),
        ("bad_claims:iss", sound().claim("iss", 7)),
        ("bad_claims:aud", sound().claim("aud", "[7]")),
        ("bad_claims:exp", sound().claim("exp", "\"soon\"")),
        ("bad_claims:nbf", sound().claim("nbf", "null")),
        ("bad_claims:iat", sound().claim("iat", -1)),
        ("bad_claims:jti", sound().claim("jti", 7)),
        ("bad_claims:jti", sound().claim("jti", "\"\"")),
        ("bad_claims:jti", sound().without("jti")),
        ("bad_claims:exp", sound().without("exp")),
        ("bad_claims:iat", sound().without("iat")),
        ("bad_claims:max_lifetime_seconds", sound().claim("exp", NOW + 3_601)),
        ("bad_claims:sub", sound().without("sub")),
        ("bad_claims:sub", sound().claim("sub", "null")),
        ("bad_claims:sub", sound().claim("sub", "\"\"")),
        ("bad_claims:https://a.example/org", sound().without("https://a.example/org")),
    ]
}

#[test]
fn each_malformed_token_names_its_rule() {
    for (expected, token) in malformed() {
        let verifier = Verifier::new(ring(), strict());
        assert_eq!(objections(&verifier, &token), [expected; 2], "{token}");
        let told = verifier.objection_without_check(token.as_bytes()).map(|it| it.name());
        assert_eq!(told.as_deref(), Some(expected), "{token}");
    }
}

#[test]
fn each_unacceptable_token_names_its_claim() {
    for (expected, token) in unacceptable() {
        let verifier = Verifier::new(ring(), strict());
        assert_eq!(objections(&verifier, &token.sign()), [expected; 2]);
    }
}

#[test]
fn an_absent_claim_differs_from_a_malformed_one() {
    let problem = |token: TokenBuilder| {
        let objection = Verifier::new(ring(), strict()).examine(token.sign().as_bytes(), NOW);
        objection.expect_err("refused").explanation().problem.into_owned()
    };
    assert_eq!(problem(sound().without("jti")), "the token has no claim `jti`");
    let malformed = "the token's claim `jti` has a wrong type, form or length";
    assert_eq!(problem(sound().claim("jti", 7)), malformed);
}

#[test]
fn a_key_names_its_own_issuer_and_audiences() {
    let issuer = Some("b".to_owned());
    let key = || Key::hmac(Algorithm::Hs256, SECRET, None, issuer.clone(), vec!["web".into()]);
    let verifier = |policy: Policy| Verifier::new(KeyRing::new(vec![key()]), policy);
    let both = token().claim("iss", "\"b\"").claim("aud", "\"web\"");
    for (expected, token) in [
        ("none", both.clone()),
        ("wrong_audience:key", both.clone().claim("aud", "\"api\"")),
        ("wrong_audience:absent", both.clone().without("aud")),
    ] {
        assert_eq!(objections(&verifier(policy()), &token.sign()), [expected; 2]);
    }
    let api = Policy { audiences: vec!["api".into()], ..policy() };
    assert_eq!(objections(&verifier(api), &both.sign()), ["wrong_audience"; 2]);
}

#[test]
fn a_token_that_cannot_be_checked_names_the_reason() {
    let lacking = ring().with(std::iter::empty(), true);
    let verifier = Verifier::new(lacking, policy());
    assert_eq!(objections(&verifier, &sound().sign_with(&[9; 32])), ["unavailable:keys"; 2]);
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES384", 1), policy()).with_host(host, 0);
    let names = (0..100).map(|n| objections(&verifier, &forged("ES384", n))[0].clone());
    let mut names: Vec<_> = names.collect();
    names.dedup();
    assert_eq!(names.last().map(String::as_str), Some("unavailable:signature_checks"));
}

#[test]
fn objections_fit_into_the_memory_of_refused_tokens() {
    let name = "c".repeat(200);
    let policy = Policy { required: vec![name.as_str().into()], ..policy() };
    let verifier = Verifier::new(ring(), policy);
    let _ = verifier.examine(token().sign().as_bytes(), NOW);
    let mut refused = verifier.refused.borrow_mut();
    let remembered = refused.find(token().sign().as_bytes()).expect("remembered");
    assert_eq!(remembered.bytes(), 200);
}
