//! `d1oci serve`: a gateway as a process, read by programs that people use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use d1_testnode::Scale;
use d1oci_tests::{BagBuilder, DockerRegistry, Scripted, binary, d1oci, payload, peer, run, skipped};
use registry_conformance::scripted::{Config, Preset};

/// How often the layout of the test of changes changes.
const CHANGES: usize = 10;

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) url: String,
    log: mpsc::Receiver<String>,
}

impl Gateway {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary());
        command.current_dir(directory).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the gateway says where it listens").unwrap();
            if let Some((_, url)) = line.split_once("listening at ") {
                break url.to_owned();
            }
        };
        // Both pipes are read, so that the gateway never waits for the test.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let (sender, log) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, url, log }
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Asks the gateway to end, and returns its exit code.
    fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a program is installed, and says so if it is not.
fn has(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok();
    if !is_there {
        skipped(&format!("{program} is not installed"));
    }
    is_there
}

/// Pushes a bag of two payload files to a layout, and returns their contents.
fn pushed(place: &Path) -> (Vec<u8>, Vec<u8>) {
    pushed_to(place, "oci:store:v1", &[])
}

fn pushed_to(place: &Path, target: &str, options: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let (large, small) = (payload(1, 3_000_000), b"depth,temperature\n15,7.2\n".to_vec());
    let bag = BagBuilder::new().file("data/large.bin", large.clone()).file("data/small.csv", small.clone());
    let bag = bag.write(&place.join("bag"));
    d1oci(place, &[&["push", target, bag.to_str().unwrap()], options].concat()).success();
    (large, small)
}

#[test]
fn interrupted_downloads_from_a_layout_are_resumed() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (large, _) = pushed(place);
    check_downloads(place, &Gateway::start(place, &["oci:store"]), &large);
}

#[test]
fn interrupted_downloads_from_a_registry_are_resumed() {
    let Some(registry) = DockerRegistry::start_open() else { return };
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let repository = format!("{}/a/b", registry.host());
    let (large, _) = pushed_to(place, &format!("{repository}:v1"), &["--layout", "archive"]);
    check_downloads(place, &Gateway::start(place, &[&repository]), &large);
}

/// Returns the commands of a page for a tool, as a person copies them.
fn snippets(page_url: &str, tool: &str) -> Vec<String> {
    let page = run(Command::new("curl").args(["-sS", "-f", page_url])).success().stdout;
    let page = String::from_utf8(page).unwrap();
    let start = format!("<div class=\"snippet\"><p><b>{tool}</b>");
    let parts = page.split(&start).skip(1);
    let code = parts.map(|part| part.split("<code>").nth(1).unwrap().split("</code>").next().unwrap());
    code.map(|code| code.replace("&#39;", "'")).collect()
}

/// Returns the content of the only file of this name below a directory.
fn found(directory: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read_dir(directory).ok()?.map(Result::unwrap).find_map(|entry| match entry.path() {
        path if path.is_dir() => found(&path, name),
        path => (entry.file_name() == name).then(|| std::fs::read(path).unwrap()),
    })
}

#[test]
fn the_commands_on_a_page_read_the_store() {
    if !has("curl") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (_, small) = pushed(place);
    let gateway = Gateway::start(place, &["oci:store"]);
    let page = format!("{}/p/v1/", gateway.url);
    let shell = |program: &Path, command: &str| {
        let path = [program.parent().unwrap().to_owned()].into_iter();
        let path =
            std::env::join_paths(path.chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())))
                .unwrap();
        run(Command::new("sh").current_dir(place).env("PATH", path).args(["-c", command])).success().stdout
    };
    let programs = [("d1oci", Some(binary().to_owned())), ("oras", peer("oras"))];
    for (tool, program) in programs {
        let Some(program) = program else { continue };
        let commands = snippets(&page, tool);
        assert_eq!(commands.len(), 1, "{commands:?}");
        shell(&program, &commands[0]);
        assert_eq!(found(&place.join("package"), "small.csv"), Some(small.clone()), "{}", commands[0]);
        std::fs::remove_dir_all(place.join("package")).unwrap();
    }
    let commands = snippets(&format!("{page}data/small.csv?view"), "d1oci");
    assert_eq!(shell(binary(), &commands[0]), small, "{commands:?}");
}

