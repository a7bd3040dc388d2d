-- Version 1 of the catalogue. Digests are 32 bytes for SHA-256, else text; times are milliseconds since 1970 UTC.

-- One row: a number that grows with every change.
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL);
INSERT INTO state (id, generation) VALUES (1, 1);

-- Texts that many rows repeat: formats, media types, subjects, nodes.
CREATE TABLE term (id INTEGER PRIMARY KEY, value TEXT NOT NULL UNIQUE);

CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- End of the last complete update.
    updated INTEGER
);

-- Manifests that a tag names.
CREATE TABLE artifact (
    id INTEGER PRIMARY KEY,
    repository INTEGER NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest NOT NULL,
    -- The first tag in the order of the store, and its position.
    tag TEXT NOT NULL,
    position INTEGER NOT NULL,
    -- 0 package, 1 object, 2 index, 3 other.
    kind INTEGER NOT NULL,
    artifact_type INTEGER REFERENCES term (id),
    identifier TEXT,
    resource_map TEXT,
    series TEXT,
    obsoletes TEXT,
    obsoleted_by TEXT,
    title TEXT,
    -- Whether the title is the annotation `org.opencontainers.image.description`.
    described INTEGER NOT NULL,
    format INTEGER REFERENCES term (id),
    created TEXT,
    created_at INTEGER,
    stored_bytes INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    -- Number of objects that not everybody may read, as the manifest states it.
    not_public INTEGER NOT NULL,
    content_digest TEXT,
    license TEXT,
    directory TEXT NOT NULL,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- Objects with system metadata, and those of them that not everybody may read.
    documented INTEGER NOT NULL,
    hidden INTEGER NOT NULL,
    -- Whether archives without an index hold further files.
    unlisted INTEGER NOT NULL,
    -- Why the index cannot be read.
    fault TEXT,
    UNIQUE (repository, digest)
);
CREATE INDEX artifact_position ON artifact (repository, position);
CREATE INDEX artifact_digest ON artifact (digest);
CREATE INDEX artifact_identifier ON artifact (identifier) WHERE identifier IS NOT NULL;
CREATE INDEX artifact_resource_map ON artifact (resource_map) WHERE resource_map IS NOT NULL;
CREATE INDEX artifact_series ON artifact (series) WHERE series IS NOT NULL;
CREATE INDEX artifact_obsoletes ON artifact (obsoletes) WHERE obsoletes IS NOT NULL;
CREATE INDEX artifact_fault ON artifact (repository) WHERE fault IS NOT NULL;
CREATE INDEX artifact_created ON artifact (created_at);

CREATE TABLE tag (
    repository INTEGER NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    digest,
    artifact INTEGER REFERENCES artifact (id) ON DELETE CASCADE,
    -- Why the manifest cannot be read. Such tags are read again by every update.
    fault TEXT,
    PRIMARY KEY (repository, name)
) WITHOUT ROWID;
CREATE INDEX tag_artifact ON tag (artifact);

CREATE TABLE layer (
    artifact INTEGER NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    digest NOT NULL,
    size INTEGER NOT NULL,
    media_type INTEGER NOT NULL REFERENCES term (id),
    format INTEGER REFERENCES term (id),
    -- The independently compressed members of an archive: see `members.rs`.
    members BLOB,
    PRIMARY KEY (artifact, position)
) WITHOUT ROWID;

CREATE TABLE directory (
    id INTEGER PRIMARY KEY,
    artifact INTEGER NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    parent INTEGER,
    -- Without a slash at its end; empty for the root.
    path TEXT NOT NULL,
    -- Of all files below it.
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    -- The range of rows in `file` that holds all files below it.
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    UNIQUE (artifact, path)
);
CREATE INDEX directory_parent ON directory (parent, path);

