//! Requests that a test client sends.

use crate::Token;

/// One request, over HTTP/1.1 or HTTP/2. Names and values are bytes, so a test can send requests that
/// a client library would reject.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) lines: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) unfinished: bool,
}

impl Request {
    /// Makes a `GET` for the path and query.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// Makes a `POST` to the path and query, without a body.
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Makes a request with any method.
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            authority: "app.example.com".to_owned(),
            lines: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            unfinished: false,
        }
    }

    /// Sets the host; the default is `app.example.com`.
    #[must_use]
    pub fn host(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Adds a header line, also if one with that name exists.
    #[must_use]
    pub fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.lines.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// Adds the token as `authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, token: &Token) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Adds the token as `cookie: token=…`.
    #[must_use]
    pub fn cookie(self, token: &Token) -> Self {
        self.header("cookie", format!("token={token}"))
    }

    /// Sets the body, sent with its length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Announces a body that is not complete; the test may send the rest.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.unfinished = true;
        self
    }

    /// Adds a trailer (HTTP/2 only).
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the request in HTTP/1.1 form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        bytes.extend(format!("host: {}\r\n", self.authority).into_bytes());
        if !self.body.is_empty() || self.method == "POST" {
            let length = self.body.len() + usize::from(self.unfinished);
            bytes.extend(format!("content-length: {length}\r\n").into_bytes());
        }
        for (name, value) in &self.lines {
            bytes.extend([name, &b": "[..], value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}