/// Resumes downloads with the programs that people use.
fn check_downloads(place: &Path, gateway: &Gateway, large: &[u8]) {
    let url = format!("{}/p/v1/data/large.bin", gateway.url);
    let zip = format!("{}/zip/v1", gateway.url);
    if has("curl") {
        let whole = run(Command::new("curl").args(["-sS", "-f", &zip])).success().stdout;
        for (url, content, name) in [(&url, large, "curl.bin"), (&zip, &whole[..], "curl.zip")] {
            std::fs::write(place.join(name), &content[..content.len() / 3]).unwrap();
            let mut curl = Command::new("curl");
            run(curl.current_dir(place).args(["-sS", "-f", "-C", "-", "-o", name, url])).success();
            assert!(std::fs::read(place.join(name)).unwrap() == *content, "{name}");
        }
    }
    if has("wget") {
        std::fs::write(place.join("large.bin"), &large[..1_000_001]).unwrap();
        run(Command::new("wget").current_dir(place).args(["-q", "-c", &url])).success();
        assert!(std::fs::read(place.join("large.bin")).unwrap() == large);
    }
    if has("aria2c") {
        let metalink = format!("{}/meta4/v1/data", gateway.url);
        let list = run(Command::new("curl").args(["-sS", "-f", &metalink])).success().stdout;
        std::fs::write(place.join("files.meta4"), list).unwrap();
        let mut aria2c = Command::new("aria2c");
        run(aria2c.current_dir(place).args(["-q", "-d", "out", "-M", "files.meta4"])).success();
        assert!(std::fs::read(place.join("out/data/large.bin")).unwrap() == large);
    }
    let script = "import pandas, sys\n\
        table = pandas.read_csv(sys.argv[1])\n\
        assert list(table.columns) == ['depth', 'temperature'] and table.temperature[0] == 7.2, table\n";
    match python_with("pandas") {
        Some(python) => {
            let csv = format!("{}/p/v1/data/small.csv", gateway.url);
            run(Command::new(python).args(["-c", script, &csv])).success();
        }
        None => skipped("pandas is not installed"),
    }
}

/// Returns a Python that has a package, from `target/peers` or the `PATH`.
pub(crate) fn python_with(package: &str) -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
    let known = [peers.join("python/pyshacl/bin/python3"), "python3".into()];
    known.into_iter().find(|python| {
        let imported = Command::new(python).args(["-c", &format!("import {package}")]).output();
        imported.is_ok_and(|output| output.status.success())
    })
}

/// Sends a request and reads some bytes of the answer. The rest waits in the connection.
fn begin(address: &str, path: &str, count: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_exact(&mut vec![0; count]).unwrap();
    stream
}

/// Sends a request, and returns the status and the body.
pub(crate) fn get(address: &str, path: &str) -> (u16, Vec<u8>) {
    let mut stream = begin(address, path, 0);
    let mut answer = Vec::new();
    // A connection that breaks ends the body.
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
    let body = answer.split_off(end);
    let head = String::from_utf8_lossy(&answer).into_owned();
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let is_whole = length.is_none_or(|length| length.parse() == Ok(body.len()));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (if is_whole { status } else { 0 }, body)
}

/// The most memory that a process used, in KiB.
fn peak_memory(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn two_hundred_slow_clients_need_little_memory_and_hinder_nobody() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    // An object of 10 MiB inside an archive, which does not compress.
    let content = payload(5, 10 << 20);
    let bag =
        BagBuilder::new().file("data/large.bin", content.clone()).file("data/small.csv", b"a\n1\n".to_vec());
    let bag = bag.write(&place.join("bag"));
    let registry = DockerRegistry::start_open();
    let remote = registry.as_ref().map(|registry| format!("{}/a/b", registry.host()));
    for store in std::iter::once("oci:store").chain(remote.as_deref()) {
        d1oci(place, &["push", &format!("{store}:v1"), bag.to_str().unwrap(), "--layout", "archive"])
            .success();
        let gateway = Gateway::start(place, &[store, "--max-connections-per-client", "300"]);
        let mut slow: Vec<TcpStream> =
            (0..200).map(|_| begin(gateway.address(), "/p/v1/data/large.bin", 1000)).collect();
        for _ in 0..5 {
            for stream in &mut slow {
                stream.read_exact(&mut [0; 1]).unwrap();
            }
            assert_eq!(get(gateway.address(), "/p/v1/data/small.csv"), (200, b"a\n1\n".to_vec()));
        }
        let (status, body) = get(gateway.address(), "/p/v1/data/large.bin");
        assert!(status == 200 && body == content, "{store}: {status}");
        let mut rest = Vec::new();
        slow.pop().unwrap().read_to_end(&mut rest).unwrap();
        assert!(content.ends_with(&rest) && rest.len() > 9 << 20, "{store}: {}", rest.len());
        let peak = peak_memory(&gateway.child);
        assert!(peak <= 128 << 10, "{store}: {peak} KiB");
    }
}

