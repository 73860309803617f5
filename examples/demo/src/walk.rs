//! The demo's steps: each prints the expected and the actual result.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, HttpResponse, Request, Token};

/// The entry points of one application.
#[derive(Debug)]
pub struct Doors {
    /// The public address; each request opens a new connection.
    pub front: SocketAddr,
    /// Workers of one proxy, or several proxies. A sign-out at the first takes effect at all of them.
    pub doors: Vec<(String, Connection)>,
    /// How long the sign-out may take to reach the others: zero between workers of one process.
    pub propagation: Duration,
}

impl Doors {
    /// Runs all steps and prints a line for each. Returns whether all results were as expected.
    pub fn walk(mut self) -> bool {
        let mut steps = Steps { all_as_expected: true };
        steps.title();

        steps.check("a request without a token", "401 missing_token", &self.whoami(None));
        let (ada, laptop) = (self.sign_in(), self.sign_in());
        steps.compare(
            "ada signs in, on two devices",
            "two tokens",
            match (&ada, &laptop) {
                (Some(_), Some(_)) => "two tokens",
                _ => "no token",
            },
        );
        let (Some(ada), Some(laptop)) = (ada, laptop) else { return false };

        self.at_each(&mut steps, "her request", "200 ada", &ada);
        let forged = self.whoami(Some(&ada.forged()));
        steps.check("her request with a forged token", "401 bad_signature", &forged);
        let spoofed = Request::get("/whoami").header("x-user-id", "root");
        steps.check("x-user-id: root, no token", "401 missing_token", &self.send(&spoofed));
        let spoofed = self.send(&spoofed.bearer(&ada));
        steps.check("x-user-id: root, ada's token", "200 ada", &spoofed);

        let signed_out = self.doors[0].1.send(&Request::post("/sign-out").bearer(&ada));
        steps.check(&format!("she signs out, {}", self.doors[0].0), "200", &signed_out);
        self.at_each(&mut steps, "the same token again", "401 revoked", &ada);
        self.at_each(&mut steps, "her other device", "200 ada", &laptop);
        steps.all_as_expected
    }

    fn whoami(&self, token: Option<&Token>) -> HttpResponse {
        let request = Request::get("/whoami");
        self.send(&match token {
            Some(token) => request.bearer(token),
            None => request,
        })
    }

    fn sign_in(&self) -> Option<Token> {
        let form = Request::post("/sign-in").header("content-type", FORM).body("name=ada");
        self.send(&form).json()["token"].as_str().map(Token::text)
    }

    fn send(&self, request: &Request) -> HttpResponse {
        Connection::to(self.front).send(request)
    }

    /// Sends the same request to each entry point; the first must be right immediately.
    fn at_each(&mut self, steps: &mut Steps, step: &str, expected: &str, token: &Token) {
        let request = Request::get("/whoami").bearer(token);
        for (number, (name, connection)) in self.doors.iter_mut().enumerate() {
            let patience = if number == 0 { Duration::ZERO } else { self.propagation };
            let start = Instant::now();
            let mut answer = connection.send(&request);
            while result_of(&answer) != expected && start.elapsed() < patience {
                thread::sleep(Duration::from_millis(1));
                answer = connection.send(&request);
            }
            steps.check(&format!("{step}, {name}"), expected, &answer);
        }
    }
}

/// Formats the status, and the code or the user from the body.
fn result_of(answer: &HttpResponse) -> String {
    let json = answer.json();
    let told = json["code"].as_str().or(json["user_id"].as_str()).unwrap_or_default();
    format!("{} {told}", answer.status).trim().to_owned()
}

struct Steps {
    all_as_expected: bool,
}

impl Steps {
    fn title(&self) {
        println!("\n  {:<38} {:<20} actual", "step", "expected");
    }

    fn check(&mut self, step: &str, expected: &str, answer: &HttpResponse) {
        self.compare(step, expected, &result_of(answer));
    }

    fn compare(&mut self, step: &str, expected: &str, actual: &str) {
        let sign = if expected == actual { "✓" } else { "✗" };
        self.all_as_expected &= expected == actual;
        println!("{sign} {step:<38} {expected:<20} {actual}");
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
