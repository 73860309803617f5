//! Finds settings that load and are probably not what the operator wants.
//!
//! This module examines the [effective](session_guard_core::config::effective) configuration, which
//! includes defaults and presets. A doubt is reported as a warning and never fails a check.

use serde_json::Value;

use crate::check::Wrong;

/// Returns every doubt about the configuration.
pub(super) fn doubts(config: &Value) -> Vec<Wrong> {
    let mut doubts = Doubts(vec![]);
    doubts.keys(config);
    doubts.claims(config);
    doubts.sources(config);
    doubts.routes(config);
    doubts.revocation(config);
    doubts.0
}

struct Doubts(Vec<Wrong>);

impl Doubts {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>, remedy: &str) {
        let (path, problem, remedy) = (path.into(), problem.into(), remedy.to_owned());
        self.0.push(Wrong { path, problem, remedy });
    }

    fn keys(&mut self, config: &Value) {
        let sets = items(&config["keys"]).filter(|(_, key)| key["jwks"].is_object());
        let sets: Vec<_> = sets.collect();
        let claims = &config["claims"];
        for (index, key) in &sets {
            let at = format!("keys[{index}]");
            if is_empty(&key["audiences"]) && is_empty(&claims["audiences"]) {
                self.add(
                    format!("{at}.audiences"),
                    "missing beside a JWK Set: tokens that the issuer made for other applications \
                     are accepted",
                    "name the audience of this application here or in claims.audiences",
                );
            }
            if key["issuer"].is_null() && claims["issuer"].is_null() {
                let problem = "missing beside a JWK Set: any `iss` is accepted";
                let remedy = match sets.len() {
                    1 => "name the issuer here or in claims.issuer",
                    _ => "name the issuer of each set: users of two issuers may have the same id",
                };
                self.add(format!("{at}.issuer"), problem, remedy);
            }
        }
    }

    fn claims(&mut self, config: &Value) {
        let claims = &config["claims"];
        if !items(&claims["required"]).any(|(_, name)| name == "exp") {
            self.add(
                "claims.required",
                "without `exp`: a token without it never expires",
                "add \"exp\", unless the application issues tokens without end on purpose",
            );
        }
        let user = [("claims.user_id".to_owned(), &claims["user_id"])];
        let required = items(&claims["required"])
            .map(|(index, name)| (format!("claims.required[{index}]"), name));
        let forwarded = config["forward"]["claims"].as_object();
        let forwarded: Vec<_> =
            forwarded.into_iter().flatten().map(|(name, _)| Value::from(name.as_str())).collect();
        let forwarded = forwarded.iter().map(|name| ("forward.claims".to_owned(), name));
        for (at, name) in user.into_iter().chain(required).chain(forwarded) {
            let name = name.as_str().unwrap_or_default();
            if name.contains('.') && !name.contains("://") {
                self.add(
                    at,
                    format!(
                        "`{name}` is one claim whose name has a dot, not a member of an object"
                    ),
                    "write a list of segments for a nested claim: [\"realm_access\", \"roles\"]",
                );
            }
        }
    }

    fn sources(&mut self, config: &Value) {
        for (index, source) in items(&config["token_sources"]) {
            let at = format!("token_sources[{index}]");
            if source["query"].is_string() && is_empty(&source["routes"]) {
                self.add(
                    format!("{at}.query"),
                    "on every route: tokens in URLs end up in logs, browser histories and Referer headers",
                    "use a header or a cookie, or limit this token source with `routes` to the routes that need it",
                );
            }
            let Some(header) = source["header"].as_str() else { continue };
            if header.contains('_') {
                self.add(
                    format!("{at}.header"),
                    "a name with `_`: Envoy rejects requests with this header under \
                     headers_with_underscores_action: REJECT_REQUEST, as in the shipped envoy.yaml",
                    "let clients send the header with `-` in place of `_`, and name it so here",
                );
            }
            let holds_keys = header.contains("api-key") || header.contains("apikey");
            if holds_keys && source["pass_prefix"].is_null() {
                self.add(
                    format!("{at}.pass_prefix"),
                    "missing on a header for API keys: a key is no token and gets 401",
                    "set `pass_prefix` to the first characters of the keys, or remove the source",
                );
            }
        }
    }

    fn routes(&mut self, config: &Value) {
        let rules: Vec<_> = items(&config["routes"]).map(|(_, rule)| rule).collect();
        for (index, rule) in rules.iter().enumerate() {
            let at = format!("routes[{index}]");
            let access = text(&rule["access"]);
            let is_open = ["public", "optional"].contains(&access);
            if is_open && rule["prefix"] == "/" && is_unlimited(rule) {
                let problem =
                    format!("{access} for every path: no later rule and no default applies");
                let remedy = "put it last, or set `default_access` instead";
                self.add(format!("{at}.prefix"), problem, remedy);
            }
            let earlier = rules.iter().take(index).position(|earlier| covers(earlier, rule));
            if let Some(earlier) = earlier {
                let problem = format!("never matches: routes[{earlier}] matches all its requests");
                self.add(at.clone(), problem, "put it before that rule, or remove it");
            } else if let Some((earlier, methods)) = opened_before(&rules, index) {
                let problem =
                    format!("does not match {methods}: routes[{earlier}] opens it before");
                self.add(at.clone(), problem, "put it before that rule, or name its own methods");
            }
            for field in ["path", "prefix"] {
                let written = text(&rule[field]);
                if written.contains('*') {
                    let problem = "`*` is an ordinary character here, not a wildcard";
                    let remedy = "use \"prefix\": \"/static/\", or a template: \"/users/{id}\"";
                    self.add(format!("{at}.{field}"), problem, remedy);
                }
                if written.contains(['{', '}']) || written.contains("/:") {
                    let problem = "a variable part in a path that is compared exactly";
                    let remedy = "use \"template\": \"/users/{id}\"";
                    self.add(format!("{at}.{field}"), problem, remedy);
                }
                let is_sign_out = SIGN_OUTS.iter().any(|name| written.ends_with(name));
                if is_sign_out && is_open && !signs_out_elsewhere(&rules, written) {
                    let problem = format!("`{written}` looks like a sign-out, and revokes nothing");
                    self.add(format!("{at}.access"), problem, "use \"access\": \"signout\"");
                }
            }
            if access == "signout" {
                self.sign_out(&at, rule, &rules);
            }
            if !rule["revoke_user"].is_null() && config["claims"]["max_lifetime_seconds"].is_null()
            {
                self.add(
                    format!("{at}.revoke_user"),
                    "without claims.max_lifetime_seconds: cutoffs are stored for ever",
                    "set max_lifetime_seconds to the lifetime of the application's tokens",
                );
            }
        }
        let default = text(&config["default_access"]);
        if default != "protected" && !rules.iter().any(|rule| rule["access"] == "protected") {
            let problem = format!("{default}, and no rule is protected: nothing needs a token");
            let remedy = "add protected rules, or set \"default_access\": \"protected\"";
            self.add("default_access", problem, remedy);
        }
    }

    fn sign_out(&mut self, at: &str, rule: &Value, rules: &[&Value]) {
        let place = |rule: &Value| ["path", "prefix", "template"].map(|name| rule[name].clone());
        let has_get = |rule: &Value| methods(rule).is_none_or(|methods| methods.contains(&"GET"));
        let same = |other: &&&Value| place(other) == place(rule) && other["access"] != "signout";
        let is_open = |other: &Value| ["public", "optional"].contains(&text(&other["access"]));
        if !has_get(rule) && rules.iter().filter(same).any(|other| is_open(other) && has_get(other))
        {
            self.add(
                format!("{at}.methods"),
                "POST only, and another rule opens the same path to GET: a page that signs out by \
                 GET revokes nothing",
                "let the application sign out by POST only, or add \"GET\" to `methods`",
            );
        }
        if rule["cross_site"] == "revoke" && has_get(rule) {
            self.add(
                format!("{at}.cross_site"),
                "`revoke` for GET: a link on any other site signs the user out",
                "sign out by POST, or remove `cross_site`",
            );
        }
    }

    fn revocation(&mut self, config: &Value) {
        let revocation = &config["revocation"];
        if revocation.is_null() {
            return self.add(
                "revocation",
                "missing, so tokens are only verified: nobody is signed out",
                "add `revocation` and run the signout service",
            );
        }
        let mut rules = items(&config["routes"]).map(|(_, rule)| rule);
        let signs_out =
            |rule: &Value| rule["access"] == "signout" || !rule["revoke_user"].is_null();
        if !rules.any(signs_out) {
            self.add(
                "routes",
                "none signs out; only the service's own calls revoke tokens",
                "add the application's sign-out: {\"path\": \"/logout\", \"access\": \"signout\"}",
            );
        }
        if revocation["when_unknown"] == "use_last" {
            self.add(
                "revocation.when_unknown",
                "`use_last`: while the service is away, tokens signed out elsewhere are accepted",
                "use `refuse`, unless availability matters more",
            );
        }
        if revocation["max_staleness_seconds"].as_u64().is_some_and(|age| age > LONG_SECONDS) {
            self.add(
                "revocation.max_staleness_seconds",
                "over an hour: a proxy that is cut off accepts revoked tokens for that long",
                "use some minutes; the default is 300",
            );
        }
        if revocation["streams"]["end_on_revocation"] == false {
            self.add(
                "revocation.streams.end_on_revocation",
                "false: a WebSocket or download goes on after its user has signed out",
                "remove it",
            );
        }
    }
}

