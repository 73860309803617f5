//! The route of a request, its tokens, and the headers that the application receives.

pub mod path;
pub mod routes;
pub mod sources;
pub mod upstream;