-- The files of an artifact have consecutive ids in the order of the package.
CREATE TABLE file (
    id INTEGER PRIMARY KEY,
    directory INTEGER NOT NULL REFERENCES directory (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    object INTEGER REFERENCES object (id),
    format INTEGER REFERENCES term (id),
    media_type INTEGER NOT NULL REFERENCES term (id),
    sha256 BLOB,
    -- All other digests that the package states.
    digests BLOB,
    layer INTEGER NOT NULL,
    -- Number of layers, if the file is in parts.
    parts INTEGER,
    -- Offset in the tar archive, if the layer is one.
    offset INTEGER,
    -- The state of the object, as the index states it.
    series TEXT,
    obsoleted_by TEXT,
    archived INTEGER NOT NULL,
    not_public INTEGER NOT NULL,
    UNIQUE (directory, name)
);
CREATE INDEX file_series ON file (series) WHERE series IS NOT NULL;
CREATE INDEX file_object ON file (object) WHERE object IS NOT NULL;
CREATE INDEX file_sha256 ON file (sha256) WHERE sha256 IS NOT NULL;

-- Digests by other algorithms than SHA-256, for searches. `algorithm` is the name in BagIt manifests.
CREATE TABLE checksum (
    value BLOB NOT NULL,
    file INTEGER NOT NULL REFERENCES file (id) ON DELETE CASCADE,
    PRIMARY KEY (value, file)
) WITHOUT ROWID;
CREATE INDEX checksum_file ON checksum (file);

-- CRC-32 of contents that were read and verified.
CREATE TABLE crc (sha256 BLOB PRIMARY KEY, crc32 INTEGER NOT NULL) WITHOUT ROWID;

-- One row for each identifier of an object, with the facts that lists sort and filter by.
CREATE TABLE object (
    id INTEGER PRIMARY KEY,
    identifier TEXT NOT NULL UNIQUE,
    -- The copy that stands for the object. None if only a resource map mentions it.
    file INTEGER,
    modified INTEGER,
    public INTEGER NOT NULL DEFAULT 0,
    series TEXT,
    format INTEGER REFERENCES term (id),
    -- Whether copies have different content.
    conflict INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX object_modified ON object (modified, identifier) WHERE file IS NOT NULL;
CREATE INDEX object_series ON object (series) WHERE series IS NOT NULL;

-- The system metadata of one copy of an object.
CREATE TABLE system_metadata (
    file INTEGER PRIMARY KEY REFERENCES file (id) ON DELETE CASCADE,
    -- The document: a file of the same package, or a blob of a referrer.
    document INTEGER,
    referrer,
    blob,
    blob_size INTEGER,
    version INTEGER NOT NULL,
    serial INTEGER,
    format INTEGER REFERENCES term (id),
    size INTEGER NOT NULL,
    algorithm INTEGER NOT NULL REFERENCES term (id),
    checksum TEXT NOT NULL,
    submitter INTEGER REFERENCES term (id),
    rights_holder INTEGER REFERENCES term (id),
    public INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    series TEXT,
    obsoletes TEXT,
    obsoleted_by TEXT,
    uploaded INTEGER,
    modified INTEGER,
    origin INTEGER REFERENCES term (id),
    authoritative INTEGER REFERENCES term (id),
    -- Nodes with replicas, separated by spaces.
    replicas INTEGER REFERENCES term (id),
    media_type INTEGER REFERENCES term (id),
    file_name TEXT
);
CREATE INDEX system_metadata_obsoletes ON system_metadata (obsoletes) WHERE obsoletes IS NOT NULL;

-- The statements of resource maps.
CREATE TABLE documents (
    artifact INTEGER NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    metadata INTEGER NOT NULL REFERENCES object (id),
    data INTEGER NOT NULL REFERENCES object (id),
    PRIMARY KEY (artifact, metadata, data)
) WITHOUT ROWID;
CREATE INDEX documents_metadata ON documents (metadata);
CREATE INDEX documents_data ON documents (data);

-- Entries of the search: one for each science metadata document, or one for an artifact without any.
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    artifact INTEGER NOT NULL REFERENCES artifact (id) ON DELETE CASCADE,
    file INTEGER,
    -- Whether everybody may read the document; unknown without system metadata.
    public INTEGER,
    archived INTEGER NOT NULL,
    -- The content of the document: JSON, compressed by zlib.
    content BLOB NOT NULL
);
CREATE INDEX record_artifact ON record (artifact);
CREATE INDEX record_file ON record (file) WHERE file IS NOT NULL;

CREATE TABLE creator (
    orcid TEXT NOT NULL,
    record INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
    PRIMARY KEY (orcid, record)
) WITHOUT ROWID;
CREATE INDEX creator_record ON creator (record);

-- Days since 1970, the first and the last.
CREATE TABLE period (
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    record INTEGER NOT NULL REFERENCES record (id) ON DELETE CASCADE,
    PRIMARY KEY (first, last, record)
) WITHOUT ROWID;
CREATE INDEX period_record ON period (record);

-- Boxes in degrees. The row of the record is `id / 64`.
CREATE VIRTUAL TABLE area USING rtree (id, west, east, south, north);

-- The words of a record, which has the same row.
CREATE VIRTUAL TABLE words USING fts5 (
    title, creator, abstract, keyword, taxon, place, attribute, other,
    content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
