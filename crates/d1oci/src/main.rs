//! The `d1oci` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    d1oci::Program::new().run()
}
