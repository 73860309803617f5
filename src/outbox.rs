//! Which revocations has the service not acknowledged yet?
