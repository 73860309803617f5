//! Promise: a configuration is loaded or refused, and no secret is printed. With a loaded
//! configuration, a request without a token is refused on every path that is not canonical, and no
//! request panics.
//!
//! Input: the JSON text.

use session_guard_core::admission::{Admission, Decision, Moment};
use session_guard_core::config::Config;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::headers::Headers;
use session_guard_core::keys::host::NoHost;
use session_guard_core::revocation::set::RevocationSet;
use session_guard_core::shared::InMemory;
use session_guard_core::shared::names::KeySpace;

use crate::moment::{NOW, signed};

/// Checks the promise for an input.
pub fn check(text: &[u8]) {
    let config = Config::parse(text, &|_| Some(CANARY.to_owned()));
    let shown = match &config {
        Ok(config) => format!("{:?} {:?}", config, config.warnings),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(CANARY), "a secret shows: {shown}");
    let Ok(config) = config else { return };

    let realm = config.revocation.as_ref().map(|revocation| revocation.realm.clone());
    let set = realm
        .map(|realm| RevocationSet::new(KeySpace::of_feed(&realm, "signout", "signout"), &realm));
    let admission = Admission::new(config, set, &NoHost);
    let shared = &InMemory::default();
    let moment = Moment {
        unix_milliseconds: NOW.unix_seconds * 1_000,
        knowledge: Knowledge::Current,
        keys_settled: true,
        shared,
    };
    let token = signed(br#"{"alg":"HS256"}"#, br#"{"sub":"ada","jti":"1","exp":1795335720}"#);
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=b; token={token}; session=\"{token}\"");
    for path in PATHS {
        for method in ["GET", "POST", "OPTIONS"] {
            let mut lines = vec![(":method", method), (":path", path), (":authority", "a.example")];
            let decision = admission.decide(&Headers::from_pairs(&lines), moment);
            let is_refused = matches!(decision, Decision::Refuse { .. });
            assert!(is_refused || !path.contains("//"), "{method} {path}: {decision:?}");
            lines.extend([
                ("authorization", bearer.as_str()),
                ("cookie", &cookie),
                ("origin", "x"),
            ]);
            let headers = Headers::from_pairs(&lines);
            let _ = admission.decide(&headers, moment);
            let _ = admission.trailers(&headers);
        }
    }
    let _ = admission.decide(&Headers::default(), moment);
}

const PATHS: [&str; 6] = [
    "/",
    "//",
    "/static//a",
    "/api/v1/users/7?access_token=a",
    "/api/v1/auths/signout",
    "/.session-guard/ready",
];

/// The value of every environment variable.
const CANARY: &str = "canary-7f3k9q2x8m4w6z1v5t0p-canary-7f3k9q2x8m4w6z1v5t0p-canary-x";
