//! `signout stream`: manages the stream of events of an identity provider (SSF 1.0 §8.1).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use session_guard_core::call::Response;
use signout::http::client::{HttpClient, HttpRequest};
use signout::issuers::settings::{self, EventSettings, IssuerSettings};
use ureq::http::Method;

use super::client::Client;
use super::{CommandError, Target};

/// Manage the stream of events of an identity provider (Shared Signals).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stream {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create a stream at the provider, for the event types in the issuers file.
    Create {
        #[command(flatten)]
        provider: Provider,
        /// The address of the service's `/v1/realms/{realm}/events`, to which the provider pushes.
        /// Without it, the service polls.
        #[arg(long, value_name = "URL")]
        push: Option<String>,
    },
    /// Show the status of the stream, or change it.
    Status {
        #[command(flatten)]
        provider: Provider,
        /// Change the status.
        #[arg(long)]
        set: Option<StreamStatus>,
    },
    /// Have the provider send a verification event, and wait until the service has received it.
    Verify {
        #[command(flatten)]
        provider: Provider,
        #[command(flatten)]
        target: Target,
    },
    /// Delete the stream.
    Delete {
        #[command(flatten)]
        provider: Provider,
    },
}

/// The options that choose the provider and its stream.
#[derive(Args)]
struct Provider {
    /// The issuers file.
    #[arg(long, value_name = "FILE")]
    issuers: PathBuf,
    /// The issuer, if several in the file send events.
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// The realm of that issuer's entry.
    #[arg(long, default_value = "")]
    realm: String,
    /// The stream, if the provider has several for this receiver.
    #[arg(long, value_name = "ID")]
    stream: Option<String>,
    /// Certificates (PEM) to verify the provider with, instead of the system's.
    #[arg(long = "issuer-ca", value_name = "FILE")]
    issuer_ca: Option<PathBuf>,
}

/// A status that a receiver may set (SSF 1.0 §8.1.2).
#[derive(Clone, Copy, ValueEnum)]
enum StreamStatus {
    /// Events are sent.
    Enabled,
    /// Events are kept and sent later.
    Paused,
    /// Events are dropped.
    Disabled,
}

/// The client of one transmitter: its metadata, and the issuer's settings.
struct StreamClient {
    client: HttpClient,
    metadata: Value,
    settings: IssuerSettings,
    stream: Option<String>,
}

impl Stream {
    /// Runs the command.
    pub(super) fn run(self) -> Result<(), CommandError> {
        match self.action {
            Action::Create { provider, push } => provider.open()?.create(push.as_deref()),
            Action::Status { provider, set } => provider.open()?.status(set),
            Action::Verify { provider, target } => provider.open()?.verify(&target),
            Action::Delete { provider } => provider.open()?.delete(),
        }
    }
}

impl Provider {
    /// Reads the issuers file and the transmitter's metadata (SSF 1.0 §7.1).
    fn open(self) -> Result<StreamClient, CommandError> {
        let wrong = |why: String| CommandError::Usage(format!("{}: {why}", self.issuers.display()));
        let text = std::fs::read(&self.issuers).map_err(|error| wrong(error.to_string()))?;
        let environment = |name: &str| std::env::var(name).ok();
        let all = settings::read(&text, &environment).map_err(|error| wrong(error.to_string()))?;
        let mut matching = all.into_iter().filter(|issuer| {
            issuer.events.is_some()
                && issuer.realm == self.realm
                && self.issuer.as_ref().is_none_or(|name| *name == issuer.issuer)
        });
        let settings = match (matching.next(), matching.next()) {
            (Some(settings), None) => settings,
            (None, _) => return Err(wrong("no such issuer sends `events`".to_owned())),
            (Some(_), Some(_)) => {
                return Err(wrong("several send events; add --issuer".to_owned()));
            }
        };
        let client = HttpClient::new(self.issuer_ca.as_deref())
            .map_err(|why| CommandError::Usage(format!("--issuer-ca: {why}")))?;
        let metadata = events(&settings)?.transmitter.as_ref().map(|it| it.metadata.clone());
        let url = metadata.ok_or_else(|| {
            wrong("`events.transmitter` is missing: it names the provider's address".to_owned())
        })?;
        let mut transmitter =
            StreamClient { client, metadata: Value::Null, settings, stream: self.stream };
        transmitter.metadata = transmitter.call(Method::GET, &url, None, &[200])?;
        if transmitter.metadata["issuer"] != *transmitter.settings.issuer {
            let problem = "the transmitter's metadata names another `issuer` than the issuers file";
            return Err(CommandError::Refused(problem.to_owned()));
        }
        Ok(transmitter)
    }
}

