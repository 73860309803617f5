//! The filter's configuration. See [`session_guard_fuzz::configuration`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session_guard_fuzz::configuration::check(bytes));
