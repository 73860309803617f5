//! What did the client get?

use serde_json::Value;

use crate::Seen;

/// One whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All header lines in order, names in lower case.
    pub lines: Vec<(String, String)>,
    /// The body, without the coding of its transfer.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first line of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every line of that name.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The filter's code: `missing_token`, `revoked`, …; empty where the filter did not say no.
    #[must_use]
    pub fn code(&self) -> String {
        self.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// What reached the application, where this is the application's own answer.
    #[must_use]
    #[track_caller]
    pub fn seen(&self) -> Seen {
        Seen::from_json(&self.json()).unwrap_or_else(|| {
            panic!("no answer of the application: {} {}", self.status, self.text())
        })
    }
}
