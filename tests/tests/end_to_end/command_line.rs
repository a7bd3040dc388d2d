//! The interface for people and scripts: help, exit codes, streams, JSON.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use d1oci_tests::{BagBuilder, binary, d1oci, payload};

const COMMANDS: &[&[&str]] = &[
    &["push"],
    &["pull"],
    &["ls"],
    &["cat"],
    &["verify"],
    &["inspect"],
    &["manifest"],
    &["manifest", "fetch"],
    &["discover"],
    &["attach"],
    &["tags"],
    &["resolve"],
    &["tag"],
    &["delete"],
    &["prune"],
    &["copy"],
    &["find"],
    &["history"],
    &["fetch"],
    &["replicate"],
    &["export"],
    &["import"],
    &["login"],
    &["logout"],
    &["bag"],
    &["bag", "create"],
    &["bag", "validate"],
    &["bag", "repair"],
    &["backends"],
    &["completions"],
    &["man"],
];

#[test]
fn every_help_text_has_an_example() {
    let place = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = d1oci(place.path(), &arguments).success().text();
        assert!(help.contains("Example: d1oci "), "{command:?}: {help}");
    }
}

#[test]
fn exit_codes_name_the_kind_of_failure() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(2, 100).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let broken = BagBuilder::new().payload_files(2, 100).write(&place.path().join("broken"));
    fs::remove_file(broken.join("data/series-0/file-00000.csv")).unwrap();
    d1oci(place.path(), &["bag", "validate", "broken"]).failure(1);
    d1oci(place.path(), &["push", "oci:store:v2", "broken"]).failure(1);
    d1oci(place.path(), &["push", "nonsense", "bag"]).failure(2);
    d1oci(place.path(), &["pull", "oci:store"]).failure(2);
    d1oci(place.path(), &["pull", "oci:store:none"]).failure(3);
    d1oci(place.path(), &["tags", "oci:no-such-directory"]).failure(3);
    d1oci(place.path(), &["push", "oci:store:v3", "no-such-bag"]).failure(6);
    let absent = d1oci(place.path(), &["tags", "registry.example:5000/a/b"]);
    assert!(matches!(absent.code, 2 | 5), "{}", absent.stderr);
}

#[test]
fn errors_say_what_why_and_what_next() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(1, 10).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let missing = d1oci(place.path(), &["pull", "oci:store:none"]).failure(3);
    assert_eq!(missing.text(), "");
    assert!(missing.stderr.starts_with("error: "), "{}", missing.stderr);
    assert!(missing.stderr.contains("none") && missing.stderr.contains("\nhint: "), "{}", missing.stderr);
}

