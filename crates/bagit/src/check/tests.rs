//! Every rule of the checklist, each broken alone.
