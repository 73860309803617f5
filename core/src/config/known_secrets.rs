//! Secrets that are publicly known.
//!
//! These are values from tutorials, example files and defaults of well-known software. Anybody who
//! guesses such a secret can sign tokens for any user. They are never accepted, under any other
//! settings. The list cannot be complete. It protects against the mistake of going live with the
//! secret of an example.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Returns whether the secret or its base64url form is in the list. Case, white space and
/// punctuation are ignored.
pub(super) fn contain(secret: &[u8]) -> bool {
    [solid(secret), solid(URL_SAFE_NO_PAD.encode(secret).as_bytes())]
        .iter()
        .any(|solid| !solid.is_empty() && KNOWN.contains(&&**solid))
}

fn solid(secret: &[u8]) -> Vec<u8> {
    secret.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}

/// The known secrets, in lower case, with letters and digits only.
const KNOWN: &[&[u8]] = &[
    // FastAPI's tutorial
    b"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    // Spring Boot tutorials, in hex and as base64 of it
    b"404e635266556a586e3272357538782f413f4428472b4b6250645367566b5970",
    // golang-jwt's examples
    b"allyourbase",
    // jwt.io
    b"astringsecretatleast256bitslong",
    b"avalidstringsecretthatisatleast384bitslong",
    b"avalidstringsecretthatisatleast512bitslongwhichisverylong",
    // RFC 7515 §A.1, RFC 7520 §4.4
    b"aym1sysppbydfgzld3umj1qzkobwvmkoqqestjqlrt1qs0gzh75aktmn3yj0ips4hcguutwjazzr1z9caow",
    b"hjtxiz2usn5kbqfbttnwbpdmhkv8fjgonbc6mxccyg",
    b"changeit",
    b"changeme",
    b"changemeinproduction",
    b"changethis",
    b"default",
    b"insecure",
    b"jwtsecret",
    b"jwtsecretkey",
    b"keyboardcat",
    b"mysecret",
    b"mysecretkey",
    b"mysupersecret",
    b"mysupersecretkey",
    b"password",
    b"qwertyuiopasdfghjklzxcvbnm123456",
    b"replaceme",
    b"secret",
    b"secretkey",
    // jsonwebtoken's README
    b"shhhhh",
    b"supersecret",
    // Supabase's defaults
    b"supersecretjwttokenwithatleast32characterslong",
    b"supersecretkey",
    // Open WebUI up to 0.9.5
    b"t0ps3cr3t",
    b"test",
    b"thisisasecret",
    b"topsecret",
    b"verysecret",
    // jwt.io, earlier
    b"your256bitsecret",
    b"your384bitsecret",
    b"your512bitsecret",
    b"yourjwtsecret",
    b"yoursecret",
    b"yoursecretkey",
    b"yoursupersecretjwttokenwithatleast32characterslong",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_in_its_normal_form() {
        for known in KNOWN {
            assert_eq!(solid(known), *known, "{}", known.escape_ascii());
        }
    }

    #[test]
    fn spelling_does_not_hide_a_known_secret() {
        for text in ["secret", "Secret\n", " t0p-s3cr3t ", "CHANGE_ME", "your-256-bit-secret"] {
            assert!(contain(text.as_bytes()), "{text}");
        }
        for text in ["", "---", "secrets of mine", "t0p-s3cr3t-and-more"] {
            assert!(!contain(text.as_bytes()), "{text}");
        }
    }
}
