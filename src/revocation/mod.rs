//! Which tokens are revoked?

pub mod record;
