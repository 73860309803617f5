//! Promise: the signature checks of a request stay within their limits, and a sign-out revokes
//! every genuine token. Method: requests with many tokens and keys, and a host that counts the
//! checks.

use super::*;
use crate::keys::fixtures::P_256;
use crate::token::builder::{CountingHost, forged, genuine_es256, with_signature};

/// Returns an admission with this number of keys for ES256, without ids.
fn with_es256_keys(count: usize, host: &'static dyn SignatureHost) -> AdmissionBench {
    let mut document: serde_json::Value = serde_json::from_str(CONFIGURATION).unwrap();
    let key = serde_json::json!({"algorithm": "ES256", "public_key_pem": P_256});
    document["keys"] = (0..count).map(|_| key.clone()).collect();
    document["forward"]["token"] = "keep".into();
    document["revocation"]["when_unknown"] = "refuse".into();
    AdmissionBench::with_config(
        Config::parse(document.to_string().as_bytes(), &|_| None).unwrap(),
        host,
    )
}

/// Cookies of this name.
fn cookies(name: &str, tokens: &[String]) -> String {
    tokens.iter().map(|token| format!("{name}={token}")).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_code_does_not_depend_on_the_order_of_the_tokens() {
    let malformed = || "x.y".to_owned();
    let other_algorithm = || with_signature("ES384", 1, &[1; 96]);
    let expired = || {
        let claims = TokenBuilder::new().header("alg", "\"ES256\"").claim("exp", NOW - 3_600);
        format!("{}.{}", claims.signing_input(), &genuine_es256(1).rsplit_once('.').unwrap().1)
    };
    let cases = [
        (vec![forged("ES256", 1), malformed(), genuine_es256(2)], "malformed_token", 0),
        (vec![other_algorithm(), forged("ES256", 1), expired()], "unsupported_algorithm", 0),
        (vec![other_algorithm(), malformed(), forged("ES256", 1)], "malformed_token", 0),
        (vec![expired(), forged("ES256", 1), genuine_es256(2)], "bad_signature", 3),
        (vec![expired(), genuine_es256(2), genuine_es256(3)], "expired", 3),
    ];
    for (tokens, code, most_checks) in cases {
        for [a, b, c] in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let host = CountingHost::leaked();
            let bench = with_es256_keys(1, host);
            // A good cookie does not replace one with another spelling.
            let cookie = cookies("Token", &[a, b, c].map(|at: usize| tokens[at].clone()));
            for time in ["first", "second"] {
                let decision = bench.decide("/page", &[("cookie", &cookie)]);
                assert_eq!(verdict(&decision), code, "{time}: {cookie}");
                assert!(host.0.get() <= most_checks, "{time}: {} checks", host.0.get());
            }
        }
    }
}

#[test]
fn one_bad_signature_ends_the_checks_of_a_page() {
    for keys in [1, 8] {
        let host = CountingHost::leaked();
        let bench = with_es256_keys(keys, host);
        let tokens: Vec<_> = (1..8).map(|n| forged("ES256", n)).collect();
        let header = bearer(&forged("ES256", 0));
        for path in ["/page", "/optional"] {
            let cookies = cookies("token", &tokens);
            bench.decide(path, &[("authorization", &header), ("cookie", &cookies)]);
            assert_eq!(host.0.get(), keys, "{path}: the first token, with each key");
        }
    }
}

#[test]
fn a_token_that_was_not_checked_clears_no_cookie() {
    let bench = with_es256_keys(1, CountingHost::leaked());
    let header = bearer(&forged("ES256", 1));
    let cookie = cookies("token", &[genuine_es256(1)]);
    let lines = [("authorization", header.as_str()), ("cookie", cookie.as_str())];
    let Decision::Refuse { clear_cookies, .. } = bench.decide("/page", &lines) else { panic!() };
    assert_eq!(clear_cookies, [""; 0]);
}

