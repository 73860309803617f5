//! `signout explain`: explains why the filter accepts or refuses a token or a request.

use std::cell::RefCell;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use session_guard_core::call::{Call, Response};
use session_guard_core::config::effective::effective;
use session_guard_core::config::{Config, ConfigError};
use session_guard_core::headers::Headers;
use session_guard_core::refusal::Refusal;
use session_guard_core::root::{Destination, Question};
use signout::check::{Asked, find_one, stand_in};
use signout::clock::unix_seconds;
use signout::explain::pasted::{Pasted, QUERY};
use signout::explain::{ExplainInput, ExplainReport, PROTECTED_PATH, empty_page, explain, words};

use super::client::Client;
use super::lookup::{self, look_up};
use super::{CommandError, Target};

/// Explain why the filter accepts or refuses a token or a request.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainCommand {
    /// The filter's JSON, or YAML or JSON of Envoy, Istio or Kubernetes that contains it once.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The token, or the header lines of a request; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The request, for example 'POST /sign-out' or 'https://app.example.com/'. Default: the request
    /// that the header lines name, else any protected path.
    #[arg(long, value_parser = asked)]
    request: Option<Asked>,
    /// A published key set, in the order of the configuration. May be given several times.
    #[arg(long, value_name = "FILE")]
    jwks: Vec<PathBuf>,
    /// Address of the service, with which revocations are checked, too.
    #[arg(long, env = "SIGNOUT_URL", value_parser = super::url)]
    url: Option<String>,
    /// Certificates (PEM) to verify an https service with, instead of Mozilla's list.
    #[arg(long, env = "SIGNOUT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl ExplainCommand {
    /// Prints the explanation. Fails if the request is refused.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let config = self.config()?;
        let api_token = api_token_names(&config);
        let environment = |name: &str| {
            let is_needed = self.url.is_some() || !api_token.iter().any(|known| known == name);
            std::env::var(name).ok().or_else(|| (!is_needed).then(|| stand_in(name)))
        };
        let parsed = Config::parse(&config, &environment).map_err(|it| self.unusable(&it))?;
        let pasted = match &self.token {
            Some(file) => Pasted::read(&parsed.sources, &read(file, TOKEN_BYTES)?),
            None => Pasted { request: None, lines: vec![] },
        };
        let headers = headers(self.request.as_ref().or(pasted.request.as_ref()), &pasted.lines);
        let failure = RefCell::new(None);
        let mut send = |question: Question, destination: &Destination, call: &Call| {
            let response = self.respond(question, destination, call);
            response.unwrap_or_else(|error| {
                *failure.borrow_mut() = Some(error);
                None
            })
        };
        let input = ExplainInput {
            config: &config,
            environment: &environment,
            headers: &headers,
            unix_seconds: unix_seconds(),
            send: &mut send,
        };
        let mut report = explain(input).map_err(|error| self.unusable(&error))?;
        if let Some(error) = failure.into_inner() {
            return Err(error);
        }
        if report
            .refusal
            .as_ref()
            .is_some_and(|refusal| refusal.name == Refusal::Revoked.answer().code)
        {
            report.revoked_by = self.revoked_by(&parsed, &headers)?;
        }
        self.print(&report)
    }

    /// Asks the service which records revoke the tokens.
    fn revoked_by(&self, config: &Config, headers: &Headers) -> Result<Vec<String>, CommandError> {
        let (Some(url), Some(revocation)) = (&self.url, &config.revocation) else {
            return Ok(vec![]);
        };
        let api_token = String::from_utf8_lossy(revocation.token.expose()).into_owned();
        let target = Target { url: url.clone(), ca: self.ca.clone() };
        let client = Client::with_token(&target, api_token)?;
        let mut records = Vec::new();
        for candidate in config.sources.find(headers).unwrap_or_default().iter() {
            let token = String::from_utf8_lossy(&candidate.bytes);
            let question = serde_json::json!({"token": token, "realm": revocation.realm});
            records.extend(look_up(&client, &question).map(|found| lookup::lines(&found))?);
        }
        Ok(records)
    }

    fn print(&self, report: &ExplainReport) -> Result<(), CommandError> {
        if self.json {
            super::print(format_args!("{}\n", serde_json::json!(report)));
        } else {
            super::print(format_args!("{}", words::words(report, self.url.is_some())));
        }
        match report.is_accepted {
            true => Ok(()),
            false => Err(CommandError::Refused(format!("the request is {}", report.outcome))),
        }
    }

    /// Returns the JSON text of the one configuration in the file.
    fn config(&self) -> Result<Vec<u8>, CommandError> {
        let text = read(&self.config, CONFIG_BYTES)?;
        find_one(text.as_bytes())
            .map_err(|why| CommandError::Usage(format!("{}: {why}", self.config.display())))
    }

    fn unusable(&self, error: &ConfigError) -> CommandError {
        let file = self.config.display();
        CommandError::Usage(match error.path.ends_with(".env") {
            // The filter's own remedy is about the proxy, and this command is not the proxy.
            true => format!(
                "{file}: {}: {}; set the variable here, to the value that the proxy has",
                error.path, error.problem
            ),
            false => format!("{file}: {error}"),
        })
    }

    /// Returns the response to a call of the filter. Keys come from files, and revocations from the
    /// service. Without a service the response contains no revocations.
    fn respond(
        &self,
        question: Question,
        destination: &Destination,
        call: &Call,
    ) -> Result<Option<Response>, CommandError> {
        match (question, &self.url) {
            (Question::Keys(index), _) => {
                let Some(file) = self.jwks.get(index) else { return Ok(None) };
                let lines = [(":status", "200"), ("content-type", "application/json")];
                let body = read(file, CONFIG_BYTES)?.into_bytes();
                Ok(Some(Response { headers: Headers::from_pairs(&lines), body }))
            }
            (_, None) => Ok(Some(empty_page(destination, call, unix_seconds()))),
            (_, Some(url)) => {
                let target = Target { url: url.clone(), ca: self.ca.clone() };
                let authorization = destination.authorization.as_deref().unwrap_or_default();
                let token = authorization.strip_prefix("Bearer ").unwrap_or_default().to_owned();
                Client::with_token(&target, token)?.send(call).map(Some)
            }
        }
    }
}

