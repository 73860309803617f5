//! The demo's steps: Ada signs in, Eve copies her token, Ada signs out.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, HttpResponse, Request, Token};

use crate::IdentityProvider;
use crate::live_request::{LiveRequest, RevokingCall};
use crate::steps::Steps;

/// The proxies in front of one application.
#[derive(Debug)]
pub struct Story {
    /// The public address; each request opens a new connection.
    pub front: SocketAddr,
    /// A connection to each proxy, or to each worker of each. The last one is of another proxy than
    /// the first one.
    pub doors: Vec<Door>,
    /// An identity provider, and the service that accepts its messages.
    pub provider: Option<(IdentityProvider, SocketAddr)>,
}

/// A connection to one proxy.
#[derive(Debug)]
pub struct Door {
    /// The proxy's name in the output.
    pub proxy: String,
    /// The worker that serves the connection, if it is known.
    pub worker: Option<usize>,
    /// The proxy's address.
    pub address: SocketAddr,
    /// The connection, which one worker of the proxy serves.
    pub connection: Connection,
}

impl Door {
    fn name(&self) -> String {
        let worker = self.worker.map(|worker| format!(", worker {worker}"));
        self.proxy.clone() + &worker.unwrap_or_default()
    }
}

impl Story {
    /// Runs all steps and prints a line for each. Returns whether all results were as expected.
    pub fn tell(mut self) -> bool {
        let mut steps = Steps::begin();
        self.strangers(&mut steps);
        self.sign_out(&mut steps);
        self.new_password(&mut steps);
        if let Some((provider, service)) = self.provider.take() {
            self.sign_out_at_the_provider(&mut steps, &provider, service);
        }
        steps.as_expected
    }

    fn strangers(&mut self, steps: &mut Steps) {
        steps.part("Only a genuine token passes");
        let ada = self.sign_in("ada", "");
        let page = Request::get("/whoami");
        let root = page.clone().header("x-user-id", "root");
        self.front_step(steps, "no token", "401 missing_token", &page);
        let forged = page.clone().bearer(&ada.forged());
        self.front_step(steps, "a forged token", "401 bad_signature", &forged);
        self.front_step(steps, "x-user-id: root, no token", "401 missing_token", &root);
        self.front_step(steps, "x-user-id: root, ada's token", "200 ada", &root.bearer(&ada));
    }

    fn sign_out(&mut self, steps: &mut Steps) {
        steps.part("Ada is signed in on two devices, and Eve has copied her laptop's token");
        let (laptop, phone) = (self.sign_in("ada", ""), self.sign_in("ada", ""));
        let last = self.doors.len() - 1;
        self.door_step(steps, "her laptop", "200 ada", 0, &whoami(&laptop));
        self.door_step(steps, "her phone", "200 ada", last, &whoami(&phone));
        self.door_step(steps, "eve", "200 ada", last, &whoami(&laptop));
        let socket = self.open(steps, "her laptop's WebSocket", "101", 0, "/socket", &laptop);
        let events = self.open(steps, "eve's event stream", "200", last, "/events", &laptop);

        steps.part("She signs out on her laptop (below: ms after the response)");
        let request = Request::post("/sign-out").bearer(&laptop);
        let call = self.door_step(steps, "she signs out", "200", 0, &request);
        self.refused_at_each(steps, "the token", &laptop, call);
        await_end(steps, "her laptop's WebSocket", &socket, call);
        await_end(steps, "eve's event stream", &events, call);
        self.door_step(steps, "her phone", "200 ada", 0, &whoami(&phone));
        self.door_step(steps, "her phone", "200 ada", last, &whoami(&phone));
    }

    fn new_password(&mut self, steps: &mut Steps) {
        steps.part(
            "A new password ends all her sessions (held up to 2 s, so that a new sign-in works)",
        );
        let (phone, tablet) = (self.sign_in("ada", ""), self.sign_in("ada", ""));
        let last = self.doors.len() - 1;
        let events = self.open(steps, "her phone's event stream", "200", 0, "/events", &phone);
        let request = Request::post("/password").bearer(&tablet);
        let call = self.door_step(steps, "a new password, by her tablet", "200", last, &request);
        self.refused_at_each(steps, "her phone", &phone, call);
        await_end(steps, "her phone's event stream", &events, call);
        let again = self.sign_in("ada", "");
        self.door_step(steps, "she signs in again", "200 ada", 0, &whoami(&again));
    }

