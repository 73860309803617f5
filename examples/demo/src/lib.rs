//! What does the walk through session-guard consist of, wherever it takes place?

pub mod walk;
