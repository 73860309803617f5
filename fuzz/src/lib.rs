//! Invariants that hold for every input from outside.
//!
//! Each module has one function `check`, which takes any bytes and panics if a promise is broken.
//! libFuzzer searches for such bytes (`make fuzz`); it starts from `seeds/`, which are test cases.

pub mod answers;
pub mod configuration;
pub mod headers;
pub mod token;

mod moment;
