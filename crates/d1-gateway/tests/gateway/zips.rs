//! Zips: read by others, exact in length, resumed at any place.

use std::io::Read;
use std::process::Command;

use crate::support::*;

/// Reads a zip as a stream and as a file.
const JAVA: &str = r#"import java.io.*;
import java.util.zip.*;
class Zip {
    public static void main(String[] arguments) throws IOException {
        long streamed = 0, read = 0;
        try (ZipInputStream stream = new ZipInputStream(new FileInputStream(arguments[0]))) {
            while (stream.getNextEntry() != null) streamed += 1 + stream.transferTo(OutputStream.nullOutputStream());
        }
        try (ZipFile zip = new ZipFile(arguments[0])) {
            for (ZipEntry entry : java.util.Collections.list(zip.entries())) {
                try (InputStream content = zip.getInputStream(entry)) {
                    read += 1 + content.transferTo(OutputStream.nullOutputStream());
                }
            }
        }
        if (streamed != read || read == 0) throw new IOException(streamed + " and " + read);
    }
}
"#;

/// Returns the name of 7-Zip, which differs between distributions.
fn seven_zip() -> &'static str {
    let is_there = |program: &&str| Command::new(program).output().is_ok();
    ["7z", "7zz"].into_iter().find(is_there).unwrap_or("7z")
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the line is for the person who runs the tests")]
async fn a_zip_has_the_promised_length_and_all_files() {
    let served = one_package().await;
    let target = format!("/zip/{KEY}");
    let head = served.ask("HEAD", &target, "").await;
    let zip = served.get(&target).await;
    assert_eq!(zip.status, 200);
    assert_eq!(head.header("Content-Length"), Some(zip.body.len().to_string().as_str()));
    assert_eq!(head.header("ETag"), zip.header("ETag"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("package.zip");
    std::fs::write(&path, &zip.body).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nz.extractall(sys.argv[2])\n";
    let out = folder.path().join("out");
    let java = folder.path().join("Zip.java");
    std::fs::write(&java, JAVA).unwrap();
    let tools: [(&str, Vec<&str>); 5] = [
        ("python3", vec!["-c", script, path.to_str().unwrap(), out.to_str().unwrap()]),
        ("unzip", vec!["-t", "-q", path.to_str().unwrap()]),
        ("bsdtar", vec!["-tf", path.to_str().unwrap()]),
        (seven_zip(), vec!["t", path.to_str().unwrap()]),
        ("java", vec![java.to_str().unwrap(), path.to_str().unwrap()]),
    ];
    for (program, arguments) in tools {
        match Command::new(program).args(&arguments).output() {
            Ok(output) => {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{program}: {errors}");
            }
            Err(_) => eprintln!("skipped: {program} is not installed"),
        }
    }
    if out.exists() {
        let root = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
        let mut large = String::new();
        std::fs::File::open(root.join("data/large.csv")).unwrap().read_to_string(&mut large).unwrap();
        assert!(large.into_bytes() == numbers(400_000));
    }
}

#[tokio::test]
async fn a_zip_resumes_at_any_place() {
    let served = one_package().await;
    let target = format!("/zip/{KEY}");
    // Asked for before any file was read: the CRC-32 of all earlier files are computed.
    let length: u64 =
        served.ask("HEAD", &target, "").await.header("Content-Length").unwrap().parse().unwrap();
    let tail = served.ask("GET", &target, &format!("Range: bytes={}-\r\n", length - 500)).await;
    assert_eq!(tail.status, 206);
    let whole = served.get(&target).await;
    assert!(whole.body.ends_with(&tail.body) && tail.body.len() == 500);
    let etag = whole.header("ETag").unwrap().to_owned();
    let places = (0..40).map(|number| number * whole.body.len() / 40 + number * 37 % 91);
    for start in places.filter(|start| *start < whole.body.len()) {
        for end in [start + 1, start + 70_000, whole.body.len()] {
            let end = end.min(whole.body.len());
            let headers = format!("Range: bytes={start}-{}\r\nIf-Range: {etag}\r\n", end - 1);
            let part = served.ask("GET", &target, &headers).await;
            assert!(
                part.status == 206 && part.body == whole.body[start..end],
                "{start}-{end}: {}",
                part.head
            );
        }
    }
}

#[tokio::test]
async fn selections_hold_what_was_selected() {
    let served = one_package().await;
    let names = |zip: &Answer| {
        let mut names: Vec<String> = Vec::new();
        for window in zip.body.windows(46) {
            if window.starts_with(b"PK\x01\x02") {
                let at = window.as_ptr() as usize - zip.body.as_ptr() as usize;
                let length = usize::from(u16::from_le_bytes([window[28], window[29]]));
                names.push(String::from_utf8(zip.body[at + 46..at + 46 + length].to_vec()).unwrap());
            }
        }
        names
    };
    let folder = served.get(&format!("/zip/{KEY}/data")).await;
    assert!(names(&folder).iter().all(|name| name.contains("/data/")));
    let one = served.get(&format!("/zip/{KEY}?file=data/small.csv")).await;
    assert_eq!(names(&one).len(), 1);
    // Nothing changed since the version itself.
    assert_eq!(served.get(&format!("/zip/{KEY}?since={KEY}")).await.status, 404);
    assert_eq!(served.get(&format!("/zip/{KEY}/none")).await.status, 404);
    assert_ne!(folder.header("ETag"), one.header("ETag"));
}

#[tokio::test]
async fn a_package_is_found_by_its_map_its_metadata_and_a_member() {
    let served = one_package().await;
    let mut tags = Vec::new();
    for target in [
        "/mn/v2/packages/application%2Fbagit-1.0/doi:10.5072%2FG1.map",
        "/mn/v2/packages/application%2Fbagit-097/doi:10.5072/G1.map",
        "/mn/v2/packages/application/bagit-097/doi:10.5072/G1",
        "/mn/v2/packages/application%2Fzip/g1.small",
        "/mn/v2/packages/g1.small",
    ] {
        let answer = served.ask("HEAD", target, "").await;
        assert_eq!(
            (answer.status, answer.header("Content-Type")),
            (200, Some("application/zip")),
            "{target}"
        );
        tags.push(answer.header("ETag").unwrap().to_owned());
    }
    tags.dedup();
    assert_eq!(tags.len(), 1);
    let unknown = served.get("/mn/v2/packages/application%2Fbagit-097/none").await;
    assert!(unknown.status == 404 && unknown.text().contains("detailCode=\"2875\""));
    assert_eq!(served.get("/mn/v2/packages/application%2Fx/g1.small").await.status, 400);
}

/// More files than the 16-bit fields of a zip count, in archives that many files share.
#[tokio::test(flavor = "multi_thread")]
async fn a_zip_of_very_many_files_streams_and_resumes() {
    const FILES: usize = 65_600;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let directory = folder.path().join(format!("d{:03}", number / 500));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("{number}.csv")), format!("{number}\n")).unwrap();
    }
    let served = Served::start(repository_of(folder.path(), "many").await).await;
    let zip = served.get("/zip/many").await;
    assert_eq!(zip.header("Content-Length"), Some(zip.body.len().to_string().as_str()));
    let middle = zip.body.len() / 2;
    let part = served.ask("GET", "/zip/many", &format!("Range: bytes={middle}-{}\r\n", middle + 999)).await;
    assert!(part.status == 206 && part.body == zip.body[middle..middle + 1000]);
    let path = folder.path().join("many.zip");
    std::fs::write(&path, &zip.body).unwrap();
    let script = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nassert len(z.namelist()) == int(sys.argv[2])\n\
                  assert z.testzip() is None\n";
    let mut python = Command::new("python3");
    let output = python.args(["-c", script]).arg(&path).arg(FILES.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
