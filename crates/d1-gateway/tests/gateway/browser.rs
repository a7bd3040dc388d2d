//! The pages in headless Chromium, their accessibility by axe-core, and their HTML by the Nu checker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pages::{hostile_pages, rich, rich_pages};

/// The directory in which `cargo xtask peers` installs packages for Node.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/node/playwright-core/node_modules")
}

/// Returns the path of a program.
fn found(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Returns whether a program runs.
fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[expect(clippy::print_stderr, reason = "the line is for the person who runs the tests")]
fn skipped(reason: &str) {
    eprintln!("skipped: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_every_page_and_nothing_hostile_runs() {
    let Some(chromium) = ["chromium", "chromium-browser"].into_iter().find_map(found) else {
        return skipped("chromium is not installed");
    };
    if !runs("node") || !modules().join("axe-core").exists() {
        return skipped("node, playwright-core or axe-core is not installed");
    }
    let served = rich().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/check.mjs");
    let text = |pages: &BTreeMap<&str, String>| serde_json::to_string(pages).unwrap();
    let mut command = tokio::process::Command::new("node");
    command
        .arg(script)
        .args([served.url(""), text(&rich_pages())])
        .args(std::env::var_os("D1OCI_SCREENSHOTS"))
        .env("PEER_MODULES", modules())
        .env("CHROMIUM", chromium)
        .env("HOSTILE_PAGES", text(&hostile_pages(&served).await));
    let output = command.output().await.unwrap();
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_html_of_every_page_is_valid() {
    let jar = modules().join("vnu-jar/build/dist/vnu.jar");
    if !jar.exists() || !runs("java") {
        return skipped("java or vnu-jar is not installed");
    }
    let served = rich().await;
    let folder = tempfile::tempdir().unwrap();
    let hostile = hostile_pages(&served).await;
    for (name, path) in rich_pages().iter().chain(&hostile) {
        let answer = served.ask("GET", path, "Accept: text/html\r\n").await;
        assert!(answer.header("Content-Type").unwrap().starts_with("text/html"), "{path}");
        std::fs::write(folder.path().join(format!("{name}.html")), answer.body).unwrap();
    }
    let mut command = tokio::process::Command::new("java");
    command.arg("-jar").arg(jar).arg(folder.path());
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("error"), "{said}");
}
