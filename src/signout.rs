//! What happens when a user signs out?
