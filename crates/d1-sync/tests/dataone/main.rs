//! Packages from a scripted DataONE node into bags and stores.
#![cfg(test)]

mod bulk;
mod comparing;
mod faults;
mod fetching;
mod hash_store_packages;
mod in_step;
mod private;
mod replicating;
mod series;
mod support;
