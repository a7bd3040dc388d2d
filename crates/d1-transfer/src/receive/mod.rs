//! Receiving the files of a package, into a staging directory or nowhere: every byte hashed and compared as it comes.

mod archive_files;
mod file;
mod job;
mod package;

pub(crate) use file::{observed, run_blocking};
pub(crate) use package::{
    Arrived, Destination, Received, Receiving, Wanted, check_file, join, receive_package,
};

pub(crate) use job::Expected;
