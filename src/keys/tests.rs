//! Promise: a token is tried only with keys of its algorithm that take its `kid`.

use super::*;

fn key(algorithm: Algorithm, id: Option<&str>) -> Key {
    Key::hmac(algorithm, &[7; 64], id.map(str::to_owned), None, Vec::new())
}

fn tried(ring: &KeyRing, algorithm: &str, kid: Option<&str>) -> Result<Vec<String>, Refusal> {
    let candidates = ring.candidates(algorithm, kid)?;
    Ok(candidates.map(|key| key.id.clone().unwrap_or_default()).collect())
}

#[test]
fn a_key_takes_its_own_kid_or_none_and_a_key_without_id_takes_any() {
    use Algorithm::{Hs256, Hs512};
    let ring = KeyRing::new(vec![key(Hs256, Some("a")), key(Hs256, Some("b")), key(Hs512, None)]);
    type Case = (&'static str, Option<&'static str>, Result<&'static [&'static str], Refusal>);
    let cases: [Case; 9] = [
        ("HS256", None, Ok(&["a", "b"])),
        ("HS256", Some("a"), Ok(&["a"])),
        ("HS256", Some("b"), Ok(&["b"])),
        ("HS256", Some("c"), Err(Refusal::UnknownKey)),
        ("HS256", Some(""), Err(Refusal::UnknownKey)),
        ("HS512", Some("c"), Ok(&[""])),
        ("HS384", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("hs256", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("none", None, Err(Refusal::UnsupportedAlgorithm)),
    ];
    for (algorithm, kid, expected) in cases {
        let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(tried(&ring, algorithm, kid), expected, "{algorithm} {kid:?}");
    }
}

#[test]
fn at_most_eight_keys_are_tried_and_the_named_one_is_the_first() {
    let mut keys: Vec<Key> = (0..9).map(|_| key(Algorithm::Hs256, None)).collect();
    keys.push(key(Algorithm::Hs256, Some("last")));
    let tried = tried(&KeyRing::new(keys), "HS256", Some("last")).expect("candidates");
    assert_eq!((tried.len(), tried[0].as_str()), (KEYS_TRIED, "last"));
}

#[test]
fn without_keys_nothing_can_be_told() {
    assert_eq!(tried(&KeyRing::default(), "HS256", None), Err(Refusal::Unavailable));
}

#[test]
fn every_algorithm_is_found_by_its_name() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
}

#[test]
fn a_key_never_shows_its_secret() {
    let key =
        Key::hmac(Algorithm::Hs256, b"canary-canary-canary-canary-canary", None, None, vec![]);
    assert_eq!(format!("{:?}", KeyRing::new(vec![key])), "KeyRing { keys: [Key(HS256, None)] }");
}
