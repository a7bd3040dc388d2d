//! The downloads of a release, made from the program of this tree.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use d1oci_tests::{binary, d1oci, peer, run, skipped, xtask};
use serde_json::Value;

/// Writes a script that runs the program of this tree. It is small, and names no interpreter of shared libraries.
fn wrapper(place: &Path) -> PathBuf {
    let wrapper = place.join("wrapper");
    fs::write(&wrapper, format!("#!/bin/sh\nexec {} \"$@\"\n", binary().display())).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

/// The files of a directory by name.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn a_release_is_the_same_each_time_and_its_program_runs_where_it_is_unpacked() {
    let place = tempfile::tempdir().unwrap();
    let (one, other) = (place.path().join("one"), place.path().join("other"));
    let program = wrapper(place.path());
    for output in [&one, &other] {
        let mut command = Command::new(xtask());
        command.env("SOURCE_DATE_EPOCH", "1767225600").arg("dist");
        run(command.arg("--program").arg(&program).arg("-o").arg(output)).success();
    }
    let packed = files(&one);
    assert!(packed == files(&other), "two runs give different bytes");
    let archive = packed.keys().find(|name| name.ends_with(".tar.gz")).unwrap().clone();
    let name = archive.strip_suffix(".tar.gz").unwrap();
    let check =
        Command::new("sha256sum").current_dir(&one).args(["-c", &format!("{archive}.sha256")]).output();
    assert!(check.unwrap().status.success());
    let clean = place.path().join("clean");
    fs::create_dir(&clean).unwrap();
    let unpacked =
        Command::new("tar").current_dir(&clean).arg("-xzf").arg(one.join(&archive)).status().unwrap();
    assert!(unpacked.success());
    let root = clean.join(name);
    for wanted in ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "completions/_d1oci", "man/d1oci-push.1"] {
        assert!(root.join(wanted).metadata().is_ok_and(|file| file.len() > 0), "{wanted}");
    }
    assert_eq!(fs::read(root.join("d1oci.cdx.json")).unwrap(), packed[&format!("{name}.cdx.json")]);
    // The first minutes after it: a file into a layout, and back.
    let program = root.join("d1oci");
    fs::write(clean.join("a.csv"), "15,7.2\n").unwrap();
    let go = |arguments: &[&str]| run(Command::new(&program).current_dir(&clean).args(arguments)).success();
    go(&["push", "oci:store:v1", "a.csv"]);
    assert_eq!(go(&["cat", "oci:store:v1"]).stdout, b"15,7.2\n");
}

/// Packs the program in a form into the directory `one`, and checks that a second run gives the same bytes.
fn packed_twice(place: &Path, form: &str) -> BTreeMap<String, Vec<u8>> {
    let program = wrapper(place);
    for output in ["one", "other"] {
        let mut command = Command::new(xtask());
        command.current_dir(place).env("SOURCE_DATE_EPOCH", "1767225600").args(["dist", form, "-o", output]);
        run(command.arg("--program").arg(&program)).success();
    }
    let packed = files(&place.join("one"));
    assert!(packed == files(&place.join("other")), "two runs give different bytes");
    packed
}

#[test]
fn a_debian_package_has_the_program_its_pages_completions_and_units() {
    let Some(dpkg) = peer("dpkg-deb") else { return };
    let place = tempfile::tempdir().unwrap();
    let packed = packed_twice(place.path(), "--deb");
    let name = packed.keys().find(|name| name.ends_with(".deb")).unwrap();
    let package = place.path().join("one").join(name);
    let control = run(Command::new(&dpkg).arg("--info").arg(&package)).success().text();
    assert!(control.contains("Package: d1oci\n") && control.contains("Architecture: "), "{control}");
    let clean = place.path().join("clean");
    run(Command::new(&dpkg).arg("--extract").arg(&package).arg(&clean)).success();
    for wanted in [
        "usr/share/man/man1/d1oci-push.1.gz",
        "usr/share/bash-completion/completions/d1oci",
        "usr/lib/systemd/system/d1oci-gateway.service",
        "usr/lib/systemd/system/d1oci-replicate.timer",
        "usr/share/doc/d1oci/copyright",
    ] {
        assert!(clean.join(wanted).metadata().is_ok_and(|file| file.len() > 0), "{wanted}");
    }
    fs::write(clean.join("a.csv"), "15,7.2\n").unwrap();
    let go = |arguments: &[&str]| {
        run(Command::new(clean.join("usr/bin/d1oci")).current_dir(&clean).args(arguments)).success()
    };
    go(&["push", "oci:store:v1", "a.csv"]);
    assert_eq!(go(&["cat", "oci:store:v1"]).stdout, b"15,7.2\n");
}

