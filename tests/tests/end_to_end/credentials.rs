//! Logins: the questions, the place of storage, the readers, and that others never see a secret.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use d1oci_tests::{DockerRegistry, Outcome, Scripted, bare_d1oci, peer, run, run_with_input};
use registry_conformance::scripted::{Auth, Config, Credentials, Preset, Route, Server, User};
use serde_json::{Value, json};
use tempfile::TempDir;

const USERNAME: &str = "dataone+dataone";
const PASSWORD: &str = "s3cret:pass/word";
/// Name and password as Basic authentication and Docker's file have them.
const ENCODED: &str = "ZGF0YW9uZStkYXRhb25lOnMzY3JldDpwYXNzL3dvcmQ=";

/// A home directory and a registry that wants a login.
struct Rig {
    home: TempDir,
    registry: DockerRegistry,
}

impl Rig {
    fn new() -> Option<Self> {
        let registry = DockerRegistry::start(USERNAME, PASSWORD, None)?;
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("a.txt"), "a file").unwrap();
        Some(Self { home, registry })
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.home.path().join(path)
    }

    /// Runs d1oci; `HOST` in arguments is the registry's.
    fn d1oci(&self, arguments: &str) -> Outcome {
        self.with_input(arguments, "", &[])
    }

    fn with_input(&self, arguments: &str, input: &str, variables: &[(&str, &str)]) -> Outcome {
        let mut command = bare_d1oci(self.home.path());
        command.args(arguments.replace("HOST", &self.registry.host()).split(' '));
        command.envs(variables.iter().copied());
        given(&mut command, input)
    }

    fn login(&self) -> Outcome {
        self.with_input("login HOST -u dataone+dataone --password-stdin", &format!("{PASSWORD}\n"), &[])
    }

    fn docker_file(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path(".docker/config.json")).unwrap()).unwrap()
    }
}

/// Runs a command and looks for secrets in what it says.
fn given(command: &mut Command, input: &str) -> Outcome {
    let outcome = run_with_input(command, input);
    let said = format!("{}{}", outcome.text(), outcome.stderr);
    assert!(!said.contains("s3cret") && !said.contains(ENCODED), "{said}");
    outcome
}

#[test]
fn a_login_is_checked_stored_used_and_forgotten() {
    let Some(rig) = Rig::new() else { return };
    let denied = rig.d1oci("push HOST/a/b:v1 a.txt").failure(4);
    let hint = format!("\nhint: `d1oci login {}`", rig.registry.host());
    assert!(denied.stderr.contains(&hint), "{}", denied.stderr);
    let wrong = rig.with_input("login HOST -u alice --password-stdin", "s3cret-but-wrong", &[]).failure(4);
    assert!(wrong.stderr.contains("nothing was stored"), "{}", wrong.stderr);
    assert!(!rig.path(".docker").exists());

    let said = rig.login().success();
    assert_eq!(said.text(), format!("Logged in to {} as {USERNAME}\n", rig.registry.host()));
    assert!(said.stderr.contains("unencrypted"), "{}", said.stderr);
    assert_eq!(rig.docker_file(), json!({"auths": {rig.registry.host(): {"auth": ENCODED}}}));
    let mode = |path: &str| fs::metadata(rig.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".docker/config.json"), mode(".docker")), (0o600, 0o700));

    rig.d1oci("push HOST/a/b:v1 a.txt").success();
    rig.d1oci("pull HOST/a/b:v1 -o out").success();
    assert_eq!(fs::read(rig.path("out/a.txt")).unwrap(), b"a file");

    let out = rig.d1oci("logout HOST --format json").success().json();
    assert_eq!(out["removedFrom"].as_array().unwrap().len(), 1, "{out}");
    rig.d1oci("tags HOST/a/b").failure(4);
    assert!(rig.d1oci("logout HOST").success().text().starts_with("There was no login"));
}