impl StreamClient {
    fn create(&self, push: Option<&str>) -> Result<(), CommandError> {
        let delivery = match push {
            Some(url) => json!({"method": PUSH, "endpoint_url": url}),
            None => json!({"method": POLL}),
        };
        let events = events(&self.settings)?;
        let requested: Vec<_> = events.types.iter().map(|event| event.address()).collect();
        let body = json!({"delivery": delivery, "events_requested": requested});
        let url = self.endpoint("configuration_endpoint")?;
        let stream = self.call(Method::POST, &url, Some(&body), &[200, 201])?;
        println!("stream {}", shown(&stream["stream_id"]));
        println!("audience {}", shown(&stream["aud"]));
        if push.is_none() {
            println!("poll {}", shown(&stream["delivery"]["endpoint_url"]));
            println!("Write the last line into the issuers file, as events.transmitter.poll.");
        }
        for event in &events.types {
            let is_delivered = |list: &Vec<Value>| list.iter().any(|it| *it == event.address());
            if !stream["events_delivered"].as_array().is_some_and(is_delivered) {
                println!("warning: the provider does not deliver {}", event.address());
            }
        }
        if !names_one(&stream["aud"], &events.audiences) {
            println!("warning: this audience is not in `events.audiences` of the issuers file");
        }
        Ok(())
    }

    fn status(&self, set: Option<StreamStatus>) -> Result<(), CommandError> {
        let (url, id) = (self.endpoint("status_endpoint")?, self.stream_id()?);
        let status = match set {
            Some(status) => {
                let name = status.to_possible_value().map(|it| it.get_name().to_owned());
                let body = json!({"stream_id": id, "status": name});
                self.call(Method::POST, &url, Some(&body), &[200, 202])?
            }
            None => self.call(Method::GET, &with_stream(&url, &id), None, &[200])?,
        };
        println!("{} {}", shown(&status["status"]), shown(&status["reason"]).trim());
        match status["status"].as_str() {
            Some("enabled") => Ok(()),
            _ if set.is_some() => Ok(()),
            _ => Err(CommandError::Refused("the provider sends no events".to_owned())),
        }
    }

