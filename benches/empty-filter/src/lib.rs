//! What does a filter cost that does nothing?
//!
//! The floor of every proxy-wasm filter: Envoy makes a context, calls it with the headers of the
//! request and of the answer, and deletes it. Built as the filter is, with the same exports.
//!
//! Configured with the word `crossings` it does one thing more: whatever crosses between Envoy and
//! the VM while ours judges a token that was seen before, and nothing with it. What ours costs beyond
//! that is its own code; what this costs no code of ours can save. With `crossings of the request` it
//! leaves out the one on the answer. With `crossings of a first sight` it does what cannot be saved
//! when a token comes for the first time: three look-ups more, of which one brings a shard of 30
//! revocations, the HMAC of a token, and the hashes that its own id and its user's are. With `shared
//! data` it reads an empty value of shared data ten times: how long is the lock held at most?

mod raw;

use std::hint::black_box;
use std::time::SystemTime;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, MapType};

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Filter {
    #[default]
    Nothing,
    Crossings,
    CrossingsOfTheRequest,
    CrossingsOfAFirstSight,
    SharedData,
}

impl Filter {
    fn crosses(self) -> bool {
        !matches!(self, Self::Nothing | Self::SharedData)
    }
}

impl Context for Filter {}

impl HttpContext for Filter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if *self == Self::SharedData {
            for _ in 0..10 {
                let _ = black_box(hostcalls::get_shared_data(GENERATION));
            }
        }
        if self.crosses() {
            let bytes = raw::all_headers();
            if *self == Self::CrossingsOfAFirstSight {
                let text = bytes.get(..TOKEN_BYTES).unwrap_or(&bytes);
                let hmac = hmac_sha256::HMAC::mac(text, SECRET);
                let ids = [(); 2].map(|()| hmac_sha256::Hash::hash(black_box(&[0; ID_BYTES])));
                let looked_up = [SHARD, NO_USER, NO_ALL].map(hostcalls::get_shared_data);
                let _ = black_box((hmac, ids, looked_up));
            }
            let time = SystemTime::now();
            let generation = hostcalls::get_shared_data(GENERATION);
            let _ = black_box((bytes, time, generation));
            let map = MapType::HttpRequestHeaders;
            let _ = hostcalls::set_map_value_bytes(map, "x-user-id", Some(b"a user"));
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        if self.crosses() && *self != Self::CrossingsOfTheRequest && !end_of_stream {
            let map = MapType::HttpResponseHeaders;
            let _ = black_box(hostcalls::get_map_value_bytes(map, "content-type"));
        }
        Action::Continue
    }
}

impl RootContext for Filter {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size);
        let text = text.ok().flatten().unwrap_or_default();
        *self = match &*text {
            b"\"crossings\"" => Self::Crossings,
            b"\"crossings of the request\"" => Self::CrossingsOfTheRequest,
            b"\"crossings of a first sight\"" => Self::CrossingsOfAFirstSight,
            b"\"shared data\"" => Self::SharedData,
            _ => Self::Nothing,
        };
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

/// What a shard takes at a million revocations: 9 bytes, and 24 for each of 30.
const SHARD_BYTES: usize = 729;

/// As long as header and payload of the tokens that the others get.
const TOKEN_BYTES: usize = 240;

/// What is hashed for the id of a token or a user whose name is a UUID.
const ID_BYTES: usize = 60;

const SECRET: &[u8] = b"a secret that is as long as 44 characters are";

/// Tells the SDK which context answers for a configuration.
pub fn start() {
    proxy_wasm::set_root_context(|_| Box::new(Filter::default()));
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unreachable_pub)] // the macro's own function
mod entry {
    proxy_wasm::main! {{ super::start() }}
}
