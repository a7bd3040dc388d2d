//! A registry backend for every registry that speaks the OCI distribution specification.
#![doc = include_str!("../README.md")]

mod factory;

pub use factory::GenericFactory;
