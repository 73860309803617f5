//! Where in a request are the tokens?