/// Returns whether every request that `later` matches is matched by `earlier`.
fn covers(earlier: &Value, later: &Value) -> bool {
    let covers_methods = match (methods(earlier), methods(later)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(earlier), Some(later)) => later.iter().all(|method| earlier.contains(method)),
    };
    let covers_hosts = earlier["hosts"].is_null() || earlier["hosts"] == later["hosts"];
    let covers_upgrade = earlier["upgrade"] != true || later["upgrade"] == true;
    let is_preflight = |rule: &Value| rule["preflight"] == true;
    if is_preflight(earlier) || is_preflight(later) {
        return is_preflight(earlier) && is_preflight(later);
    }
    covers_methods && covers_hosts && covers_upgrade && covers_paths(earlier, later)
}

fn covers_paths(earlier: &Value, later: &Value) -> bool {
    let place = ["path", "prefix", "template"].into_iter().find_map(|name| later[name].as_str());
    let place = place.unwrap_or_default();
    if let Some(prefix) = earlier["prefix"].as_str() {
        let is_restrictive = earlier["access"] == "protected";
        let Some(rest) = place.strip_prefix(prefix) else { return false };
        return is_restrictive
            || prefix.ends_with('/')
            || rest.starts_with('/')
            || rest.is_empty()
                && (later["prefix"].is_null() || text(&later["access"]) != "protected");
    }
    if let Some(template) = earlier["template"].as_str() {
        return later["prefix"].is_null() && covers_segments(template, place);
    }
    !earlier["path"].is_null() && earlier["path"] == later["path"]
}

