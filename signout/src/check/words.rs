//! Explains a configuration in sentences.
//!
//! It describes the [effective](session_guard_core::config::effective) configuration, which
//! includes all defaults, in the order in which a request is processed.

use std::fmt::Write;

use serde_json::Value;
use session_guard_core::config::settings::{ANY, SETTINGS};

use crate::check::{Answered, Report, SecretState, Variable, Wrong};

/// Returns the whole report as several lines.
#[must_use]
pub fn words(report: &Report) -> String {
    let mut out = Lines::default();
    out.errors(&report.errors);
    if report.good {
        let config = &report.configuration;
        out.section("keys", keys(config, report));
        out.section("tokens", tokens(config));
        out.section("application", application(config));
        out.section("routes", routes(config));
        out.section("revocation", revocation(config));
        out.section("requests", report.requests.iter().map(request).collect());
    }
    out.section("secrets", report.variables.iter().map(|it| variable(it, report.good)).collect());
    out.section("warnings", report.warnings.iter().map(Wrong::to_string).collect());
    out.text
}

/// Sections of lines, each with its title on the left.
#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) text: String,
}

impl Lines {
    pub(crate) fn errors(&mut self, errors: &[Wrong]) {
        for error in errors {
            let path = if error.path.is_empty() { "configuration" } else { &error.path };
            self.section("error", vec![format!("{path}: {}", error.problem)]);
            self.more(Some(error.remedy.clone()).filter(|remedy| !remedy.is_empty()));
        }
    }

    pub(crate) fn section(&mut self, title: &str, lines: Vec<String>) {
        for (index, line) in lines.iter().enumerate() {
            let title = if index == 0 { title } else { "" };
            let _ = writeln!(self.text, "  {title:<13} {line}"); // writing to a String cannot fail
        }
    }

    fn more(&mut self, line: Option<String>) {
        self.section("", line.into_iter().collect());
    }
}

fn keys(config: &Value, report: &Report) -> Vec<String> {
    let mut lines: Vec<_> = items(&config["keys"]).map(key).collect();
    let fetched = items(&config["keys"]).any(|key| !key["jwks"]["cluster"].is_null());
    let and = if fetched { ", and the algorithms of the fetched public keys" } else { "" };
    lines.push(match report.algorithms.is_empty() {
        true => {
            "accepted: tokens signed by public keys of the fetched sets; nothing else".to_owned()
        }
        false => format!("accepted: {}{and}; nothing else", report.algorithms.join(", ")),
    });
    lines
}

fn key(key: &Value) -> String {
    let algorithm = key["algorithm"].as_str();
    let mut line = if let Some(set) = key.get("jwks").filter(|set| !set.is_null()) {
        match items(&set["inline"]["keys"]).count() {
            0 => format!(
                "a JWK Set fetched from {}{} (cluster {}), at most {} s old",
                shown(&set["authority"]),
                shown(&set["path"]),
                shown(&set["cluster"]),
                shown(&set["refresh_seconds"]),
            ),
            count => format!("a JWK Set of {count} in the configuration"),
        }
    } else if key["secret"].is_object() {
        format!("{} with the secret {}", algorithm.unwrap_or_default(), secret(&key["secret"]))
    } else {
        format!("{} with a public key", algorithm.unwrap_or_default())
    };
    if let Some(id) = key["id"].as_str() {
        let _ = write!(line, "; for tokens whose kid is {id} or absent");
    }
    if let Some(issuer) = key["issuer"].as_str() {
        let _ = write!(line, "; iss must be {issuer}");
    }
    if items(&key["audiences"]).next().is_some() {
        let _ = write!(line, "; aud must name {}", list(&key["audiences"], "or"));
    }
    line
}

/// Returns where a secret comes from, never its value.
fn secret(secret: &Value) -> String {
    let encoding = match secret["encoding"].as_str() {
        None | Some("utf8") => String::new(),
        Some(encoding) => format!(", in {encoding}"),
    };
    if let Some(name) = secret["sds"]["name"].as_str() {
        return format!("{name} that Envoy discovers{encoding}; dynamic module only");
    }
    match &secret["env"] {
        Value::Null => format!("in the configuration{encoding}"),
        Value::Array(_) => {
            format!("in the first of {} that is set{encoding}", list(&secret["env"], "and"))
        }
        name => format!("in {}{encoding}", shown(name)),
    }
}

