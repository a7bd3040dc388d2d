//! Archives as whole streams: round trips, golden digests, hostile input, and tools of other people.

mod golden;
mod hostile;
mod oras;
mod other_tools;
mod pack_errors;
mod round_trip;
mod support;
mod tolerance;
mod unpack;
