//! What a request asks for, what it carries, and what the application receives.

pub mod path;
pub mod routes;
pub mod sources;
pub mod upstream;
