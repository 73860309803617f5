//! The response to a request with one token, as far as it is part of the contract.

use serde_json::json;
use testbed::HttpResponse;

use crate::table::TokenVerdict;

/// The parts of a response that are part of the contract.
#[derive(Debug, PartialEq)]
pub(crate) enum Shown {
    /// A response of the application, with the user ids that it received.
    Admitted(Vec<String>),
    /// A refusal: status, body and the documented headers.
    Refused(u16, serde_json::Value, [Option<String>; 4]),
}

pub(crate) fn shown(answer: &HttpResponse) -> Shown {
    if answer.status == 200 {
        let users = answer.seen();
        return Shown::Admitted(
            users.headers("x-user-id").into_iter().map(str::to_owned).collect(),
        );
    }
    let names = ["content-type", "cache-control", "www-authenticate", "retry-after"];
    let headers = names.map(|name| answer.header(name).map(str::to_owned));
    Shown::Refused(answer.status, answer.json(), headers)
}

/// Returns the documented response for a verdict.
pub(crate) fn answer(verdict: TokenVerdict) -> Shown {
    match verdict {
        // The application returns bytes as Latin-1.
        Ok(user) => Shown::Admitted(vec![user.bytes().map(char::from).collect()]),
        Err(refusal) => {
            let table = refusal.answer();
            let body = json!({"code": table.code, "detail": table.detail});
            let headers = ["application/json", "no-store", "Bearer error=\"invalid_token\""];
            let [kind, cache, challenge] = headers.map(|text| Some(text.to_owned()));
            Shown::Refused(401, body, [kind, cache, challenge, None])
        }
    }
}
