//! The rows of the table, and the parts of a row.

use crate::sample::Kind;

/// The name of the program that all rows are about.
pub(super) const OURS: &str = "d1oci";

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    /// The work, in the words of the table.
    pub(super) work: &'static str,
    pub(super) sample: SampleSize,
    pub(super) network: Network,
    pub(super) ours: Contender,
    pub(super) peer: Contender,
    pub(super) target: Target,
}

/// The bag that a row works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SampleSize {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) files: u64,
}

/// The way to the registry of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// The row has no registry.
    None,
    /// On the loopback interface.
    Loopback,
    /// Behind a link with 50 ms of delay each way and 100 Mbit/s.
    Slow,
    /// Behind a link with 10 ms of delay each way. Commands name it by an address that is not of the loopback interface, so that `d1oci`
    /// keeps to the limits for registries elsewhere.
    Distant,
    /// A bucket on the loopback interface instead of a registry. Every command finds its server in the environment.
    Bucket,
}

/// One side of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contender {
    /// The program that the table names.
    pub(super) name: &'static str,
    /// The call that prepares all runs.
    pub(super) setup: Option<Call>,
    /// The file or directory that is removed before every run; empty if there is none.
    pub(super) fresh: &'static str,
    /// The measured call.
    pub(super) call: Call,
    pub(super) check: Check,
}

/// A program with its arguments.
///
/// Arguments have placeholders. `{bag}` is the bag, relative to the directory of the command; `{member}` is its payload
/// file whose size is nearest to 10 MiB. `{store}` and `{out}` are paths of the side's own. `{registry}` is the address of
/// the side's own registry over the row's network, `{direct}` its address past that network, and `{data}` its storage. `{tags}` is the
/// number of tags to mirror: 1,000, and fewer with small samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) program: &'static str,
    pub(super) arguments: &'static [&'static str],
}

/// The proof that a side did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// `oras pull` of `{store}` gives the bag.
    StoreHoldsBag,
    /// `{store}` has the content that it had before, and `oras pull` of it gives the bag.
    StoreUnchanged,
    /// `oras pull` of the registry gives the bag.
    RegistryHoldsBag,
    /// The bucket has the files of the bag, or `oras pull` of its layout gives the bag.
    BucketHoldsBag,
    /// The registry has every blob of the layout `{store}`.
    RegistryHoldsStore,
    /// In the registry, `bench/copy` has every tag of `bench/tags`, with the same digest. (`skopeo sync` adds the last part of the
    /// source's name.)
    RegistryHoldsTags,
    /// `{out}` holds the bag.
    OutHoldsBag,
    /// `{out}` has the digest of every payload file.
    OutHasDigests,
    /// `{out}` is `{member}`.
    OutIsMember,
    /// `{out}` is `{member}`, compressed.
    OutUnpacksToMember,
    /// With one byte of the payload changed, the command fails.
    RefusesDamage,
    /// With one byte of a blob of `{store}` changed, the command fails.
    RefusesDamagedStore,
    /// The command succeeds: it computes a digest and writes nothing.
    Succeeds,
}

/// The largest ratio of d1oci to its peer that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) of: Quantity,
    pub(super) at_most: f64,
    /// The most requests of d1oci.
    pub(super) requests: Option<u64>,
}

/// The compared quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// The elapsed time.
    Wall,
    /// The time of all processors.
    Cpu,
    /// The received bytes; for a command without a network, the bytes of `{out}`.
    Received,
}

impl Row {
    /// Describes the row in the words of a command line.
    pub(super) fn description(&self) -> String {
        let side = |side: &Contender| format!("{} {}", side.call.program, side.call.arguments.join(" "));
        let of = match self.target.of {
            Quantity::Wall => "wall time",
            Quantity::Cpu => "CPU time",
            Quantity::Received => "bytes",
        };
        format!(
            "{}: {}\n    {}\n    {}\n    at most {} of the {of}",
            self.id,
            self.work,
            side(&self.ours),
            side(&self.peer),
            self.target.at_most
        )
    }
}

