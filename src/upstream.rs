//! What does the application get to see?
