//! Registries behind a SOCKS proxy.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use d1oci_tests::{Scripted, bare_d1oci, run};
use registry_conformance::scripted::{Config, Preset};

/// Connects a client to the registry, whatever it asks for, and notes the wanted host (RFC 1928).
fn answer(mut client: TcpStream, registry: &str, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes).map(|()| bytes)
    };
    let methods = bytes(2)?;
    bytes(usize::from(methods[1]))?;
    client.write_all(&[5, 0])?;
    let mut bytes = |count: usize| {
        let mut bytes = vec![0; count];
        client.read_exact(&mut bytes).map(|()| bytes)
    };
    let request = bytes(4)?;
    let host = match request[3] {
        1 => bytes(4)?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => {
            let length = bytes(1)?[0];
            String::from_utf8(bytes(usize::from(length))?).unwrap()
        }
        other => panic!("expected an IPv4 address or a name, found the type {other}"),
    };
    bytes(2)?;
    asked.lock().unwrap().push(host);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    let mut server = TcpStream::connect(registry)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        _ = io::copy(&mut from_client, &mut to_server);
        _ = to_server.shutdown(Shutdown::Write);
    });
    _ = io::copy(&mut server, &mut client);
    _ = client.shutdown(Shutdown::Write);
    up.join().unwrap();
    Ok(())
}

#[test]
fn a_registry_is_reached_through_a_socks_proxy() {
    let registry = Scripted::start(Config::new(Preset::Strict));
    let host = registry.host().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (host, noted) = (host.clone(), Arc::clone(&noted));
            // A client that goes away is an error of its own.
            thread::spawn(move || _ = answer(client, &host, &noted));
        }
    });
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("a.txt"), "content").unwrap();
    // The proxy resolves names with `socks5h`. An address needs no resolution.
    for (scheme, server) in [("socks5h", "registry.example"), ("socks5", "192.0.2.10")] {
        for variable in ["ALL_PROXY", "all_proxy"] {
            let d1oci = |arguments: &[&str]| {
                let mut command = bare_d1oci(home.path());
                command.env(variable, format!("{scheme}://{proxy}")).args(arguments);
                run(&mut command).success()
            };
            let reference = format!("{server}:5000/owner/name:{}", variable.to_lowercase());
            d1oci(&["push", "--plain-http", &reference, "a.txt"]);
            assert_eq!(d1oci(&["cat", "--plain-http", &reference, "a.txt"]).text(), "content");
            let asked = std::mem::take(&mut *asked.lock().unwrap());
            assert!(!asked.is_empty() && asked.iter().all(|host| host == server), "{asked:?}");
        }
    }
}