#[test]
fn no_verbosity_shows_a_secret() {
    let Some(rig) = Rig::new() else { return };
    // Whatever is said is looked through by the rig.
    for verbosity in ["-q", "-v", "-vv", "-vvv", "-vvvv"] {
        let login = format!("login HOST -u dataone+dataone --password-stdin {verbosity}");
        rig.with_input(&login, PASSWORD, &[]).success();
        let told = rig.d1oci(&format!("push HOST/a/b:v1 a.txt {verbosity}")).success().stderr;
        assert_eq!(told.contains("method=HEAD"), verbosity.starts_with("-vv"), "{verbosity}: {told}");
        rig.d1oci(&format!("pull HOST/a/b:v1 -o out{verbosity} {verbosity}")).success();
        rig.with_input(&login, "s3cret", &[]).failure(4);
        rig.d1oci(&format!("logout HOST {verbosity}")).success();
    }
    let typed = format!("login HOST -u dataone+dataone -p {PASSWORD}");
    assert!(rig.d1oci(&typed).success().stderr.contains("--password-stdin"));
    fs::write(rig.path(".docker/config.json"), r#"{"auths":{"x":{"auth":"s3cret"#).unwrap();
    let broken = rig.d1oci("tags HOST/a/b").failure(6);
    assert!(broken.stderr.contains(".docker/config.json"), "{}", broken.stderr);
}

#[test]
fn tokens_and_signed_links_are_in_no_log_and_shown_to_nobody_else() {
    let auth = Auth::bearer(vec![User::new(USERNAME, PASSWORD)]);
    let registry = Scripted::start(Config::new(Preset::Ghcr).with_auth(auth));
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a.txt"), "a file").unwrap();
    let d1oci = |arguments: &str, input: &str| {
        let mut command = bare_d1oci(home.path());
        command.args(arguments.replace("HOST", registry.host()).split(' '));
        given(&mut command, input).success().stderr
    };
    let mut said = d1oci("login HOST -u dataone+dataone --password-stdin -vvv", PASSWORD);
    said += &d1oci("push HOST/a/b:v1 a.txt -vvv", "");
    said += &d1oci("pull HOST/a/b:v1 -o out -vvv", "");
    assert!(said.contains("/storage/") && said.contains("/token"), "{said}");
    let mut secrets = Vec::new();
    for request in registry.requests() {
        match &request.credentials {
            Credentials::Bearer { token } => secrets.push(token.clone()),
            Credentials::Basic { .. } => assert!(matches!(request.route, Route::Token | Route::Ping)),
            _ => {}
        }
        if request.server == Server::Storage {
            assert_eq!(request.credentials, Credentials::None);
            secrets.extend(request.uri.split_once('?').map(|(_, query)| query.to_owned()));
        }
    }
    assert!(secrets.len() > 3, "{secrets:?}");
    for secret in secrets {
        assert!(!said.contains(&secret), "{secret} is in the log");
    }
}

#[test]
fn the_environment_gives_a_login_to_the_host_that_it_names() {
    let Some(rig) = Rig::new() else { return };
    let host = rig.registry.host();
    let suffix = host.replace('.', "_").replace(':', "___");
    let (own_name, own_password) = (format!("D1OCI_USERNAME_{suffix}"), format!("D1OCI_PASSWORD_{suffix}"));
    let other = [("D1OCI_USERNAME", USERNAME), ("D1OCI_PASSWORD", PASSWORD), ("D1OCI_REGISTRY", "quay.io")];
    let named = [("D1OCI_USERNAME", USERNAME), ("D1OCI_PASSWORD", PASSWORD), ("D1OCI_REGISTRY", &*host)];
    let own = [(&*own_name, USERNAME), (&*own_password, PASSWORD)];
    for (variables, code) in
        [(&other[..], 4), (&other[..2], 2), (&named[..], 0), (&own[..], 0), (&own[1..], 2)]
    {
        let outcome = rig.with_input("push HOST/a/b:v1 a.txt", "", variables);
        assert_eq!(outcome.code, code, "{}", outcome.stderr);
    }
    fs::create_dir_all(rig.path(".config/d1oci")).unwrap();
    let settings =
        format!("[host.\"{host}\"]\nusername = \"{USERNAME}\"\npassword-variable = \"CI_TOKEN\"\n");
    fs::write(rig.path(".config/d1oci/config.toml"), settings).unwrap();
    rig.with_input("push HOST/a/b:v2 a.txt", "", &[("CI_TOKEN", PASSWORD)]).success();
    rig.d1oci("push HOST/a/b:v3 a.txt").failure(4);
}

#[test]
fn podmans_file_is_read_and_a_file_that_is_named_is_written() {
    let Some(rig) = Rig::new() else { return };
    let host = rig.registry.host();
    fs::create_dir_all(rig.path("run/containers")).unwrap();
    // The login of the namespace counts, not the wrong one of the host.
    let auths = json!({"auths": {&host: {"auth": "YTpi"}, format!("{host}/a"): {"auth": ENCODED}}});
    fs::write(rig.path("run/containers/auth.json"), auths.to_string()).unwrap();
    let runtime = rig.path("run");
    let variables = [("XDG_RUNTIME_DIR", runtime.to_str().unwrap())];
    rig.with_input("push HOST/a/b:v1 a.txt", "", &variables).success();
    rig.with_input("push HOST/b/a:v1 a.txt", "", &variables).failure(4);
    let left = rig.with_input("logout HOST", "", &variables).success();
    assert!(left.stderr.contains("auth.json` still has a login"), "{}", left.stderr);

    let named = rig.path("own/auth.json");
    let variables = [("REGISTRY_AUTH_FILE", named.to_str().unwrap())];
    rig.with_input("login HOST -u dataone+dataone --password-stdin", PASSWORD, &variables).success();
    assert!(named.exists() && !rig.path(".docker").exists());
    rig.with_input("tags HOST/a/b", "", &variables).success();
}

#[test]
fn a_helper_keeps_the_login_out_of_the_file() {
    let Some(rig) = Rig::new() else { return };
    let script = r#"#!/bin/sh
        case "$1" in
        store) cat > "$HOME/kept";;
        get) cat >/dev/null; cat "$HOME/kept" 2>/dev/null || { echo "credentials not found in native keychain"; exit 1; };;
        erase) rm "$HOME/kept";;
        esac"#;
    fs::create_dir_all(rig.path("bin")).unwrap();
    // Another process writes it: what this one has open for writing could not be run by children of other tests.
    let write = r#"printf %s "$1" > "$0" && chmod 755 "$0""#;
    let program = rig.path("bin/docker-credential-kept");
    run(Command::new("sh").args(["-c", write]).arg(program).arg(script)).success();
    fs::create_dir(rig.path(".docker")).unwrap();
    let before = json!({"credsStore": "kept", "auths": {rig.registry.host(): {"auth": "b2xkOm9sZA=="}}});
    fs::write(rig.path(".docker/config.json"), before.to_string()).unwrap();

    let said = rig.login().success();
    assert!(!said.stderr.contains("unencrypted"), "{}", said.stderr);
    assert_eq!(rig.docker_file(), json!({"credsStore": "kept", "auths": {}}));
    let kept: Value = serde_json::from_slice(&fs::read(rig.path("kept")).unwrap()).unwrap();
    assert_eq!(kept, json!({"ServerURL": rig.registry.host(), "Username": USERNAME, "Secret": PASSWORD}));
    rig.d1oci("push HOST/a/b:v1 a.txt -vvv").success();
    rig.d1oci("logout HOST").success();
    assert!(!rig.path("kept").exists());
    rig.d1oci("tags HOST/a/b").failure(4);
}

