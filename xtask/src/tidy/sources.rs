//! Every Rust file begins with a line that says why it exists, and has no leftovers.

use super::{Fault, Project, TextFile};
use crate::error::Result;

/// Texts that no file has, and why. They are put together here so that this file has none either.
const LEFTOVERS: [(&str, &str); 6] = [
    (concat!("#[al", "low("), "say expect, with a reason"),
    (concat!("#![al", "low("), "say expect, with a reason"),
    (concat!("#[ig", "nore"), "a test runs, or says why it was skipped"),
    (concat!("to", "do!("), "is not done"),
    (concat!("unimple", "mented!("), "is not done"),
    (concat!("d", "bg!("), "is left over from a search"),
];

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let sources = project.files.iter().filter(|file| file.path.ends_with(".rs"));
    Ok(sources.flat_map(check_file).collect())
}

fn check_file(file: &TextFile) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !file.text.starts_with("//! ") {
        faults.push(Fault::new(&file.path, "the first line does not say why the file exists: `//! …`"));
    }
    for (line, number) in file.text.lines().zip(1..) {
        let found = LEFTOVERS.iter().filter(|(text, _)| line.contains(text));
        let place = format!("{}:{number}", file.path);
        faults.extend(found.map(|(text, why)| Fault::new(&place, format_args!("{text}…: {why}"))));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::{LEFTOVERS, check_file};
    use crate::tidy::TextFile;

    fn faults(text: String) -> Vec<String> {
        let faults = check_file(&TextFile { path: "a.rs".to_owned(), text });
        faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_with_a_purpose_and_without_leftovers_is_right() {
        assert!(faults("//! Adds numbers.\n\nfn add() {}\n".to_owned()).is_empty());
    }

    #[test]
    fn departures_are_found_with_their_line() {
        assert!(faults("fn main() {}\n".to_owned())[0].contains("first line"));
        for (text, _) in LEFTOVERS {
            let found = faults(format!("//! Purpose.\n    {text}\n"));
            assert!(found[0].starts_with("a.rs:2: "), "{found:?}");
        }
    }
}
