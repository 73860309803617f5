//! Tests of the service through its HTTP interface and its command line.

mod answers;
mod audit;
mod command_line;
mod connections;
mod copies;
mod crash;
mod feed;
mod guard;
mod installations;
mod lookup;
mod page;
mod provider;
mod receivers;
mod rights;
mod streams_of_events;
mod support;
mod tls;
mod transmitter;