#[test]
fn a_file_behind_a_link_is_replaced_and_all_else_in_it_stays() {
    let Some(rig) = Rig::new() else { return };
    fs::create_dir_all(rig.path("dotfiles")).unwrap();
    fs::create_dir_all(rig.path(".docker")).unwrap();
    let before = json!({"auths": {"quay.io": {"auth": "YTpi", "email": "e"}}, "plugins": {"x": [1, null]}});
    fs::write(rig.path("dotfiles/docker.json"), before.to_string()).unwrap();
    symlink("../dotfiles/docker.json", rig.path(".docker/config.json")).unwrap();
    // Two names of one registry, at once.
    std::thread::scope(|scope| {
        for host in [rig.registry.host(), rig.registry.other_name()] {
            let rig = &rig;
            scope.spawn(move || {
                let arguments = format!("login {host} -u dataone+dataone --password-stdin");
                rig.with_input(&arguments, PASSWORD, &[]).success();
            });
        }
    });
    assert!(fs::symlink_metadata(rig.path(".docker/config.json")).unwrap().is_symlink());
    let mut expected = before;
    for host in [rig.registry.host(), rig.registry.other_name()] {
        expected["auths"][host] = json!({"auth": ENCODED});
    }
    assert_eq!(rig.docker_file(), expected);
    assert_eq!(fs::read_dir(rig.path("dotfiles")).unwrap().count(), 1);
}

