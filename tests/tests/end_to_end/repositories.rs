//! `d1oci repo`: the interfaces of Quay and GitHub, on a server that answers as they document it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use d1oci_tests::{Preset, RegistryKind, Session};

/// A server that notes the requests, and answers each with what the function says: a status and a JSON text.
struct Interface {
    host: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Interface {
    fn start(answer: fn(&str) -> (u16, &'static str)) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        // The thread ends with the process of the tests.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                serve(connection, &log, answer);
            }
        });
        Self { host, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn serve(mut connection: TcpStream, log: &Mutex<Vec<String>>, answer: fn(&str) -> (u16, &'static str)) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let (mut line, mut length, mut token) = (String::new(), 0, String::new());
    reader.read_line(&mut line).unwrap();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_ascii_lowercase();
        match header.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("authorization", value)) => token = value.to_owned(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = line.trim().trim_end_matches(" HTTP/1.1").to_owned();
    let (status, text) = if token == "bearer secret-token" { answer(&line) } else { (403, "{}") };
    log.lock().unwrap().push(format!("{line} {}", String::from_utf8(body).unwrap()).trim_end().to_owned());
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        text.len()
    );
    write!(connection, "{head}connection: close\r\n\r\n{text}").unwrap();
}

/// A session with one host, whose interface is this server.
fn session(interface: &Interface, backend: &str, path: &str, username: &str, password: &str) -> Session {
    let session = Session::new(&[]);
    let host = &interface.host;
    let api = format!("http://{host}{path}");
    let settings = format!("[host.\"{host}\"]\nbackend = \"{backend}\"\napi = \"{api}\"\n");
    fs::write(session.path(".config/d1oci/config.toml"), settings).unwrap();
    let login =
        serde_json::json!({ "auths": { host.as_str(): { "username": username, "password": password } } });
    fs::create_dir_all(session.path(".docker")).unwrap();
    fs::write(session.path(".docker/config.json"), login.to_string()).unwrap();
    session
}

fn quay(line: &str) -> (u16, &'static str) {
    match line {
        "GET /api/v1/repository?namespace=owner&public=true" => (
            200,
            r#"{"repositories": [{"namespace": "owner", "name": "tides"}, {"namespace": "owner", "name": "x\u001b[2J"}], "next_page": "2"}"#,
        ),
        "GET /api/v1/repository?namespace=owner&public=true&next_page=2" => {
            (200, r#"{"repositories": [{"namespace": "owner", "name": "currents"}]}"#)
        }
        _ if line.contains("/absent") => (404, r#"{"error_message": "Not Found", "title": "not_found"}"#),
        _ if line.contains("includeTags") => (
            200,
            r#"{"is_public": true, "description": "tides\u001b[2J", "can_write": true, "tag_expiration_s": 1209600}"#,
        ),
        _ if line.contains("specificTag") => (
            200,
            r#"{"tags": [{"manifest_digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#,
        ),
        _ => (200, "{}"),
    }
}

#[test]
fn a_repository_of_quay_is_managed() {
    let interface = Interface::start(quay);
    let session = session(&interface, "quay", "/api/v1", "$oauthtoken", "secret-token");
    let repository = format!("{}/owner/packages", interface.host);
    let shown = session.line(&format!("d1oci repo show {repository}")).success().text();
    assert!(shown.contains("Visibility:   public") && shown.contains("for 14 days"), "{shown}");
    assert!(shown.contains("tides\\u{1b}[2J"), "text of strangers is escaped: {shown}");
    let facts = session.line(&format!("d1oci repo show {repository} --format json")).success().json();
    assert_eq!(facts["restorableSeconds"], 1_209_600);
    interface.asked();
    for (line, request) in [
        (
            "create REPO --description text",
            "POST /api/v1/repository {\"description\":\"text\",\"namespace\":\"owner\",\"repo_kind\":\"image\",\
             \"repository\":\"packages\",\"visibility\":\"private\"}",
        ),
        (
            "visibility REPO public",
            "POST /api/v1/repository/owner/packages/changevisibility {\"visibility\":\"public\"}",
        ),
        (
            "expiry REPO:v1 2100-01-01",
            "PUT /api/v1/repository/owner/packages/tag/v1 {\"expiration\":4102531200}",
        ),
        ("expiry REPO:v1 never", "PUT /api/v1/repository/owner/packages/tag/v1 {\"expiration\":null}"),
        ("delete REPO --yes", "DELETE /api/v1/repository/owner/packages"),
    ] {
        session.line(&format!("d1oci repo {}", line.replace("REPO", &repository))).success();
        assert_eq!(interface.asked(), [request], "{line}");
    }
    let restored = session.line(&format!("d1oci repo restore {repository}:v1")).success().text();
    assert!(restored.contains("sha256:e3b0c442"), "{restored}");
    assert_eq!(interface.asked().len(), 2);
}

#[test]
fn mistakes_are_told_and_change_nothing() {
    let interface = Interface::start(quay);
    let owner = session(&interface, "quay", "/api/v1", "$oauthtoken", "secret-token");
    let repository = format!("{}/owner/packages", interface.host);
    for (line, code, part) in [
        ("delete REPO", 2, "--yes"),
        ("expiry REPO:v1 2001-01-01", 2, "still to come"),
        ("expiry REPO:v1 soon", 2, "expected `never`"),
        ("expiry REPO 1d", 2, "names no tag"),
        ("show REPO:v1", 2, "names an artifact"),
        ("show oci:store", 2, "a layout is a directory or a bucket"),
        ("restore REPO", 5, "name the tag"),
    ] {
        let failed = owner.line(&format!("d1oci repo {}", line.replace("REPO", &repository)));
        let stderr = failed.failure(code).stderr;
        assert!(stderr.contains(part), "{line}: {stderr}");
    }
    assert_eq!(interface.asked(), Vec::<String>::new());
    owner.line(&format!("d1oci repo show {}/owner/absent", interface.host)).failure(3);
    let robot = session(&interface, "quay", "/api/v1", "owner+robot", "another");
    let denied = robot.line(&format!("d1oci repo visibility {repository} public")).failure(4).stderr;
    assert!(denied.contains("OAuth application") && !denied.contains("another"), "{denied}");
}

fn github(line: &str) -> (u16, &'static str) {
    match line {
        "GET /users/owner" => (200, r#"{"type": "User"}"#),
        "GET /users/owner/packages?package_type=container&per_page=100" => {
            (200, r#"[{"name": "tides"}, {"name": "below/currents"}, {}]"#)
        }
        "GET /users/owner/packages/container/packages" => (
            200,
            r#"{"visibility": "private", "html_url": "https://github.example/owner/packages", "version_count": 3}"#,
        ),
        _ => (404, "{}"),
    }
}

#[test]
fn github_says_where_people_change_what_its_interface_cannot() {
    let interface = Interface::start(github);
    let session = session(&interface, "ghcr", "", "token", "secret-token");
    let repository = format!("{}/owner/packages", interface.host);
    let shown = session.line(&format!("d1oci repo show {repository}")).success().text();
    assert!(shown.contains("Visibility:   private") && shown.contains("packages/settings"), "{shown}");
    let refused = session.line(&format!("d1oci repo visibility {repository} public")).failure(5).stderr;
    assert!(refused.contains("https://github.example/owner/packages/settings"), "{refused}");
    let refused = session.line(&format!("d1oci repo create {repository}")).failure(5).stderr;
    assert!(refused.contains("with its first push"), "{refused}");
}

#[test]
fn the_first_push_says_how_to_make_the_repository_public() {
    let registry = RegistryKind::Scripted(Preset::Quay).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    fs::write(session.path("b.txt"), "another file").unwrap();
    let first = session.line("d1oci push HOST/owner/name:v1 a.txt").success().stderr;
    assert!(
        first.contains(&format!("d1oci repo visibility {}/owner/name public", registry.host())),
        "{first}"
    );
    for line in ["d1oci push HOST/owner/name:v1 a.txt", "d1oci push HOST/owner/name:v2 b.txt"] {
        let next = session.line(line).success().stderr;
        assert!(!next.contains("repo visibility"), "{line}: {next}");
    }
}

#[test]
fn a_namespace_is_listed_by_the_interface_of_the_vendor() {
    let interface = Interface::start(quay);
    let on_quay = session(&interface, "quay", "/api/v1", "$oauthtoken", "secret-token");
    let host = &interface.host;
    let listed = on_quay.line(&format!("d1oci repo ls {host}/owner")).success().text();
    assert_eq!(listed, format!("{host}/owner/currents\n{host}/owner/tides\n"));
    let interface = Interface::start(github);
    let on_github = session(&interface, "ghcr", "", "token", "secret-token");
    let host = &interface.host;
    let listed = on_github.line(&format!("d1oci repo ls {host}/owner --format json")).success().json();
    let place = format!("{host}/owner");
    assert_eq!(
        listed,
        serde_json::json!({ "place": place, "repositories": [format!("{place}/below/currents"), format!("{place}/tides")] })
    );
}

#[test]
fn a_registry_lists_its_repositories_in_pages() {
    for (preset, login) in [(Preset::Strict, Some(("curator", "secret"))), (Preset::Old, None)] {
        let registry = RegistryKind::Scripted(preset).start(login).unwrap();
        let session = Session::new(&[&registry]);
        if let Some((name, password)) = login {
            session.piped(password, &format!("d1oci login HOST -u {name} --password-stdin")).success();
        }
        let scripted = registry.scripted().unwrap();
        for number in 100..220 {
            scripted.create_repository(&format!("owner/name-{number}"));
        }
        for name in ["other/name", "no\u{1b}[2Jname", "../up", "a b"] {
            scripted.create_repository(name);
        }
        let all = session.line("d1oci repo ls HOST").success().text();
        assert_eq!(all.lines().count(), 121, "{all}");
        assert!(
            all.contains(&format!("{}/other/name\n", registry.host())) && !all.contains("\u{1b}"),
            "{all}"
        );
        let below = session.line("d1oci repo ls HOST/owner").success().text();
        assert_eq!(below.lines().count(), 120, "{below}");
        session.line("d1oci repo ls HOST/nobody").failure(3);
    }
    let registry = RegistryKind::Scripted(Preset::Ghcr).start(None).unwrap();
    let session = Session::new(&[&registry]);
    let refused = session.line("d1oci repo ls HOST").failure(5).stderr;
    assert!(
        refused.contains("does not list its repositories")
            && refused.contains(&format!("behind `{}/`", registry.host())),
        "{refused}"
    );
    fs::write(session.path("a.txt"), "a file").unwrap();
    session.line("d1oci push HOST/owner/name:v1 a.txt").success();
    assert_eq!(session.line("d1oci repo tags HOST/owner/name").success().text(), "v1\n");
    session.line("d1oci repo ls oci:store").failure(2);
}
