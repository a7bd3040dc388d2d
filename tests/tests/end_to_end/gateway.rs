//! `d1oci serve`: a gateway as a process, read by programs that people use.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use d1_testnode::Scale;
use d1oci_tests::{BagBuilder, binary, d1oci, payload, run, skipped};

/// A running gateway.
struct Gateway {
    child: Child,
    url: String,
    log: mpsc::Receiver<String>,
}

impl Gateway {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
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

    fn address(&self) -> &str {
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

/// Pushes a bag of two payload files, and returns their contents.
fn pushed(place: &Path) -> (Vec<u8>, Vec<u8>) {
    let (large, small) = (payload(1, 3_000_000), b"depth,temperature\n15,7.2\n".to_vec());
    let bag = BagBuilder::new().file("data/large.bin", large.clone()).file("data/small.csv", small.clone());
    let bag = bag.write(&place.join("bag"));
    d1oci(place, &["push", "oci:store:v1", bag.to_str().unwrap()]).success();
    (large, small)
}

#[test]
fn interrupted_downloads_are_resumed_by_curl_and_wget() {
    let place = tempfile::tempdir().unwrap();
    let place = place.path();
    let (large, _) = pushed(place);
    let gateway = Gateway::start(place, &["oci:store"]);
    let url = format!("{}/p/v1/data/large.bin", gateway.url);
    let zip = format!("{}/zip/v1", gateway.url);
    if has("curl") {
        let whole = run(Command::new("curl").args(["-sS", "-f", &zip])).success().stdout;
        for (url, content, name) in [(&url, &large, "curl.bin"), (&zip, &whole, "curl.zip")] {
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
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("15,7.2\n"), "{answer}");
    assert_eq!(gateway.stop(), Some(0));
    let line: serde_json::Value = serde_json::from_str(&gateway.log.recv().unwrap()).unwrap();
    assert_eq!((&line["status"], &line["bytes"], &line["agent"]), (&200.into(), &25.into(), &"a\"b".into()));
    assert_eq!((&line["target"], &line["cut"]), (&"/p/v1/data/small.csv".into(), &false.into()));
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
        let status = d1oci(place, &["catalog", "status", "--catalog", "c.sqlite", "--format", "json"]).success();
        let mut names: Vec<String> = status
            .text()
            .split("\"repository\":\"")
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
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/libclient/bin/python3");
    let known = [installed, "python3".into()].into_iter().find(|python| {
        let imported = Command::new(python).args(["-c", "import d1_client"]).output();
        imported.is_ok_and(|output| output.status.success())
    });
    let Some(python) = known else {
        skipped(
            "the Python client of DataONE is not installed (pip: dataone.libclient, in target/peers/libclient)",
        );
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
