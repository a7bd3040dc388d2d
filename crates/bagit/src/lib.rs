//! BagIt 1.0 and 0.9x (RFC 8493): read, validate and create bags in directories, tar streams and zip files.
