//! The index as JSON has it.
