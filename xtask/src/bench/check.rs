//! Proves that a side did the measured work.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Command;

use super::rows::Check;
use super::server::Server;
use super::task::{Line, Listing, Task, list};
use crate::error::{Result, at};
use crate::{peers, process};

/// Blobs up to this size are manifests: oras writes another one with every push, with the time in it.
const LARGEST_MANIFEST: u64 = 64 * 1024;

/// Lists the content of the store before the runs.
pub(super) fn before(check: Check, task: &Task) -> Result<Listing> {
    if check == Check::StoreUnchanged { content(&task.store) } else { Ok(Listing::new()) }
}

/// Lists the blobs of a store, without its manifests.
fn content(store: &Path) -> Result<Listing> {
    let mut blobs = list(&store.join("blobs"))?;
    blobs.retain(|_, size| size.is_some_and(|size| size > LARGEST_MANIFEST));
    Ok(blobs)
}

/// Fails if the runs did not do the work of the row.
pub(super) fn after(check: Check, task: &Task, before: &Listing) -> Result<()> {
    match check {
        Check::StoreHoldsBag => store_holds_bag(task),
        Check::StoreUnchanged => {
            if content(&task.store)? != *before {
                return Err("the second push wrote or removed content".into());
            }
            store_holds_bag(task)
        }
        Check::RegistryHoldsBag => {
            let reference = format!("{}/bench/bag:v1", server(task)?.address);
            gives_bag(task, &["--plain-http", &reference])
        }
        Check::RegistryHoldsStore => registry_holds_store(task),
        Check::RegistryHoldsTags => registry_holds_tags(task),
        Check::BucketHoldsBag => bucket_holds_bag(task),
        Check::OutHoldsBag => same(&task.bag, &task.out.join(bag_name(task))),
        Check::OutHasDigests => out_has_digests(task),
        Check::OutIsMember => is_member(task, &task.out),
        Check::OutUnpacksToMember => out_unpacks_to_member(task),
        Check::RefusesDamage => refuses_damage(task, &task.bag.join("data")),
        Check::RefusesDamagedStore => refuses_damage(task, &task.store.join("blobs")),
        Check::Succeeds => Ok(()),
    }
}

fn bag_name(task: &Task) -> &Path {
    task.bag.file_name().map_or(&task.bag, Path::new)
}

fn server(task: &Task) -> Result<&Server> {
    task.server.as_ref().ok_or_else(|| "the row has no registry".into())
}

fn store_holds_bag(task: &Task) -> Result<()> {
    gives_bag(task, &["--oci-layout", &format!("{}:v1", task.store.display())])
}

/// Restores the bag with another program than the one that wrote it, where there is one.
fn gives_bag(task: &Task, source: &[&str]) -> Result<()> {
    let oras = peers::by_name("oras").and_then(peers::Peer::find);
    let program = oras.ok_or("no oras to check with: cargo xtask peers")?;
    let out = task.room.join("restored");
    let place = out.to_string_lossy();
    let words = ["pull", "-o", &place].into_iter().chain(source.iter().copied());
    task.succeed(&Line { program, arguments: words.map(str::to_owned).collect() })?;
    same(&task.bag, &out.join(bag_name(task)))
}

/// The server keeps a bucket as a directory.
fn bucket_holds_bag(task: &Task) -> Result<()> {
    let place = server(task)?.data.join("bench/v");
    if place.join("index.json").is_file() {
        return gives_bag(task, &["--oci-layout", &format!("{}:v1", place.display())]);
    }
    same(&task.bag, &place.join(bag_name(task)))
}

/// The registry checks digests itself; so a blob of the right name and size is the blob.
fn registry_holds_store(task: &Task) -> Result<()> {
    let blobs = server(task)?.data.join("docker/registry/v2/blobs/sha256");
    for (digest, size) in list(&task.store.join("blobs/sha256"))? {
        let name = digest.to_string_lossy();
        let blob = blobs.join(name.get(..2).unwrap_or_default()).join(&digest).join("data");
        if Some(fs::metadata(&blob).map_err(at(&blob))?.len()) != size {
            return Err(format!("{}: is not as in the layout", blob.display()).into());
        }
    }
    Ok(())
}

