//! What does a visitor see, step by step, and is it what was promised?

use testbed::{Answer, Connection, Envoy, Request, Token};

/// Walks through everything and prints a line for each step. True where all came as expected.
pub(crate) fn walk(envoy: &Envoy) -> bool {
    let mut workers = envoy.connection_per_worker();
    let mut steps = Steps { all_as_expected: true };
    steps.title();

    steps.check("a request without a token", "401 missing_token", &whoami(envoy, None));
    let (ada, laptop) = (sign_in(envoy), sign_in(envoy));
    steps.compare(
        "ada signs in, on two devices",
        "two tokens",
        match (&ada, &laptop) {
            (Some(_), Some(_)) => "two tokens",
            _ => "no token",
        },
    );
    let (Some(ada), Some(laptop)) = (ada, laptop) else { return false };

    steps.each_worker("her request", "200 ada", &mut workers, &ada);
    steps.check("the same, token forged", "401 bad_signature", &whoami(envoy, Some(&ada.forged())));
    let spoofed = Request::get("/whoami").header("x-user-id", "root");
    steps.check("x-user-id: root, no token", "401 missing_token", &envoy.send(&spoofed));
    steps.check("x-user-id: root, ada's token", "200 ada", &envoy.send(&spoofed.bearer(&ada)));

    let sign_out = Request::post("/sign-out").bearer(&ada);
    steps.check("she signs out on one device", "200", &envoy.send(&sign_out));
    steps.each_worker("that token again", "401 revoked", &mut workers, &ada);
    steps.each_worker("the other device", "200 ada", &mut workers, &laptop);
    steps.all_as_expected
}

fn whoami(envoy: &Envoy, token: Option<&Token>) -> Answer {
    let request = Request::get("/whoami");
    envoy.send(&match token {
        Some(token) => request.bearer(token),
        None => request,
    })
}

fn sign_in(envoy: &Envoy) -> Option<Token> {
    let form = Request::post("/sign-in").header("content-type", FORM).body("name=ada");
    envoy.send(&form).json()["token"].as_str().map(Token::text)
}

struct Steps {
    all_as_expected: bool,
}

impl Steps {
    fn title(&self) {
        println!("\n  {:<38} {:<20} came", "step", "expected");
    }

    /// The same request on one kept connection to each worker.
    fn each_worker(&mut self, step: &str, expected: &str, all: &mut [Connection], token: &Token) {
        for (worker, connection) in all.iter_mut().enumerate() {
            let answer = connection.send(&Request::get("/whoami").bearer(token));
            self.check(&format!("{step}, worker {worker}"), expected, &answer);
        }
    }

    fn check(&mut self, step: &str, expected: &str, answer: &Answer) {
        let json = answer.json();
        let told = json["code"].as_str().or(json["user_id"].as_str()).unwrap_or_default();
        self.compare(step, expected, format!("{} {told}", answer.status).trim());
    }

    fn compare(&mut self, step: &str, expected: &str, came: &str) {
        let sign = if expected == came { "✓" } else { "✗" };
        self.all_as_expected &= expected == came;
        println!("{sign} {step:<38} {expected:<20} {came}");
    }
}

const FORM: &str = "application/x-www-form-urlencoded";
