//! The licences of what is built in: each package must offer terms from the list.

use super::{Fault, Project};
use crate::error::Result;

/// Terms that ask for no more than a notice.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    let check = |name: &str, version: &str, license: Option<&str>| {
        let expression = license.unwrap_or("no licence");
        let message = format!("the licence is not on the list: {expression}");
        (!is_allowed(expression)).then(|| Fault::new(format_args!("{name} {version}"), message))
    };
    let packages = project.metadata.foreign();
    Ok(packages
        .filter_map(|package| check(&package.name, &package.version, package.license.as_deref()))
        .collect())
}

/// Tells whether an SPDX expression can be met with the terms on the list. The old form with `/` means `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words);
    allowed && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>) -> bool {
    let mut allowed = all(words);
    while words.next_if_eq(&"OR").is_some() {
        // Both sides must be read, whatever the first one says.
        allowed |= all(words);
    }
    allowed
}

fn all(words: &mut Words<'_>) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words<'_>) -> bool {
    match words.next() {
        Some("(") => any(words) && words.next() == Some(")"),
        Some(name) => match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
            Some(exception) => ALLOWED.contains(&format!("{name} WITH {exception}").as_str()),
            None => ALLOWED.contains(&name),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn expressions_are_read_as_spdx_has_them() {
        let allowed = [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "(GPL-2.0-only OR (MIT AND ISC))",
        ];
        for expression in allowed {
            assert!(is_allowed(expression), "{expression}");
        }
        let refused = [
            "",
            "no licence",
            "GPL-3.0-only",
            "MIT AND GPL-3.0-only",
            "(GPL-3.0-only OR MIT) AND AGPL-3.0-only",
            "Apache-2.0 WITH another-exception",
            "(MIT",
            "MIT MIT",
        ];
        for expression in refused {
            assert!(!is_allowed(expression), "{expression}");
        }
    }
}
