//! The questions of operators: who revoked what, whether something is revoked, and how the service
//! is.

pub(crate) mod audit;
pub(crate) mod lookup;
pub(crate) mod page;
pub(crate) mod status;
