//! Import cycles: files of one crate that use each other, directly or in a circle.
//!
//! A module may use its parent's items and the parent may use the module: together they are one unit. Every other
//! circle means that two files cannot be read apart. Tests do not count, and a re-export counts as a use of the file
//! that defines the item.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::{Fault, Project, TextFile};
use crate::error::Result;

/// How many re-exports are followed from one name; more would be a circle of re-exports.
const MOST_RE_EXPORTS: usize = 16;

/// The path of a module below the root of its crate.
type Module = Vec<String>;

/// For each module, those that it uses.
type Uses<'a> = BTreeMap<&'a Module, BTreeSet<&'a Module>>;

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let mut crates: BTreeMap<&str, Vec<&TextFile>> = BTreeMap::new();
    for file in &project.files {
        if let Some((folder, _)) = file.path.split_once("/src/").filter(|_| file.path.ends_with(".rs")) {
            crates.entry(folder).or_default().push(file);
        }
    }
    let mut faults = Vec::new();
    for (folder, files) in crates {
        faults.extend(check_crate(folder, &files)?);
    }
    Ok(faults)
}

fn check_crate(folder: &str, files: &[&TextFile]) -> Result<Vec<Fault>> {
    let mut sources = Sources::default();
    let has_library = files.iter().any(|file| file.path == format!("{folder}/src/lib.rs"));
    for file in files {
        let Some(module) = module_of(folder, &file.path, has_library) else { continue };
        let tokens: TokenStream =
            file.text.parse().map_err(|error| format!("{}: not Rust: {error}", file.path))?;
        let mut source = Source { path: file.path.clone(), ..Source::default() };
        source.read(tokens, &module);
        sources.0.insert(module, source);
    }
    let uses = sources.uses();
    Ok(cycles(&uses).into_iter().map(|cycle| Fault::new(folder, sources.describe(&cycle, &uses))).collect())
}

/// Returns the module that a file holds; `None` for tests and for binaries next to a library.
fn module_of(folder: &str, path: &str, has_library: bool) -> Option<Module> {
    let inside = path.strip_prefix(folder)?.strip_prefix("/src/")?.strip_suffix(".rs")?;
    let mut parts: Module = inside.split('/').map(str::to_owned).collect();
    if parts.iter().any(|part| part == "tests") || parts.first().is_some_and(|first| first == "bin") {
        return None;
    }
    match inside {
        "lib" => parts.clear(),
        "main" if has_library => return None,
        "main" => parts.clear(),
        _ if parts.last().is_some_and(|last| last == "mod") => drop(parts.pop()),
        _ => {}
    }
    Some(parts)
}

/// One file, as far as names go.
#[derive(Debug, Default)]
struct Source {
    path: String,
    /// The items that the file defines.
    defined: BTreeSet<String>,
    /// The names that the file imports, and the module and path that each stands for.
    imported: BTreeMap<String, (Module, Vec<String>)>,
    /// The modules and paths whose items it imports without naming them.
    globs: Vec<(Module, Vec<String>)>,
    /// Every path in the file, and the module in which it stands.
    mentioned: Vec<(Module, Vec<String>)>,
}

