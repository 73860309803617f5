//! What must hold whatever comes from outside?
//!
//! One function for each kind of input, which takes any bytes and panics where a promise is broken.
//! libFuzzer looks for such bytes (`make fuzz`); it begins with `seeds/`, which are cases of the tests.

pub mod answers;
pub mod configuration;
pub mod headers;
pub mod token;

mod moment;
