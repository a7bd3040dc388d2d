//! End-to-end tests: the built binary, as people use it.

mod bad_input;
mod command_line;
mod concurrent;
mod copies;
mod counted;
mod credentials;
mod damage;
mod dataone;
mod exit_codes;
mod export;
mod finding;
mod hash_stores;
mod hostile;
mod hostile_network;
mod image_indexes;
mod interop;
mod kills;
mod live;
mod lost_links;
mod mirrors;
mod nodes;
mod objects;
mod oras;
mod own_backend;
mod planted;
mod power_cut;
mod readme;
mod reproducible;
mod resumed_pushes;
mod round_trip;
mod seed_session;
<<<<<<< HEAD
mod signals;
mod sync_order;
=======
mod short_memory;
>>>>>>> bdea585 (Mirror repositories, show waits, resume killed pushes, follow Quay as measured)
mod terminal;
mod torture;
mod waits;
