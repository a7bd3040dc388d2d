//! The pages of the book: every command of the tutorials and the how-to pages runs, and the list of pages is right.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use d1_testnode::{Config as NodeConfig, Scale, ScriptedNode};
use d1oci_tests::{Outcome, Preset, RegistryKind, Session, bare_d1oci, binary, peer, run, xtask};
use tokio::runtime::Runtime;

/// The pages.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");

/// This variable makes the tests write the output into the pages.
const WRITE: &str = "D1OCI_WRITE_DOCS";

/// The address of the node in the pages.
const NODE: &str = "https://node.example/mn";

const ROBOT: (&str, &str) = ("dataone+replica", "s3cret-robot-token");

/// Returns the names of the pages in a directory.
fn pages(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(DOCS).join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".md")).map(|name| format!("{directory}/{name}")).collect()
}

/// The servers of the pages, and a home directory with the sample data set.
struct Reader {
    session: Session,
    /// Texts of the pages, and the addresses that stand for them.
    names: Vec<(&'static str, String)>,
}

impl Reader {
    fn type_line(&self, line: &str) -> Outcome {
        let mut shell = Command::new("bash");
        let bare = bare_d1oci(self.session.home());
        shell.env_clear().envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let programs = binary().parent().unwrap().display();
        shell.env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap_or_default()));
        shell.env("ROBOT_TOKEN", ROBOT.1).current_dir(self.session.home());
        let line =
            self.names.iter().fold(line.to_owned(), |line, (name, address)| line.replace(name, address));
        run(shell.args(["-euo", "pipefail", "-c", &line]))
    }

    /// Runs the commands of a page, and returns the page with their output.
    fn follow(&self, page: &str) -> String {
        let (mut followed, mut is_session) = (String::new(), false);
        for line in page.lines() {
            is_session = match line {
                "```console" => true,
                "```" => false,
                _ => is_session,
            };
            // The output comes from the command.
            if !is_session || line == "```console" {
                followed += &format!("{line}\n");
            }
            let Some(command) = line.strip_prefix("$ ").filter(|_| is_session) else { continue };
            let outcome = self.type_line(command).success();
            let said =
                self.names.iter().fold(outcome.text(), |said, (name, address)| said.replace(address, name));
            followed += &format!("$ {command}\n{said}");
        }
        followed
    }
}

fn sample(home: &Path) {
    let mut sample = Command::new(xtask());
    sample.args(["sample", ".", "--size", "512KiB", "--files", "6", "--seed", "1"]).current_dir(home);
    run(&mut sample).success();
}

#[test]
fn every_command_of_the_book_runs_and_says_what_the_page_shows() {
    let runtime = Runtime::new().unwrap();
    let scale = Scale { packages: 3, objects: 4, smallest: 100, largest: 5000, seed: 5 };
    let config = NodeConfig { catalog: scale.catalog().unwrap(), ..NodeConfig::default() };
    let node = runtime.block_on(ScriptedNode::start(config)).unwrap();
    let data = tempfile::tempdir().unwrap();
    sample(data.path());
    for name in ["tutorials", "how-to"].iter().flat_map(|directory| pages(directory)) {
        let github = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
        let quay = RegistryKind::Scripted(Preset::Quay).start(Some(ROBOT)).unwrap();
        let session = Session::new(&[&github, &quay]);
        d1oci_tests::copy_tree(data.path(), session.home());
        // Pages assume what earlier ones did.
        if name.ends_with("scientist.md") {
            session.line("d1oci push HOST/dataone/packages dataset_10.5072_A2MOORING -q").success();
        }
        if name.ends_with("mirrors-and-repair.md") {
            let login = format!("d1oci login {} -u {} --password-stdin -q", quay.host(), ROBOT.0);
            session.piped(ROBOT.1, &login).success();
        }
        let names = vec![("ghcr.io", github.host()), ("quay.io", quay.host()), (NODE, node.member_url())];
        let file = Path::new(DOCS).join(&name);
        let page = fs::read_to_string(&file).unwrap();
        let followed = Reader { session, names }.follow(&page);
        if std::env::var_os(WRITE).is_some() {
            fs::write(&file, &followed).unwrap();
        } else {
            assert!(followed == page, "docs/{name} differs ({WRITE}=1 writes it):\n{followed}");
        }
    }
}

/// Returns the targets of links to files, such as `page.md` in `[text](page.md#part)`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://")).map(str::to_owned).collect()
}

#[test]
fn the_book_has_every_page_once_and_its_links_lead_to_files() {
    let summary = fs::read_to_string(Path::new(DOCS).join("SUMMARY.md")).unwrap();
    let listed = links(&summary);
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a page is listed twice");
    let mut all: Vec<String> =
        ["tutorials", "how-to"].iter().flat_map(|directory| pages(directory)).collect();
    let top = fs::read_dir(DOCS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    all.extend(top.filter(|name| name.ends_with(".md") && name != "SUMMARY.md"));
    let absent: Vec<_> = all.iter().filter(|page| !unique.contains(*page)).collect();
    assert!(absent.is_empty(), "docs/SUMMARY.md lacks {absent:?}");
    for page in &listed {
        let file = Path::new(DOCS).join(page);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{page}: {error}"));
        let directory = file.parent().map(PathBuf::from).unwrap_or_default();
        for link in links(&text) {
            // A text in backticks may look like a link.
            let exists = directory.join(&link).exists() || text.contains(&format!("`[{link}"));
            assert!(exists, "docs/{page} links to {link}");
        }
    }
}

#[test]
fn mdbook_makes_a_page_of_each_document_without_a_warning() {
    let Some(mdbook) = peer("mdbook") else { return };
    let place = tempfile::tempdir().unwrap();
    let built = run(Command::new(mdbook).args(["build", DOCS, "-d"]).arg(place.path())).success();
    let said = format!("{}{}", built.text(), built.stderr);
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let summary = fs::read_to_string(Path::new(DOCS).join("SUMMARY.md")).unwrap();
    let pages = links(&summary);
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        let html = page.replace("README.md", "index.md").replace(".md", ".html");
        assert!(place.path().join(&html).is_file(), "{html}");
    }
}
