//! Writing an index.

use std::io::{self, Write};

use oci_model::Descriptor;

use super::PackageIndex;

pub(super) fn write(index: &PackageIndex, output: impl Write) -> io::Result<()> {
    let _ = (index, output);
    todo!()
}

pub(super) fn descriptor(index: &PackageIndex) -> Descriptor {
    let _ = index;
    todo!()
}