impl Source {
    /// Reads the tokens of a module: the file's own, or an inline one.
    fn read(&mut self, tokens: TokenStream, at: &Module) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [first, others @ ..] = rest {
            rest = others;
            match first {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let [TokenTree::Group(attribute), after @ ..] = others
                        && is_test(attribute.stream())
                    {
                        rest = after_item(after);
                    }
                }
                TokenTree::Group(group) => self.read(group.stream(), at),
                TokenTree::Ident(word) => rest = self.read_word(&word.to_string(), others, at),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Reads on after a word and returns the tokens that are left.
    fn read_word<'a>(&mut self, word: &str, rest: &'a [TokenTree], at: &Module) -> &'a [TokenTree] {
        match (word, rest) {
            // `use<'a>` in a signature says which lifetimes are captured.
            ("use", [next, ..]) if !is_punct(next, '<') => {
                let end = rest.iter().position(|token| is_punct(token, ';')).unwrap_or(rest.len());
                let (tree, after) = rest.split_at(end);
                self.read_use(tree, &mut Vec::new(), at);
                after
            }
            ("mod", [TokenTree::Ident(name), TokenTree::Group(body), after @ ..]) => {
                self.read(body.stream(), &[at.as_slice(), &[name.to_string()]].concat());
                after
            }
            (
                "const" | "enum" | "fn" | "mod" | "static" | "struct" | "trait" | "type" | "union",
                [TokenTree::Ident(name), ..],
            ) => {
                self.defined.insert(name.to_string());
                rest
            }
            ("macro_rules", [_, TokenTree::Ident(name), ..]) => {
                self.defined.insert(name.to_string());
                rest
            }
            _ => {
                let mut path = vec![word.to_owned()];
                let mut rest = rest;
                while let [colon, other, TokenTree::Ident(next), after @ ..] = rest
                    && is_punct(colon, ':')
                    && is_punct(other, ':')
                {
                    path.push(next.to_string());
                    rest = after;
                }
                if path.len() > 1 {
                    self.mentioned.push((at.clone(), path));
                }
                rest
            }
        }
    }

    /// Reads a tree of imports, such as `a::{b, c as d, e::*}`, below a path.
    fn read_use(&mut self, tree: &[TokenTree], prefix: &mut Vec<String>, at: &Module) {
        for branch in tree.split(|token| is_punct(token, ',')) {
            let depth = prefix.len();
            let mut name = None;
            for (token, next) in branch.iter().zip(branch.iter().skip(1).map(Some).chain([None])) {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        name = next.map(ToString::to_string);
                        break;
                    }
                    TokenTree::Ident(word) => {
                        prefix.push(word.to_string());
                        name = Some(word.to_string());
                    }
                    TokenTree::Group(group) => {
                        let inner: Vec<_> = group.stream().into_iter().collect();
                        self.read_use(&inner, prefix, at);
                        name = None;
                    }
                    TokenTree::Punct(punct) if punct.as_char() == '*' => {
                        self.globs.push((at.clone(), prefix.clone()));
                        self.mentioned.push((at.clone(), prefix.clone()));
                        name = None;
                    }
                    TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                }
            }
            if let Some(mut name) = name {
                if name == "self" {
                    prefix.pop();
                    name = prefix.last().cloned().unwrap_or_default();
                }
                self.mentioned.push((at.clone(), prefix.clone()));
                self.imported.insert(name, (at.clone(), prefix.clone()));
            }
            prefix.truncate(depth);
        }
    }
}

/// Returns whether an attribute is `cfg(test)` or a combination with it.
fn is_test(attribute: TokenStream) -> bool {
    let words: Vec<_> = words_in(attribute);
    words.first().is_some_and(|first| first == "cfg")
        && words.iter().any(|word| word == "test")
        && !words.iter().any(|word| word == "not")
}

fn words_in(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => words.extend(words_in(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    words
}

/// Returns the tokens after the item that begins here: it ends with a semicolon or a body.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(token, ';'),
    };
    let end = tokens.iter().position(is_end).map_or(tokens.len(), |last| last + 1);
    tokens.get(end..).unwrap_or_default()
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// Returns the groups of modules that use each other in a circle.
fn cycles<'a>(uses: &Uses<'a>) -> Vec<Vec<&'a Module>> {
    let reachable: Uses<'_> = uses.keys().map(|module| (*module, reachable_from(module, uses))).collect();
    let mut cycles = Vec::new();
    let mut placed = BTreeSet::new();
    for (module, targets) in &reachable {
        if targets.contains(module) && placed.insert(*module) {
            let others = targets.iter().copied();
            let group: Vec<&Module> = others.filter(|target| reachable[target].contains(module)).collect();
            placed.extend(group.iter().copied());
            cycles.push(group);
        }
    }
    cycles
}

fn reachable_from<'a>(start: &Module, uses: &Uses<'a>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut waiting = uses[start].clone();
    while let Some(next) = waiting.pop_first() {
        if found.insert(next) {
            waiting.extend(&uses[next]);
        }
    }
    found
}

/// The files of a crate.
#[derive(Debug, Default)]
struct Sources(BTreeMap<Module, Source>);

impl Sources {
    /// Names the shortest circle through the first file of a group, and the size of the group.
    fn describe(&self, group: &[&Module], uses: &Uses<'_>) -> String {
        let Some(first) = group.first() else { return String::new() };
        let mut before: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut waiting = VecDeque::from([*first]);
        while let Some(next) = waiting.pop_front() {
            for target in &uses[next] {
                if !before.contains_key(target) {
                    before.insert(target, next);
                    waiting.push_back(target);
                }
            }
        }
        let mut circle = vec![*first];
        while let Some(previous) = circle.last().and_then(|last| before.get(*last)) {
            circle.push(previous);
            if previous == first {
                break;
            }
        }
        let names: Vec<_> = circle
            .iter()
            .rev()
            .filter_map(|module| self.0.get(*module))
            .map(|source| source.path.as_str())
            .collect();
        format!("import cycle: {} ({} files use each other)", names.join(" -> "), group.len())
    }

