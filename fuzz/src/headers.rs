//! Promise: a request reaches a protected route only with genuine, unrevoked tokens of one user, or
//! with an API key if the route allows one. The application sees only that user.
//!
//! Input: a byte, then a header map as Envoy serialises it (if the byte is 0), or lines
//! `name: value` (otherwise). The control bytes 1 to 5 in a value are replaced by [tokens](TOKENS).
//!
//! The check interprets the path as the most lenient server would.

use std::collections::HashSet;

use session_guard_core::admission::{Admission, Decision, Forward, Moment};
use session_guard_core::config::Config;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::headers::Headers;
use session_guard_core::keys::host::NoHost;
use session_guard_core::request::path;
use session_guard_core::request::routes::{Access, Routes};
use session_guard_core::request::sources::{Source, Sources, TokenLocation};
use session_guard_core::revocation::horizon::Horizon;
use session_guard_core::revocation::record::{NEVER, Record, RecordId};
use session_guard_core::revocation::set::RevocationSet;
use session_guard_core::shared::InMemory;
use session_guard_core::shared::names::KeySpace;

use crate::moment::{NOW, signed};

/// Checks the promise for an input.
pub fn check(input: &[u8]) {
    let headers = match input {
        [0, map @ ..] => Headers::parse(map),
        [_, lines @ ..] => Some(from_lines(lines)),
        [] => None,
    };
    let Some(headers) = headers else { return };
    let pairs = pairs(&headers);
    assert_eq!(self::pairs(&Headers::from_pairs(&pairs)), pairs, "read as written");
    BENCH.with(|bench| bench.check(&headers));
}

type Pair = (Vec<u8>, Vec<u8>);

fn pairs(headers: &Headers) -> Vec<Pair> {
    headers.lines().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

fn from_lines(lines: &[u8]) -> Headers<'static> {
    let line = |line: &[u8]| -> Pair {
        let start = usize::from(line.starts_with(b":"));
        let colon = line.iter().skip(start).position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.map_or(line.len(), |at| at + start));
        let value = value.strip_prefix(b":").unwrap_or_default();
        (name.to_ascii_lowercase(), with_tokens(value.strip_prefix(b" ").unwrap_or(value)))
    };
    Headers::from_pairs(&lines.split(|byte| *byte == b'\n').map(line).collect::<Vec<_>>())
}

fn with_tokens(value: &[u8]) -> Vec<u8> {
    let part = |&byte: &u8| match usize::from(byte).checked_sub(1).and_then(|at| TOKENS.get(at)) {
        Some((user, jti, exp)) => token(user, jti, *exp).into_bytes(),
        None => vec![byte],
    };
    value.iter().flat_map(part).collect()
}

/// The user, jti and exp of the tokens for the bytes 1 to 5. The fourth is revoked, the fifth has
/// expired.
const TOKENS: [(&str, &str, u64); 5] = [
    ("ada", "1", NOW.unix_seconds + 3_600),
    ("ada", "2", NOW.unix_seconds + 3_600),
    ("bob", "3", NOW.unix_seconds + 3_600),
    ("ada", REVOKED, NOW.unix_seconds + 3_600),
    ("ada", "5", NOW.unix_seconds - 3_600),
];
const REVOKED: &str = "4";