/// The registry keeps the digest of a tag in the file `_manifests/tags/TAG/current/link`.
fn registry_holds_tags(task: &Task) -> Result<()> {
    let repositories = server(task)?.data.join("docker/registry/v2/repositories/bench");
    let tags = "_manifests/tags";
    let copies = [repositories.join("copy").join(tags), repositories.join("copy/tags").join(tags)];
    let copy = copies.iter().find(|place| place.is_dir()).ok_or("the registry has no copy")?;
    let source = repositories.join("tags").join(tags);
    let links = list(&source)?.into_keys().filter(|path| path.ends_with("current/link"));
    let mut count = 0;
    for link in links {
        let read = |place: &Path| fs::read(place.join(&link)).map_err(at(place));
        if read(&source)? != read(copy)? {
            return Err(format!("{}: is another one than in the source", link.display()).into());
        }
        count += 1;
    }
    if count == 0 { Err("the source has no tags".into()) } else { Ok(()) }
}

/// Looks for every line `DIGEST  PATH` of the bag's manifest.
fn out_has_digests(task: &Task) -> Result<()> {
    let manifest = task.bag.join("manifest-sha256.txt");
    let (manifest, found) = (
        fs::read_to_string(&manifest).map_err(at(&manifest))?,
        fs::read_to_string(&task.out).map_err(at(&task.out))?,
    );
    let found: HashSet<&str> =
        found.lines().filter_map(|line| line.split_once('(')).map(|(_, rest)| rest).collect();
    let bag = bag_name(task).display();
    for (digest, path) in manifest.lines().filter_map(|line| line.split_once("  ")) {
        if !found.contains(format!("{bag}/{path})= {digest}").as_str()) {
            return Err(format!("has no digest of {path}").into());
        }
    }
    Ok(())
}

fn is_member(task: &Task, found: &Path) -> Result<()> {
    same(&task.bag.join(&task.member), found)
}

fn out_unpacks_to_member(task: &Task) -> Result<()> {
    let program = process::find("sh", Path::new("/bin")).ok_or("no sh")?;
    let unpacked = task.room.join("unpacked");
    let (packed, place) = (task.out.to_string_lossy(), unpacked.to_string_lossy());
    let words = ["-ec", r#"gzip -dc <"$1" >"$2""#, "sh", &packed, &place];
    task.succeed(&Line { program, arguments: words.map(str::to_owned).to_vec() })?;
    is_member(task, &unpacked)
}

/// Changes one byte of the largest file in the directory, runs the command, and changes the byte back.
fn refuses_damage(task: &Task, directory: &Path) -> Result<()> {
    if !task.run_again()? {
        return Err("fails on content that is whole".into());
    }
    let files = list(directory)?.into_iter().filter_map(|(path, size)| Some((path, size?)));
    let largest = files.max_by_key(|(_, size)| *size).filter(|(_, size)| *size > 0);
    let (victim, size) = largest.ok_or("nothing is there to damage")?;
    let victim = directory.join(victim);
    flip(&victim, size / 2)?;
    let accepted = task.run_again();
    flip(&victim, size / 2)?;
    if accepted? { Err(format!("does not see the damage in {}", victim.display()).into()) } else { Ok(()) }
}

/// Changes the lowest bit of the byte at this offset.
fn flip(path: &Path, offset: u64) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset)).map_err(at(path))?;
    file.read_exact(&mut byte).map_err(at(path))?;
    file.seek(SeekFrom::Start(offset)).map_err(at(path))?;
    file.write_all(&byte.map(|byte| byte ^ 1)).map_err(at(path))
}

/// Fails if two files or two directories differ.
fn same(expected: &Path, found: &Path) -> Result<()> {
    process::read(Command::new("diff").args(["-rq"]).args([expected, found])).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Check, Listing, after, flip};
    use crate::bench::task::tests::task;

    #[test]
    fn one_bit_is_changed_and_changed_back() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "abc").unwrap();
        flip(&file, 1).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"acc");
        flip(&file, 1).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"abc");
    }

    #[test]
    fn digests_and_members_are_looked_for() {
        let room = tempfile::tempdir().unwrap();
        let task = task(room.path(), &[]);
        fs::write(task.bag.join("manifest-sha256.txt"), "12ab  data/file\n").unwrap();
        let look = |check| after(check, &task, &Listing::new()).map_err(|error| error.to_string());
        fs::write(&task.out, "SHA2-256(a bag/data/file)= 12ab\n").unwrap();
        assert_eq!(look(Check::OutHasDigests), Ok(()));
        assert!(look(Check::OutIsMember).is_err());
        fs::write(&task.out, "text").unwrap();
        assert_eq!(look(Check::OutIsMember), Ok(()));
        assert!(look(Check::OutHasDigests).unwrap_err().contains("data/file"));
        assert!(look(Check::OutUnpacksToMember).unwrap_err().contains("gzip"));
    }
}
