//! OCI digests, references, descriptors and manifests, with canonical bytes.
