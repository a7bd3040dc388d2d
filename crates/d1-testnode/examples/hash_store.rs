//! A HashStore to try things on by hand: `hash_store PACKAGESxOBJECTS DIRECTORY`.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::path::Path;

use d1_testnode::{HashStoreFolder, Scale};

/// Bounds of the sizes of made-up data, in bytes.
const MADE_UP_SIZES: (u64, u64) = (100, 20_000);

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [scale, directory] = &arguments[..] else {
        return Err(std::io::Error::other("expected PACKAGESxOBJECTS and a directory"));
    };
    let numbers = scale
        .split_once('x')
        .and_then(|(packages, objects)| Some((packages.parse::<u32>().ok()?, objects.parse::<u32>().ok()?)));
    let Some((packages, objects)) = numbers else {
        return Err(std::io::Error::other("expected PACKAGESxOBJECTS, such as 10x10"));
    };
    let (smallest, largest) = MADE_UP_SIZES;
    let catalog = Scale { packages, objects, smallest, largest, seed: 1 }.catalog()?;
    let store = HashStoreFolder::create(Path::new(directory))?;
    for object in catalog.objects() {
        store.put(object)?;
    }
    println!("{} objects", catalog.len());
    Ok(())
}
