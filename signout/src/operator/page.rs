//! `/`: the status page, for people with a browser.
//!
//! Without an API token the page shows only whether the service works, as `/readyz` does. A form
//! sends the token, and the response shows the state, the last revocations, and what a look-up has
//! found. The page needs neither JavaScript nor cookies: the token is in the body of each request,
//! so no other site can make a request in its place.
//!
//! Nothing on the page names a user or a token: the audit does not contain them, and the form comes
//! back empty.

use std::sync::{Arc, LazyLock};

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use session_guard_core::hash::{SHA256_BYTES, sha256};

use super::audit;
use super::lookup::{FoundRecord, LookupQuery, LookupReport};
use super::status::{LAST_REVOCATIONS, ServiceStatus};
use crate::access::right::Right;
use crate::audit::AuditEntry;
use crate::clock::{distance, rfc_3339, unix_seconds};
use crate::error::Error;
use crate::http::body;
use crate::http::connections::ServiceConnection;
use crate::proxies::ProxyStatus;
use crate::service::Service;

/// `GET /`: whether the service works, and the form.
pub(crate) async fn overview(State(service): State<Service>) -> Response {
    page(StatusCode::OK, &service, html! {})
}

/// `POST /`: everything, for a caller with an API token that has the right to read.
pub(crate) async fn form(
    State(service): State<Service>,
    connection: Option<Extension<Arc<ServiceConnection>>>,
    request: Request,
) -> Response {
    let shown = match body::read(request, BODY_BYTES).await {
        Ok(body) => submitted(&service, connection.as_deref(), &body).await,
        Err(error) => Err(error),
    };
    match shown {
        Ok(shown) => page(StatusCode::OK, &service, shown),
        Err(Error::Unauthorized) => {
            page(StatusCode::UNAUTHORIZED, &service, message("This is not a valid API token."))
        }
        Err(error) => {
            let (status, _, detail) = error.answer();
            page(status, &service, message(detail))
        }
    }
}

/// Returns the part of the page that needs an API token.
async fn submitted(
    service: &Service,
    connection: Option<&Arc<ServiceConnection>>,
    body: &[u8],
) -> Result<Markup, Error> {
    let field = |name: &str| {
        let mut fields = form_urlencoded::parse(body).filter(|(known, _)| known == name);
        fields.next().map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let token = field("api_token");
    let caller = service.parts.access.caller(token.as_deref().map(str::as_bytes))?;
    connection.map_or(Ok(()), |connection| connection.authenticate())?;
    caller.require(Right::Read)?;
    let found = match field("value") {
        Some(value) => {
            let query = question(&field("subject").unwrap_or_default(), value, field("issuer"));
            let query = LookupQuery { realm: field("realm").unwrap_or_default(), ..query? };
            Some(query.answer(service, &caller).await?)
        }
        None => None,
    };
    let last = audit::newest(service, &caller, LAST_REVOCATIONS).await.ok();
    let status = ServiceStatus::of(service, &caller);
    Ok(html! {
        @if let Some(found) = &found { (look_up(found)) }
        (state(&status))
        (proxies(&status.proxies))
        (last_revocations(last.as_deref(), status.now))
    })
}

fn question(subject: &str, value: String, issuer: Option<String>) -> Result<LookupQuery, Error> {
    let query = LookupQuery { issuer, ..LookupQuery::default() };
    let value = Some(value);
    match subject {
        "user" => Ok(LookupQuery { user_id: value, ..query }),
        "session" => Ok(LookupQuery { sid: value, ..query }),
        "jti" => Ok(LookupQuery { jti: value, ..query }),
        "token" => Ok(LookupQuery { token: value, ..query }),
        "credential" => Ok(LookupQuery { credential: value, ..query }),
        _ => Err(Error::Unacceptable("The form has an unknown choice.".to_owned())),
    }
}

fn page(status: StatusCode, service: &Service, content: Markup) -> Response {
    let problem = service.unready_reason();
    let writes =
        service.durability().refusal().is_none() && service.parts.metrics.store_up.get() == 1;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "session-guard: signout service" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { "signout service" }
                        @match problem {
                            None => span.good { "ready" },
                            Some(problem) => span.bad { "not ready: " (problem) },
                        }
                        @if !writes { span.bad { "the store rejects revocations" } }
                        span.muted { (rfc_3339(unix_seconds())) }
                    }
                    (content)
                    (input_form())
                }
            }
        }
    };
    let mut response = (status, Html(document.into_string())).into_response();
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn message(text: &str) -> Markup {
    html! { section role="alert" { p.bad { (text) } } }
}

fn input_form() -> Markup {
    html! {
        section {
            h2 { "Show the state, and look up a revocation" }
            form method="post" action="/" autocomplete="off" {
                label {
                    "API token"
                    input type="password" name="api_token" required autocomplete="off";
                }
                label {
                    "Look up (optional)"
                    select name="subject" {
                        option value="user" { "user id" }
                        option value="session" { "session (sid)" }
                        option value="jti" { "token id (jti)" }
                        option value="token" { "whole token" }
                        option value="credential" { "API key of a user" }
                    }
                }
                label {
                    "Value"
                    input name="value" autocomplete="off" autocapitalize="off" spellcheck="false";
                }
                label { "Issuer (iss), if any" input name="issuer"; }
                label { "Realm, if any" input name="realm"; }
                button { "Show" }
            }
        }
    }
}

