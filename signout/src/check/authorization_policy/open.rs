//! Which requests without a user the filter admits, as operations of an AuthorizationPolicy.
//!
//! The filter takes the first rule that matches; a policy of Istio admits what any of its rules
//! matches. Each rule that opens something is therefore reduced by the earlier rules that protect
//! something. If Istio cannot express the difference, the policy admits less, never more, and says so.

use serde_json::Value;

use super::paths::Paths;
use crate::check::words;

/// What one rule of the filter becomes.
pub(super) struct Opened {
    /// The rule in words.
    pub(super) about: String,
    /// The operation, or the reason why the policy does not admit the requests of this rule.
    pub(super) outcome: Result<Operation, &'static str>,
    /// Paths that the policy refuses although the filter admits some of their requests.
    pub(super) refused_more: Vec<String>,
}

/// An operation of a policy. An empty list allows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Operation {
    pub(super) paths: Vec<String>,
    pub(super) not_paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) not_methods: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) headers: Vec<HeaderCondition>,
}

/// A condition on a header of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeaderCondition {
    pub(super) name: &'static str,
    /// `values` or `notValues`.
    pub(super) member: &'static str,
    pub(super) values: &'static [&'static str],
}

/// A rule that protects something.
struct ClosedRule<'a> {
    rule: &'a Value,
    paths: Paths<'a>,
    methods: Vec<&'a str>,
}

/// Returns every rule that admits requests without a user, in the filter's order.
pub(super) fn opened(config: &Value) -> Vec<Opened> {
    let mut closed: Vec<ClosedRule<'_>> = vec![];
    let mut opened = vec![];
    for rule in items(&config["routes"]) {
        match rule["access"].as_str() {
            Some("public" | "optional" | "signout") => {
                opened.push(open(words::place(rule), rule, &closed));
            }
            // The filter itself responds: no request reaches the application.
            Some("ready") => {}
            _ => closed.push(ClosedRule {
                rule,
                paths: Paths::of_rule(rule),
                methods: texts(&rule["methods"]),
            }),
        }
    }
    if config["default_access"] != "protected" {
        let everything = serde_json::json!({"prefix": "/"});
        let about = "everything else (default_access)".to_owned();
        opened.push(open(about, &everything, &closed));
    }
    opened
}

fn open(about: String, rule: &Value, closed: &[ClosedRule<'_>]) -> Opened {
    let mut refused_more = vec![];
    let outcome = operation(rule, closed, &mut refused_more);
    Opened { about, outcome, refused_more }
}

fn operation(
    rule: &Value,
    closed: &[ClosedRule<'_>],
    refused_more: &mut Vec<String>,
) -> Result<Operation, &'static str> {
    if rule["upgrade"] == true {
        return Err("Istio cannot tell an upgrade from a request that only looks like one");
    }
    let is_signout = rule["access"] == "signout";
    let paths = Paths::of_rule(rule);
    let mut methods: Vec<_> = texts(&rule["methods"]);
    if is_signout && methods.is_empty() {
        methods.push("POST");
    }
    if is_signout && methods.contains(&"GET") && !methods.contains(&"HEAD") {
        methods.push("HEAD");
    }
    let mut operation = Operation::default();
    if matches!(paths, Paths::Preflight) {
        methods = vec!["OPTIONS"];
        operation.headers.extend(PREFLIGHT);
    }
    operation.paths = paths.istio(is_signout).ok_or("Istio cannot express its path")?;
    operation.hosts = texts(&rule["hosts"]).into_iter().map(str::to_owned).collect();
    let is_limited = !methods.is_empty();
    for earlier in closed {
        let may_share = paths.may_share(earlier.paths)
            && (!is_limited || methods.iter().any(|method| earlier.has_method(method)))
            && may_share_hosts(&texts(&rule["hosts"]), &texts(&earlier.rule["hosts"]));
        if !may_share {
            continue;
        }
        if earlier.rule["upgrade"] == true {
            push_once(&mut operation.headers, NO_UPGRADE);
            remove(&mut methods, &mut operation.not_methods, is_limited, "CONNECT");
        } else if matches!(earlier.paths, Paths::Preflight) {
            remove(&mut methods, &mut operation.not_methods, is_limited, "OPTIONS");
        } else if paths.are_within(earlier.paths) {
            if earlier.methods.is_empty() {
                return Err("an earlier rule protects it");
            }
            for method in earlier.all_methods() {
                remove(&mut methods, &mut operation.not_methods, is_limited, method);
            }
        } else {
            let excluded = earlier.paths.excluded_from(paths.literal_head());
            let excluded = excluded.ok_or("Istio cannot leave out what earlier rules protect")?;
            let is_exact = earlier.methods.is_empty()
                && earlier.rule["hosts"].is_null()
                && !matches!(earlier.paths, Paths::Template(_));
            for path in excluded {
                if !is_exact {
                    push_once(refused_more, path.clone());
                }
                push_once(&mut operation.not_paths, path);
            }
        }
        if is_limited && methods.is_empty() {
            return Err("earlier rules protect all its methods");
        }
    }
    operation.methods = methods.into_iter().map(str::to_owned).collect();
    Ok(operation)
}

impl<'a> ClosedRule<'a> {
    /// Returns whether the rule protects this method. `GET` includes `HEAD`.
    fn has_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.all_methods().any(|own| own == method)
    }

    fn all_methods(&self) -> impl Iterator<Item = &'a str> {
        let head = self.methods.contains(&"GET").then_some("HEAD");
        self.methods.clone().into_iter().chain(head)
    }
}

/// Takes the method from the methods that an operation admits.
fn remove(methods: &mut Vec<&str>, not: &mut Vec<String>, is_limited: bool, method: &str) {
    if is_limited {
        methods.retain(|known| *known != method);
    } else {
        push_once(not, method.to_owned());
    }
}

/// Returns whether a request may have a host of both lists. An empty list contains all hosts.
fn may_share_hosts(a: &[&str], b: &[&str]) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| may_be_same_host(a, b)))
}

fn may_be_same_host(a: &str, b: &str) -> bool {
    let is_below = |host: &str, pattern: &str| {
        pattern.strip_prefix('*').is_some_and(|domain| host.ends_with(domain))
    };
    // One IPv6 address has many spellings.
    a == b || is_below(a, b) || is_below(b, a) || a.starts_with('[') && b.starts_with('[')
}

fn push_once<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn texts(list: &Value) -> Vec<&str> {
    items(list).filter_map(Value::as_str).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The headers of a preflight that a web page causes (Fetch §3.2.2). The filter demands that both are
/// not empty; Istio compares only with texts.
const PREFLIGHT: [HeaderCondition; 2] = [
    HeaderCondition { name: "origin", member: "values", values: &["http*", "null"] },
    HeaderCondition {
        name: "access-control-request-method",
        member: "values",
        values: &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
    },
];

/// What the filter does not take for an upgrade.
const NO_UPGRADE: HeaderCondition =
    HeaderCondition { name: "upgrade", member: "notValues", values: &["*"] };
