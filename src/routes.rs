//! What does a request's route ask of it?
