//! Packages from a scripted DataONE node into bags and stores.
#![cfg(test)]

mod bulk;
mod faults;
mod fetching;
mod replicating;
mod support;
