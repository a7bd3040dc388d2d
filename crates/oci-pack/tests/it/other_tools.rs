//! Common tools read packed archives, and the reader reads their archives.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use oci_pack::{Compression, ReadOptions};

use crate::support::{Event, MemoryFile, csv, has_program, noise, pack_files, read_all};

fn files() -> Vec<MemoryFile> {
    vec![
        ("bagit.txt".into(), b"BagIt-Version: 1.0\n".to_vec()),
        ("data/a b.csv".into(), csv(90_000)),
        ("data/größe.bin".into(), noise(1, 1_500_000)),
        (format!("data/{}/{}", "d".repeat(120), "n".repeat(120)), b"long".to_vec()),
        (format!("data/{}", "l".repeat(180)), Vec::new()),
    ]
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{:?}", output.status);
        output.stdout
    })
}

#[test]
fn tar_lists_and_unpacks_every_file() {
    if !has_program("tar", "--version") {
        return;
    }
    let (_, blob) = pack_files(&files(), Compression::Gzip, 2);
    let listing = run(Command::new("tar").args(["-tzf", "-", "--quoting-style=literal"]), &blob);
    let listing = String::from_utf8(listing).unwrap();
    for (path, _) in files() {
        assert!(listing.lines().any(|line| line == format!("pkg/{path}")), "{path}: {listing}");
    }
    let directory = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg("-").current_dir(&directory), &blob);
    for (path, content) in files() {
        assert!(fs::read(directory.path().join("pkg").join(&path)).unwrap() == content, "{path}");
    }
}

#[test]
fn python_reads_every_file() {
    if !has_program("python3", "--version") {
        return;
    }
    let script = "import io, sys, tarfile\n\
        for m in tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read()), mode='r:*'):\n\
        \x20   print(m.name.encode().hex(), m.size, m.mode, m.mtime, m.uid, m.isdir())\n";
    for compression in [Compression::Gzip, Compression::None] {
        let (_, blob) = pack_files(&files(), compression, 2);
        let listing = String::from_utf8(run(Command::new("python3").args(["-c", script]), &blob)).unwrap();
        for (path, content) in files() {
            let name: String = format!("pkg/{path}").bytes().map(|byte| format!("{byte:02x}")).collect();
            let line = format!("{name} {} 420 0 0 False", content.len());
            assert!(listing.lines().any(|found| found == line), "{path}: {listing}");
        }
    }
}

#[test]
fn what_tar_writes_is_read() {
    if !has_program("tar", "--version") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (path, content) in files() {
        let path = directory.path().join("pkg").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::hard_link(directory.path().join("pkg/bagit.txt"), directory.path().join("pkg/second name")).unwrap();
    std::os::unix::fs::symlink("data", directory.path().join("pkg/link")).unwrap();
    for format in ["gnu", "pax", "ustar-without-long-names"] {
        let archive = tar_of(directory.path(), format);
        let (mut events, _) = read_all(&archive, &ReadOptions::new("pkg")).unwrap();
        events.retain(|event| !matches!(event, Event::Directory(_)));
        assert!(events.contains(&Event::SymbolicLink("link".into(), "data".into())), "{format}");
        let hard_link = Event::HardLink("second name".into(), "bagit.txt".into());
        assert!(events.contains(&hard_link), "{format}");
        for (path, content) in files() {
            let wanted = format != "ustar-without-long-names" || path.len() < 100;
            assert_eq!(events.contains(&Event::File(path.clone(), content)), wanted, "{format} {path}");
        }
    }
}

/// Runs `tar` on `pkg`, in an order that puts a link before its file, and with padding to records.
fn tar_of(directory: &Path, format: &str) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.current_dir(directory).args(["-czf", "-", "--sort=name"]);
    match format {
        "ustar-without-long-names" => command.args(["--format=ustar", "--exclude=ddd*", "--exclude=lll*"]),
        format => command.arg(format!("--format={format}")),
    };
    run(command.arg("pkg"), b"")
}
