//! Receiving the files of a package, into a staging directory or nowhere: every byte hashed and compared as it comes.

mod archive_files;
mod damage;
mod expected;
mod file;
mod job;
mod package;

pub(crate) use expected::{Expected, check_kept_size};
pub(crate) use package::{Arrived, Destination, Received, Receiving, Wanted, is_loss, receive_package};
