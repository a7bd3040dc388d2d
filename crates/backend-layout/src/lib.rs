//! A registry backend over OCI image layouts in directories and object stores.
