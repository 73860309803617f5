//! The requests of one cell: forged and valid, with as many header bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use testbed::forged;

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MatrixRoute {
    /// A protected page.
    Page,
    /// The sign-out.
    SignOut,
}

impl MatrixRoute {
    pub(super) const ALL: [Self; 2] = [Self::Page, Self::SignOut];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::SignOut => "sign-out",
        }
    }

    fn line(self) -> (&'static str, &'static str) {
        match self {
            Self::Page => ("GET", "/page"),
            Self::SignOut => ("POST", "/sign-out"),
        }
    }
}

/// One request.
pub(super) struct MatrixRequest {
    target: MatrixRoute,
    cookie: String,
    padding: String,
}

impl MatrixRequest {
    /// As HTTP/1.1.
    pub(super) fn http1(&self) -> Vec<u8> {
        let Self { target, cookie, padding } = self;
        let (method, path) = target.line();
        let text = format!(
            "{method} {path} HTTP/1.1\r\nhost: app.example.com\r\ncontent-length: 0\r\n\
             cookie: {cookie}\r\nx-padding: {padding}\r\n\r\n"
        );
        text.into_bytes()
    }

    /// As header fields of HTTP/2.
    pub(super) fn fields(&self) -> [(&[u8], &[u8]); 7] {
        let (method, path) = self.target.line();
        [
            (b":method", method.as_bytes()),
            (b":scheme", b"http"),
            (b":authority", b"app.example.com"),
            (b":path", path.as_bytes()),
            (b"content-length", b"0"),
            (b"cookie", self.cookie.as_bytes()),
            (b"x-padding", self.padding.as_bytes()),
        ]
    }
}

/// Gives each token of a run its own number.
#[derive(Default)]
pub(super) struct TokenNumbers(AtomicU32);

impl TokenNumbers {
    /// A user id that no other token has.
    pub(super) fn next_user(&self) -> String {
        format!("user-{}", self.next())
    }

    fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Makes the requests of one cell.
pub(super) struct RequestMaker {
    algorithm: &'static str,
    tokens: usize,
    target: MatrixRoute,
    /// Bytes of cookies and padding.
    bytes: usize,
}

impl RequestMaker {
    /// For this number of forged tokens, or as many as fit, and valid tokens like this one.
    pub(super) fn new(
        algorithm: &'static str,
        tokens: usize,
        target: MatrixRoute,
        valid: &str,
    ) -> Self {
        let tokens = tokens_that_fit(algorithm, tokens);
        let forged = tokens * cookie_bytes(algorithm);
        Self { algorithm, tokens, target, bytes: forged.max(NAME.len() + valid.len()) + 1 }
    }

    /// A request with one valid token.
    pub(super) fn valid(&self, token: &str) -> MatrixRequest {
        self.with(format!("{NAME}{token}"))
    }

    /// A request with tokens that were never sent before.
    pub(super) fn forged(&self, numbers: &TokenNumbers) -> MatrixRequest {
        let one = |_| format!("{NAME}{}", forged(self.algorithm, "", numbers.next()));
        self.with((0..self.tokens).map(one).collect::<Vec<_>>().join(SEPARATOR))
    }

    fn with(&self, cookie: String) -> MatrixRequest {
        let padding = "a".repeat(self.bytes.saturating_sub(cookie.len()));
        MatrixRequest { target: self.target, cookie, padding }
    }
}

/// At most this number of forged tokens: Envoy accepts 60 KiB of header fields.
pub(super) fn tokens_that_fit(algorithm: &str, tokens: usize) -> usize {
    tokens.min(HEADER_BYTES / cookie_bytes(algorithm))
}

fn cookie_bytes(algorithm: &str) -> usize {
    NAME.len() + forged(algorithm, "", 0).as_str().len() + SEPARATOR.len()
}

const NAME: &str = "token=";
const SEPARATOR: &str = "; ";
const HEADER_BYTES: usize = 58_000;
