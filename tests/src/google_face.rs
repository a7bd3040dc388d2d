//! Google's XML interface before an S3 server: the same requests, with other names for versions, copies and credentials.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The entity tags by their generations.
type Generations = Arc<Mutex<HashMap<String, String>>>;

/// Starts to translate for the server at this address, until the process ends. `signature` takes the place of tokens.
///
/// # Panics
///
/// If no port is free.
pub(crate) fn start(server: SocketAddr, signature: String) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    let generations = Generations::default();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (generations, signature) = (generations.clone(), signature.clone());
            // A connection that breaks is part of the test.
            thread::spawn(move || translate(client, server, &signature, &generations));
        }
    });
    address
}

fn translate(
    client: TcpStream,
    server: SocketAddr,
    signature: &str,
    generations: &Generations,
) -> io::Result<()> {
    let mut answers = client.try_clone()?;
    let mut requests = BufReader::new(client);
    let mut server = TcpStream::connect(server)?;
    let (mut head, mut length) = (String::new(), 0);
    for line in head_of(&mut requests)? {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        match &*name.to_ascii_lowercase() {
            "authorization" => head += signature,
            "connection" => {}
            "x-goog-if-generation-match" if value == "0" => head += "If-None-Match: *\r\n",
            "x-goog-if-generation-match" => {
                let known = generations.lock().unwrap_or_else(PoisonError::into_inner).get(value).cloned();
                head += &format!("If-Match: {}\r\n", known.as_deref().unwrap_or("\"unknown\""));
            }
            "x-goog-copy-source" => head += &format!("x-amz-copy-source: /{value}\r\n"),
            name => {
                if name == "content-length" {
                    length = value.parse().unwrap_or_default();
                }
                head += &format!("{line}\r\n");
            }
        }
    }
    server.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    io::copy(&mut requests.take(length), &mut server)?;
    let mut answer = BufReader::new(server);
    let mut head = String::new();
    for line in head_of(&mut answer)? {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        if name.eq_ignore_ascii_case("connection") {
            continue;
        }
        if name.eq_ignore_ascii_case("etag") {
            let mut hasher = DefaultHasher::new();
            value.hash(&mut hasher);
            let generation = (hasher.finish() >> 1).max(1).to_string();
            head += &format!("x-goog-generation: {generation}\r\n");
            let mut known = generations.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(generation, value.to_owned());
        }
        head += &format!("{line}\r\n");
    }
    answers.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes())?;
    io::copy(&mut answer, &mut answers).map(drop)
}

/// Reads the lines of a head, without their ends.
fn head_of(from: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? <= 2 {
            return Ok(lines);
        }
        lines.push(line.trim_end().to_owned());
    }
}
