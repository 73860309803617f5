//! The headers of a request. See [`session_guard_fuzz::headers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session_guard_fuzz::headers::check(bytes));
