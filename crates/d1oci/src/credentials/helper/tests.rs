//! Tests of credential helpers, with scripts in their place.

use std::fs;

use distribution_client::Secret;
use tempfile::TempDir;

use super::*;

/// Makes a helper of a shell script, which finds its arguments and standard input as helpers do.
fn helper(script: &str) -> (TempDir, Helper) {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("docker-credential-test");
    let text = format!("#!/bin/sh\ncd '{}'\n{script}\n", place.path().display());
    // Another process writes it: a file that this one has open for writing, which children of other tests inherit for a
    // moment, could not be run.
    let write = r#"printf %s "$1" > "$0" && chmod 755 "$0""#;
    let written = std::process::Command::new("sh").arg("-c").arg(write).arg(&program).arg(text).status();
    assert!(written.unwrap().success());
    let helper = Helper { program: program.into(), patience: Duration::from_secs(60) };
    (place, helper)
}

fn password(username: &str, password: &str) -> Credential {
    Credential::Password { username: username.into(), password: Secret::new(password) }
}

#[tokio::test]
async fn a_login_is_stored_and_returned_and_erased() {
    let (place, helper) = helper(
        r#"case "$1" in
           store) cat > stored;;
           get) cat > asked; cat stored 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
           erase) cat > erased; rm stored;;
           esac"#,
    );
    assert_eq!(helper.get("quay.io").await.unwrap(), None);
    helper.store("docker.io", &password("u", "p\"w")).await.unwrap();
    let stored = fs::read_to_string(place.path().join("stored")).unwrap();
    assert_eq!(stored, r#"{"ServerURL":"https://index.docker.io/v1/","Username":"u","Secret":"p\"w"}"#);
    assert_eq!(helper.get("docker.io").await.unwrap(), Some(password("u", "p\"w")));
    assert_eq!(fs::read_to_string(place.path().join("asked")).unwrap(), "https://index.docker.io/v1/");
    helper.erase("quay.io").await.unwrap();
    assert_eq!(fs::read_to_string(place.path().join("erased")).unwrap(), "quay.io");
    assert_eq!(helper.get("docker.io").await.unwrap(), None);
    helper.store("quay.io", &Credential::IdentityToken(Secret::new("t"))).await.unwrap();
    assert_eq!(helper.get("quay.io").await.unwrap(), Some(Credential::IdentityToken(Secret::new("t"))));
}

#[tokio::test]
async fn a_failure_of_a_helper_has_no_secret_in_it() {
    for (script, reason) in [
        ("echo 'the keychain is locked'; exit 1", "the keychain is locked"),
        ("exit 3", "exit status: 3"),
        (r#"echo '{"Username":"u","Secret":"s3cret"}'; exit 1"#, "with an answer all the same"),
        (r#"echo '{"Username":"u","Secret":s3cret}'"#, "expected a login in JSON"),
        (r#"echo '{"Username":"u","Secret":["s3cret"]}'"#, "expected a login in JSON"),
        ("head -c 300000 /dev/zero", "ended early"),
    ] {
        let (_place, helper) = helper(script);
        let error = helper.get("quay.io").await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert_eq!(error.kind(), ErrorKind::Io, "{text}");
        assert!(text.contains(reason) && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_helper_that_ignores_its_input_or_answers_with_nothing_is_no_failure() {
    let (_place, first) = helper(r#"echo '{"ServerURL":"x","Username":"","Secret":"t"}'"#);
    assert_eq!(first.get("quay.io").await.unwrap(), Some(password("", "t")));
    let (_place, second) = helper("echo '{}'");
    assert_eq!(second.get("quay.io").await.unwrap(), None);
    let long = "x".repeat(200_000);
    let (_place, third) = helper("exec 0<&-; exit 0");
    third.store("quay.io", &password("u", &long)).await.unwrap();
}

#[tokio::test]
async fn a_helper_that_hangs_is_ended() {
    let (_place, mut helper) = helper("exec sleep 1000");
    helper.patience = Duration::from_millis(50);
    let error = helper.get("quay.io").await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused_and_absent_helpers_fail() {
    for name in ["", "../evil", "a/b", "a b", "x\n"] {
        assert!(Helper::new(name).is_err(), "{name}");
    }
    let absent = Helper::new("is-surely-not-installed-anywhere").unwrap();
    assert_eq!(absent.get("quay.io").await.unwrap_err().kind(), ErrorKind::Io);
}
