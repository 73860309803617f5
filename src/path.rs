//! Is a path in the one spelling that rules are written for?
