//! Promise: a response to a call of the filter is either accepted as a whole or changes nothing.
//!
//! Input: a byte for the kind of response, then three lines (status, content type, value of another
//! header) and the body. The kinds are: a page of the feed to which a valid checksum is added (0),
//! a page with its own checksum (1), a JWK Set (2), and the acknowledgement of a sign-out (3).

use serde_json::Value;
use session_guard_core::call::Response;
use session_guard_core::feed::outbox::Outbox;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::feed::wire::{self, Page, PageKey};
use session_guard_core::feed::{self, Feed, FeedCount};
use session_guard_core::headers::Headers;
use session_guard_core::key_sets::document::{self, KeySetRules};
use session_guard_core::key_sets::{self, KeySets};
use session_guard_core::keys::{Algorithm, KeyRing};
use session_guard_core::revocation::name::TokenNames;
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};
use session_guard_core::revocation::set::RevocationSet;
use session_guard_core::shared::InMemory;
use session_guard_core::shared::names::KeySpace;
use session_guard_core::sign_out::{self, Step, WhenUnreachable};

use crate::moment::NOW;

/// Checks the promise for an input.
pub fn check(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    let mut parts = rest.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (status, content_type, other, body) = (next(), next(), next(), next());
    let mut lines = vec![(&b":status"[..], status), (b"content-type", content_type)];
    if !other.is_empty() {
        lines.extend([(&b"retry-after"[..], other), (b"content-type", other)]);
    }
    let mut answer = Response { headers: Headers::from_pairs(&lines), body: body.to_vec() };
    match kind {
        0 => {
            answer.body.extend(page_key().checksum(body));
            page(&answer);
        }
        1 => page(&answer),
        2 => key_set(&answer),
        _ => acknowledgement(&answer),
    }
}

fn page_key() -> PageKey {
    PageKey::new(b"an API token")
}

fn page(answer: &Response) {
    let page = Page::decode(&answer.body, &page_key());
    if let Ok(page) = &page {
        assert_eq!(page.encode(&page_key()), answer.body, "one page, one spelling");
    }
    let shared = &InMemory::default();
    let settings = feed::FeedSettings {
        realm: String::new(),
        cluster: "signout".to_owned(),
        authority: "signout".to_owned(),
        max_staleness_seconds: 300,
        delivery_timeout_milliseconds: 2_000,
    };
    let mut feed = Feed::new(&settings, page_key(), [1; 16]);
    assert!(feed.tick(shared, NOW).poll.is_some(), "the feed is asked");
    let effects = feed.poll_finished(shared, NOW, 0, Some(answer));
    let rejected = effects.counts.iter().any(|count| matches!(count, FeedCount::Rejected(_)));
    let known = feed.knowledge() != Knowledge::Never;
    let counts = page.as_ref().is_ok_and(|page| page.reset)
        && answer.status() == Some(200)
        && answer.is_of_type(wire::CONTENT_TYPE);
    assert!(!rejected || !known, "what does not count proves nothing");
    assert!(rejected || counts, "what counts is a page of ours");
    let Some(page) = page.as_ref().ok().filter(|_| !rejected) else { return };
    assert!(!known || !page.more, "there was more");
    let is_live = |record: &&Record| record.exp >= NOW.unix_seconds && record.kind == Kind::Token;
    for record in page.records.iter().filter(is_live) {
        assert_eq!(feed.set().is_revoked(shared, &TokenNames::of(record.id), Some(0)), Ok(true));
    }
}

fn key_set(answer: &Response) {
    let settings = key_sets::KeySetSettings {
        name: "keys[0].jwks".to_owned(),
        cluster: "idp".to_owned(),
        authority: "id.example".to_owned(),
        path: "/keys".to_owned(),
        refresh_seconds: 300,
        rules: KeySetRules::default(),
    };
    let shared = &InMemory::default();
    let mut sets = KeySets::new(vec![settings], KeyRing::default(), [1; 16]);
    assert_eq!(sets.tick(shared, NOW, 0).fetch.len(), 1, "the set is asked for");
    let is_sound = sets.fetch_finished(0, shared, NOW, 0, Some(&good_set())).keys;
    assert!(is_sound.is_some_and(|ring| ring.count() == 1 && !ring.lacks_some()));

    let read = document::read(&answer.body, &KeySetRules::default());
    let later = session_guard_core::clock::Now { monotonic_milliseconds: 5_000_000, ..NOW };
    assert_eq!(sets.tick(shared, later, 0).fetch.len(), 1, "and again when it is old");
    let effects = sets.fetch_finished(0, shared, later, 0, Some(answer));
    let rejected = effects.counts.iter().any(|c| matches!(c, key_sets::KeySetCount::Rejected(_)));
    assert!(rejected || answer.status() == Some(200) && read.is_ok());
    assert!(!rejected || effects.keys.is_none(), "the good keys stay");
    if let Some(ring) = effects.keys {
        assert!(!ring.lacks_some() && (1..=document::SET_KEYS_LIMIT).contains(&ring.count()));
    }
    for key in read.iter().flat_map(|document| &document.keys) {
        assert_eq!(Algorithm::from_name(key.algorithm()), None, "no secret was published");
    }
}

fn good_set() -> Response {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"good",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#; // RFC 8037, appendix A.2
    let lines = [(":status", "200"), ("content-type", "application/json")];
    Response { headers: Headers::from_pairs(&lines), body: key.as_bytes().to_vec() }
}

fn acknowledgement(answer: &Response) {
    let shared = &InMemory::default();
    let identity = KeySpace::of_feed("", "signout", "signout");
    let (set, outbox) = (RevocationSet::new(identity, ""), Outbox::new(identity));
    let record =
        sign_out::of_token(RecordId::of_token("", None, "1"), None, NOW.unix_seconds, None);
    let settings = sign_out::Settings {
        timeout_milliseconds: 2_000,
        when_unreachable: WhenUnreachable::Refuse,
    };
    let step = sign_out::begin(&set, &outbox, shared, vec![record], &[], settings, NOW);
    let Step::Deliver(_, waiting) = step else { panic!("the service is to be told") };
    let step = waiting.respond(&outbox, shared, Some(answer), NOW);
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let names_cursor = body.is_some_and(|body| body["cursor"].is_string());
    match step {
        Step::Continue => {
            assert!(matches!(answer.status(), Some(200 | 201)), "{:?}", answer.status());
            assert!(answer.is_of_type("application/json") && names_cursor);
        }
        Step::NotStored | Step::Unreachable | Step::Rejected(_) => {
            assert!(outbox.owes(shared, &record), "it is told again")
        }
        Step::Deliver(..) => panic!("it was told"),
    }
    assert_eq!(
        set.is_revoked(shared, &TokenNames::of(record.id), None),
        Ok(true),
        "whatever was answered"
    );
    assert_eq!(record.exp, NEVER);
}
