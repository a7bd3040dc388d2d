//! `d1oci` with a shelf.

use std::process::ExitCode;

fn main() -> ExitCode {
    d1oci::Program::new().with_backend(own_backend::ShelfFactory).run()
}