fn state(status: &ServiceStatus) -> Markup {
    let yes_or_no = |is: bool| html! { @if is { span.good { "yes" } } @else { span.bad { "no" } } };
    let uptime = distance(status.now, status.now.saturating_sub(status.uptime_seconds));
    let used = &status.capacity_used;
    html! {
        section {
            h2 { "State" }
            dl {
                div { dt { "Version" } dd { (status.version) } }
                div { dt { "Up for" } dd { (uptime.trim_start_matches("in ")) } }
                div { dt { "Store accepts writes" } dd { (yes_or_no(status.store_up && status.accepts_revocations)) } }
                div { dt { "Store is durable" } dd { (yes_or_no(status.store_durable)) } }
                div { dt { "Revoked tokens" } dd { (status.revocations.token) } }
                div { dt { "Cutoffs of users and sessions" } dd { (status.revocations.user) } }
                div { dt { "Cutoffs for all" } dd { (status.revocations.all) } }
                div { dt { "Revocations in the last minute" } dd { (status.revocations_per_minute) } }
                (capacity("Capacity for tokens", used.tokens))
                (capacity("Capacity for cutoffs", used.cutoffs))
            }
            @if let Some(problem) = &status.store_problem { p.bad { (problem) } }
        }
    }
}

fn capacity(name: &str, used: f64) -> Markup {
    let percent = format!("{:.1} %", used * 100.0);
    html! {
        div {
            dt { (name) }
            dd {
                meter min="0" max="1" high="0.8" value=(format!("{used:.4}")) { (percent) }
                span { (percent) " used" }
            }
        }
    }
}

fn proxies(proxies: &[ProxyStatus]) -> Markup {
    html! {
        section {
            h2 { "Proxies that poll this service: " (proxies.len()) }
            @if proxies.is_empty() {
                p.muted { "None in the last five minutes." }
            } @else {
                div.scrolls {
                    table.stack {
                        thead { tr {
                            @for title in ["Proxy", "Address", "Version", "Realm", "Lag", "Last poll"] {
                                th { (title) }
                            }
                        } }
                        tbody { @for proxy in proxies.iter().take(SHOWN_PROXIES) { (proxy_row(proxy)) } }
                    }
                }
                @if proxies.len() > SHOWN_PROXIES {
                    p.muted { "The " (SHOWN_PROXIES) " that follow the feed least are shown." }
                }
            }
        }
    }
}

fn proxy_row(proxy: &ProxyStatus) -> Markup {
    let address = proxy.address.map_or_else(String::new, |address| address.to_string());
    html! {
        tr {
            td.id data-title="Proxy" { (proxy.id) }
            td data-title="Address" { (address) }
            td data-title="Version" { (proxy.version) " " (proxy.build) }
            td data-title="Realm" { (proxy.realm) }
            td data-title="Lag" {
                @match proxy.behind {
                    Some(0) => span.good { "up to date" },
                    Some(behind) => span.bad { (behind) " revocations" },
                    None => span.bad { "loading" },
                }
            }
            td data-title="Last poll" {
                @if proxy.is_polling { "waiting now" } @else { (proxy.seconds_since_poll) " s ago" }
            }
        }
    }
}

fn last_revocations(last: Option<&[AuditEntry]>, now: u64) -> Markup {
    html! {
        section {
            h2 { "Last revocations" }
            @match last {
                None => p.bad { "The store cannot be read." },
                Some([]) => p.muted { "None yet." },
                Some(entries) => div.scrolls {
                    table.stack {
                        thead { tr {
                            @for title in ["Time", "Kind", "Realm", "From", "Reason"] { th { (title) } }
                        } }
                        tbody { @for entry in entries { (revocation_row(entry, now)) } }
                    }
                },
            }
        }
    }
}

fn revocation_row(entry: &AuditEntry, now: u64) -> Markup {
    let at = entry.key.unix_milliseconds() / 1_000;
    let kind = entry.revocations.first().map_or("", |first| first.subject.name());
    let count = entry.revocations.len();
    html! {
        tr {
            td.time data-title="Time" { span title=(rfc_3339(at)) { (distance(at, now)) } }
            td.word data-title="Kind" { (kind) @if count > 1 { " and " (count - 1) " more" } }
            td data-title="Realm" { (entry.note.realm) }
            td data-title="From" { span.nowrap { (entry.origin.via) } " " (entry.origin.name) }
            td data-title="Reason" { (entry.note.reason) }
        }
    }
}

fn look_up(found: &LookupReport) -> Markup {
    html! {
        section {
            h2 { "Look-up" }
            @if found.revoked { p.bad { "Revoked." } } @else { p.good { "Not revoked." } }
            @if !found.records.is_empty() {
                div.scrolls {
                    table.stack {
                        thead { tr {
                            @for title in ["Record", "Effect", "Since", "Until", "From", "Reason"] {
                                th { (title) }
                            }
                        } }
                        tbody { @for record in &found.records { (record_row(record)) } }
                    }
                }
            }
        }
    }
}

fn record_row(record: &FoundRecord) -> Markup {
    let text = |name: &str| record.audit.as_ref().and_then(|it| it[name].as_str()).unwrap_or("");
    let since = record.since.as_deref().unwrap_or("unknown");
    html! {
        tr {
            td.word data-title="Record" { (record.kind.name()) }
            td data-title="Effect" { (record.effect()) }
            td.time data-title="Since" { (since) }
            td.time data-title="Until" { (record.exp.as_deref().unwrap_or("for ever")) }
            td data-title="From" { span.nowrap { (text("origin")) } " " (text("by")) }
            td data-title="Reason" { (text("reason")) }
        }
    }
}

/// The policy allows nothing but the style sheet on the page itself, and the form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(sha256::<SHA256_BYTES>([STYLE.as_bytes()]));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
});

const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

const STYLE: &str = include_str!("page.css");

/// Longest body of the form: the longest token that a proxy reads, and the encoding of a form.
const BODY_BYTES: usize = 256 * 1024;

/// The maximum number of proxies on the page.
const SHOWN_PROXIES: usize = 100;
