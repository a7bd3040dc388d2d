//! Receiving the files of a package, into a staging directory or nowhere: every byte hashed and compared as it comes.

mod archive_files;
mod came;
mod damage;
mod expected;
mod file;
mod file_set;
mod job;
mod kept;
mod package;

pub(crate) use came::CameFiles;
pub(crate) use expected::{Expected, check_kept_size};
pub(crate) use file_set::FileSet;
pub(crate) use kept::KeptBytes;
pub(crate) use package::{Arrived, Destination, Receiving, Wanted, is_loss, receive_package};
