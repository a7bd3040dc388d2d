//! Documents that read and write: samples, variants, round trips and hostile input.

mod common;
mod hostile;
mod resource_map_variants;
mod round_trip;
mod samples;
