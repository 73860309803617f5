//! An empty proxy-wasm filter, which measures the minimum cost of every such filter.
//!
//! Envoy creates a context, calls it with the headers of the request and of the response, and
//! deletes it. The module is built like the filter, with the same exports.
//!
//! A word as its configuration adds work:
//!
//! - `crossings`: makes every call between Envoy and the VM that the filter makes for a token seen
//!   before, and ignores the results. No code of the filter can be faster; the filter's additional
//!   cost is its own code.
//! - `crossings of a first sight`: also does what a new token requires: three more look-ups, one of
//!   which returns a shard of 30 revocations, the HMAC of a token, and the hashes for the ids of
//!   token and user.
//! - `ten …`: makes the same call ten times, so that a tenth of the added cost is the cost of one
//!   call.

mod raw;

use std::hint::black_box;
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType};
use sha2::{Digest, Sha256};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    Nothing,
    Crossings,
    CrossingsOfAFirstSight,
    Ten(HostCall),
}

/// A call that the filter makes during a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostCall {
    Headers,
    Clock,
    EmptyValue,
    Add,
}

impl Filter {
    fn named(word: &[u8]) -> Self {
        match word {
            b"\"crossings\"" => Self::Crossings,
            b"\"crossings of a first sight\"" => Self::CrossingsOfAFirstSight,
            b"\"ten headers\"" => Self::Ten(HostCall::Headers),
            b"\"ten clocks\"" => Self::Ten(HostCall::Clock),
            b"\"ten empty values\"" => Self::Ten(HostCall::EmptyValue),
            b"\"ten added headers\"" => Self::Ten(HostCall::Add),
            _ => Self::Nothing,
        }
    }

    fn cross(self) {
        let bytes = raw::all_headers();
        if self == Self::CrossingsOfAFirstSight {
            let text = bytes.get(..TOKEN_BYTES).unwrap_or(&bytes);
            let hmac = KEY.with(Hmac::clone).chain_update(text).finalize();
            let ids = [(); 2].map(|()| Sha256::digest(black_box([0; ID_BYTES])));
            let looked_up = [SHARD, NO_USER, NO_ALL].map(hostcalls::get_shared_data);
            let _ = black_box((hmac, ids, looked_up));
        }
        drop(black_box(bytes));
        [HostCall::Clock, HostCall::EmptyValue, HostCall::Add].into_iter().for_each(HostCall::make);
    }
}

impl HostCall {
    fn make(self) {
        match self {
            Self::Headers => drop(black_box(raw::all_headers())),
            Self::Clock => drop(black_box(SystemTime::now())),
            Self::EmptyValue => drop(black_box(hostcalls::get_shared_data(GENERATION))),
            Self::Add => {
                let map = MapType::HttpRequestHeaders;
                let _ = hostcalls::add_map_value_bytes(map, "x-user-id", b"a user");
            }
        }
    }
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match *self {
            Self::Nothing => {}
            Self::Ten(call) => (0..10).for_each(|_| call.make()),
            crossings => crossings.cross(),
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        Action::Continue
    }
}

impl RootContext for Filter {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size);
        *self = Self::named(&text.ok().flatten().unwrap_or_default());
        hostcalls::set_shared_data(GENERATION, None, None).is_ok()
            && hostcalls::set_shared_data(SHARD, Some(&[0; SHARD_BYTES]), None).is_ok()
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(*self))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Names as long as the filter's.
const GENERATION: &str = "session-guard/2/0000000000000000/gen";
const SHARD: &str = "session-guard/2/0000000000000000/t0000";
const NO_USER: &str = "session-guard/2/0000000000000000/u000";
const NO_ALL: &str = "session-guard/2/0000000000000000/all";

/// Size of a shard at a million revocations: 9 bytes, and 24 for each of 30 records.
const SHARD_BYTES: usize = 729;

/// Length of header and payload of the tokens that the other peers get.
const TOKEN_BYTES: usize = 240;

/// Length of the input that is hashed for the id of a token or user whose name is a UUID.
const ID_BYTES: usize = 60;

thread_local! {
    /// The key of an HMAC with a secret of 44 characters.
    static KEY: Hmac<Sha256> = Hmac::new_from_slice(&[b's'; 44]).expect("of any length");
}

/// Registers the root context with the SDK.
pub fn start() {
    proxy_wasm::set_root_context(|_| Box::new(Filter::Nothing));
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unreachable_pub)] // the macro's own function
mod entry {
    proxy_wasm::main! {{ super::start() }}
}
