//! Promise: an open request ends within a second of the answer to its token's sign-out, and no other
//! does. Whatever ends, however many at once, Envoy and its VMs live on.
//! Method: a real Envoy with two workers, clients that hold requests of every kind open.

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