fn tokens(config: &Value) -> Vec<String> {
    let mut lines: Vec<_> = items(&config["token_sources"]).map(source).collect();
    lines.push("every token in these places must be valid, and all must name the same user".into());
    lines.extend(sentences(config, "claims."));
    for (claim, values) in per_claim(&config["claims"]["values"], "values") {
        lines.push(format!("{claim} must be {}", list(values, "or")));
    }
    lines.extend(sentences(config, "max_token_bytes"));
    lines.extend(sentences(config, "forged_token"));
    lines
}

/// Returns what [`SETTINGS`] say about the values of the settings with this prefix.
fn sentences(config: &Value, prefix: &str) -> Vec<String> {
    let settings = SETTINGS.iter().filter(|setting| setting.path.starts_with(prefix));
    let sentence = |(path, says): (&str, &[(&str, &str)])| {
        let value = config.pointer(&format!("/{}", path.replace('.', "/"))).unwrap_or(&Value::Null);
        let is_any = !value.is_null() && items(value).next().is_some() == value.is_array();
        let fits = |row: &&(&str, &str)| match row.0 {
            ANY => is_any,
            json => serde_json::from_str::<Value>(json).is_ok_and(|known| known == *value),
        };
        let (_, text) = says.iter().find(fits)?;
        Some(text.replace("{}", &shown(value)))
            .map(|text| text.replace("{and}", &list(value, "and")))
            .map(|text| text.replace("{or}", &list(value, "or")))
            .filter(|text| !text.is_empty())
    };
    settings.filter_map(|setting| sentence((setting.path, setting.says))).collect()
}

fn source(source: &Value) -> String {
    let mut line = match (&source["header"], &source["cookie"], &source["scheme"]) {
        (Value::String(header), _, Value::Null) => format!("the whole header {header}"),
        (Value::String(header), _, scheme) if scheme == "*" => {
            format!("the header {header}, after any scheme")
        }
        (Value::String(header), _, scheme) => {
            format!("the header {header}, after {}", shown(scheme))
        }
        (_, Value::String(cookie), _) => format!("the cookie {cookie}"),
        _ => format!("the query parameter {}", shown(&source["query"])),
    };
    if let Some(prefix) = source["pass_prefix"].as_str() {
        let _ = write!(
            line,
            "; a value that starts with {prefix} is an API key, which the application checks"
        );
    }
    if source["routes"].is_array() {
        let routes = items(&source["routes"]).map(|route| pattern(route, "any method", false));
        let routes: Vec<_> = routes.collect();
        let _ = write!(
            line,
            "; its tokens admit only {}; elsewhere they admit nothing, and an invalid one is refused",
            routes.join("; ")
        );
    }
    line
}

fn application(config: &Value) -> Vec<String> {
    let (forward, claims) = (&config["forward"], &config["claims"]);
    let mut lines = vec![];
    if let (Some(header), false) = (forward["user_id"].as_str(), claims["user_id"].is_null()) {
        lines.push(format!("{header}: the user id, from the claim {}", shown(&claims["user_id"])));
    }
    for (claim, header) in per_claim(&forward["claims"], "header") {
        lines.push(format!("{}: the claim {claim}", shown(header)));
    }
    if lines.is_empty() {
        lines.push("receives no user id".to_owned());
    } else {
        lines.push(
            "the values that a client sends in these headers are removed, on every route".into(),
        );
    }
    lines.extend(sentences(config, "forward."));
    lines
}

fn routes(config: &Value) -> Vec<String> {
    let mut lines = sentences(config, "enforce");
    lines.extend(items(&config["routes"]).map(rule));
    let default = shown(&config["default_access"]);
    lines.push(format!("{default:<9} everything else: {}", asks(&default)));
    if default != "protected" {
        lines.push("protected every path that is not canonical: needs a valid token".to_owned());
    }
    lines
}

/// Returns the requests that a rule or a token source matches. With `is_wide`, a prefix also
/// matches within a segment.
fn pattern(pattern: &Value, all_methods: &str, is_wide: bool) -> String {
    let methods = match pattern["methods"].is_array() {
        true => list(&pattern["methods"], "or"),
        false => all_methods.to_owned(),
    };
    let mut line = match (&pattern["path"], &pattern["prefix"], &pattern["template"]) {
        (Value::String(path), _, _) => format!("{methods} {path}"),
        (_, Value::String(prefix), _) if is_wide || prefix.ends_with('/') => {
            format!("{methods} {prefix}…")
        }
        (_, Value::String(prefix), _) => format!("{methods} {prefix} and {prefix}/…"),
        (_, _, Value::String(template)) => format!("{methods} {template}"),
        _ => "CORS preflights".to_owned(),
    };
    if pattern["upgrade"] == true {
        line.push_str(", upgrades only");
    }
    if pattern["hosts"].is_array() {
        let _ = write!(line, " of {}", list(&pattern["hosts"], "or"));
    }
    line
}

