//! Responses of the service and of an issuer. See [`session_guard_fuzz::answers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session_guard_fuzz::answers::check(bytes));