/// Returns the variables that may hold the API token of the service.
fn api_token_names(config: &[u8]) -> Vec<String> {
    let config = effective(config).unwrap_or_default();
    let names = config.pointer("/revocation/upstream/token/env").cloned().unwrap_or_default();
    match names {
        serde_json::Value::String(name) => vec![name],
        names => serde_json::from_value(names).unwrap_or_default(),
    }
}

fn headers(request: Option<&Asked>, lines: &[(String, String)]) -> Headers<'static> {
    let protected = [(":method", "GET"), (":authority", ""), (":path", PROTECTED_PATH)];
    let pseudo = request.map_or(protected, Asked::pseudo_headers);
    let query = lines.iter().find(|(name, _)| name == QUERY);
    let path = query.map(|(_, query)| {
        let [_, _, (_, path)] = pseudo;
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{path}{mark}{query}")
    });
    let mut all: Vec<(&str, &str)> = pseudo.to_vec();
    if let (Some(path), Some(line)) = (&path, all.last_mut()) {
        line.1 = path;
    }
    let others = lines.iter().filter(|(name, _)| name != QUERY);
    all.extend(others.map(|(name, value)| (&**name, &**value)));
    Headers::from_pairs(&all)
}

pub(super) fn read(file: &Path, limit_bytes: u64) -> Result<String, CommandError> {
    let wrong =
        |error: &dyn std::fmt::Display| CommandError::Usage(format!("{}: {error}", file.display()));
    let mut text = String::new();
    let is_standard_input = file.as_os_str() == "-";
    let length = if is_standard_input {
        if std::io::stdin().is_terminal() {
            eprintln!("paste the token or the request's header lines, then Enter and Ctrl-D:");
        }
        std::io::stdin().take(limit_bytes + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(limit_bytes + 1).read_to_string(&mut text))
    };
    let length = length.map_err(|error| wrong(&error))?;
    if length as u64 > limit_bytes {
        return Err(wrong(&format!("longer than {limit_bytes} bytes")));
    }
    Ok(text)
}

fn asked(text: &str) -> Result<Asked, String> {
    Asked::read(text).ok_or_else(|| "like 'GET /page' or 'POST https://host/page'".to_owned())
}

/// Longest input of a token or headers: more than the largest headers that a proxy accepts.
const TOKEN_BYTES: u64 = 256 * 1024;

/// Longest configuration or key set.
pub(super) const CONFIG_BYTES: u64 = 16 << 20;

const EXAMPLES: &str = "\
The filter's own code decides, and prints each check of each token: where it was found, structure,
key, signature, times, issuer, audience, claims, revocation. The output contains no token and no
secret. Set the variables that the configuration names, as on the proxy's own machine.

Give header lines (as a browser's developer tools copy them) to explain a request with several
tokens, for example a stale cookie beside a header. Without --url revocations are not checked;
nothing is sent anywhere.

Exit codes: 0 accepted; 1 refused; 2 wrong use, or a configuration that does not load; 3 the service
cannot be reached.

Examples:
  signout explain --config envoy/envoy.yaml --token - < token.txt
  signout explain --config filter.json --token headers.txt --request 'GET /page'
  signout explain --config filter.json --token - --jwks keys.json --url http://127.0.0.1:8090";