const LARGE: SampleSize = SampleSize { kind: Kind::Mooring, size: 1 << 30, files: 64 };
/// With files of about 10 MiB.
const LARGE_WITH_MEMBER: SampleSize = SampleSize { kind: Kind::Mooring, size: 1 << 30, files: 102 };
/// One file.
const ONE_FILE: SampleSize = SampleSize { kind: Kind::Mooring, size: 1 << 30, files: 1 };
/// A package to be copied whole, and the content of all tags of a repository that is mirrored.
const LITTLE: SampleSize = SampleSize { kind: Kind::Small, size: 16 * 4096, files: 16 };
const SMALL_FILES: SampleSize = SampleSize { kind: Kind::Small, size: 20_000 * 4096, files: 20_000 };

const fn d1oci(arguments: &'static [&'static str]) -> Call {
    Call { program: OURS, arguments }
}

/// 3 GiB in three files.
const HUGE: SampleSize = SampleSize { kind: Kind::Mooring, size: 3 << 30, files: 3 };
const SMALL_OBJECTS: SampleSize = SampleSize { kind: Kind::Small, size: 2_000 * 4096, files: 2_000 };

const fn oras(arguments: &'static [&'static str]) -> Call {
    Call { program: "oras", arguments }
}

const PUSH_ARCHIVE: Call = d1oci(&["push", "oci:{store}:v1", "{bag}", "--layout", "archive"]);
const PUSH_TRUSTING: Call =
    d1oci(&["push", "oci:{store}:v1", "{bag}", "--layout", "archive", "--trust-unchanged"]);
const PUSH_OBJECTS: Call = d1oci(&["push", "oci:{store}:v1", "{bag}", "--layout", "objects"]);
const PULL: Call = d1oci(&["pull", "oci:{store}:v1", "-o", "{out}"]);
const VALIDATE: Call = d1oci(&["bag", "validate", "{bag}"]);

const SEND_ARCHIVE: Call = d1oci(&["push", "{registry}/bench/bag:v1", "{bag}", "--layout", "archive"]);
const SEND_OBJECTS: Call = d1oci(&["push", "{registry}/bench/bag:v1", "{bag}", "--layout", "objects"]);
const PREPARE_ARCHIVE: Call = d1oci(&["push", "{direct}/bench/bag:v1", "{bag}", "--layout", "archive"]);
const RECEIVE: Call = d1oci(&["pull", "{registry}/bench/bag:v1", "-o", "{out}"]);
const PREPARE_OBJECTS: Call = d1oci(&["push", "{direct}/bench/bag:v1", "{bag}", "--layout", "objects"]);
const COPY: Call = d1oci(&["copy", "{registry}/bench/bag:v1", "oci:{store}:v1"]);
const VERIFY_DEEP: Call = d1oci(&["verify", "--deep", "oci:{store}:v1"]);
const MIRROR: Call = d1oci(&["mirror", "{registry}/bench/tags", "{registry}/bench/copy"]);
const MIRROR_DISTANT: Call =
    d1oci(&["mirror", "--plain-http", "{registry}/bench/tags", "{registry}/bench/copy"]);
const READ_MEMBER: Call = d1oci(&["cat", "{registry}/bench/bag:v1", "{member}", "-o", "{out}"]);

/// The directory of the server of buckets in which measured commands write.
const BUCKET_PREFIX: &str = "{data}/bench/v";
const BUCKET_PUSH: Call = d1oci(&["push", "s3://bench/v:v1", "{bag}", "--layout", "objects"]);
/// As an archive, which is what the program chooses for small files.
const BUCKET_PUSH_SMALL: Call = d1oci(&["push", "s3://bench/v:v1", "{bag}"]);
const BUCKET_PULL: Call = d1oci(&["pull", "s3://bench/v:v1", "-o", "{out}"]);
const AWS_UP: Call = Call {
    program: "aws",
    arguments: &["s3", "cp", "--recursive", "--quiet", "{bag}", "s3://bench/v/{bag}"],
};
const AWS_DOWN: Call =
    Call { program: "aws", arguments: &["s3", "cp", "--recursive", "--quiet", "s3://bench/v", "{out}"] };
const RCLONE_UP: Call = Call { program: "rclone", arguments: &["copy", "{bag}", ":s3:bench/v/{bag}"] };
const RCLONE_DOWN: Call = Call { program: "rclone", arguments: &["copy", ":s3:bench/v", "{out}"] };

