//! Packages from a scripted DataONE node into bags and stores.
#![cfg(test)]

mod bulk;
mod comparing;
mod faults;
mod fetching;
mod in_step;
mod replicating;
mod support;
