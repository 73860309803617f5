//! Promise: an open request ends within a second of the response to its token's sign-out, and no
//! other request ends. Envoy and its VMs survive the end of any number of requests.
//! Method: a real Envoy with two workers, and clients that keep requests of every kind open.

mod client;
mod crowd;
mod dice;
mod endings;
mod flood;
mod lifecycle;
mod peers;
mod random;
mod report;
mod settings;
