//! Which identifier a package has.