#[test]
fn a_wheel_puts_the_program_into_a_python_environment() {
    let Some(python) = peer("python3") else { return };
    let place = tempfile::tempdir().unwrap();
    let packed = packed_twice(place.path(), "--wheel");
    let name = packed.keys().find(|name| name.ends_with(".whl")).unwrap();
    let environment = place.path().join("environment");
    let made = run(Command::new(&python).args(["-m", "venv"]).arg(&environment));
    if made.code != 0 {
        skipped("python3 cannot make an environment (the package python3-venv is missing)");
        return;
    }
    let wheel = place.path().join("one").join(name);
    let mut pip = Command::new(environment.join("bin/pip"));
    run(pip
        .args(["install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"])
        .arg(&wheel))
    .success();
    let version = run(Command::new(environment.join("bin/d1oci")).arg("version")).success().text();
    assert!(version.starts_with("d1oci "), "{version}");
    fs::write(place.path().join("a.csv"), "15,7.2\n").unwrap();
    let go = |arguments: &[&str]| {
        run(Command::new(environment.join("bin/d1oci")).current_dir(place.path()).args(arguments)).success()
    };
    go(&["push", "oci:store:v1", "a.csv"]);
    assert_eq!(go(&["cat", "oci:store:v1"]).stdout, b"15,7.2\n");
}

#[test]
fn an_image_is_a_layout_that_d1oci_copies() {
    let place = tempfile::tempdir().unwrap();
    let wrapper = wrapper(place.path());
    fs::write(place.path().join("certificates.pem"), "none\n").unwrap();
    let image = place.path().join("image");
    let make = |program: &Path, output: &str| {
        let mut command = Command::new(xtask());
        command.current_dir(place.path()).args([
            "dist",
            "--target",
            "x86_64-unknown-linux-musl",
            "-o",
            output,
        ]);
        command.args(["--image", "image", "--certificates", "certificates.pem", "--program"]).arg(program);
        run(&mut command)
    };
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        let refused = make(binary(), "refused");
        assert!(refused.code != 0 && refused.stderr.contains("shared libraries"), "{}", refused.stderr);
    } else {
        skipped("the program of this platform is static");
    }
    make(&wrapper, "out").success();
    let version = env!("CARGO_PKG_VERSION_MAJOR");
    let tags = d1oci(place.path(), &["tags", "oci:image"]).success();
    let tag = String::from_utf8(tags.stdout).unwrap().lines().next().unwrap().to_owned();
    assert!(tag.starts_with(version), "{tag}");
    let copied = d1oci(place.path(), &["copy", &format!("oci:image:{tag}"), "oci:copy:latest"]);
    copied.success();
    d1oci(place.path(), &["verify", "--deep", "oci:copy:latest"]).success();
    let manifest = d1oci(place.path(), &["manifest", "fetch", "oci:copy:latest"]).success().json();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace(':', "/");
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    let layer = place.path().join("copy/blobs").join(layer);
    assert!(Command::new("tar").current_dir(&root).arg("-xzf").arg(layer).status().unwrap().success());
    assert_eq!(fs::read(root.join("usr/bin/d1oci")).unwrap(), fs::read(&wrapper).unwrap());
    let mode = root.join("usr/bin/d1oci").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
    assert_eq!(fs::read(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap(), b"none\n");
    let config = manifest["config"]["digest"].as_str().unwrap().replace(':', "/");
    let config: Value = serde_json::from_slice(&fs::read(image.join("blobs").join(config)).unwrap()).unwrap();
    assert_eq!((config["architecture"].as_str(), config["os"].as_str()), (Some("amd64"), Some("linux")));
}
