//! Tokens and their claims. See [`session_guard_fuzz::token`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session_guard_fuzz::token::check(bytes));
