//! A backend that keeps each blob, manifest and tag in a file of its own, under the scheme `shelf:`.

mod shelf;

pub use shelf::{Shelf, ShelfFactory};