const ARTIFACT_TYPE: &str = "application/bagit-1.0";
const ORAS_PUSH: Call =
    oras(&["push", "--oci-layout", "{store}:v1", "--artifact-type", ARTIFACT_TYPE, "{bag}"]);
const ORAS_PULL: Call = oras(&["pull", "--oci-layout", "{store}:v1", "-o", "{out}"]);
const ORAS_SEND: Call =
    oras(&["push", "--plain-http", "{registry}/bench/bag:v1", "--artifact-type", ARTIFACT_TYPE, "{bag}"]);
const ORAS_PREPARE: Call =
    oras(&["push", "--plain-http", "{direct}/bench/bag:v1", "--artifact-type", ARTIFACT_TYPE, "{bag}"]);
const ORAS_RECEIVE: Call = oras(&["pull", "--plain-http", "{registry}/bench/bag:v1", "-o", "{out}"]);

const ORAS_COPY: Call =
    oras(&["cp", "--from-plain-http", "{registry}/bench/bag:v1", "--to-oci-layout", "{store}:v1"]);
const REGCTL_COPY: Call = Call {
    program: "regctl",
    arguments: &[
        "image",
        "copy",
        "--host=reg={registry},tls=disabled",
        "{registry}/bench/bag:v1",
        "ocidir://{store}:v1",
    ],
};
const SKOPEO_COPY: Call = Call {
    program: "skopeo",
    arguments: &[
        "copy",
        "--insecure-policy",
        "--src-tls-verify=false",
        "docker://{registry}/bench/bag:v1",
        "oci:{store}:v1",
    ],
};

/// Sends an image and `{tags}` tags of it that differ in their annotations, over one connection. The bag is not used.
const PREPARE_TAGS: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"mkdir -p "$2"
cd "$2"
printf '{}' > config
digest=$(sha256sum config | cut -d ' ' -f 1)
place=$(curl -sSf -d '' -D - -o /dev/null "http://$1/v2/bench/tags/blobs/uploads/" |
    tr -d '\r' | sed -n 's/^[Ll]ocation: //p')
curl -sSf -H 'Content-Type: application/octet-stream' -T config "$place&digest=sha256:$digest"
type=application/vnd.oci.image
config="{\"mediaType\":\"$type.config.v1+json\",\"size\":2,\"digest\":\"sha256:$digest\"}"
seq "$3" | while read -r number; do
    printf '{"schemaVersion":2,"mediaType":"%s","config":%s,"layers":[],"annotations":{"number":"%s"}}' \
        "$type.manifest.v1+json" "$config" "$number" > "manifest-$number"
    printf 'url = "http://%s/v2/bench/tags/manifests/t%s"\nupload-file = "manifest-%s"\noutput = "/dev/null"\n' \
        "$1" "$number" "$number"
done | curl -sSf -H "Content-Type: $type.manifest.v1+json" -H Expect: -K -"#,
        "sh",
        "{direct}",
        "{store}",
        "{tags}",
    ],
};
const CRANE_MIRROR: Call = Call {
    program: "crane",
    arguments: &["copy", "--insecure", "--all-tags", "{registry}/bench/tags", "{registry}/bench/copy"],
};
const REGSYNC_MIRROR: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"cat > "$2" <<END
version: 1
creds: [{registry: "$1", tls: disabled}]
defaults: {parallel: 8, referrers: true}
sync: [{source: "$1/bench/tags", target: "$1/bench/copy", type: repository}]
END
regsync once -c "$2""#,
        "sh",
        "{registry}",
        "{out}",
    ],
};
const SKOPEO_MIRROR: Call = Call {
    program: "skopeo",
    arguments: &[
        "sync",
        "--insecure-policy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--src=docker",
        "--dest=docker",
        "{registry}/bench/tags",
        "{registry}/bench/copy",
    ],
};

/// Asks for the blob by its digest, which the bag's manifest states.
const CURL_RECEIVE: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"digest=$(cut -d ' ' -f 1 "$1/manifest-sha256.txt")
exec curl -sSf -o "$3" "http://$2/v2/bench/bag/blobs/sha256:$digest""#,
        "sh",
        "{bag}",
        "{registry}",
        "{out}",
    ],
};

const BAGIT_VALIDATE: Call =
    Call { program: "bagit.py", arguments: &["--validate", "--quiet", "--processes", "2", "{bag}"] };

