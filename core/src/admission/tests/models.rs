//! Promise: an application never reads a bad token, whichever part of the request it reads. Method:
//! random requests, and five models of how an application finds its token. A model finds either no
//! token in a forwarded request, or one that the filter has accepted.

use proptest::prelude::*;

use super::*;

/// A model of how an application finds the token of a request.
type ApplicationModel = fn(&Headers) -> Option<Vec<u8>>;

const MODELS: [(&str, ApplicationModel); 5] = [
    ("first word", |headers| {
        let field = field(headers)?;
        words(&field).nth(1).map(<[u8]>::to_vec)
    }),
    ("last word", |headers| {
        let field = field(headers)?;
        words(&field).last().map(<[u8]>::to_vec)
    }),
    ("first cookie", |headers| cookies(headers).next()),
    ("last cookie", |headers| cookies(headers).last()),
    ("query before header", |headers| {
        let target = headers.first(b":path")?;
        let query = target.split(|byte| *byte == b'?').nth(1)?;
        let query = form_urlencoded::parse(query).into_owned();
        let in_query = query.into_iter().find(|(name, _)| name == "access_token");
        let first_line = headers.first(b"authorization").map(<[u8]>::to_vec);
        let in_header = || words(&first_line.unwrap_or_default()).nth(1).map(<[u8]>::to_vec);
        in_query.map(|(_, value)| value.into_bytes()).or_else(in_header)
    }),
];

/// Returns all lines of `Authorization`, joined as servers do (RFC 9110 §5.3).
fn field(headers: &Headers) -> Option<Vec<u8>> {
    let lines: Vec<_> = headers.values(b"authorization").collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

fn words(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let divides = |byte: &u8| matches!(byte, b' ' | b'\t' | b',');
    field.split(divides).filter(|word| !word.is_empty())
}

fn cookies(headers: &Headers) -> impl Iterator<Item = Vec<u8>> {
    let all = headers.values(b"cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    all.filter_map(|cookie| Some(cookie.trim_ascii().strip_prefix(b"token=")?.to_vec()))
}

/// Returns five tokens: two good ones of two users, a revoked one, an expired one and a forged one.
fn tokens() -> Vec<String> {
    let expired = TokenBuilder::new().claim("exp", (NOW - 999).to_string()).sign();
    let forged = TokenBuilder::new().sign_with(b"another-application-has-this-secret-0123");
    vec![token("ada", "1"), token("bob", "2"), token("ada", "gone"), expired, forged]
}

/// Generates a request with tokens, by index, in usual and unusual places.
fn request() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let tokens = tokens();
    let good_first = prop_oneof![4 => Just(0_usize), 3 => 0..tokens.len()];
    let token = good_first.prop_map(move |index| tokens[index].clone());
    let part = prop_oneof![
        4 => (prop::sample::select(vec!["", "Bearer ", "bearer ", "Basic ", "x "]), token.clone())
            .prop_map(|(before, token)| format!("{before}{token}")),
        1 => prop::sample::select(vec!["Bearer", "Basic YTpi", "Bearer sk-0", "sk-0", "x"])
            .prop_map(str::to_owned),
    ];
    let joint = prop::sample::select(vec![", ", " ", ",", "\t"]);
    let field = (prop::collection::vec(part, 1..3), joint)
        .prop_map(|(parts, joint)| ("authorization", parts.join(joint)));
    let name = prop::sample::select(vec!["token=", "token=", "Token=", "a=1 token=", "x="]);
    let cookie = (name, token.clone()).prop_map(|(name, token)| format!("{name}{token}"));
    let cookies =
        prop::collection::vec(cookie, 1..4).prop_map(|cookies| ("cookie", cookies.join("; ")));
    let path = prop::sample::select(vec!["/page", "/optional", "/users/7"]);
    let name = prop::sample::select(vec!["access_token=", "access%5Ftoken=", "b="]);
    let query = prop::collection::vec((name, token), 0..3).prop_map(|parts| {
        parts
            .into_iter()
            .map(|(name, token)| format!("{name}{token}"))
            .collect::<Vec<_>>()
            .join("&")
    });
    let target = (path, query).prop_map(|(path, query)| (":path", format!("{path}?{query}")));
    let lines = prop::collection::vec(prop_oneof![field, cookies], 0..4);
    (target, lines).prop_map(|(target, mut lines)| {
        lines.insert(0, target);
        lines
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn an_application_sees_no_bad_token(lines in request(), is_limited: bool) {
        thread_local!(static BENCHES: [AdmissionBench; 2] = ["", ", \"routes\": [{\"prefix\": \"/users\"}]"].map(|routes| {
            let cookie = "{\"cookie\": \"token\"}";
            let with_query = format!("{cookie}, {{\"query\": \"access_token\"{routes}}}");
            let text = CONFIGURATION.replace("WHEN", "refuse").replace("FORWARD", "keep");
            let bench = AdmissionBench::of(&text.replace(cookie, &with_query));
            bench.revoke(Record::token(RecordId::of_token("", None, "gone"), NEVER));
            bench
        }));
        let headers = Headers::from_pairs(&lines);
        let decision = BENCHES.with(|[everywhere, limited]| {
            let bench = if is_limited { limited } else { everywhere };
            let moment = Moment {
                unix_milliseconds: NOW * 1_000, knowledge: Knowledge::Current, keys_settled: true, shared: &bench.shared,
            };
            bench.admission.decide(&headers, moment)
        });
        let Decision::Forward(forward) = decision else { return Ok(()) };
        let seen = headers.edited(&forward.edits);
        let tokens = tokens();
        for (name, model) in MODELS {
            let Some(taken) = model(&seen) else { continue };
            let taken = tokens.iter().position(|token| token.as_bytes() == taken);
            prop_assert!(taken.is_none_or(|index| index < 2), "{name} takes a bad token");
            let user = forward.edits.iter().find_map(|edit| match edit {
                Edit::Set(name, user) | Edit::Add(name, user) if **name == *b"x-user-id" => {
                    Some(&**user)
                }
                _ => None,
            });
            let owner = taken.map(|index| [&b"ada"[..], b"bob"][index]);
            prop_assert!(user.is_none() || owner.is_none() || user == owner, "{name} takes another user's");
        }
    }
}