    fn verify(&self, target: &Target) -> Result<(), CommandError> {
        let service = Client::new(target)?;
        let url = self.endpoint("verification_endpoint")?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| CommandError::Refused(error.to_string()))?;
        let state: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let body = json!({"stream_id": self.stream_id()?, "state": state});
        self.call(Method::POST, &url, Some(&body), &[200, 202, 204])?;
        let began = Instant::now();
        loop {
            match service.get(&format!("/v1/stream-verifications/{state}")) {
                Ok(_) => break,
                Err(CommandError::Refused(_)) if began.elapsed() < VERIFICATION_TIMEOUT => {
                    std::thread::sleep(VERIFICATION_INTERVAL);
                }
                Err(CommandError::Refused(_)) => {
                    let problem = "the provider accepted the request, but no verification event has \
                        reached the service; see its log, and `signout stream status`";
                    return Err(CommandError::Refused(problem.to_owned()));
                }
                Err(error) => return Err(error),
            }
        }
        println!("verified");
        Ok(())
    }

    fn delete(&self) -> Result<(), CommandError> {
        let url = with_stream(&self.endpoint("configuration_endpoint")?, &self.stream_id()?);
        self.call(Method::DELETE, &url, None, &[200, 204])?;
        println!("deleted");
        Ok(())
    }

    /// Returns the stream id of the command line. Without it, returns the id of the only stream
    /// that the transmitter has for this receiver.
    fn stream_id(&self) -> Result<String, CommandError> {
        if let Some(id) = &self.stream {
            return Ok(id.clone());
        }
        let url = self.endpoint("configuration_endpoint")?;
        let found = self.call(Method::GET, &url, None, &[200])?;
        let streams = found.as_array().cloned().unwrap_or_else(|| vec![found]);
        let mut ids = streams.iter().filter_map(|stream| stream["stream_id"].as_str());
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (None, _) => Err(CommandError::Refused("there is no stream".to_owned())),
            (Some(_), Some(_)) => {
                Err(CommandError::Usage("there are several streams; add --stream".to_owned()))
            }
        }
    }

    fn endpoint(&self, name: &str) -> Result<String, CommandError> {
        let url = self.metadata[name].as_str().map(str::to_owned);
        url.ok_or_else(|| CommandError::Refused(format!("the transmitter has no `{name}`")))
    }

    /// Makes a call, and returns the JSON of the response. Returns null if the response has no
    /// body.
    fn call(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
        expected: &[u16],
    ) -> Result<Value, CommandError> {
        if !settings::is_trusted_url(url) {
            let problem = format!("{url} is not https, so the token is not sent there");
            return Err(CommandError::Refused(problem));
        }
        let json = "application/json".to_owned();
        let mut headers = vec![("accept", json.clone())];
        let transmitter = events(&self.settings)?.transmitter.as_ref();
        if let Some(token) = transmitter.and_then(|transmitter| transmitter.token.as_ref()) {
            headers.push(("authorization", format!("Bearer {}", token.expose())));
        }
        if body.is_some() {
            headers.push(("content-type", json));
        }
        let request = HttpRequest {
            method,
            url: url.to_owned(),
            headers,
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            timeout: TIMEOUT,
            longest_body: LONGEST_RESPONSE,
        };
        let response = self
            .client
            .send(request)
            .map_err(|error| CommandError::Unreachable(format!("cannot reach {url}: {error}")))?;
        checked(url, &response, expected)
    }
}

/// Returns the body of a response that has an expected status.
fn checked(url: &str, response: &Response, expected: &[u16]) -> Result<Value, CommandError> {
    let status = response.status().unwrap_or_default();
    if !expected.contains(&status) {
        let text = String::from_utf8_lossy(&response.body);
        let text: String =
            text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARACTERS).collect();
        return Err(CommandError::Refused(format!("{url} responds {status}: {text}")));
    }
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&response.body)
        .map_err(|error| CommandError::Refused(format!("the response of {url}: {error}")))
}

fn events(settings: &IssuerSettings) -> Result<&EventSettings, CommandError> {
    let missing = || CommandError::Usage("this issuer sends no `events`".to_owned());
    settings.events.as_ref().ok_or_else(missing)
}

/// Returns whether `aud`, a string or a list of strings, contains one of these audiences.
fn names_one(aud: &Value, audiences: &[String]) -> bool {
    let is_known = |value: &Value| audiences.iter().any(|audience| value == audience);
    match aud {
        Value::Array(list) => list.iter().any(is_known),
        one => is_known(one),
    }
}

fn with_stream(url: &str, id: &str) -> String {
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}stream_id={id}")
}

/// Returns a value as text for the terminal, without quotes and control characters.
fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = if value.is_null() { String::new() } else { text };
    text.chars().filter(|c| !c.is_control()).collect()
}

const PUSH: &str = "urn:ietf:rfc:8935";
const POLL: &str = "urn:ietf:rfc:8936";

/// How long a transmitter may take to respond.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest response of a transmitter that is read. Metadata and stream configurations have a
/// few kilobytes.
const LONGEST_RESPONSE: u64 = 1 << 20;

/// Longest part of a provider's error response that is shown.
const SHOWN_CHARACTERS: usize = 200;

/// How long `verify` waits for the verification event.
const VERIFICATION_TIMEOUT: Duration = Duration::from_secs(30);

const VERIFICATION_INTERVAL: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Exit code 0: done; 1: refused, or the provider sends no events; 2: wrong use; 3: not reachable.

Examples:
  signout stream create --issuers issuers.json --push https://signout.example.com/v1/events
  signout stream create --issuers issuers.json
  signout stream verify --issuers issuers.json
  signout stream status --issuers issuers.json --set paused";