/// Begins an upload for every blob of a layout, then sends the blobs one after another. Each step uses one connection:
/// starting a program for each blob would count against curl.
const CURL_SEND: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"cd "$1/blobs/sha256"
for blob in *; do
    printf 'url = "http://%s/v2/bench/bag/blobs/uploads/"\noutput = "/dev/null"\n' "$2"
done | curl -sSf -d '' -D - -K - | tr -d '\r' | sed -n 's/^[Ll]ocation: //p' > "$3"
printf '%s\n' * | paste -d ' ' - "$3" | while read -r blob place; do
    printf 'url = "%s&digest=sha256:%s"\n' "$place" "$blob"
    printf 'upload-file = "%s"\noutput = "/dev/null"\n' "$blob"
done | curl -sSf -H 'Content-Type: application/octet-stream' -H Expect: -K -"#,
        "sh",
        "{store}",
        "{registry}",
        "{out}",
    ],
};

const OPENSSL_DIGESTS: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"find "$1" -type f -print0 | xargs -0 -n 4 -P "$(nproc)" openssl dgst -sha256 > "$2""#,
        "sh",
        "{bag}",
        "{out}",
    ],
};

/// Computes both checksums of each file, with a process for each processor.
const OPENSSL_BOTH: Call = Call {
    program: "sh",
    arguments: &[
        "-ec",
        r#"find "$1" -type f -print0 |
xargs -0 -n 4 -P "$(nproc)" sh -ec 'openssl dgst -sha256 "$@"; openssl dgst -md5 "$@"' sh > "$2""#,
        "sh",
        "{bag}",
        "{out}",
    ],
};
const OPENSSL_MD5: Call = Call { program: "openssl", arguments: &["dgst", "-md5", "{bag}/{member}"] };