/// Returns the requests that a rule matches.
pub(super) fn place(rule: &Value) -> String {
    let access = &rule["access"];
    let all_methods = if access == "signout" { "POST" } else { "any method" };
    pattern(rule, all_methods, access == "protected")
}

fn rule(rule: &Value) -> String {
    let access = shown(&rule["access"]);
    let mut line = format!("{access:<9} {}", place(rule));
    let _ = write!(line, ": {}", asks(&access));
    if rule["cross_site"] == "revoke" {
        line.push_str(", also if another site's page sends it");
    }
    if access == "signout" && !items(&rule["methods"]).any(|method| method == "GET") {
        line.push_str("; a GET revokes nothing");
    }
    if rule["api_keys"] == "refuse" {
        line.push_str("; an API key is not enough");
    }
    match &rule["revoke_user"] {
        Value::Null => {}
        Value::String(_) => {
            line.push_str("; a 2xx response signs the request's user out everywhere")
        }
        named => {
            let segment = shown(&named["segment"]);
            let _ = write!(
                line,
                "; a 2xx response signs out everywhere the user in the segment {{{segment}}}"
            );
        }
    }
    line
}

fn asks(access: &str) -> &'static str {
    match access {
        "public" => "open; tokens are not checked",
        "optional" => "open; a valid token names the user, an invalid one is removed",
        "signout" => "revokes the tokens of the request, then forwards it",
        "ready" => "the filter responds: 200 once keys and revocations are loaded, before that 503",
        _ => "needs a valid token",
    }
}

fn revocation(config: &Value) -> Vec<String> {
    let revocation = &config["revocation"];
    if revocation.is_null() {
        return vec!["none: a token is valid until it expires".to_owned()];
    }
    let service = &revocation["upstream"];
    let mut lines = vec![
        format!(
            "from cluster {} as {}, with the API token {}",
            shown(&service["cluster"]),
            shown(&service["authority"]),
            secret(&service["token"]),
        ),
        "until the service has been reached: 503 on protected routes; optional routes have no user"
            .to_owned(),
    ];
    lines.extend(sentences(config, "revocation."));
    lines
}

fn request(answered: &Answered) -> String {
    let Answered { request, access, rule, signs_out_by, revokes, revokes_user, is_canonical } =
        answered;
    let decided_by = match rule {
        Some(index) => format!("{access} by routes[{index}]"),
        None if *is_canonical => format!("{access} by default"),
        None => (*access).to_owned(),
    };
    let mut line = match *access == "signout" && !revokes {
        true => format!("{request}: {decided_by}, but with this method it revokes nothing"),
        false => format!("{request}: {decided_by}, {}", asks(access)),
    };
    if !is_canonical {
        line.push_str("; no rule applies, because the path is not canonical");
    }
    if let Some(method) = signs_out_by {
        let _ = write!(
            line,
            "; {method} signs out here, this request does not: if the application signs out by it, \
             add its method to `methods` of the signout rule"
        );
    }
    if let Some(user) = revokes_user {
        let _ = write!(line, "; a 2xx response signs out {user} everywhere");
    }
    line
}

pub(crate) fn variable(variable: &Variable, good: bool) -> String {
    let names = variable.names.join(" or ");
    match variable.state {
        SecretState::Set => format!("{names}: set here{}", if good { ", and checked" } else { "" }),
        SecretState::NotSetHere if good => {
            format!("{names}: NOT SET HERE; this secret was not checked, everything else was")
        }
        SecretState::NotSetHere => format!("{names}: NOT SET HERE"),
        SecretState::NotPassedOn => format!("{names}: NOT PASSED ON to the filter"),
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// Returns each claim with its value. `of` is an object whose members are claims, or a list of
/// objects with `claim` and the member `name`.
fn per_claim<'a>(of: &'a Value, name: &'a str) -> impl Iterator<Item = (String, &'a Value)> {
    let by_name = of.as_object().into_iter().flatten();
    let by_name = by_name.map(|(claim, value)| (claim.clone(), value));
    by_name.chain(items(of).map(move |one| (shown(&one["claim"]), &one[name])))
}

fn list(list: &Value, and: &str) -> String {
    let items: Vec<_> = items(list).map(shown).collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {and} {last}", others.join(", ")),
        None => String::new(),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
