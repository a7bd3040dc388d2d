//! End-to-end tests: the built binary, as people use it.

mod bad_input;
mod command_line;
mod concurrent;
mod copies;
mod counted;
mod credentials;
mod damage;
mod dataone;
mod export;
mod finding;
mod hash_stores;
mod hostile;
mod hostile_network;
mod interop;
mod kills;
mod live;
mod lost_links;
mod nodes;
mod objects;
mod oras;
mod readme;
mod reproducible;
mod round_trip;
mod seed_session;
mod terminal;
mod torture;