#[test]
fn oras_uses_our_login_and_we_use_that_of_oras() {
    let (Some(rig), Some(oras)) = (Rig::new(), peer("oras")) else { return };
    let oras = |arguments: &str, input: &str| {
        let mut command = Command::new(&oras);
        command.env("HOME", rig.home.path()).env_remove("DOCKER_CONFIG").current_dir(rig.home.path());
        command.args(arguments.replace("HOST", &rig.registry.host()).split(' '));
        given(&mut command, input).success()
    };
    rig.login().success();
    rig.d1oci("push HOST/a/b:v1 a.txt").success();
    assert_eq!(oras("repo tags HOST/a/b --plain-http", "").text(), "v1\n");
    rig.d1oci("logout HOST").success();
    oras("login HOST -u dataone+dataone --password-stdin --plain-http", PASSWORD);
    assert_eq!(rig.d1oci("tags HOST/a/b").success().text(), "v1\n");
}

#[test]
fn certificates_are_checked_and_one_that_is_named_is_trusted() {
    let Some(openssl) = peer("openssl") else { return };
    let place = tempfile::tempdir().unwrap();
    let arguments = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 \
                     -subj /CN=registry -addext subjectAltName=IP:127.0.0.1";
    run(Command::new(openssl).current_dir(place.path()).args(arguments.split_whitespace())).success();
    let Some(registry) = DockerRegistry::start(USERNAME, PASSWORD, Some(place.path())) else { return };
    let host = registry.host();
    let login = |options: &[&str]| {
        let mut command = bare_d1oci(place.path());
        command.args(["login", &host, "-u", USERNAME, "--password-stdin"]).args(options);
        given(&mut command, PASSWORD)
    };
    // On this machine plain text is usual, and the registry says what it thinks of that.
    assert!(login(&[]).failure(5).stderr.contains("--plain-http=false"));
    assert!(login(&["--plain-http=false"]).failure(5).stderr.contains("certificate is not trusted"));
    login(&["--ca-file", "certificate.pem"]).success();
    fs::create_dir_all(place.path().join("c")).unwrap();
    fs::copy(place.path().join("certificate.pem"), place.path().join("c/ca.pem")).unwrap();
    fs::write(place.path().join("c/config.toml"), format!("[host.\"{host}\"]\nca-file = \"ca.pem\"\n"))
        .unwrap();
    let mut command = bare_d1oci(place.path());
    command.env("D1OCI_CONFIG", "c/config.toml").args(["tags", &format!("{host}/a/b")]);
    // The registry is trusted, and says that it has no such repository.
    assert!(given(&mut command, "").failure(3).stderr.contains("NAME_UNKNOWN"));
}

#[test]
fn mistakes_are_told_before_anything_is_asked() {
    let place = tempfile::tempdir().unwrap();
    let told = |arguments: &[&str], input: &str| {
        let mut command = bare_d1oci(place.path());
        given(command.env("D1OCI_CONFIG", "config.toml").args(arguments), input).failure(2).stderr
    };
    fs::write(place.path().join("config.toml"), "").unwrap();
    for (arguments, input, message) in [
        (&["login", "quay.io", "-u", "u", "--password-stdin"][..], "", "found nothing"),
        (&["login", "quay.io", "-u", "u", "--password-stdin"], "s3cret\nx", "found more lines"),
        (&["login", "quay.io", "-u", "a:b", "--password-stdin"], "s3cret", "without a colon"),
        (&["login", "quay.io", "--password-stdin"], "s3cret", "--username"),
        (&["login", "quay.io"], "", "not a terminal"),
        (&["login", "quay.io/namespace"], "", "a registry's host"),
        (&["copy", "--plain-http", "a.example/a:v1", "b.example/b:v1"], "", "both a.example and b.example"),
        (&["tags", "a.example/a", "--cert-file", "x"], "", "--key-file"),
    ] {
        let stderr = told(arguments, input);
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
    }
    fs::write(place.path().join("config.toml"), "[host.\"a.example\"]\nplain-htp = true\n").unwrap();
    let stderr = told(&["tags", "a.example/a"], "");
    assert!(stderr.contains("`config.toml`, line 2") && stderr.contains("`plain-htp`"), "{stderr}");
    assert!(!place.path().join(".docker").exists());
}