    /// Returns the uses of each module, without those of modules above it.
    fn uses(&self) -> Uses<'_> {
        let mut uses = Uses::new();
        for (module, source) in &self.0 {
            let targets = source.mentioned.iter().filter_map(|(at, path)| self.resolve(at, path, 0));
            uses.insert(module, targets.filter(|target| !module.starts_with(target.as_slice())).collect());
        }
        uses
    }

    /// Finds the file that defines the item of a path, as seen from a module. Paths of other crates have none.
    fn resolve(&self, at: &Module, path: &[String], re_exports: usize) -> Option<&Module> {
        let (mut base, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), path.get(1..)?),
            "self" => (at.clone(), path.get(1..)?),
            "super" => (at.clone(), path),
            first => {
                let child = [at.as_slice(), &[first.to_owned()]].concat();
                if !self.0.contains_key(&child) {
                    return None;
                }
                (child, path.get(1..)?)
            }
        };
        while let [first, others @ ..] = rest {
            let child = [base.as_slice(), std::slice::from_ref(first)].concat();
            if first == "super" {
                base.pop();
            } else if self.0.contains_key(&child) {
                base = child;
            } else {
                return self.defining_file(base, first, others, re_exports);
            }
            rest = others;
        }
        self.0.get_key_value(&base).map(|(module, _)| module)
    }

    /// Finds the file that defines what a module calls by this name: itself, or the file that it imports it from.
    fn defining_file(
        &self,
        mut module: Module,
        name: &str,
        rest: &[String],
        re_exports: usize,
    ) -> Option<&Module> {
        // An inline module is a part of its file.
        while !self.0.contains_key(&module) {
            module.pop()?;
        }
        let (module, source) = self.0.get_key_value(&module)?;
        if source.defined.contains(name) || re_exports == MOST_RE_EXPORTS {
            return Some(module);
        }
        if let Some((at, path)) = source.imported.get(name) {
            let path = [path.as_slice(), rest].concat();
            return self.resolve(at, &path, re_exports + 1).or(Some(module));
        }
        let from_globs = source.globs.iter().filter_map(|(at, path)| self.resolve(at, path, re_exports + 1));
        let definer = from_globs.into_iter().find(|target| self.0[*target].defined.contains(name));
        Some(definer.unwrap_or(module))
    }
}

#[cfg(test)]
mod tests {
    use super::check_crate;
    use crate::tidy::TextFile;

    /// Returns the cycles of a crate with these files.
    fn cycles(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| TextFile {
            path: format!("a/src/{path}"),
            text: (*text).to_owned(),
        };
        let files: Vec<_> = files.iter().map(file).collect();
        let faults = check_crate("a", &files.iter().collect::<Vec<_>>()).unwrap();
        faults.into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn two_files_that_use_each_other_are_a_cycle() {
        let files = [
            ("lib.rs", "mod one; mod two;"),
            ("one.rs", "use crate::two::Two; pub struct One;"),
            ("two.rs", "pub struct Two; fn make() { super::one::One; }"),
        ];
        let expected = "import cycle: a/src/one.rs -> a/src/two.rs -> a/src/one.rs (2 files use each other)";
        assert_eq!(cycles(&files), [expected]);
    }

    #[test]
    fn a_circle_of_three_is_one_cycle() {
        let files = [
            ("lib.rs", "mod one; mod two; mod three;"),
            ("one.rs", "use crate::{two::{Two}, std}; pub struct One;"),
            ("two.rs", "use super::three::*; pub struct Two;"),
            ("three.rs", "use crate::one::One as First; pub struct Three;"),
        ];
        let found = cycles(&files);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("(3 files"), "{found:?}");
    }

    #[test]
    fn a_re_export_is_a_use_of_the_file_that_defines_the_item() {
        let files = [
            ("lib.rs", "mod one; mod two; pub use one::One; pub use self::two::{self, Two};"),
            ("one.rs", "use crate::Two; pub struct One;"),
            ("two.rs", "use crate::One; pub struct Two;"),
        ];
        assert_eq!(cycles(&files).len(), 1);
    }

    #[test]
    fn parents_and_tests_and_other_crates_make_no_cycle() {
        let files = [
            ("lib.rs", "mod one; mod two; use one::One; pub struct Root;"),
            ("one.rs", "mod inner; use inner::Inner; use crate::Root; use std::two::Two; pub struct One;"),
            ("one/inner.rs", "use super::One; pub struct Inner;"),
            ("two.rs", "use crate::one::One;"),
            ("one/tests.rs", "use crate::two;"),
        ];
        assert_eq!(cycles(&files), [""; 0]);
        let files = [
            ("lib.rs", "mod one; mod two;"),
            (
                "one.rs",
                "#[cfg(test)] mod tests { use crate::two; } #[cfg(test)] use crate::two; pub struct One;",
            ),
            ("two.rs", "use crate::one::One; // use nothing\n const TEXT: &str = \"crate::one\";"),
        ];
        assert_eq!(cycles(&files), [""; 0]);
    }
}
