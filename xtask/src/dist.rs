//! `cargo xtask dist`: what a release offers for download. The same commit gives the same bytes.

mod archive;
mod deb;
mod image;
mod sbom;
mod wheel;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use sha2::{Digest, Sha256};

use self::archive::{Archive, DIRECTORY_MODE, PROGRAM_MODE};
use crate::error::{Result, about, at};
use crate::metadata::{Metadata, host_platform};
use crate::{console, process, workspace};

/// The package whose program is packed.
const PACKAGE: &str = "d1oci";

/// The documents beside the program.
const DOCUMENTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// The shells with a completion script, and the script's name.
const SHELLS: [(&str, &str); 3] = [("bash", "d1oci.bash"), ("zsh", "_d1oci"), ("fish", "d1oci.fish")];

/// The arguments of `cargo xtask dist`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Writes d1oci-VERSION-TARGET.tar.gz with its SHA-256 and its list of components (CycloneDX), and prints their paths. \
SOURCE_DATE_EPOCH, or else the date of the commit, is the date of all files.")]
pub struct Arguments {
    /// The target triple to build for [default: this machine]
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Pack this program instead of building one; it must run here
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Where the files go
    #[arg(short, long, value_name = "DIRECTORY", default_value = "target/dist")]
    pub output: PathBuf,
    /// Also write a Debian package
    #[arg(long)]
    pub deb: bool,
    /// Also write a Python wheel
    #[arg(long)]
    pub wheel: bool,
    /// Also write a container image of the program as an OCI image layout; the program must be static
    #[arg(long, value_name = "DIRECTORY")]
    pub image: Option<PathBuf>,
    /// The certificates of the image
    #[arg(
        long,
        value_name = "FILE",
        requires = "image",
        default_value = "/etc/ssl/certs/ca-certificates.crt"
    )]
    pub certificates: PathBuf,
}

/// Builds and packs the program.
///
/// # Errors
///
/// Fails when the program does not build or does not run, or a file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let target = arguments.target.clone().map_or_else(host_platform, Ok)?;
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => build(arguments.target.as_deref())?,
    };
    let metadata = Metadata::load_for(&target)?;
    let package = metadata.member(PACKAGE).ok_or("the workspace has no package d1oci")?;
    let date = date()?;
    let name = format!("{PACKAGE}-{}-{target}", package.version);
    let bill = sbom::cyclone_dx(&metadata, package, &target)?;
    fs::create_dir_all(&arguments.output).map_err(at(&arguments.output))?;
    let packed = pack(&program, &name, &bill, date)?;
    write(&arguments.output, &format!("{name}.tar.gz"), &packed)?;
    let line = format!("{}  {name}.tar.gz\n", sha256(&packed));
    write(&arguments.output, &format!("{name}.tar.gz.sha256"), line.as_bytes())?;
    write(&arguments.output, &format!("{name}.cdx.json"), &bill)?;
    if arguments.deb {
        write_deb(&arguments.output, &program, (package.version.as_str(), target.as_str()), date)?;
    }
    if arguments.wheel {
        let (readme, bytes) =
            (workspace::root().join("README.md"), fs::read(&program).map_err(at(&program))?);
        let description = fs::read_to_string(&readme).map_err(at(&readme))?;
        let (version, target) = (package.version.as_str(), target.as_str());
        let wheel = wheel::Wheel { version, target, program: &bytes, description: &description };
        write(&arguments.output, &wheel.file_name()?, &wheel.pack()?)?;
    }
    if let Some(layout) = &arguments.image {
        let image =
            image::Image { program: &program, certificates: &arguments.certificates, target: &target, date };
        image.write(layout, &package.version)?;
        console::result(layout.display());
    }
    Ok(())
}

/// The systemd units of the Debian package: the file in the checkout, and its name in the package.
const UNITS: [(&str, &str); 3] = [
    ("deploy/gateway.service", "d1oci-gateway.service"),
    ("deploy/replicate.service", "d1oci-replicate.service"),
    ("deploy/replicate.timer", "d1oci-replicate.timer"),
];