const GZIP_MEMBER: Call = Call {
    program: "sh",
    arguments: &["-ec", r#"gzip -6 -c "$1/$2" > "$3""#, "sh", "{bag}", "{member}", "{out}"],
};

const fn first_push(call: Call) -> Contender {
    Contender { name: call.program, setup: None, fresh: "{store}", call, check: Check::StoreHoldsBag }
}

const fn send(call: Call) -> Contender {
    Contender { name: call.program, setup: None, fresh: "{data}", call, check: Check::RegistryHoldsBag }
}

const fn pull(setup: Call, call: Call) -> Contender {
    Contender { name: call.program, setup: Some(setup), fresh: "{out}", call, check: Check::OutHoldsBag }
}

const fn fill_bucket(call: Call) -> Contender {
    Contender { name: call.program, setup: None, fresh: BUCKET_PREFIX, call, check: Check::BucketHoldsBag }
}

const fn validate(call: Call) -> Contender {
    Contender { name: call.program, setup: None, fresh: "", call, check: Check::RefusesDamage }
}

/// A side that writes `{out}` by other means than a pull.
const fn derive(name: &'static str, setup: Option<Call>, call: Call, check: Check) -> Contender {
    Contender { name, setup, fresh: "{out}", call, check }
}

/// A side that copies a package from the registry into a layout.
const fn copy(name: &'static str, call: Call) -> Contender {
    Contender { name, setup: Some(PREPARE_OBJECTS), fresh: "{store}", call, check: Check::StoreHoldsBag }
}

/// A side that copies all tags of a repository to another one of the registry.
const fn mirror(name: &'static str, call: Call) -> Contender {
    Contender {
        name,
        setup: Some(PREPARE_TAGS),
        fresh: "{data}/docker/registry/v2/repositories/bench/copy",
        call,
        check: Check::RegistryHoldsTags,
    }
}

const PUSH_AGAIN: Contender = Contender {
    name: OURS,
    setup: Some(PUSH_ARCHIVE),
    fresh: "",
    call: PUSH_ARCHIVE,
    check: Check::StoreUnchanged,
};

const PUSH_TRUSTING_AGAIN: Contender =
    Contender { setup: Some(PUSH_TRUSTING), call: PUSH_TRUSTING, ..PUSH_AGAIN };

const CURL: Contender = Contender {
    name: "curl",
    setup: Some(PUSH_OBJECTS),
    fresh: "{data}",
    call: CURL_SEND,
    check: Check::RegistryHoldsStore,
};

const fn at_most(of: Quantity, at_most: f64) -> Target {
    Target { of, at_most, requests: None }
}

const fn wall(limit: f64) -> Target {
    at_most(Quantity::Wall, limit)
}

/// All rows, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "push-archive",
        work: "push 1 GiB of CSV to a layout, as an archive",
        sample: LARGE,
        network: Network::None,
        ours: first_push(PUSH_ARCHIVE),
        peer: first_push(ORAS_PUSH),
        target: wall(0.11),
    },
    Row {
        id: "push-objects",
        work: "push 1 GiB of CSV to a layout, as objects",
        sample: LARGE,
        network: Network::None,
        ours: first_push(PUSH_OBJECTS),
        peer: first_push(ORAS_PUSH),
        target: wall(0.2),
    },
    Row {
        id: "send-archive",
        work: "push 1 GiB of CSV to a registry, as an archive",
        sample: LARGE,
        network: Network::Loopback,
        ours: send(SEND_ARCHIVE),
        peer: send(ORAS_SEND),
        target: wall(0.2),
    },
    Row {
        id: "send-objects",
        work: "push 1 GiB of CSV to a registry, as objects",
        sample: LARGE,
        network: Network::Loopback,
        ours: send(SEND_OBJECTS),
        peer: CURL,
        target: wall(1.3),
    },
    Row {
        id: "push-again",
        work: "push the same archive to a layout a second time",
        sample: LARGE,
        network: Network::None,
        ours: PUSH_AGAIN,
        peer: derive("openssl", None, OPENSSL_DIGESTS, Check::OutHasDigests),
        target: wall(1.1),
    },
    Row {
        id: "push-trusting",
        work: "push the same archive to a layout a second time, with `--trust-unchanged`",
        sample: LARGE,
        network: Network::None,
        ours: PUSH_TRUSTING_AGAIN,
        peer: derive("openssl", None, OPENSSL_DIGESTS, Check::OutHasDigests),
        target: wall(0.1),
    },
    Row {
        id: "pull-archive",
        work: "pull 1 GiB of CSV from a layout, an archive",
        sample: LARGE,
        network: Network::None,
        ours: pull(PUSH_ARCHIVE, PULL),
        peer: pull(ORAS_PUSH, ORAS_PULL),
        target: wall(0.4),
    },
    Row {
        id: "pull-objects",
        work: "pull 1 GiB of CSV from a layout, objects",
        sample: LARGE,
        network: Network::None,
        ours: pull(PUSH_OBJECTS, PULL),
        peer: pull(ORAS_PUSH, ORAS_PULL),
        target: wall(0.7),
    },
    Row {
        id: "read-member",
        work: "read one file of 10 MiB of a 1 GiB archive in a registry",
        sample: LARGE_WITH_MEMBER,
        network: Network::Loopback,
        ours: derive(OURS, Some(PREPARE_ARCHIVE), READ_MEMBER, Check::OutIsMember),
        peer: derive("gzip", None, GZIP_MEMBER, Check::OutUnpacksToMember),
        target: Target { requests: Some(4), ..at_most(Quantity::Received, 1.1) },
    },
    Row {
        id: "receive-objects",
        work: "pull 1 GiB of objects from a registry",
        sample: LARGE,
        network: Network::Loopback,
        ours: pull(PREPARE_OBJECTS, RECEIVE),
        peer: pull(PREPARE_OBJECTS, ORAS_RECEIVE),
        target: wall(0.9),
    },
    Row {
        id: "receive-one",
        work: "read one file of 1 GiB from a registry",
        sample: ONE_FILE,
        network: Network::Loopback,
        ours: derive(OURS, Some(PREPARE_OBJECTS), READ_MEMBER, Check::OutIsMember),
        peer: derive("curl", Some(PREPARE_OBJECTS), CURL_RECEIVE, Check::OutIsMember),
        target: wall(1.35),
    },
    Row {
        id: "copy-oras",
        work: "copy 1 GiB of objects from a registry to a layout",
        sample: LARGE,
        network: Network::Loopback,
        ours: copy(OURS, COPY),
        peer: copy("oras", ORAS_COPY),
        target: wall(1.0),
    },
    Row {
        id: "copy-regctl",
        work: "copy 1 GiB of objects from a registry to a layout",
        sample: LARGE,
        network: Network::Loopback,
        ours: copy(OURS, COPY),
        peer: copy("regctl", REGCTL_COPY),
        target: wall(1.0),
    },
    Row {
        id: "copy-skopeo",
        work: "copy 1 GiB of objects from a registry to a layout",
        sample: LARGE,
        network: Network::Loopback,
        ours: copy(OURS, COPY),
        peer: copy("skopeo", SKOPEO_COPY),
        target: wall(1.0),
    },
    Row {
        id: "mirror-crane",
        work: "mirror 1,000 tags to another repository",
        sample: LITTLE,
        network: Network::Loopback,
        ours: mirror(OURS, MIRROR),
        peer: mirror("crane", CRANE_MIRROR),
        target: wall(0.5),
    },
    Row {
        id: "mirror-regsync",
        work: "mirror 1,000 tags to another repository",
        sample: LITTLE,
        network: Network::Loopback,
        ours: mirror(OURS, MIRROR),
        peer: mirror("regsync", REGSYNC_MIRROR),
        target: wall(0.5),
    },
    Row {
        id: "mirror-skopeo",
        work: "mirror 1,000 tags to another repository",
        sample: LITTLE,
        network: Network::Loopback,
        ours: mirror(OURS, MIRROR),
        peer: mirror("skopeo", SKOPEO_MIRROR),
        target: wall(0.5),
    },
    Row {
        id: "mirror-distant-crane",
        work: "mirror 1,000 tags to another repository, in a registry 20 ms away",
        sample: LITTLE,
        network: Network::Distant,
        ours: mirror(OURS, MIRROR_DISTANT),
        peer: mirror("crane", CRANE_MIRROR),
        target: wall(0.5),
    },
    Row {
        id: "mirror-distant-regsync",
        work: "mirror 1,000 tags to another repository, in a registry 20 ms away",
        sample: LITTLE,
        network: Network::Distant,
        ours: mirror(OURS, MIRROR_DISTANT),
        peer: mirror("regsync", REGSYNC_MIRROR),
        target: wall(0.5),
    },
    Row {
        id: "push-small",
        work: "push 20,000 small files to a layout, as an archive",
        sample: SMALL_FILES,
        network: Network::None,
        ours: first_push(PUSH_ARCHIVE),
        peer: first_push(ORAS_PUSH),
        target: wall(0.3),
    },
    Row {
        id: "pull-small",
        work: "pull 20,000 small files from a layout, an archive",
        sample: SMALL_FILES,
        network: Network::None,
        ours: pull(PUSH_ARCHIVE, PULL),
        peer: pull(ORAS_PUSH, ORAS_PULL),
        target: wall(0.3),
    },
    Row {
        id: "validate-large",
        work: "validate a bag of 1 GiB",
        sample: LARGE,
        network: Network::None,
        ours: validate(VALIDATE),
        peer: validate(BAGIT_VALIDATE),
        target: wall(0.35),
    },
    Row {
        id: "validate-both",
        work: "validate a bag of 1 GiB",
        sample: LARGE,
        network: Network::None,
        ours: validate(VALIDATE),
        peer: derive("openssl", None, OPENSSL_BOTH, Check::OutHasDigests),
        target: wall(1.0),
    },
    Row {
        id: "validate-one",
        work: "validate a bag of one file of 1 GiB, against MD5 alone",
        sample: ONE_FILE,
        network: Network::None,
        ours: validate(VALIDATE),
        peer: Contender {
            name: "openssl",
            setup: None,
            fresh: "",
            call: OPENSSL_MD5,
            check: Check::Succeeds,
        },
        target: wall(1.05),
    },
    Row {
        id: "verify-deep",
        work: "verify an archive of 1 GiB in a layout, with every file of it",
        sample: LARGE,
        network: Network::None,
        ours: Contender {
            name: OURS,
            setup: Some(PUSH_ARCHIVE),
            fresh: "",
            call: VERIFY_DEEP,
            check: Check::RefusesDamagedStore,
        },
        peer: validate(BAGIT_VALIDATE),
        target: wall(0.8),
    },
    Row {
        id: "validate-small",
        work: "validate a bag of 20,000 small files",
        sample: SMALL_FILES,
        network: Network::None,
        ours: validate(VALIDATE),
        peer: validate(BAGIT_VALIDATE),
        target: at_most(Quantity::Cpu, 0.15),
    },
    Row {
        id: "send-slowly",
        work: "push 1 GiB of CSV over a slow link, as an archive",
        sample: LARGE,
        network: Network::Slow,
        ours: send(SEND_ARCHIVE),
        peer: send(ORAS_SEND),
        target: wall(0.3),
    },
    Row {
        id: "receive-slowly",
        work: "pull 1 GiB of CSV over a slow link, an archive",
        sample: LARGE,
        network: Network::Slow,
        ours: pull(PREPARE_ARCHIVE, RECEIVE),
        peer: pull(ORAS_PREPARE, ORAS_RECEIVE),
        target: wall(0.3),
    },
    Row {
        id: "bucket-push-aws",
        work: "push 3 GiB of CSV to a bucket",
        sample: HUGE,
        network: Network::Bucket,
        ours: fill_bucket(BUCKET_PUSH),
        peer: fill_bucket(AWS_UP),
        target: wall(1.0),
    },
    Row {
        id: "bucket-push-rclone",
        work: "push 3 GiB of CSV to a bucket",
        sample: HUGE,
        network: Network::Bucket,
        ours: fill_bucket(BUCKET_PUSH),
        peer: fill_bucket(RCLONE_UP),
        target: wall(1.0),
    },
    Row {
        id: "bucket-pull-aws",
        work: "pull 3 GiB of CSV from a bucket",
        sample: HUGE,
        network: Network::Bucket,
        ours: pull(BUCKET_PUSH, BUCKET_PULL),
        peer: pull(AWS_UP, AWS_DOWN),
        target: wall(1.0),
    },
    Row {
        id: "bucket-pull-rclone",
        work: "pull 3 GiB of CSV from a bucket",
        sample: HUGE,
        network: Network::Bucket,
        ours: pull(BUCKET_PUSH, BUCKET_PULL),
        peer: pull(RCLONE_UP, RCLONE_DOWN),
        target: wall(1.0),
    },
    Row {
        id: "bucket-small-aws",
        work: "push 2,000 small files to a bucket",
        sample: SMALL_OBJECTS,
        network: Network::Bucket,
        ours: fill_bucket(BUCKET_PUSH_SMALL),
        peer: fill_bucket(AWS_UP),
        target: wall(1.0),
    },
    Row {
        id: "bucket-small-rclone",
        work: "push 2,000 small files to a bucket",
        sample: SMALL_OBJECTS,
        network: Network::Bucket,
        ours: fill_bucket(BUCKET_PUSH_SMALL),
        peer: fill_bucket(RCLONE_UP),
        target: wall(1.0),
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Check, Network, OURS, ROWS};
    use crate::peers;

    #[test]
    fn rows_have_names_of_their_own_and_known_programs() {
        let ids: HashSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(row.ours.name, OURS);
            assert!(peers::by_name(row.peer.name).is_some(), "{}", row.id);
            assert!(row.target.at_most > 0.0);
            assert!(row.description().contains(row.work));
        }
    }

    #[test]
    fn checks_look_at_what_the_commands_write() {
        for row in ROWS {
            for side in [row.ours, row.peer] {
                let words = side.call.arguments.concat();
                let place = match side.check {
                    Check::StoreHoldsBag | Check::StoreUnchanged => "{store}",
                    Check::RefusesDamagedStore => "{store}",
                    Check::RegistryHoldsBag | Check::RegistryHoldsStore | Check::RegistryHoldsTags => {
                        "{registry}"
                    }
                    Check::BucketHoldsBag => "bench/v",
                    Check::OutHoldsBag
                    | Check::OutHasDigests
                    | Check::OutIsMember
                    | Check::OutUnpacksToMember => "{out}",
                    Check::RefusesDamage | Check::Succeeds => "{bag}",
                };
                assert!(words.contains(place), "{}: {words}", row.id);
                if side.check == Check::StoreUnchanged {
                    assert!(side.setup.is_some() && side.fresh.is_empty());
                }
            }
        }
    }

    #[test]
    fn rows_with_a_registry_use_it() {
        for row in ROWS {
            let uses = row.ours.call.arguments.concat().contains("{registry}");
            assert_eq!(
                uses,
                matches!(row.network, Network::Loopback | Network::Slow | Network::Distant),
                "{}",
                row.id
            );
        }
    }
}