#[test]
fn the_first_byte_of_a_file_in_a_large_archive_takes_few_requests() {
    let registry = Scripted::start(Config::new(Preset::Strict));
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (repository, csv) = (format!("{}/a/b", registry.host()), b"depth\n15\n".repeat(200_000));
    let bag = (0..16).fold(BagBuilder::new(), |bag, number| {
        bag.file(&format!("data/{number:02}.bin"), payload(number, 2 << 20))
    });
    let bag = bag.file("data/08-m.csv", csv.clone()).write(&place.join("bag"));
    let push = ["push", &format!("{repository}:v1"), bag.to_str().unwrap(), "--layout", "archive"];
    d1oci(place, &push).success();
    let gateway = Gateway::start(place, &[&repository, "--refresh", "0"]);
    let before = registry.requests().len();
    let mut first = begin(gateway.address(), "/p/v1/data/08-m.csv", 2000);
    let for_first = registry.requests().len() - before;
    assert!(for_first <= 3, "{for_first} requests: {:?}", registry.requests().split_off(before));
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    // Everybody else gets it from the gateway, all at once.
    let after = registry.requests().len();
    let address = gateway.address();
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let (status, body) = get(address, "/p/v1/data/08-m.csv");
                assert!(status == 200 && body == csv, "{status}");
            });
        }
    });
    assert_eq!(registry.requests().len(), after);
    // So does a client that comes when the registry is gone. A file that nobody has read is not available.
    drop(registry);
    assert!(get(gateway.address(), "/p/v1/data/08-m.csv").0 == 200);
    let (status, _) = get(gateway.address(), "/p/v1/data/00.bin");
    assert_eq!(status, 503);
}

