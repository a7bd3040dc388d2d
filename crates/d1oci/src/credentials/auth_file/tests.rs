//! Tests of credential files: what programs write into them, what stays when we write.

use std::fs;

use super::*;

fn file(text: &str) -> AuthFile {
    let Ok(Value::Object(content)) = serde_json::from_str(text) else { panic!("{text}") };
    AuthFile { path: PathBuf::from("config.json"), content }
}

fn shown(credential: Option<Credential>) -> String {
    match credential {
        None => "none".to_owned(),
        Some(Credential::Password { username, password }) => format!("{username}:{}", password.reveal()),
        Some(Credential::IdentityToken(token)) => format!("identity {}", token.reveal()),
        Some(Credential::RegistryToken(token)) => format!("registry {}", token.reveal()),
        Some(other) => format!("{other:?}"),
    }
}

#[test]
fn logins_are_read_as_programs_write_them() {
    for (entry, expected) in [
        (r#"{"auth":"dTpw"}"#, "u:p"),
        (r#"{"auth":"dTpwOnE="}"#, "u:p:q"),
        (r#"{"auth":"dTpwOnE"}"#, "u:p:q"),
        (r#"{"auth":"dTpwAAA="}"#, "u:p"),
        (r#"{"auth":"","username":"u","password":"p"}"#, "u:p"),
        (r#"{"username":"u","password":"p","email":"e"}"#, "u:p"),
        (r#"{"auth":"PHRva2VuPjp0"}"#, "identity t"),
        (r#"{"auth":"dTpw","identitytoken":"t"}"#, "identity t"),
        (r#"{"auth":"dTpw","identitytoken":"t","registrytoken":"r"}"#, "registry r"),
        ("{}", "none"),
        (r#"{"auth":7}"#, "none"),
        ("null", "none"),
    ] {
        let file = file(&format!(r#"{{"auths":{{"quay.io":{entry}}}}}"#));
        assert_eq!(shown(file.login("quay.io", None).unwrap()), expected, "{entry}");
    }
}

#[test]
fn a_login_that_is_none_is_an_error_that_shows_nothing() {
    for entry in [r#"{"auth":"s3cret!"}"#, r#"{"auth":"czNjcmV0"}"#, r#"{"auth":"/////w=="}"#] {
        let file = file(&format!(r#"{{"auths":{{"quay.io":{entry}}}}}"#));
        let error = file.login("quay.io", None).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("config.json") && text.contains("quay.io"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("czNjcmV0"), "{text}");
    }
}

#[test]
fn the_most_specific_key_wins_and_then_the_one_that_docker_writes() {
    let auth = |text: &str| format!(r#"{{"auth":"{}"}}"#, BASE64.encode(text));
    let file = file(&format!(
        r#"{{"auths":{{"https://quay.io/v2/":{},"quay.io":{},"quay.io/a":{},"quay.io/a/b":{},"docker.io":{},
            "https://index.docker.io/v1/":{},"empty.example":{{}},"https://empty.example":{}}}}}"#,
        auth("u:url"),
        auth("u:host"),
        auth("u:a"),
        auth("u:a/b"),
        auth("u:hub"),
        auth("u:docker"),
        auth("u:second")
    ));
    for (host, repository, expected) in [
        ("quay.io", None, "u:host"),
        ("quay.io", Some("a/b"), "u:a/b"),
        ("quay.io", Some("a/b/c"), "u:a/b"),
        ("quay.io", Some("a/c"), "u:a"),
        ("quay.io", Some("c"), "u:host"),
        ("docker.io", Some("library/x"), "u:docker"),
        ("empty.example", None, "u:second"),
        ("other.example", None, "none"),
    ] {
        assert_eq!(shown(file.login(host, repository).unwrap()), expected, "{host} {repository:?}");
    }
}

#[test]
fn helpers_are_found_by_host() {
    let file = file(
        r#"{"credsStore":"all","credHelpers":{"https://index.docker.io/v1/":"hub","quay.io":"","ghcr.io":"own"}}"#,
    );
    assert_eq!(file.own_helper("docker.io"), Some("hub"));
    assert_eq!(file.own_helper("ghcr.io"), Some("own"));
    // An empty name says that this host has none, and keeps its login in the file.
    assert_eq!(file.own_helper("quay.io"), Some(""));
    assert_eq!((file.own_helper("other.example"), file.general_helper()), (None, Some("all")));
}

#[test]
fn what_is_not_ours_stays_when_a_login_is_stored_and_removed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("config.json");
    let before = r#"{"HttpHeaders":{"X":"y"},"auths":{"ghcr.io":{"auth":"dTpw"},
        "quay.io":{"auth":"b2xkOm9sZA==","email":"e@example.org"},"quay.io/ns":{"auth":"bnM6bnM="}},"psFormat":"x"}"#;
    fs::write(&path, before).unwrap();
    let credential = Credential::Password { username: "u".into(), password: Secret::new("p:w") };
    AuthFile::update(&path, |file| {
        file.set("quay.io", &credential);
        file.set("docker.io", &Credential::IdentityToken(Secret::new("t")));
        Ok(true)
    })
    .unwrap();
    let read: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(before).unwrap();
    expected["auths"]["quay.io"]["auth"] = "dTpwOnc=".into();
    expected["auths"]["https://index.docker.io/v1/"] = serde_json::json!({"identitytoken": "t"});
    assert_eq!(read, expected);

    assert!(AuthFile::update(&path, |file| Ok(file.remove("quay.io") && file.remove("docker.io"))).unwrap());
    let read: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let auths = expected["auths"].as_object_mut().unwrap();
    auths.remove("quay.io");
    auths.remove("https://index.docker.io/v1/");
    assert_eq!(read, expected);
    assert!(!AuthFile::update(&path, |file| Ok(file.remove("quay.io"))).unwrap());
}

#[test]
fn files_that_are_none_are_told_by_name_alone() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("config.json");
    assert!(AuthFile::read(&path).unwrap().content.is_empty());
    for text in ["", " \n"] {
        fs::write(&path, text).unwrap();
        assert!(AuthFile::read(&path).unwrap().content.is_empty());
    }
    for text in ["{\"auths\":{\"quay.io\":{\"auth\":\"s3cret\"}}", "[\"s3cret\"]", "s3cret"] {
        fs::write(&path, text).unwrap();
        let error = AuthFile::read(&path).err().unwrap();
        let text = format!("{error} {error:?}");
        assert!(text.contains("config.json") && !text.contains("s3cret"), "{text}");
        let updated = AuthFile::update(&path, |file| {
            file.set("quay.io", &Credential::Anonymous);
            Ok(true)
        });
        assert!(updated.is_err());
    }
    assert_eq!(fs::read(&path).unwrap(), b"s3cret");
}

#[test]
fn two_logins_at_once_are_both_kept() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("config.json");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let credential =
                    Credential::Password { username: "u".into(), password: Secret::new(number.to_string()) };
                AuthFile::update(path, |file| {
                    file.set(&format!("host-{number}.example"), &credential);
                    Ok(true)
                })
                .unwrap();
            });
        }
    });
    let file = AuthFile::read(&path).unwrap();
    for number in 0..8 {
        let found = file.login(&format!("host-{number}.example"), None).unwrap();
        assert_eq!(shown(found), format!("u:{number}"));
    }
}

proptest::proptest! {
    #[test]
    fn any_entry_is_read_or_refused(text in "\\PC{0,60}", field in "auth|username|identitytoken|x") {
        let file = AuthFile {
            path: PathBuf::from("x"),
            content: serde_json::json!({"auths": {"a.example": {field: text}}}).as_object().unwrap().clone(),
        };
        let _ = file.login("a.example", Some("a/b"));
    }

    #[test]
    fn what_is_stored_comes_back(username in "[^:\0]{1,20}", password in "[^\0]{1,40}") {
        proptest::prop_assume!(username != IDENTITY_TOKEN_NAME);
        let mut file = AuthFile { path: PathBuf::from("x"), content: Map::new() };
        let credential = Credential::Password { username, password: Secret::new(password) };
        file.set("a.example", &credential);
        let read: Value = serde_json::from_slice(&file.serialize()).unwrap();
        file.content = read.as_object().unwrap().clone();
        proptest::prop_assert_eq!(file.login("a.example", None).unwrap(), Some(credential));
    }
}