/// Writes the Debian package.
fn write_deb(output: &Path, program: &Path, (version, target): (&str, &str), date: u64) -> Result<()> {
    let mut documents = Vec::new();
    for (shell, path) in [
        ("bash", "usr/share/bash-completion/completions/d1oci"),
        ("zsh", "usr/share/zsh/vendor-completions/_d1oci"),
        ("fish", "usr/share/fish/vendor_completions.d/d1oci.fish"),
    ] {
        let script = process::read(Command::new(program).args(["completions", shell]))?;
        documents.push((path.to_owned(), script.into_bytes()));
    }
    for (file, unit) in UNITS {
        let path = workspace::root().join(file);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        // Packages install into `/usr`.
        let text = text.replace("/usr/local/bin/", "/usr/bin/").replace("/etc/systemd/", "/usr/lib/systemd/");
        documents.push((format!("usr/lib/systemd/system/{unit}"), text.into_bytes()));
    }
    for (file, name) in
        [("README.md", "README.md"), ("LICENSE-MIT", "copyright"), ("LICENSE-APACHE", "LICENSE-APACHE")]
    {
        let path = workspace::root().join(file);
        documents.push((format!("usr/share/doc/d1oci/{name}"), fs::read(&path).map_err(at(&path))?));
    }
    let (bytes, pages) = (fs::read(program).map_err(at(program))?, manual(program)?);
    let package =
        deb::DebianPackage { version, target, date, program: &bytes, pages: &pages, documents: &documents };
    write(output, &package.file_name()?, &package.pack()?)
}

fn build(target: Option<&str>) -> Result<PathBuf> {
    let mut command = workspace::cargo(&["build", "--release", "--locked", "--bin", PACKAGE]);
    let mut directory = workspace::target("");
    if let Some(target) = target {
        command.args(["--target", target]);
        directory.push(target);
    }
    process::run(&mut command)?;
    Ok(directory.join("release").join(PACKAGE))
}

/// Returns the date of all files in seconds since 1970.
fn date() -> Result<u64> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(stated) => stated,
        Err(_) => {
            let log = ["log", "-1", "--format=%ct"];
            process::read(Command::new("git").args(log).current_dir(workspace::root()))?
        }
    };
    seconds.trim().parse().map_err(|error| format!("the date of the files, {seconds:?}: {error}").into())
}

/// Packs the program, its manual pages and completions, the documents and the list of components.
fn pack(program: &Path, name: &str, bill: &[u8], date: u64) -> Result<Vec<u8>> {
    let mut archive = Archive::new(date);
    archive.directory(name, DIRECTORY_MODE)?;
    archive.file(&format!("{name}/{PACKAGE}"), &fs::read(program).map_err(at(program))?, PROGRAM_MODE)?;
    for document in DOCUMENTS {
        let path = workspace::root().join(document);
        archive.document(&format!("{name}/{document}"), &fs::read(&path).map_err(at(&path))?)?;
    }
    archive.document(&format!("{name}/{PACKAGE}.cdx.json"), bill)?;
    archive.directory(&format!("{name}/completions"), DIRECTORY_MODE)?;
    for (shell, file) in SHELLS {
        let script = process::read(Command::new(program).args(["completions", shell]))?;
        archive.document(&format!("{name}/completions/{file}"), script.as_bytes())?;
    }
    archive.directory(&format!("{name}/man"), DIRECTORY_MODE)?;
    for (file, page) in manual(program)? {
        archive.document(&format!("{name}/man/{file}"), &page)?;
    }
    archive.finish()
}

/// Returns the manual pages with their file names, sorted.
fn manual(program: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    // Several runs at once must not share it.
    let temporary = tempfile::tempdir().map_err(about("a temporary directory"))?;
    let directory = temporary.path().join("man");
    process::read(Command::new(program).args(["man", "-o"]).arg(&directory))?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(&directory).map_err(at(&directory))? {
        let path = entry.map_err(at(&directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pages.push((name, fs::read(&path).map_err(at(&path))?));
    }
    pages.sort();
    Ok(pages)
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, bytes).map_err(about(path.display()))?;
    console::result(path.display());
    Ok(())
}

/// Returns the SHA-256 of bytes in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
