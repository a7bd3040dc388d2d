//! Measures how fast a directory is packed, unpacked with every file hashed, and inflated by libdeflate and by zlib-rs:
//! `cargo run --release -p oci-pack --example throughput -- DIR [THREADS]`. The archive and the copy go to the temporary
//! directory, which `TMPDIR` sets.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use multi_digest::{Algorithm, HashingReader, MultiHasher};
use oci_model::{DigestAlgorithm, DigestHasher};
use oci_pack::{
    ArchiveWarning, Compression, PackOptions, PackedArchive, UnpackObserver, UnpackOptions, VisitError,
    entries_with_directories, pack_archive, unpack_into,
};

struct HashEverything(MultiHasher);

fn sha256() -> MultiHasher {
    MultiHasher::new(Algorithm::Sha256.into())
}

impl UnpackObserver for HashEverything {
    fn wants(&mut self, _: &str) -> bool {
        true
    }

    fn begin(&mut self, _: &str, _: u64) -> Result<(), VisitError> {
        self.0 = sha256();
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn end(&mut self, _: &str) -> Result<(), VisitError> {
        std::hint::black_box(self.0.clone().finish());
        Ok(())
    }

    fn warning(&mut self, _: ArchiveWarning) -> Result<(), VisitError> {
        Ok(())
    }
}

fn walk(root: &Path, directory: &Path, found: &mut Vec<(String, u64)>) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            walk(root, &path, found)?;
        } else if metadata.is_file() {
            let name = path.strip_prefix(root)?.to_str().ok_or("a name is not UTF-8")?;
            found.push((name.to_owned(), metadata.len()));
        }
    }
    Ok(())
}

/// A duration, and the process's own CPU time in it. On a shared machine the CPU time says more.
struct Stopwatch {
    start: Instant,
    cpu_ticks: u64,
}

impl Stopwatch {
    fn start() -> Self {
        Self { start: Instant::now(), cpu_ticks: cpu_ticks() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn rate(&self, bytes: u64) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        let cpu_seconds = (cpu_ticks() - self.cpu_ticks) as f64 / 100.0;
        format!("{:4.0} MB/s, {seconds:.2} s, {cpu_seconds:.2} s of CPU", bytes as f64 / 1e6 / seconds)
    }
}

/// User and system time of this process in hundredths of a second; 0 where Linux does not report it.
fn cpu_ticks() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

/// Inflates the members one by one with libdeflate, and the whole blob as a stream with zlib-rs.
#[expect(clippy::print_stdout, reason = "the example prints figures")]
fn inflate(blob: &[u8], packed: &PackedArchive) -> Result<(), Box<dyn Error>> {
    let mut decompressor = libdeflater::Decompressor::new();
    let mut output = vec![0; 1 << 20];
    let stopwatch = Stopwatch::start();
    for member in &packed.members {
        let range = usize::try_from(member.offset)?..usize::try_from(member.offset + member.length)?;
        let output = &mut output[..usize::try_from(member.tar_length)?];
        decompressor.gzip_decompress(&blob[range], output)?;
    }
    println!("inflate with libdeflate: {}", stopwatch.rate(packed.tar_size));
    let stopwatch = Stopwatch::start();
    let mut decoder = flate2::bufread::MultiGzDecoder::new(blob);
    while decoder.read(&mut output)? > 0 {}
    println!("inflate with zlib-rs: {}", stopwatch.rate(packed.tar_size));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the example prints figures")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("usage: throughput DIR [THREADS]")?);
    let threads = arguments.next().map(|threads| threads.parse::<NonZeroUsize>()).transpose()?;
    let mut files = Vec::new();
    walk(&root, &root, &mut files)?;
    let total: u64 = files.iter().map(|(_, size)| size).sum();
    println!("{} files, {:.1} MB", files.len(), total / 1_000_000);

    let entries = entries_with_directories("pkg", files.iter().map(|(path, size)| (path.as_str(), *size)));
    let open = |index: usize| -> std::io::Result<Box<dyn Read + Send>> {
        let below = entries[index].path.strip_prefix("pkg/").unwrap_or_default();
        Ok(Box::new(File::open(root.join(below))?))
    };
    for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
        let temporary = tempfile::tempdir()?;
        let blob_path = temporary.path().join("blob");
        let mut options = PackOptions { compression, ..PackOptions::default() };
        options.threads = threads.unwrap_or(options.threads);
        let stopwatch = Stopwatch::start();
        let mut output = BufWriter::new(File::create(&blob_path)?);
        let packed = pack_archive(&entries, &open, &options, &mut output)?;
        drop(output);
        println!("{compression}: pack {} -> {} MB", stopwatch.rate(total), packed.blob_size / 1_000_000);
        if compression == Compression::Gzip {
            inflate(&fs::read(&blob_path)?, &packed)?;
        }

        for tar_digest in [true, false] {
            let mut unpack_options = UnpackOptions::new("pkg");
            unpack_options.read.limits.ratio = None;
            unpack_options.read.tar_digest = tar_digest;
            let copy = temporary.path().join(format!("copy-{tar_digest}"));
            let stopwatch = Stopwatch::start();
            let mut reader =
                HashingReader::new(File::open(&blob_path)?, DigestHasher::new(DigestAlgorithm::Sha256));
            unpack_into(&copy, &mut reader, &unpack_options, &mut HashEverything(sha256()))?;
            assert_eq!(reader.into_hasher().finish(), packed.blob_digest);
            println!("{compression}: unpack, tar digest {tar_digest}: {}", stopwatch.rate(total));
        }
    }
    Ok(())
}