/// Returns whether every path that `later` names, a path or a template, matches this template.
fn covers_segments(template: &str, later: &str) -> bool {
    let is_variable = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
    let (mut segments, mut others) = (template.split('/'), later.split('/'));
    loop {
        match (segments.next(), others.next()) {
            (None, None) => return true,
            (Some(segment), Some(other)) if segment == other => {}
            (Some(segment), Some(other)) if is_variable(segment) && !other.is_empty() => {}
            _ => return false,
        }
    }
}

/// Returns an earlier rule that opens a wider range of paths than this rule, and the methods that it
/// opens, if this rule requires a token or signs out. A narrower exception before a wide rule is the
/// usual order, and no mistake.
fn opened_before(rules: &[&Value], index: usize) -> Option<(usize, String)> {
    let rule = rules.get(index)?;
    let is_open = |rule: &Value| ["public", "optional"].contains(&text(&rule["access"]));
    let opens = |earlier: &&Value| {
        is_open(earlier)
            && is_any_host(earlier)
            && covers_paths(earlier, rule)
            && !covers_paths(rule, earlier)
    };
    if is_open(rule) || rule["preflight"] == true {
        return None;
    }
    rules.iter().take(index).enumerate().filter(|(_, earlier)| opens(earlier)).find_map(
        |(at, earlier)| {
            let opened = methods(earlier)?.into_iter();
            let both = opened.filter(|it| methods(rule).is_none_or(|own| own.contains(it)));
            let both = both.collect::<Vec<_>>().join(", ");
            (!both.is_empty()).then_some((at, both))
        },
    )
}

fn is_any_host(rule: &Value) -> bool {
    rule["hosts"].is_null() && rule["upgrade"] != true && rule["preflight"] != true
}

fn signs_out_elsewhere(rules: &[&Value], path: &str) -> bool {
    rules.iter().any(|rule| {
        rule["access"] == "signout"
            && ["path", "prefix"]
                .iter()
                .any(|name| path.starts_with(text(&rule[*name])) && !text(&rule[*name]).is_empty())
    })
}

/// Returns the methods that a rule matches, or `None` if it matches all.
fn methods(rule: &Value) -> Option<Vec<&str>> {
    match rule["methods"].as_array() {
        Some(methods) => Some(methods.iter().filter_map(Value::as_str).collect()),
        None if rule["access"] == "signout" => Some(vec!["POST"]),
        None => None,
    }
}

fn is_unlimited(rule: &Value) -> bool {
    rule["methods"].is_null() && rule["hosts"].is_null() && rule["upgrade"] != true
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn items(list: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list.as_array().into_iter().flatten().enumerate()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The usual ends of paths that sign out.
const SIGN_OUTS: [&str; 6] =
    ["/logout", "/log-out", "/signout", "/sign-out", "/sign_out", "/logoff"];

/// The age in seconds above which `max_staleness_seconds` is doubtful: an hour.
const LONG_SECONDS: u64 = 3_600;
