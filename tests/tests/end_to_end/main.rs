//! End-to-end tests: the built binary, as people use it.

mod bad_input;
mod command_line;
mod concurrent;
mod credentials;
mod damage;
mod dataone;
mod kills;
mod oras;
mod reproducible;
mod round_trip;
mod torture;
