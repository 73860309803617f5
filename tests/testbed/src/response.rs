//! The response that a test client received.

use serde_json::Value;

use crate::Seen;

/// One complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// All header lines in order, names in lower case.
    pub lines: Vec<(String, String)>,
    /// The body, without transfer coding.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the first line with that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns every line with that name.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON; `null` if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the refusal code, `revoked` for example; empty if the filter did not refuse.
    #[must_use]
    pub fn code(&self) -> String {
        self.json().get("code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Returns the request that reached the application.
    ///
    /// # Panics
    ///
    /// The response is not the application's.
    #[must_use]
    #[track_caller]
    pub fn seen(&self) -> Seen {
        Seen::from_json(&self.json()).unwrap_or_else(|| {
            panic!("no answer of the application: {} {}", self.status, self.text())
        })
    }
}