fn token(user: &str, jti: &str, exp: u64) -> String {
    let claims = format!(r#"{{"sub":"{user}","jti":"{jti}","exp":{exp},"role":"of-{user}"}}"#);
    signed(br#"{"alg":"HS256"}"#, claims.as_bytes())
}

/// Returns the user of a token that is valid.
fn user_of(sent: &[u8]) -> Option<&'static str> {
    let sound = [0, 1, 2].map(|at| TOKENS[at]);
    let found =
        sound.into_iter().find(|(user, jti, exp)| token(user, jti, *exp).as_bytes() == sent);
    found.map(|(user, ..)| user)
}

struct HeadersInput {
    admission: Admission,
    shared: InMemory,
    routes: Routes,
    sources: Sources,
}

thread_local! {
    static BENCH: HeadersInput = HeadersInput::new();
}

impl HeadersInput {
    fn new() -> Self {
        let config = || Config::parse(include_bytes!("headers.json"), &|_| None).expect("sound");
        let set = RevocationSet::new(KeySpace::of_feed("", "signout", "signout"), "");
        let shared = InMemory::default();
        let revoked = Record::token(RecordId::of_token("", None, REVOKED), NEVER);
        set.add(&shared, &[revoked], Horizon::NONE).expect("nobody else writes");
        let header = |name: &str, scheme: Option<&str>| TokenLocation::Header {
            name: name.to_owned(),
            scheme: scheme.map(str::to_owned),
        };
        let places = [
            (header("authorization", Some("Bearer")), Some("sk-".to_owned())),
            (header("x-token", None), None),
            (header("x-any", Some("*")), None),
            (TokenLocation::Cookie("token".to_owned()), None),
            (TokenLocation::Query("access_token".to_owned()), None),
        ];
        let sources =
            places.map(|(location, pass_prefix)| Source { location, pass_prefix, routes: vec![] });
        Self {
            admission: Admission::new(config(), Some(set), &NoHost),
            shared,
            routes: config().routes,
            sources: Sources::new(sources.to_vec()),
        }
    }

    fn check(&self, headers: &Headers) {
        let (unix_seconds, shared) = (NOW.unix_seconds, &self.shared);
        let moment = |knowledge| Moment {
            unix_milliseconds: unix_seconds * 1_000,
            knowledge,
            keys_settled: true,
            shared,
        };
        let access = self.routes.find(headers).access;
        match self.admission.decide(headers, moment(Knowledge::Current)) {
            Decision::Forward(forward) => self.check_forwarded(headers, access, &forward),
            Decision::Refuse { clear_cookies, .. } => {
                let clearing = "token=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax";
                assert!(clear_cookies.is_empty() || clear_cookies == [clearing]);
                assert!(!matches!(access, Access::Public | Access::Optional | Access::Ready));
            }
            Decision::Ready(is_ready) => assert!(is_ready && access == Access::Ready),
        }
        if let Decision::Forward(forward) = self.admission.decide(headers, moment(Knowledge::Never))
        {
            assert!(access != Access::Protected, "nothing is known");
            assert_eq!(users_seen(headers, &forward), [""; 0]);
        }
        let edits = self.admission.trailers(headers);
        let left = headers.edited(&edits);
        let names = ["x-user-id", "x-user-role", "authorization", "x-token", "x-any", "cookie"];
        assert!(names.iter().all(|name| left.alike(name.as_bytes()).next().is_none()), "trailers");
    }

    fn check_forwarded(&self, headers: &Headers, access: Access, forward: &Forward) {
        let users = users_seen(headers, forward);
        let sent = match access {
            Access::Signout => self.sources.find_to_sign_out(headers),
            _ => self.sources.find(headers).map_or(vec![], |tokens| tokens.to_vec()),
        };
        let owners: HashSet<_> = sent.iter().map(|token| user_of(&token.bytes)).collect();
        match users.as_slice() {
            [] => {}
            [user] => {
                // Bad cookies beside a good one of the same name are removed, see below.
                let owners: HashSet<_> = owners.iter().copied().flatten().collect();
                assert_eq!(owners, HashSet::from([user.as_str()]));
            }
            several => panic!("the application sees {several:?}"),
        }
        let open = matches!(access, Access::Public | Access::Optional | Access::Signout);
        if users.is_empty() && !open {
            assert!(
                self.sources.find_api_keys(headers).is_ok_and(|keys| keys.admits),
                "nobody, at a protected place"
            );
            // A bad cookie is removed if there is a good one with the same name.
            let genuine = owners.iter().flatten().count();
            assert!(genuine <= 1 && (genuine == 1 || owners.is_empty()), "{owners:?}");
        }
        if users.is_empty() && open {
            let target = headers.first(b":path").unwrap_or_default();
            assert!(!as_sloppy_servers_read(target).starts_with(b"/admin"), "{access:?}");
        }
        if matches!(access, Access::Protected | Access::Optional) {
            let left = headers.edited(&forward.edits);
            let left = self.sources.find(&left).expect("few enough");
            assert!(left.is_empty(), "stripped, but {left:?}");
        }
        assert!(access == Access::Signout || forward.sign_out.is_empty());
        let ids: HashSet<_> = forward.sign_out.iter().map(|token| token.record_id()).collect();
        let live = TOKENS.map(|(_, jti, _)| RecordId::of_token("", None, jti));
        assert!(ids.iter().all(|id| live[..3].contains(id)), "what is genuine and live alone");
    }
}

/// Returns the users that the application reads from the request, in any spelling of the header.
fn users_seen(headers: &Headers, forward: &Forward) -> Vec<String> {
    let seen = headers.edited(&forward.edits);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let roles: Vec<_> = seen.alike(b"x-user-role").map(|(_, role)| text(role)).collect();
    let users: Vec<_> = seen.alike(b"x-user-id").map(|(_, user)| text(user)).collect();
    assert_eq!(roles, users.iter().map(|user| format!("of-{user}")).collect::<Vec<_>>());
    users
}

/// Normalises a path as a sloppy server might: decodes it until nothing changes, removes parameters
/// of segments, lower-cases it, takes backslashes for slashes, cuts it at NUL and `#`, and resolves
/// dot segments and double slashes.
fn as_sloppy_servers_read(target: &[u8]) -> Vec<u8> {
    let mut decoded = path::split(target).0.to_vec();
    loop {
        let once = path::decoded(&decoded).into_owned();
        if once == decoded {
            break;
        }
        decoded = once;
    }
    let whole = decoded.split(|byte| matches!(byte, 0 | b'#')).next().unwrap_or_default();
    let mut segments: Vec<Vec<u8>> = vec![];
    for segment in whole.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        match name.trim_ascii_end() {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            _ => segments.push(name.to_ascii_lowercase()),
        }
    }
    [b"/", &segments.join(&b'/')[..]].concat()
}
