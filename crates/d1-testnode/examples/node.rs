//! A DataONE node to try things on by hand: `node DIRECTORY|PACKAGESxOBJECTS [PORT [TOKEN]]`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::Path;

use d1_testnode::{Behaviour, Catalog, Config, Scale, ScriptedNode};

/// Bounds of the sizes of made-up data, in bytes.
const MADE_UP_SIZES: (u64, u64) = (100, 20_000);

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_else(|| "10x10".to_owned());
    let port = arguments.next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let token = arguments.next();
    let catalog = match scale(&what) {
        Some(scale) => scale.catalog()?,
        None => Catalog::read_directory(Path::new(&what))?,
    };
    println!("{} objects", catalog.len());
    let behaviour = Behaviour { token, ..Behaviour::default() };
    let node = ScriptedNode::start(Config { catalog, port, behaviour, ..Config::default() }).await?;
    println!("Member Node:       {}", node.member_url());
    println!("Coordinating Node: {}", node.coordinating_url());
    std::future::pending().await
}

/// Reads `PACKAGESxOBJECTS`.
fn scale(text: &str) -> Option<Scale> {
    let (packages, objects) = text.split_once('x')?;
    let (smallest, largest) = MADE_UP_SIZES;
    Some(Scale {
        packages: packages.parse().ok()?,
        objects: objects.parse().ok()?,
        smallest,
        largest,
        seed: 1,
    })
}