#[test]
fn a_sign_out_revokes_all_genuine_tokens_within_its_limits() {
    for (keys, checks_per_request) in [(1, 6), (8, 8)] {
        let host = CountingHost::leaked();
        let bench = with_es256_keys(keys, host);
        let known = bearer(&genuine_es256(1));
        assert_eq!(verdict(&bench.decide("/page", &[("authorization", &known)])), "user-1");
        let mut tokens: Vec<_> = (0..250).map(|n| forged("ES256", n)).collect();
        tokens.extend([genuine_es256(1), genuine_es256(2)]);
        let cookie = cookies("token", &tokens);
        let (mut revoked, mut requests) = (vec![], 0);
        loop {
            let before = host.0.get();
            let decision = bench.decide("/sign-out", &[("cookie", &cookie)]);
            assert!(host.0.get() - before <= checks_per_request, "{}", host.0.get() - before);
            requests += 1;
            bench.elapsed_milliseconds.set(requests as u64 * 100);
            assert!(requests < 300, "each retry makes progress");
            match decision {
                Decision::Refuse { objection, sign_out, .. } => {
                    assert_eq!(objection, RefusalRule::SignatureChecks.into());
                    let first = RecordId::of_token("", None, "1");
                    assert!(sign_out.iter().any(|token| token.record_id() == first));
                }
                Decision::Forward(forward) => {
                    revoked.extend(forward.sign_out.iter().map(GenuineToken::record_id));
                    break;
                }
                Decision::Ready(_) => panic!(),
            }
        }
        revoked.sort_unstable();
        let mut expected = ["1", "2"].map(|jti| RecordId::of_token("", None, jti));
        expected.sort_unstable();
        assert_eq!(revoked, expected, "{keys} keys");
        assert!(requests >= 250 * keys / checks_per_request, "{requests} requests");
    }
}

#[test]
fn a_sign_out_revokes_tokens_that_are_not_valid_yet() {
    let bench = AdmissionBench::new("refuse");
    let cases = [
        ("nbf ahead", TokenBuilder::new().claim("nbf", NOW + 500), true),
        ("iat ahead", TokenBuilder::new().claim("iat", NOW + 500), true),
        ("no user", TokenBuilder::new().without("sub"), true),
        ("no exp", TokenBuilder::new().without("exp"), true),
        ("expired", TokenBuilder::new().claim("exp", NOW - 3_600), false),
    ];
    for (name, token, is_revoked) in cases {
        let token = bearer(&token.sign());
        let lines = [("authorization", token.as_str())];
        let Decision::Forward(forward) = bench.decide("/sign-out", &lines) else { panic!() };
        let ids = |tokens: &[GenuineToken]| -> Vec<_> {
            tokens.iter().map(GenuineToken::record_id).collect()
        };
        let id = vec![RecordId::of_token("", None, "token-1")];
        let expected = if is_revoked { (id, vec![]) } else { (vec![], id) };
        assert_eq!((ids(&forward.sign_out), ids(&forward.expired)), expected, "{name}");
    }
}

#[test]
fn an_unseen_genuine_cookie_replaces_a_forged_one() {
    let bench = with_es256_keys(1, CountingHost::leaked());
    for tokens in [[forged("ES256", 1), genuine_es256(1)], [genuine_es256(2), forged("ES256", 2)]] {
        let cookie = cookies("token", &tokens);
        assert_eq!(verdict(&bench.decide("/page", &[("cookie", &cookie)])), "user-1", "{cookie}");
    }
}

#[test]
fn a_503_of_a_sign_out_clears_no_cookie() {
    let bench = with_es256_keys(1, CountingHost::leaked());
    // The first is known to be forged; there are more than one request may check.
    let mut tokens = vec!["x.y".to_owned()];
    tokens.extend((0..100).map(|n| forged("ES256", n)));
    let cookie = cookies("token", &tokens);
    let header = bearer(&genuine_es256(1));
    for site in ["cross-site", "same-origin"] {
        let lines = [("authorization", &*header), ("cookie", &cookie), ("sec-fetch-site", site)];
        let decision = bench.decide("/sign-out", &lines);
        let Decision::Refuse { objection, clear_cookies, sign_out } = decision else { panic!() };
        let refusal = objection.refusal();
        assert_eq!((refusal, clear_cookies), (Refusal::Unavailable, vec![]), "{site}");
        assert_eq!(sign_out.len(), 1, "{site}: the token of the header is revoked");
    }
}

#[test]
fn invalid_cookies_of_one_name_cost_little_and_keep_none_out() {
    // Tokens, keys, most checks of one request, most requests until the good one is found.
    for (keys, most_checks, most_requests) in [(1, 2, 5), (8, 8, 8)] {
        let host = CountingHost::leaked();
        let bench = with_es256_keys(keys, host);
        let mut tokens: Vec<_> = (0..7).map(|n| forged("ES256", n)).collect();
        tokens.push(genuine_es256(1));
        let cookie = cookies("token", &tokens);
        let mut requests = 0;
        loop {
            let before = host.0.get();
            bench.elapsed_milliseconds.set(requests * 100);
            let decision = bench.decide("/page", &[("cookie", &cookie)]);
            assert!(host.0.get() - before <= most_checks, "{}", host.0.get() - before);
            requests += 1;
            assert!(requests <= most_requests, "{keys} keys");
            match verdict(&decision).as_str() {
                "user-1" => break,
                code => assert_eq!(code, "unavailable", "not 401: one of them may be good"),
            }
            let Decision::Refuse { clear_cookies, .. } = decision else { panic!() };
            assert_eq!(clear_cookies, [""; 0]);
        }
    }
}
