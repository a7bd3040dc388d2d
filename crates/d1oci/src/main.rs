//! The `d1oci` command.

fn main() {}
