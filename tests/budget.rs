//! Promise: no change makes a request more expensive without being noticed. Exact figures are
//! compared with `tests/budget.json`: every crossing between Envoy and the VM during a request, the
//! exports of the module, and its size. `make bench` measures times.
//! Method: a real Envoy with one worker, whose log at level trace shows each crossing.
//!
//! `UPDATE_BUDGET=1 cargo test --test budget` records the present figures.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};
use testbed::{Connection, Fault, Request, Testbed, Token, eventually, repository};
use wasmparser::{ExternalKind, Parser, Payload};

#[test]
fn a_request_makes_the_recorded_crossings() {
    let mut stage = BudgetBed::start();
    let token = Token::of("ada");
    let (bearer, cookie) =
        (Request::get("/page").bearer(&token), Request::get("/page").cookie(&token));
    let forged = Request::get("/page").bearer(&token.forged());
    let public = stage.crossings(&Request::get("/"));
    let first_sight = stage.crossings(&bearer);
    let (seen_before, after_a_change) = stage.without_and_with_look_up(&bearer);
    let (as_a_cookie, _) = stage.without_and_with_look_up(&cookie);
    compare("public", &public);
    compare("first_sight", &first_sight);
    compare("seen_before", &seen_before);
    compare("seen_before_as_a_cookie", &as_a_cookie);
    compare("after_a_change_of_the_set", &after_a_change);
    compare("refused", &stage.crossings(&forged));
}

#[test]
fn the_module_exports_the_recorded_functions() {
    let module = repository::module();
    let mut functions = Vec::new();
    for payload in Parser::new(0).parse_all(&module) {
        if let Payload::ExportSection(section) = payload.expect("a module") {
            let exports = section.into_iter().map(|export| export.expect("an export"));
            let exports = exports.filter(|export| export.kind == ExternalKind::Func);
            functions.extend(exports.map(|export| export.name.to_owned()));
        }
    }
    functions.sort();
    compare("exported_functions", &functions);
}

/// Envoy compiles the whole module before it listens, so a larger module delays its start. The
/// limit is 5 % above the recorded size, because compilers differ.
#[test]
fn the_module_is_no_larger_than_recorded() {
    let bytes = repository::module().len() as u64;
    if env::var_os("UPDATE_BUDGET").is_some() {
        return record("module_bytes_at_most", json!(bytes + bytes / 20));
    }
    let most = recorded()["module_bytes_at_most"].as_u64().expect("a number");
    assert!(bytes <= most, "{bytes} bytes, more than {most}; {REMEDY}");
}

struct BudgetBed {
    bed: Testbed,
    connection: Connection,
    read: usize,
}

impl BudgetBed {
    fn start() -> Self {
        let bed = Testbed::from(|setup| setup.workers(1).log_levels("wasm:trace"), Fault::None);
        bed.envoy.await_guarding();
        let connection = bed.envoy.connect();
        Self { bed, connection, read: 0 }
    }

    /// Returns the crossings of one request in order: `>` into the VM, `<` to Envoy.
    fn crossings(&mut self, request: &Request) -> Vec<String> {
        self.read = self.bed.envoy.log().len();
        self.connection.send(request);
        let mut log = String::new();
        eventually(Duration::from_secs(20), || {
            log = self.bed.envoy.log().split_off(self.read);
            log.contains("[host<-vm] proxy_on_delete")
        });
        of_one_request(&log)
    }

    /// Returns the crossings of a request with a token seen before: without and with a look-up in
    /// the revocation set. The filter looks up at least once a second, so both kinds occur.
    fn without_and_with_look_up(&mut self, request: &Request) -> (Vec<String>, Vec<String>) {
        let mut kinds = BTreeSet::new();
        eventually(Duration::from_secs(20), || {
            let crossings = self.crossings(request);
            kinds.insert((crossings.len(), crossings));
            kinds.len() == 2
        });
        let mut kinds = kinds.into_iter().map(|(_, crossings)| crossings);
        (kinds.next().expect("the short one"), kinds.next().expect("the long one"))
    }
}

/// Returns the crossings of the request whose context the log creates first. Leaves out ticks and
/// pages of the feed, which the same worker may process during the request.
fn of_one_request(log: &str) -> Vec<String> {
    let created = log.find("[host->vm] proxy_on_context_create").expect("a context of the request");
    let thread = log[..created].rsplit('[').find_map(|word| {
        let number = word.trim_end().strip_suffix(']')?;
        number.parse::<u32>().ok().map(|_| format!("][{number}]["))
    });
    let thread = thread.expect("the thread of the worker");
    let mut crossings = Vec::new();
    let mut is_elsewhere = false;
    let lines = log[created..].lines().enumerate();
    for (_, line) in lines.filter(|(at, line)| *at == 0 || line.contains(&thread)) {
        let of_others = OF_NO_REQUEST.iter().any(|name| line.contains(name));
        if of_others {
            is_elsewhere = line.contains("[host->vm]");
        } else if let (false, Some(crossing)) = (is_elsewhere, crossing(line)) {
            // The first request after a pause also reads the clock and starts the ticks.
            if crossing == ASKS_FOR_TICKS {
                crossings.pop_if(|last| last == "< clock_time_get");
            } else {
                crossings.push(crossing);
            }
        }
        if line.contains("[host<-vm] proxy_on_delete") {
            break;
        }
    }
    crossings
}

fn crossing(line: &str) -> Option<String> {
    let into = line.split_once("[host->vm] ").map(|(_, call)| ('>', call));
    let out = line.split_once("[vm->host] ").map(|(_, call)| ('<', call));
    let (direction, call) = into.or(out)?;
    let name = call.split('(').next()?.rsplit('.').next()?;
    Some(format!("{direction} {name}"))
}

fn compare(name: &str, found: &[String]) {
    if env::var_os("UPDATE_BUDGET").is_some() {
        return record(name, json!(found));
    }
    let recorded = recorded();
    let recorded: Vec<_> = recorded[name].as_array().into_iter().flatten().collect();
    assert!(
        found.iter().eq(recorded.iter().copied()),
        "{name}: {found:#?}\ninstead of {recorded:#?}; {REMEDY}"
    );
}

fn recorded() -> Value {
    serde_json::from_str(&repository::read(BUDGET)).expect("the budget is JSON")
}

fn record(name: &str, found: Value) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().expect("no panic");
    let mut budget = recorded();
    budget[name] = found;
    let text = serde_json::to_string_pretty(&budget).expect("JSON");
    fs::write(format!("{}/{BUDGET}", env!("CARGO_MANIFEST_DIR")), text + "\n").expect("written");
}

const OF_NO_REQUEST: [&str; 2] = ["proxy_on_tick", "proxy_on_http_call_response"];

/// The crossing that starts the next tick. Only the first request after a tick makes it, so it is
/// not part of the budget.
const ASKS_FOR_TICKS: &str = "< proxy_set_tick_period_milliseconds";

const BUDGET: &str = "tests/budget.json";
const REMEDY: &str = "if that is meant, run UPDATE_BUDGET=1 cargo test --test budget";
