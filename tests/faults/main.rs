//! Promise: no fault brings a token back to life, and what was acknowledged is enforced everywhere
//! once it is quiet. Method: the real thing is broken for real: processes killed, clocks set,
//! networks cut, disks filled. `make faults` runs these and the neighbours that prove the other
//! scenarios, and writes one table.

mod clocks;
mod floods;
mod hot_restart;
mod load;
mod masses;
mod partitions;
mod power;
mod processes;
mod propagation;
mod shim;
mod soak;
mod stores;