#[test]
fn results_go_to_stdout_and_status_to_stderr() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(1, 10).write(&place.path().join("bag"));
    let verbose = d1oci(place.path(), &["push", "oci:store:v1", "bag", "-v", "--format", "json"]).success();
    verbose.json();
    assert!(
        verbose.stderr.contains("data/series-0/file-00000.csv") || verbose.stderr.contains("bag"),
        "{}",
        verbose.stderr
    );
    let quiet = d1oci(place.path(), &["push", "oci:store:v2", "bag", "-q", "--format", "json"]).success();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn every_report_is_json_on_request() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 10).write(&place.path().join("bag"));
    fs::write(place.path().join("note.txt"), "x").unwrap();
    fs::create_dir(place.path().join("plain")).unwrap();
    fs::write(place.path().join("plain/a"), "x").unwrap();
    for arguments in [
        "push oci:store:v1 bag",
        "attach oci:store:v1 --artifact-type text/plain note.txt",
        "ls oci:store:v1",
        "inspect oci:store:v1",
        "verify oci:store:v1",
        "verify --deep oci:store:v1",
        "verify bag",
        "manifest fetch oci:store:v1",
        "discover oci:store:v1",
        "tags oci:store",
        "resolve oci:store:v1",
        "tag oci:store:v1 v2",
        "copy oci:store:v1 oci:other:v1",
        "pull oci:store:v1 -o out",
        "bag validate bag",
        "bag create plain new-bag",
        "bag repair bag repaired",
        "delete oci:store:v2",
        "prune oci:store --dry-run",
        "backends",
    ] {
        let mut arguments: Vec<&str> = arguments.split(' ').collect();
        arguments.extend(["--format", "json"]);
        d1oci(place.path(), &arguments).success().json();
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().file("data/large.csv", payload(1, 4_000_000)).write(&place.path().join("bag"));
    d1oci(place.path(), &["push", "oci:store:v1", "bag"]).success();
    let mut child = Command::new(binary())
        .current_dir(place.path())
        .args(["cat", "oci:store:v1", "data/large.csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut head).unwrap();
    drop(stdout);
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{told}");
    assert_eq!(told, "");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let place = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(d1oci(place.path(), &["completions", shell]).success().text().contains("d1oci"));
    }
    d1oci(place.path(), &["man", "-o", "man1"]).success();
    for page in ["d1oci.1", "d1oci-push.1", "d1oci-bag-create.1"] {
        assert!(fs::read_to_string(place.path().join("man1").join(page)).unwrap().contains(".TH"), "{page}");
    }
}

#[test]
fn a_dry_run_stores_nothing() {
    let place = tempfile::tempdir().unwrap();
    BagBuilder::new().payload_files(3, 10).write(&place.path().join("bag"));
    let dry = d1oci(place.path(), &["push", "oci:store:v1", "bag", "--dry-run", "--format", "json"])
        .success()
        .json();
    assert!(!place.path().join("store").exists());
    let pushed = d1oci(place.path(), &["push", "oci:store:v1", "bag", "--format", "json"]).success().json();
    assert_eq!(dry["digest"], pushed["digest"]);
}

#[test]
fn names_and_habits_of_other_tools_work() {
    let place = tempfile::tempdir().unwrap();
    let line = |line: &str| d1oci(place.path(), &line.split(' ').collect::<Vec<_>>());
    fs::write(place.path().join("a.txt"), "a file").unwrap();
    line("push oci:store:v1 a.txt").success();
    line("cp oci:store:v1 oci:other:v1").success();
    assert_eq!(line("digest oci:other:v1").success().text(), line("resolve oci:store:v1").success().text());
    assert!(line("list oci:other:v1").success().text().contains("a.txt"));
    line("rm oci:other:v1").success();
    assert!(line("help push").success().text().contains("Example: d1oci push"));
    assert!(line("help").success().text().contains("Commands:"));
    line("tags oci:store --no-progress --no-progress -q -q").success();
}

#[test]
fn mistyped_names_get_a_hint_with_what_was_typed() {
    let place = tempfile::tempdir().unwrap();
    let line = |line: &str| d1oci(place.path(), &line.split(' ').collect::<Vec<_>>());
    fs::create_dir_all(place.path().join("bag")).unwrap();
    fs::write(place.path().join("bag/series.csv"), "1").unwrap();
    fs::write(place.path().join("bag/notes.txt"), "2").unwrap();
    line("push oci:store:v1.0 bag").success();
    for command in ["pull", "ls", "inspect", "resolve", "discover", "manifest fetch", "verify"] {
        let failed = line(&format!("{command} oci:store:v1.O")).failure(3).stderr;
        assert!(failed.contains("did you mean `oci:store:v1.0`?"), "{command}: {failed}");
    }
    let failed = line("ls oci:store:something").failure(3).stderr;
    assert!(!failed.contains("did you mean") && failed.contains("`d1oci tags oci:store`"), "{failed}");
    let failed = line("cat oci:store:v1.0 serie.csv").failure(3).stderr;
    assert!(failed.contains("did you mean `series.csv`?"), "{failed}");
}

#[test]
fn a_file_is_named_as_people_name_files() {
    let place = tempfile::tempdir().unwrap();
    let line = |line: &str| d1oci(place.path(), &line.split(' ').collect::<Vec<_>>());
    let bag = place.path().join("bag");
    for path in ["one/series.csv", "one/notes.txt", "two/notes.txt"] {
        fs::create_dir_all(bag.join(path).parent().unwrap()).unwrap();
        fs::write(bag.join(path), path).unwrap();
    }
    line("push oci:store:v1 bag").success();
    for named in
        ["one/series.csv", "./one/series.csv", "bag/one/series.csv", "series.csv", "*.csv", "one/*.csv"]
    {
        assert_eq!(line(&format!("cat oci:store:v1 {named}")).success().text(), "one/series.csv", "{named}");
    }
    let failed = line("cat oci:store:v1 notes.txt").failure(2).stderr;
    assert!(failed.contains("one/notes.txt") && failed.contains("two/notes.txt"), "{failed}");
    line("cat oci:store:v1 *.nc").failure(3);
    line("cat oci:store:v1").failure(2);
    fs::create_dir(place.path().join("out")).unwrap();
    line("cat oci:store:v1 series.csv -o out").success();
    assert_eq!(fs::read_to_string(place.path().join("out/series.csv")).unwrap(), "one/series.csv");
    line("push oci:store:single bag/one/series.csv").success();
    assert_eq!(line("cat oci:store:single").success().text(), "one/series.csv");
}

#[test]
fn a_push_without_a_tag_says_that_nothing_finds_it() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.txt"), "a file").unwrap();
    let pushed = d1oci(place.path(), &["push", "oci:store", "a.txt"]).success().stderr;
    assert!(pushed.contains("only its digest finds it"), "{pushed}");
    let pushed = d1oci(place.path(), &["push", "oci:store:v1", "a.txt"]).success().stderr;
    assert!(!pushed.contains("only its digest"), "{pushed}");
}
