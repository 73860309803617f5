//! Promise: the second table in `docs/jwt-authn.md` lists every kind of signature on which this
//! filter and Envoy's own jwt_authn disagree, with the reason.
//! Method: both check each token of the table. This filter has the keys in PEM, jwt_authn in a JWK
//! Set, the only form that it accepts. `UPDATE_DOCUMENTS=1 cargo test --workspace --test keys`
//! regenerates the table.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::{Configuration, Request, Testbed, Token, repository};

use crate::table::{self, SECRET, SECRET_ALGORITHMS};

/// Words in the names of tokens on which the filters disagree, each with the reason.
const REASONS: &[(&str, &str)] = &[
    ("stray bits", "A token has one spelling (RFC 7515 §2): unused bits are zero."),
    ("padding", "A token has one spelling (RFC 7515 §2): without padding."),
    ("a space", "A token has one spelling (RFC 7515 §2): without white space."),
    ("a tab", "A token has one spelling (RFC 7515 §2): without white space."),
    ("a zero", "r and s of ECDSA have the length of the order (RFC 7518 §3.4)."),
];

#[test]
fn every_disagreement_about_signatures_is_documented_with_its_reason() {
    let (_, filter, cases) = table::sets().swap_remove(0);
    let ours = Testbed::with(|configuration| configuration.filter = filter);
    let theirs = Testbed::with(theirs);
    let (mut us, mut them) = (ours.envoy.connect(), theirs.envoy.connect());
    let mut found = vec![vec![]; REASONS.len()];
    let (judged, mut unexplained) = (cases.len(), vec![]);
    for (name, token, _) in cases {
        let request = Request::get("/page").bearer(&Token::text(&token));
        let (here, there) = (us.send(&request), them.send(&request));
        if (here.status == 200) == (there.status == 200) {
            continue;
        }
        let shown = |answer: &testbed::HttpResponse, why| {
            if answer.status == 200 { "admitted".to_owned() } else { why }
        };
        let verdicts = (shown(&here, here.code()), shown(&there, there.text()));
        match REASONS.iter().position(|(word, _)| name.contains(word)) {
            Some(reason) => found[reason].push((name, verdicts)),
            None => unexplained.push((name, verdicts)),
        }
    }
    assert_eq!(unexplained, [], "each needs a reason");
    println!("{judged} tokens, {} disagreements", found.iter().map(Vec::len).sum::<usize>());
    let mut table = format!(
        "Of {judged} tokens:\n\n| tokens | one of them | here | jwt_authn | why |\n| --- | --- | --- | --- | --- |\n"
    );
    for ((_, reason), found) in REASONS.iter().zip(&found) {
        let Some((name, (here, there))) = found.first() else { panic!("none any more: {reason}") };
        writeln!(table, "| {} | `{name}` | {here} | {there} | {reason} |", found.len()).unwrap();
    }
    repository::compare("docs/jwt-authn.md", "disagreements about signatures", &table);
}

fn theirs(configuration: &mut Configuration) {
    let secret = |name| json!({"kty": "oct", "alg": name, "k": URL_SAFE_NO_PAD.encode(SECRET)});
    let mut keys = table::jwks();
    keys.extend(SECRET_ALGORITHMS.map(secret));
    let set: Value = json!({"keys": keys});
    configuration.judge_by_jwt_authn(json!({
        "forward": true,
        "local_jwks": {"inline_string": set.to_string()},
    }));
}
