//! The binary: the service, and the operator's command line.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run()
}
