//! A registry backend for every distribution-spec registry.
