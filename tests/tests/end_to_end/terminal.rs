//! The view at a terminal: a prompt for the login, and the progress of a transfer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use d1oci_tests::{Preset, RegistryKind, RunningRegistry, Session, Terminal, payload};
use registry_conformance::scripted::{Action, Fault, Route, When};

const USERNAME: &str = "dataone+dataone";
const PASSWORD: &str = "s3cret:pass/word";

fn registry(login: Option<(&str, &str)>) -> RunningRegistry {
    RegistryKind::Scripted(Preset::Strict).start(login).unwrap()
}

/// Logs in as people do who are asked for name and password; returns the exit code, and all that is shown.
fn log_in(session: &Session, password: &str) -> (Option<i32>, String) {
    let mut terminal = Terminal::start(session.command("login HOST"));
    terminal.wait_for("Username: ");
    terminal.type_line(USERNAME);
    terminal.wait_for("Password: ");
    terminal.type_unseen(password);
    terminal.end()
}

#[test]
fn a_password_is_asked_for_without_being_shown_and_stored_for_its_owner_alone() {
    let registry = registry(Some((USERNAME, PASSWORD)));
    let session = Session::new(&[&registry]);
    let (code, shown) = log_in(&session, PASSWORD);
    assert_eq!(code, Some(0), "{shown}");
    // The terminal echoes typed text, unless a program switches the echo off.
    assert!(shown.contains(&format!("Username: {USERNAME}")), "{shown}");
    assert!(shown.contains("Logged in to ") && !shown.contains("s3cret"), "{shown}");
    let file = session.path(".docker/config.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let stored: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(stored["auths"][session.host()]["auth"].is_string(), "{stored}");
    fs::write(session.path("a.txt"), "a file").unwrap();
    session.line("d1oci push HOST/a/b:v1 a.txt").success();
}

#[test]
fn a_wrong_password_is_refused_before_anything_is_stored() {
    let registry = registry(Some((USERNAME, PASSWORD)));
    let session = Session::new(&[&registry]);
    let (code, shown) = log_in(&session, "s3cret-but-wrong");
    assert_eq!(code, Some(4), "{shown}");
    assert!(shown.contains("nothing was stored") && !shown.contains("s3cret"), "{shown}");
    assert!(!session.path(".docker").exists());
}

#[test]
fn bars_are_shown_at_a_terminal_alone() {
    let registry = registry(None);
    let session = Session::new(&[&registry]);
    fs::write(session.path("large.csv"), payload(1, 700_000)).unwrap();
    let scripted = registry.scripted().unwrap();
    // The last answer waits until the bar has been seen.
    scripted.add_fault(Fault::new(Route::UploadCommit, When::Always, Action::Hold));
    let mut terminal = Terminal::start(session.command("push HOST/a/b:v1 large.csv"));
    terminal.wait_for("Sending");
    terminal.wait_for("/683.59 KiB");
    scripted.forget_faults();
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Digest: sha256:"), "{shown}");

    let piped = session.line("d1oci push HOST/a/c:v1 large.csv").success();
    assert!(!piped.stderr.contains('\u{1b}') && !piped.stderr.contains('\r'), "{}", piped.stderr);
}

#[test]
fn deleting_asks_at_a_terminal() {
    let session = Session::new(&[]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    session.line("d1oci push oci:store:v1 a.txt").success();
    let answer = |text: &str| {
        let mut terminal = Terminal::start(session.command("delete oci:store:v1"));
        terminal.wait_for("delete oci:store:v1? [y/N]");
        terminal.type_line(text);
        terminal.end().0
    };
    assert_eq!(answer(""), Some(2));
    session.line("d1oci resolve oci:store:v1").success();
    assert_eq!(answer("y"), Some(0));
    session.line("d1oci resolve oci:store:v1").failure(3);
}