    fn sign_out_at_the_provider(
        &mut self,
        steps: &mut Steps,
        provider: &IdentityProvider,
        service: SocketAddr,
    ) {
        steps.part(
            "Bob signs out at his identity provider, which sends a back-channel logout token",
        );
        // The provider names the session in its ID token, and the application in its own tokens.
        let session = uuid::Uuid::new_v4().to_string();
        let (first, refreshed) = (self.sign_in("bob", &session), self.sign_in("bob", &session));
        let last = self.doors.len() - 1;
        self.door_step(steps, "his token", "200 bob", 0, &whoami(&first));
        let events = self.open(steps, "his event stream", "200", last, "/events", &refreshed);
        let sent = Instant::now();
        let answer = provider.end_session(&session, service);
        let call = RevokingCall { proxy: None, sent, acknowledged: Instant::now() };
        steps.check("the logout token, at the service", "200", &result_of(&answer), sent.elapsed());
        self.refused_at_each(steps, "his token", &first, call);
        self.refused_at(steps, "his refreshed token", last, &refreshed, call);
        await_end(steps, "his event stream", &events, call);
        let again = self.sign_in("bob", &session);
        self.door_step(steps, "he signs in again", "200 bob", 0, &whoami(&again));
    }

    /// Signs a user in. The session is empty if no identity provider named one.
    fn sign_in(&self, user: &str, session: &str) -> Token {
        let form = Request::post("/sign-in").header("content-type", FORM);
        let form = form.body(format!("name={user}&session={session}"));
        let answer = Connection::to(self.front).send(&form);
        Token::text(answer.json()["token"].as_str().unwrap_or_default())
    }

    fn front_step(&self, steps: &mut Steps, step: &str, expected: &str, request: &Request) {
        let start = Instant::now();
        let answer = Connection::to(self.front).send(request);
        steps.check(step, expected, &result_of(&answer), start.elapsed());
    }

    fn door_step(
        &mut self,
        steps: &mut Steps,
        step: &str,
        expected: &str,
        door: usize,
        request: &Request,
    ) -> RevokingCall {
        let door = &mut self.doors[door];
        let sent = Instant::now();
        let answer = door.connection.send(request);
        let acknowledged = Instant::now();
        let step = format!("{step}, {}", door.proxy);
        steps.check(&step, expected, &result_of(&answer), acknowledged - sent);
        RevokingCall { proxy: Some(door.address), sent, acknowledged }
    }

    fn open(
        &self,
        steps: &mut Steps,
        step: &str,
        expected: &str,
        door: usize,
        path: &str,
        token: &Token,
    ) -> LiveRequest {
        let door = &self.doors[door];
        let request = Request::get(path).bearer(token);
        let start = Instant::now();
        let (status, open) = match path {
            "/socket" => LiveRequest::socket(door.address, request),
            _ => LiveRequest::open(door.address, &request),
        };
        let step = format!("{step}, {}", door.proxy);
        steps.check(&step, expected, &status.to_string(), start.elapsed());
        open
    }

    fn refused_at_each(
        &mut self,
        steps: &mut Steps,
        step: &str,
        token: &Token,
        call: RevokingCall,
    ) {
        for door in 0..self.doors.len() {
            self.refused_at(steps, step, door, token, call);
        }
    }

    /// Sends a request until it is refused. The proxy that revoked the token must refuse the first
    /// one, on each of its workers.
    fn refused_at(
        &mut self,
        steps: &mut Steps,
        step: &str,
        door: usize,
        token: &Token,
        call: RevokingCall,
    ) {
        let door = &mut self.doors[door];
        let expected = "401 revoked";
        let mut actual = result_of(&door.connection.send(&whoami(token)));
        let elsewhere = call.proxy != Some(door.address);
        while actual != expected && elsewhere && call.acknowledged.elapsed() < PROPAGATES_WITHIN {
            thread::sleep(Duration::from_millis(1));
            actual = result_of(&door.connection.send(&whoami(token)));
        }
        let step = format!("{step}, {}", door.name());
        steps.check(&step, expected, &actual, call.acknowledged.elapsed());
    }
}

fn await_end(steps: &mut Steps, step: &str, open: &LiveRequest, call: RevokingCall) {
    let (actual, took) = open.await_end(call);
    steps.check(step, "ended", actual, took);
}

fn whoami(token: &Token) -> Request {
    Request::get("/whoami").bearer(token)
}

/// Formats the status, and the code or the user from the body.
fn result_of(answer: &HttpResponse) -> String {
    let json = answer.json();
    let detail = json["code"].as_str().or(json["user_id"].as_str()).unwrap_or_default();
    format!("{} {detail}", answer.status).trim().to_owned()
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Far longer than one feed round trip on one machine.
const PROPAGATES_WITHIN: Duration = Duration::from_secs(5);
