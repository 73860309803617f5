//! The command line's HTTP client.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use session_guard_core::call::{Call, Response};
use session_guard_core::headers::Headers;
use signout::http::client::certificates;
use signout::secret;
use ureq::tls::{RootCerts, TlsConfig};

use super::{CommandError, Target};

/// A client of one service, with an API token.
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
    token: String,
}

/// A successful response.
pub(super) struct ApiResponse {
    /// Whether the request added a revocation (201).
    pub(super) is_new: bool,
    body: String,
}

impl Client {
    /// Returns a client that uses the first API token.
    pub(super) fn new(target: &Target) -> Result<Self, CommandError> {
        let token = api_tokens()?.and_then(|tokens| tokens.into_iter().next());
        let token = token.ok_or_else(|| {
            let remedy = "no API token: set SIGNOUT_TOKEN or SIGNOUT_TOKEN_FILE \
                (a service that has generated its token stores it in <store>.token)";
            CommandError::Usage(remedy.to_owned())
        })?;
        Self::with_token(target, token)
    }

    /// Returns a client that uses the admin token if there is one, else the first API token.
    pub(super) fn admin(target: &Target) -> Result<Self, CommandError> {
        match admin_token() {
            Some(token) => Self::with_token(target, token),
            None => Self::new(target),
        }
    }

    /// Returns a client with this API token.
    pub(super) fn with_token(target: &Target, token: String) -> Result<Self, CommandError> {
        let mut config =
            ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false);
        config = config.user_agent(concat!("signout/", env!("CARGO_PKG_VERSION")));
        if let Some(file) = &target.ca {
            let wrong = |why| CommandError::Usage(format!("--ca {}: {why}", file.display()));
            let roots = RootCerts::new_with_certs(&certificates(file).map_err(wrong)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let url = target.url.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.build().into(), url, token })
    }

    /// Sends a GET request.
    pub(super) fn get(&self, path: &str) -> Result<ApiResponse, CommandError> {
        let request = self.agent.get(format!("{}{path}", self.url));
        self.answer(request.header("authorization", self.bearer()).call())
    }

    /// Sends a call of the filter.
    pub(super) fn send(&self, call: &Call) -> Result<Response, CommandError> {
        let mut request = self.agent.get(format!("{}{}", self.url, call.path));
        for (name, value) in &call.headers {
            request = request.header(*name, &**value);
        }
        let sent = request.header("authorization", self.bearer()).call();
        let mut response = sent.map_err(|error| {
            CommandError::Unreachable(format!("cannot reach the service at {}: {error}", self.url))
        })?;
        let (status, kind) = (response.status().as_u16(), response.headers().get("content-type"));
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        let body = body.map_err(|error| {
            let problem = format!("the response of {} is incomplete: {error}", self.url);
            CommandError::Unreachable(problem)
        })?;
        if status != 200 {
            return Err(self.refusal(status, &String::from_utf8_lossy(&body)));
        }
        let headers = Headers::from_pairs(&[(":status", "200"), ("content-type", &kind)]);
        Ok(Response { headers, body })
    }

    /// Sends a POST request with JSON.
    pub(super) fn post(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<ApiResponse, CommandError> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request
            .header("authorization", self.bearer())
            .header("content-type", "application/json");
        self.answer(request.send(body.to_string()))
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Returns the error for a rejection. If the response is from a signout service, the error has
    /// the service's own sentence.
    fn refusal(&self, status: u16, body: &str) -> CommandError {
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        CommandError::Refused(match (body["code"].as_str(), body["detail"].as_str()) {
            (Some("unauthorized"), Some(_)) => format!(
                "the service at {} does not accept this API token (401 unauthorized); compare \
                 SIGNOUT_TOKEN here with that of the service",
                self.url
            ),
            (Some(code), Some(detail)) => format!("refused ({status} {code}): {detail}"),
            _ => {
                format!("refused with status {status}; the response is not from a signout service")
            }
        })
    }

    fn answer(
        &self,
        came: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<ApiResponse, CommandError> {
        let mut came = came.map_err(|error| {
            CommandError::Unreachable(format!("cannot reach the service at {}: {error}", self.url))
        })?;
        let status = came.status().as_u16();
        let body = came.body_mut().with_config().limit(ANSWER_BYTES).read_to_string();
        let body = body.map_err(|error| {
            CommandError::Unreachable(format!(
                "the response of {} is incomplete: {error}",
                self.url
            ))
        })?;
        match status {
            200 | 201 => Ok(ApiResponse { is_new: status == 201, body }),
            _ => Err(self.refusal(status, &body)),
        }
    }
}

impl ApiResponse {
    /// Parses the body as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, CommandError> {
        serde_json::from_str(&self.body).map_err(|error| {
            CommandError::Refused(format!("the response is not from a signout service: {error}"))
        })
    }
}

/// Returns the API tokens in `SIGNOUT_TOKEN` or, if that is not set, in the file that
/// `SIGNOUT_TOKEN_FILE` names. Tokens are separated by commas. Returns `None` if neither is set or
/// both are empty.
pub(super) fn api_tokens() -> Result<Option<Vec<String>>, CommandError> {
    let list = match (set("SIGNOUT_TOKEN"), set("SIGNOUT_TOKEN_FILE")) {
        (Some(list), _) => list,
        (None, Some(file)) => secret::read(Path::new(&file))
            .map_err(|error| CommandError::Usage(format!("SIGNOUT_TOKEN_FILE {file}: {error}")))?,
        (None, None) => return Ok(None),
    };
    let tokens = list.split(',').map(str::trim).filter(|token| !token.is_empty());
    let tokens: Vec<_> = tokens.map(str::to_owned).collect();
    Ok((!tokens.is_empty()).then_some(tokens))
}

/// Returns the admin token, if there is one.
pub(super) fn admin_token() -> Option<String> {
    set("SIGNOUT_ADMIN_TOKEN")
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The longest wait for a response. No request of the command line takes as long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes of a response that are read. A full page of a reset in JSON has 2.5 MB.
const ANSWER_BYTES: u64 = 16 << 20;
