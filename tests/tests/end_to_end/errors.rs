//! The errors of docs/errors.md: each is provoked, and compared with the page.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use d1oci_tests::{BagBuilder, DockerRegistry, Preset, Scripted, Session, payload, peer, run};
use registry_conformance::scripted::{Action, Answer, Auth, Config, Fault, Route, User, When};

/// The page.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");

/// This variable makes the test write the page.
const WRITE: &str = "D1OCI_WRITE_DOCS";

/// An exit code in words, and command lines that end with it. A word in capitals stands for a server.
type Group = (i32, &'static str, &'static [&'static str]);

const GROUPS: [Group; 6] = [
    (
        1,
        "content is invalid",
        &[
            "push oci:store:v2 broken",
            "bag validate broken",
            "bag validate table.csv",
            "verify --deep oci:damaged:v1",
            "pull oci:damaged:v1 -o out",
            "blob push oci:store@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a table.csv",
        ],
    ),
    (
        2,
        "usage",
        &[
            "psuh oci:store:v1 bag",
            "push oci:store:v1",
            "push --no-such-option oci:store:v1 bag",
            "push --oci-layout-path store a.example/a/b:v1 bag",
            "pull --insecure registry.example/a/b:v1",
            "copy --from-insecure a.example/a/b:v1 b.example/a/b",
            "copy --src-creds curator:s3cret a.example/a/b:v1 oci:store:v2",
            "backup --output saved.tar oci:store:v1",
            "blob delete oci:store@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "ls packages:v1",
            "ls https://ghcr.io/dataone/packages:v1",
            "ls docker-daemon:packages:v1",
            "tags S3://bucket/packages",
            "tags tape:vault/7",
            "ls oci:store",
            "find oci:store:v1",
            "find oci:store --from yesterday",
            "cat oci:store:v1",
            "cat oci:store:v1 */file-*",
            "cat oci:store:v1 data/a.csv --range 9-1",
            "pull oci:store:v1 -o -",
            "export oci:store:v1 -o bag.tar.gz",
            "push oci:store:v2 bag --created yesterday",
            "attach oci:store:v1 bag --artifact-type text/plain",
            "copy --plain-http a.example/a/b:v1 b.example/a/b:v1",
            "tags registry.example/a/b -u curator",
            "tags registry.example/a/b --ca-file empty.pem",
            "tags oci:store --backend tape",
            "login quay.io/dataone",
            "login quay.io",
            "annotate oci:store:v1",
        ],
    ),
    (
        3,
        "not found",
        &[
            "ls oci:none:v1",
            "ls oci:store:v1.O",
            "ls oci:store:v1 *.nc",
            "cat oci:store:v1 data/b.csv",
            "ls oci:store --id doi:10.5072/none",
            "find oci:store --id doi:10.5072/none",
            "blob fetch oci:store@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8b",
            "tags OPEN/no/such",
        ],
    ),
    (
        4,
        "denied",
        &[
            "blob push READONLY/a/b table.csv",
            "push IMMUTABLE/a/b:v1 bag",
            "tags LOGIN/a/b",
            "push oci:withdrawn table.csv --id urn:uuid:1",
        ],
    ),
    (
        5,
        "network or registry",
        &[
            "tags 127.0.0.1:9/a/b",
            "blob push SMALL/a/b table.csv",
            "fetch doi:10.5072/A2 --node http://127.0.0.1:9/mn -o bags",
            "tags OPEN/a/b --plain-http=false",
            "tags TLS/a/b --plain-http",
            "tags TLS/a/b --plain-http=false",
            "tags OTHER/a/b --ca-file other.pem",
            "tags MUTUAL/a/b --ca-file certificate.pem",
        ],
    ),
    (
        6,
        "local files",
        &[
            "push oci:store:v2 no-such-file",
            "push oci:table.csv/store:v1 bag",
            "cat oci:store:v1 data/a.csv -o /dev/full",
            "pull oci:store:v1 -o table.csv/out",
            "pull oci:store:v1 -o taken",
        ],
    ),
];

/// The servers of the command lines. Those that need a tool are absent without it.
struct Servers {
    named: Vec<(&'static str, String)>,
    _scripted: Vec<Scripted>,
    _docker: Option<DockerRegistry>,
    _openssl: Vec<TlsServer>,
}

/// `openssl s_server`, which ends when the value is dropped.
struct TlsServer(Child);

impl TlsServer {
    fn start(openssl: &Path, place: &Path, port: u16, arguments: &str) -> Self {
        let mut command = Command::new(openssl);
        command.current_dir(place).args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
        command.args(arguments.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        let is_ready = (0..400).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(25));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(is_ready, "openssl s_server does not start");
        server
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Servers {
    fn start(place: &Path) -> Self {
        let scripted = |name, config: Config| (name, Scripted::start(config));
        let refusing = |route, answer| {
            Config::new(Preset::Strict).with_fault(Fault::new(route, When::Always, Action::Answer(answer)))
        };
        let login = Auth::bearer(vec![User::new("curator", "s3cret")]);
        let started = [
            scripted("OPEN", Config::new(Preset::Strict)),
            scripted("READONLY", refusing(Route::UploadStart, Answer::write_denied())),
            scripted("IMMUTABLE", refusing(Route::ManifestPut, Answer::immutable_tag())),
            scripted("SMALL", refusing(Route::UploadStart, Answer::status(413))),
            scripted("LOGIN", Config::new(Preset::Strict).with_auth(login)),
        ];
        let mut named: Vec<_> =
            started.iter().map(|(name, server)| (*name, server.host().to_owned())).collect();
        let (docker, openssl) = with_tls(place, &mut named);
        let scripted = started.into_iter().map(|(_, server)| server).collect();
        Self { named, _scripted: scripted, _docker: docker, _openssl: openssl }
    }

    /// Returns the line with addresses, or `None` if one of its servers is absent.
    fn addressed(&self, line: &str) -> Option<String> {
        let all = ["OPEN", "READONLY", "IMMUTABLE", "SMALL", "LOGIN", "TLS", "OTHER", "MUTUAL", "EXPIRED"];
        let Some(wanted) = all.into_iter().find(|name| line.contains(&format!("{name}/"))) else {
            return Some(line.to_owned());
        };
        let (_, host) = self.named.iter().find(|(name, _)| *name == wanted)?;
        Some(line.replace(wanted, host))
    }

    /// Returns a text with one name for all servers.
    fn without_addresses(&self, text: &str) -> String {
        self.named.iter().fold(text.to_owned(), |text, (_, host)| text.replace(host, "registry.example:5000"))
    }
}

/// Starts a registry with TLS, a server whose certificate is for another name, and one that wants a certificate of the client.
fn with_tls(
    place: &Path,
    named: &mut Vec<(&'static str, String)>,
) -> (Option<DockerRegistry>, Vec<TlsServer>) {
    let Some(openssl) = peer("openssl") else { return (None, Vec::new()) };
    for (name, alternative) in [("certificate", "IP:127.0.0.1"), ("other", "DNS:other.example")] {
        let key = if name == "other" { "other-key" } else { "key" };
        let arguments = format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {key}.pem -out {name}.pem -days 2 -subj /CN=registry \
             -addext subjectAltName={alternative}"
        );
        run(Command::new(&openssl).current_dir(place).args(arguments.split_whitespace())).success();
    }
    write_expired_certificate(&openssl, place);
    let mut servers = Vec::new();
    for (name, arguments) in [
        ("EXPIRED", "-cert expired.pem -key expired-key.pem"),
        ("OTHER", "-cert other.pem -key other-key.pem"),
        ("MUTUAL", "-cert certificate.pem -key key.pem -Verify 1 -verify_return_error"),
    ] {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        servers.push(TlsServer::start(&openssl, place, port, arguments));
        named.push((name, format!("127.0.0.1:{port}")));
    }
    let docker = DockerRegistry::start("curator", "s3cret", Some(place));
    named.extend(docker.iter().map(|docker| ("TLS", docker.host())));
    (docker, servers)
}

/// Writes a certificate of the year 2020. Only the command `ca` takes dates of the past.
fn write_expired_certificate(openssl: &Path, place: &Path) {
    let settings = "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\nserial = serial.txt\nnew_certs_dir = .\n\
                    default_md = sha256\npolicy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n";
    for (file, content) in [("ca.cnf", settings), ("index.txt", ""), ("serial.txt", "01\n")] {
        fs::write(place.join(file), content).unwrap();
    }
    for arguments in [
        "req -newkey rsa:2048 -nodes -keyout expired-key.pem -out expired.csr -subj /CN=registry \
         -addext subjectAltName=IP:127.0.0.1",
        "ca -batch -notext -selfsign -config ca.cnf -in expired.csr -keyfile expired-key.pem -out expired.pem \
         -startdate 20200101000000Z -enddate 20201231000000Z",
    ] {
        run(Command::new(openssl).current_dir(place).args(arguments.split_whitespace())).success();
    }
}

/// Makes everything that the command lines name.
fn prepare(session: &Session) {
    BagBuilder::new().payload_files(2, 100).file("data/a.csv", payload(1, 5000)).write(&session.path("bag"));
    session.line("d1oci push oci:store:v1.0 bag -t v1 -q").success();
    session.line("d1oci copy oci:store:v1 oci:damaged:v1 -q").success();
    for blob in fs::read_dir(session.path("damaged/blobs/sha256")).unwrap() {
        let blob = blob.unwrap().path();
        if fs::metadata(&blob).unwrap().len() == 5000 {
            fs::remove_file(&blob).unwrap();
            fs::write(&blob, [b'x'; 5000]).unwrap();
        }
    }
    let broken = BagBuilder::new().payload_files(2, 100).write(&session.path("broken"));
    fs::remove_file(broken.join("data/series-0/file-00000.csv")).unwrap();
    fs::write(session.path("table.csv"), "a,b\n1,2\n").unwrap();
    fs::write(session.path("empty.pem"), "").unwrap();
    session.line("d1oci push oci:withdrawn table.csv --id urn:uuid:1 -q").success();
    session.line("d1oci withdraw oci:withdrawn urn:uuid:1 --reason asked --yes -q").success();
    fs::create_dir_all(session.path("taken/bag")).unwrap();
    fs::write(session.path("taken/bag/bagit.txt"), "another bag\n").unwrap();
    // The program waits for an outage to end. Here, none does.
    let settings = "[host.\"127.0.0.1:9\"]\nattempts = 1\n\n[dataone]\nattempts = 1\n";
    fs::write(session.path(".config/d1oci/config.toml"), settings).unwrap();
}

/// Returns the word in capitals that stands for something in the commands of advice, if there is one.
fn placeholder(advice: &str) -> Option<&str> {
    let commands = advice.split('`').skip(1).step_by(2);
    let words = commands.flat_map(|command| {
        command.split(|character: char| !character.is_alphanumeric() && character != '_')
    });
    let in_capitals = |word: &&str| word.len() > 2 && word.chars().all(|letter| letter.is_ascii_uppercase());
    words.filter(|word| !word.starts_with("D1OCI_")).find(in_capitals)
}

/// Returns the part of the page about a command line, after checking its exit code.
fn entry(session: &Session, servers: &Servers, line: &str, code: i32) -> Option<String> {
    let addressed = servers.addressed(line)?;
    let outcome = session.line(&format!("d1oci {addressed}")).failure(code);
    let home = format!("{}/", session.home().display());
    let said = servers.without_addresses(&outcome.stderr.replace(&home, ""));
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("asking ")).collect();
    for hint in lines.iter().filter_map(|line| line.strip_prefix("hint: ")) {
        assert_eq!(placeholder(hint), None, "`{hint}` has a word that the user did not type");
    }
    let shown = servers.without_addresses(&addressed);
    let quoted: Vec<String> = shown
        .split(' ')
        .map(|word| if word.contains('*') { format!("'{word}'") } else { word.to_owned() })
        .collect();
    Some(format!("```console\n$ d1oci {}\n{}\n```\n", quoted.join(" "), lines.join("\n").trim_end()))
}

#[test]
fn provoked_errors_are_those_of_the_page() {
    let session = Session::new(&[]);
    prepare(&session);
    let servers = Servers::start(session.home());
    let mut page = "# Errors\n\nEach error says what happened, why, and what to do next. This page has the errors that people meet \
                    most. A test provokes all of them and\ncompares the page: `tests/tests/end_to_end/errors.rs` lists the \
                    commands. [exit-codes.md](exit-codes.md) explains the codes.\n"
        .to_owned();
    let (mut entries, mut is_whole) = (Vec::new(), true);
    for (code, meaning, lines) in GROUPS {
        page += &format!("\n## Code {code}: {meaning}\n");
        for line in lines {
            match entry(&session, &servers, line, code) {
                Some(entry) => {
                    page += &format!("\n{entry}");
                    entries.push(entry);
                }
                None => is_whole = false,
            }
        }
    }
    assert!(entries.len() >= 40, "{}", entries.len());
    if std::env::var_os(WRITE).is_some() {
        assert!(is_whole, "a tool is missing");
        fs::write(PAGE, &page).unwrap();
    }
    let written = fs::read_to_string(PAGE).unwrap();
    for entry in &entries {
        assert!(written.contains(entry), "docs/errors.md lacks this; {WRITE}=1 writes it:\n{entry}");
    }
    assert!(!is_whole || written == page, "docs/errors.md has more than the test; {WRITE}=1 writes it");
}

#[test]
fn mistakes_with_tls_are_not_repeated() {
    let session = Session::new(&[]);
    let servers = Servers::start(session.home());
    for (line, reason, hint) in [
        ("tags OPEN/a/b --plain-http=false", "does not speak TLS", "--plain-http"),
        ("tags TLS/a/b --plain-http", "HTTPS", "--plain-http=false"),
        ("tags TLS/a/b --plain-http=false", "authority is unknown", "--ca-file"),
        ("tags OTHER/a/b --ca-file other.pem", "another name", "name that its certificate has"),
        ("tags MUTUAL/a/b --ca-file certificate.pem", "with a certificate", "--cert-file"),
        ("tags EXPIRED/a/b --ca-file expired.pem", "expired", "clock of this machine"),
    ] {
        let Some(addressed) = servers.addressed(line) else { continue };
        let stderr = session.line(&format!("d1oci {addressed}")).failure(5).stderr;
        let told = stderr.contains(reason) && stderr.contains("hint: ") && stderr.contains(hint);
        assert!(told && !stderr.contains("the next try"), "{line}: {stderr}");
    }
}