#[test]
fn a_layout_that_changes_while_it_is_served_gives_no_wrong_byte() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let contents: Vec<Vec<u8>> = (0..4).map(|number| payload(number + 50, 700_000)).collect();
    for (number, content) in contents.iter().enumerate() {
        let small = format!("n\n{number}\n");
        let bag = BagBuilder::new().file("data/large.bin", content.clone()).file("data/small.csv", small);
        bag.write(&place.join(format!("bag{number}")));
    }
    d1oci(place, &["push", "oci:store:p0", "bag0"]).success();
    let gateway = Gateway::start(place, &["oci:store", "--refresh", "1", "--no-access-log"]);
    let (is_done, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..50_usize {
            let (address, contents, is_done, answers) = (gateway.address(), &contents, &is_done, &answers);
            scope.spawn(move || {
                for round in client.. {
                    if is_done.load(Ordering::Relaxed) {
                        return;
                    }
                    let number = round % 4;
                    let (path, expected) = match round % 3 {
                        0 => ("data/large.bin", contents[number].clone()),
                        1 => ("data/small.csv", format!("n\n{number}\n").into_bytes()),
                        _ => ("", Vec::new()),
                    };
                    let (status, body) = get(address, &format!("/p/p{number}/{path}"));
                    match status {
                        200 if path.is_empty() => {}
                        200 => assert!(body == expected, "{number} {path}"),
                        // Not there, or deleted while it was sent.
                        404 | 0 => {}
                        other => panic!("{number} {path}: {other} {}", String::from_utf8_lossy(&body)),
                    }
                    answers.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                }
            });
        }
        for round in 0..CHANGES {
            let (number, tag) = (round % 4, format!("oci:store:p{}", round % 4));
            d1oci(place, &["push", &tag, &format!("bag{number}")]).success();
            d1oci(place, &["tag", &tag, &format!("latest{number}")]).success();
            let gone = format!("oci:store:p{}", (round + 2) % 4);
            if round > 1 {
                d1oci(place, &["delete", "--yes", &gone]).success();
                d1oci(place, &["prune", "oci:store", "--grace", "0s"]).success();
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(answers.load(Ordering::Relaxed) > 0);
    let metrics = String::from_utf8(get(gateway.address(), "/metrics").1).unwrap();
    assert!(metrics.contains("d1oci_answers_total{class=\"5xx\"} 0\n"), "{metrics}");
}

#[test]
fn a_signal_ends_the_gateway_and_each_request_is_in_the_log() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    pushed(place);
    let mut gateway = Gateway::start(place, &["oci:store"]);
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    let request =
        "GET /p/v1/data/small.csv HTTP/1.1\r\nHost: a\r\nUser-Agent: a\"b\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("15,7.2\n"), "{answer}");
    assert_eq!(gateway.stop(), Some(0));
    let line: serde_json::Value = serde_json::from_str(&gateway.log.recv().unwrap()).unwrap();
    assert_eq!((&line["status"], &line["bytes"], &line["agent"]), (&200.into(), &25.into(), &"a\"b".into()));
    assert_eq!((&line["target"], &line["cut"]), (&"/p/v1/data/small.csv".into(), &false.into()));
}

#[test]
fn a_client_cannot_write_lines_or_controls_into_the_log() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    pushed(place);
    let mut gateway = Gateway::start(place, &["oci:store"]);
    let address = gateway.address().to_owned();
    for request in [
        "GET /p/x%0A%7B%22status%22:200%7D%1b[2J HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /p/v1/data/none?a=%0d%0a HTTP/1.1\r\nHost: a\r\nUser-Agent: \tx\u{9b}31m\u{202e}\r\nConnection: close\r\n\r\n",
        "GET /\u{1b}[31m HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: a\rb\r\nConnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(gateway.stop(), Some(0));
    let lines: Vec<String> = gateway.log.iter().collect();
    assert!((2..=4).contains(&lines.len()), "{lines:?}");
    for line in lines {
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_ne!(parsed["status"], 200, "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn a_repository_is_replicated_from_a_gateway_with_equal_digests() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let scale = Scale { packages: 20, objects: 5, smallest: 0, largest: 3000, seed: 11 };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(d1_testnode::ScriptedNode::serve(scale.catalog().unwrap())).unwrap();
    d1oci(place, &["replicate", "oci:store", "--node", &node.member_url()]).success();
    let gateway = Gateway::start(place, &["oci:store"]);
    d1oci(place, &["replicate", "oci:copy", "--node", &format!("{}/mn", gateway.url)]).success();
    let tags = |store: &str| {
        let list = d1oci(place, &["find", store, "--format", "json"]).success().json();
        let found = list["found"].as_array().unwrap().clone();
        let mut pairs: Vec<_> =
            found.iter().map(|one| (one["tag"].to_string(), one["digest"].to_string())).collect();
        pairs.sort();
        pairs
    };
    let expected = tags("oci:store");
    assert_eq!(expected.len(), 20);
    assert_eq!(tags("oci:copy"), expected);
}

#[test]
fn a_catalogue_with_another_repository_is_refused_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    pushed(place);
    d1oci(place, &["copy", "oci:store:v1", "oci:other:v1"]).success();
    let names = || {
        let status =
            d1oci(place, &["catalog", "status", "--catalog", "c.sqlite", "--format", "json"]).success();
        let mut names: Vec<String> = status
            .text()
            .split("\"name\":\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    d1oci(place, &["catalog", "update", "oci:store", "--catalog", "c.sqlite"]).success();
    let alone = names();
    assert_eq!(alone.len(), 1, "{alone:?}");
    // The gateway uses the entry that the command made.
    drop(Gateway::start(place, &["oci:store", "--catalog", "c.sqlite"]));
    assert_eq!(names(), alone);
    d1oci(place, &["catalog", "update", "oci:other", "--catalog", "c.sqlite"]).success();
    let both = names();
    assert_eq!(both.len(), 2, "{both:?}");
    let refused = ["serve", "oci:store", "--catalog", "c.sqlite", "--listen", "127.0.0.1:0"];
    let refused = d1oci(place, &refused).failure(2);
    assert!(refused.stderr.contains("oci:") && refused.stderr.contains("other"), "{}", refused.stderr);
    assert_eq!(names(), both);
}

#[test]
fn the_python_client_of_dataone_reads_the_gateway() {
    let Some(python) = python_with("d1_client") else {
        skipped("the Python client of DataONE is not installed (`cargo xtask peers` installs it)");
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let scale = Scale { packages: 2, objects: 4, smallest: 10, largest: 3000, seed: 3 };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(d1_testnode::ScriptedNode::serve(scale.catalog().unwrap())).unwrap();
    d1oci(place, &["replicate", "oci:store", "--node", &node.member_url()]).success();
    let gateway = Gateway::start(place, &["oci:store"]);
    let script = "import sys\n\
        import d1_client.mnclient_2_0 as mn\n\
        c = mn.MemberNodeClient_2_0(sys.argv[1])\n\
        assert c.ping()\n\
        assert c.getCapabilities().identifier.value() == 'urn:node:D1OCI'\n\
        objects = c.listObjects()\n\
        assert objects.total == 8, objects.total\n\
        for info in objects.objectInfo:\n\
        \x20   pid = info.identifier.value()\n\
        \x20   assert c.getSystemMetadata(pid).identifier.value() == pid\n\
        \x20   assert len(c.get(pid).content) == info.size\n\
        \x20   assert c.describe(pid)['dataone-checksum'].endswith(info.checksum.value())\n\
        \x20   assert c.getChecksum(pid, info.checksum.algorithm).value() == info.checksum.value()\n\
        try:\n\
        \x20   c.getSystemMetadata('none')\n\
        \x20   raise SystemExit('expected an exception')\n\
        except Exception as error:\n\
        \x20   assert type(error).__name__ == 'NotFound', error\n";
    let mut python = Command::new(python);
    run(python.args(["-c", script, &format!("{}/mn", gateway.url)])).success();
}
