//! The service as its callers see it.

mod answers;
mod command_line;
mod connections;
mod copies;
mod crash;
mod feed;
mod installations;
mod provider;
mod receivers;
mod support;
mod tls;
