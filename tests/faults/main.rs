//! Promise: no fault makes a revoked token valid again, and every acknowledged revocation is
//! enforced everywhere after the fault.
//! Method: real faults in real components: killed processes, wrong clocks, cut networks, full
//! disks. `make faults` runs these and the tests of the other scenarios, and writes one table.

mod clocks;
mod floods;
mod forgeries;
mod hot_restart;
mod load;
mod masses;
mod partitions;
mod power;
mod processes;
mod propagation;
mod providers;
mod shim;
mod soak;
mod stores;
