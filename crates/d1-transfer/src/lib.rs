//! Push, pull, read, copy and verify data packages over any registry backend.
