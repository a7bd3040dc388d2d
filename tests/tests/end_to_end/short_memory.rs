//! Registries that forget: Quay removes artifacts without a tag after an hour, and digests whose tag moves at once.

use std::fs;
use std::time::Duration;

use d1oci_tests::{Preset, RegistryKind, RunningRegistry, Session};

const HOUR: Duration = Duration::from_secs(3600);

fn quay(login: Option<(&str, &str)>) -> (RunningRegistry, Session) {
    let registry = RegistryKind::Scripted(Preset::Quay).start(login).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    fs::write(session.path("b.txt"), "another file").unwrap();
    (registry, session)
}

fn digest(session: &Session, reference: &str) -> String {
    session.line(&format!("d1oci resolve {reference}")).success().text().trim().to_owned()
}

#[test]
fn an_artifact_without_a_tag_gets_one_of_its_digest() {
    let (registry, session) = quay(None);
    session.line("d1oci push oci:source:v1 a.txt").success();
    let digest = digest(&session, "oci:source:v1");
    let tag = digest.replace(':', "_");
    let pushed = session.line("d1oci push HOST/owner/pushed a.txt").success();
    assert!(pushed.stderr.contains("removes artifacts without a tag after 60 minutes"), "{}", pushed.stderr);
    assert!(pushed.text().contains(&format!("owner/pushed:{tag}")), "{}", pushed.text());
    let copied = session.line(&format!("d1oci copy oci:source@{digest} HOST/owner/copied")).success();
    assert!(copied.stderr.contains(&tag), "{}", copied.stderr);
    session.line("d1oci push HOST/owner/about:v1 a.txt").success();
    let attached = "d1oci attach HOST/owner/about:v1 b.txt --artifact-type text/plain";
    assert_eq!(session.line(attached).success().stderr, "");
    registry.scripted().unwrap().pass_time(2 * HOUR);
    for repository in ["pushed", "copied"] {
        session.line(&format!("d1oci pull HOST/owner/{repository}@{digest} -o {repository}")).success();
    }
    assert!(session.line("d1oci discover HOST/owner/about:v1").success().text().contains("text/plain"));
}

#[test]
fn a_digest_whose_tag_moves_keeps_a_tag() {
    let (_registry, session) = quay(None);
    for (repository, option, code) in [("kept", "", 0), ("forgotten", "--no-keep", 3)] {
        let repository = format!("HOST/owner/{repository}");
        session.line(&format!("d1oci push {repository}:v1 a.txt")).success();
        let first = digest(&session, &format!("{repository}:v1"));
        let moved = session.line(&format!("d1oci push {repository}:v1 b.txt {option}")).success();
        assert_eq!(
            moved.stderr.contains("forgets a digest when its tag moves"),
            code == 0,
            "{}",
            moved.stderr
        );
        let resolved = session.line(&format!("d1oci manifest fetch {repository}@{first}"));
        assert_eq!(resolved.code, code, "{}", resolved.stderr);
    }
    let tagged = session.line("d1oci tag HOST/owner/kept:v1 v2").success();
    assert_eq!(tagged.stderr, "");
    let tags = session.line("d1oci tags HOST/owner/kept").success().text();
    assert_eq!(tags.lines().count(), 3, "{tags}");
}

#[test]
fn an_attachment_that_stays_is_not_called_deleted() {
    let (_registry, session) = quay(None);
    session.line("d1oci push HOST/owner/name:v1 a.txt").success();
    let attach = "d1oci attach HOST/owner/name:v1 b.txt --artifact-type text/plain --format json";
    let attached = session.line(attach).success().json();
    let digest = attached["digest"].as_str().unwrap();
    for force in ["", "--force"] {
        let deleted = session.line(&format!("d1oci delete HOST/owner/name@{digest} {force}")).failure(5);
        assert!(
            deleted.stderr.contains("only deleting the whole repository removes it"),
            "{}",
            deleted.stderr
        );
    }
}

#[test]
fn looking_creates_no_repository() {
    let (_registry, session) = quay(Some(("owner+robot", "s3cret")));
    session.piped("s3cret", "d1oci login HOST --username owner+robot --password-stdin").success();
    for line in [
        "d1oci delete HOST/owner/typo:v1",
        "d1oci tag HOST/owner/typo:v1 v2",
        "d1oci attach HOST/owner/typo:v1 b.txt --artifact-type text/plain",
        "d1oci tags HOST/owner/typo",
    ] {
        let refused = session.line(line).failure(4);
        assert!(
            refused.stderr.contains("the repository does not exist, or the account lacks the right"),
            "{refused:?}"
        );
    }
    let dry = session.line("d1oci push --dry-run HOST/owner/typo:v1 a.txt").success();
    assert!(dry.stderr.contains("it does not exist, or the account may not read it"), "{}", dry.stderr);
    assert!(dry.text().starts_with("Would push"), "{}", dry.text());
    // Still no repository.
    session.line("d1oci tags HOST/owner/typo").failure(4);
    session.line("d1oci push HOST/owner/typo:v1 a.txt").success();
    session.line("d1oci tags HOST/owner/typo").success();
}
