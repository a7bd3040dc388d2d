//! The package format of d1oci: bags and DataONE metadata as OCI manifests, and back.
