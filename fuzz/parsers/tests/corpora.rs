//! Runs every function over the corpus of its name, and over mutations of it that are the same in each run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use d1oci_fuzz_parsers::{TARGETS, Target};

#[path = "corpora/mutate.rs"]
mod mutate;

use mutate::Mutator;

/// The bytes of input that the mutations of one corpus have together: small files are mutated more often.
const MUTATED_BYTES: usize = 400_000;

/// The fewest and the most mutations of one file.
const MUTATIONS: (usize, usize) = (10, 400);

/// The largest corpus, in bytes.
const LARGEST_CORPUS: u64 = 300_000;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Returns the files of a corpus by name.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let directory = corpora().join(name);
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Says which input it was if the function panics.
struct Running<'a> {
    target: &'a str,
    file: &'a str,
    mutation: usize,
    input: &'a [u8],
}

impl Drop for Running<'_> {
    #[expect(clippy::print_stderr, reason = "the line is meant for whoever runs the tests")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (target, file, mutation) = (self.target, self.file, self.mutation);
            let kept = std::env::temp_dir().join(format!("fuzz-{target}-{mutation}"));
            let _ = fs::write(&kept, self.input);
            eprintln!("{target}: {file}, mutation {mutation} (0 is the file); kept as {}", kept.display());
        }
    }
}

fn run(target: &str, function: Target, file: &str, mutation: usize, input: &[u8]) {
    let running = Running { target, file, mutation, input };
    function(input);
    drop(running);
}

#[test]
fn each_function_has_a_corpus_and_each_corpus_a_function() {
    let functions: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(functions.len(), TARGETS.len());
    let entries = fs::read_dir(corpora()).unwrap();
    let found: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, functions);
}

#[test]
fn corpora_are_small() {
    for (name, _) in TARGETS {
        let files = corpus(name);
        assert!(files.len() > 2, "{name} has {} files", files.len());
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert!(bytes <= LARGEST_CORPUS, "{name} has {bytes} bytes");
    }
}

#[test]
fn every_file_of_the_corpora_is_read() {
    for (name, function) in TARGETS {
        for (file, bytes) in corpus(name) {
            run(name, function, &file, 0, &bytes);
        }
    }
}

#[test]
fn mutations_of_the_corpora_are_read() {
    for (name, function) in TARGETS {
        let files = corpus(name);
        for (number, (file, bytes)) in files.iter().enumerate() {
            let share = MUTATED_BYTES / files.len() / bytes.len().max(1);
            let others: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
            let mut mutator = Mutator::new(name, number, &others);
            for mutation in 1..=share.clamp(MUTATIONS.0, MUTATIONS.1) {
                run(name, function, file, mutation, &mutator.mutate(bytes));
            }
        }
    }
}

/// Runs one function for as long as the caller wants: a substitute for `cargo fuzz` on a stable compiler. It has other mutations
/// than the test above, because the number of a file goes on with each round.
#[test]
#[expect(clippy::print_stdout, reason = "the count is the result, and a skipped test says so")]
fn mutations_of_one_corpus_are_read_for_a_while() {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let (Some(wanted), Some(seconds)) = (variable("D1OCI_FUZZ_PARSER"), variable("D1OCI_FUZZ_SECONDS"))
    else {
        println!("skipped: D1OCI_FUZZ_PARSER and D1OCI_FUZZ_SECONDS name no parser and no time");
        return;
    };
    let (name, function) = TARGETS.iter().find(|(name, _)| *name == wanted).expect("a parser has this name");
    let end = Instant::now() + Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let files = corpus(name);
    let others: Vec<&[u8]> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut runs = 0_u64;
    for round in 1.. {
        for (number, (file, bytes)) in files.iter().enumerate() {
            let mut mutator = Mutator::new(name, round * files.len() + number, &others);
            for mutation in 1..=MUTATIONS.1 {
                run(name, *function, file, mutation, &mutator.mutate(bytes));
            }
            runs += MUTATIONS.1 as u64;
            if Instant::now() >= end {
                println!("{name}: {runs} mutations in {seconds} s");
                return;
            }
        }
    }
}
