//! Promise: each setting has its default, and an error names the path of each mistake.

use serde_json::{Value, json};

use super::*;

fn read(file: &[u8]) -> Result<Vec<IssuerSettings>, ConfigError> {
    let environment = |name: &str| (name == "SSF_TOKEN").then(|| "secret".to_owned());
    super::read(file, &environment)
}

fn key() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "ZdvwuXpZNKY8Q_pLm6xps12I_H99NbZ8V-7a_WwgNZU"})
}

/// Returns a file with one issuer, with these members changed. `"absent"` removes a member.
fn file(changes: &[(&str, Value)]) -> String {
    let mut issuer = json!({
        "issuer": "https://id.example.com",
        "jwks": {"url": "https://id.example.com/jwks.json"},
        "backchannel_logout": {"audiences": ["app"]},
    });
    for (name, value) in changes {
        if value == "absent" {
            issuer.as_object_mut().unwrap().remove(*name);
        } else {
            issuer[*name] = value.clone();
        }
    }
    json!({"issuers": [issuer]}).to_string()
}

fn error(file: &str) -> String {
    read(file.as_bytes()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn absent_settings_have_their_defaults() {
    let issuer = read(file(&[]).as_bytes()).unwrap().remove(0);
    assert_eq!(issuer.realm, "");
    assert_eq!(issuer.token_issuers, ["https://id.example.com"]);
    assert_eq!(issuer.algorithms, [PublicAlgorithm::Rs256]);
    assert_eq!(issuer.user_id, UserIdClaim::Sub);
    assert_eq!(issuer.max_lifetime_seconds, 2_592_000);
    assert_eq!(issuer.backchannel_logout, Some(vec!["app".to_owned()]));
    assert!(issuer.events.is_none() && issuer.global_token_revocation.is_none());
    assert!(!issuer.token_revocation);
    let KeySource::Fetched { origin, set } = &issuer.keys else { panic!("fetched") };
    assert_eq!((&**origin, &*set.path), ("https://id.example.com", "/jwks.json"));
    assert_eq!(set.rules.rsa, Some(PublicAlgorithm::Rs256), "keys without `alg`");
    assert_eq!(set.refresh_seconds, 300);
}

#[test]
fn every_mistake_is_named_with_its_path() {
    let two = |realm: &str| {
        let mut two: Value = serde_json::from_str(&file(&[])).unwrap();
        let mut other = two["issuers"][0].clone();
        other["realm"] = json!(realm);
        two["issuers"].as_array_mut().unwrap().push(other);
        two.to_string()
    };
    assert!(read(two("shop").as_bytes()).is_ok());
    let one = |name, value| file(&[(name, value)]);
    for (file, start) in [
        (String::new(), "configuration: cannot be read"),
        ("[]".to_owned(), "configuration: a list where an object belongs"),
        ("{}".to_owned(), "configuration: missing field `issuers`"),
        (r#"{"issuers": []}"#.to_owned(), "issuers: must not be empty"),
        (r#"{"issuers": [[]]}"#.to_owned(), "issuers[0]: a list where an object belongs"),
        (two(""), "issuers[1].issuer: comes twice in this realm"),
        (one("issuer", json!("absent")), "issuers[0]: missing field `issuer`"),
        (one("issuer", json!("")), "issuers[0].issuer: must not be empty"),
        (one("issuer", json!(7)), "issuers[0].issuer: must be text"),
        (one("isuer", json!("x")), "issuers[0].isuer: unknown field `isuer`"),
        (one("realm", json!("a\nb")), "issuers[0].realm: contains a control character"),
        (one("token_issuers", json!([])), "issuers[0].token_issuers: must not be empty"),
        (one("token_issuers", json!(["a", "a"])), "issuers[0].token_issuers[1]: comes twice"),
        (one("algorithms", json!(["HS256"])), "issuers[0].algorithms[0]: is not supported"),
        (one("algorithms", json!([])), "issuers[0].algorithms: must not be empty"),
        (one("algorithms", json!(null)), "issuers[0].algorithms: must be a list"),
        (one("user_id", json!("name")), "issuers[0].user_id: "),
        (one("max_lifetime_seconds", json!(59)), "issuers[0].max_lifetime_seconds: must be 60 to"),
        (one("backchannel_logout", json!({})), "issuers[0].backchannel_logout: missing field"),
        (
            one("backchannel_logout", json!({"audiences": []})),
            "issuers[0].backchannel_logout.audiences: must not be empty",
        ),
        (one("backchannel_logout", json!("absent")), "issuers[0]: this issuer may send nothing"),
        (
            one("events", json!({"audiences": ["a"], "types": ["token-claims-change"]})),
            "issuers[0].events.types[0]: ",
        ),
        (
            one("events", json!({"audiences": ["a"], "transmitter": {"token": {"env": "UNSET"}}})),
            "issuers[0].events.transmitter.token.env: the variable UNSET is not set",
        ),
        (
            one("events", json!({"audiences": ["a"], "transmitter": {"poll": "http://a.example"}})),
            "issuers[0].events.transmitter.poll: is no https address",
        ),
        (one("jwks", json!({})), "issuers[0].jwks: names no keys"),
        (
            one("jwks", json!({"url": "https://a.example/", "inline": {"keys": [key()]}})),
            "issuers[0].jwks: names keys twice",
        ),
        (
            one("jwks", json!({"inline": {"keys": [key()]}, "refresh_seconds": 300})),
            "issuers[0].jwks.refresh_seconds: does not belong here",
        ),
        (one("jwks", json!({"inline": {}})), "issuers[0].jwks.inline: cannot be used (not_a_set)"),
        (
            one("jwks", json!({"inline": {"keys": [{"kty": "oct", "alg": "HS256", "k": "AAAA"}]}})),
            "issuers[0].jwks.inline: holds no key that can be used; keys[0]: a secret",
        ),
        (
            one("jwks", json!({"url": "https://a.example/", "refresh_seconds": 1})),
            "issuers[0].jwks.refresh_seconds: must be 5 to",
        ),
    ] {
        let error = error(&file);
        assert!(error.starts_with(start), "{file}: {error}");
    }
}

#[test]
fn the_metadata_of_a_transmitter_has_a_known_address() {
    let events = json!({"audiences": ["a"], "transmitter": {"token": {"env": "SSF_TOKEN"}}});
    for (issuer, metadata) in [
        ("https://id.example.com", "https://id.example.com/.well-known/ssf-configuration"),
        ("https://id.example.com/", "https://id.example.com/.well-known/ssf-configuration"),
        ("https://id.example.com/a/b", "https://id.example.com/.well-known/ssf-configuration/a/b"),
    ] {
        let file = file(&[("issuer", json!(issuer)), ("events", events.clone())]);
        let events = read(file.as_bytes()).unwrap().remove(0).events.unwrap();
        let transmitter = events.transmitter.unwrap();
        assert_eq!(transmitter.metadata, metadata);
        assert_eq!(transmitter.token.as_ref().map(TransmitterToken::expose), Some("secret"));
        assert!(!format!("{transmitter:?}").contains("secret"));
    }
}

#[test]
fn keys_are_fetched_from_trusted_addresses_only() {
    for (url, is_trusted) in [
        ("https://id.example.com", true),
        ("https://id.example.com:8443/a?b=c", true),
        ("http://127.0.0.1:9000/jwks", true),
        ("http://localhost/jwks", true),
        ("http://[::1]:80/jwks", true),
        ("http://id.example.com/jwks", false),
        ("http://127.0.0.1.example.com/jwks", false),
        ("https://user:secret@id.example.com/", false),
        ("https://id.example.com/#fragment", false),
        ("ftp://id.example.com/", false),
        ("id.example.com/jwks", false),
        ("/jwks", false),
    ] {
        let read = read(file(&[("jwks", json!({"url": url}))]).as_bytes());
        assert_eq!(read.is_ok(), is_trusted, "{url}");
    }
}

#[test]
fn keys_without_an_algorithm_need_one_rsa_algorithm() {
    let rsa = |names: Value| {
        let issuer = read(file(&[("algorithms", names)]).as_bytes()).unwrap().remove(0);
        let KeySource::Fetched { set, .. } = issuer.keys else { panic!("fetched") };
        set.rules.rsa
    };
    assert_eq!(rsa(json!(["PS256", "ES256"])), Some(PublicAlgorithm::Ps256));
    assert_eq!(rsa(json!(["RS256", "PS256"])), None);
    assert_eq!(rsa(json!(["ES256"])), None);
}

#[test]
fn every_issuers_file_in_the_documents_loads() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = 0;
    for document in ["docs/sessions.md", "examples/identity-provider/README.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for block in text.split("```json\n").skip(1) {
            let json = block.split("```").next().unwrap();
            if json.contains("\"issuers\"") {
                found += 1;
                let loaded = read(json.as_bytes());
                assert!(loaded.is_ok(), "{document}: {}\n{json}", loaded.unwrap_err());
            }
        }
    }
    assert!(found >= 5, "{found}");
}
