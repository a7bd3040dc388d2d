//! Plain English: phrases that read like a translation, in comments, messages and documents.
//!
//! The list holds phrases that are wrong nearly everywhere. `docs/STYLE.md` has the rule itself.

use super::{Fault, Project, TextFile};
use crate::error::Result;

/// A phrase and the advice about it.
struct Habit {
    /// Its words, in small letters.
    words: &'static [&'static str],
    /// The phrase is right after one of these words.
    right_after: &'static [&'static str],
    /// The phrase is right before one of these words.
    right_before: &'static [&'static str],
    advice: &'static str,
}

const fn habit(words: &'static [&'static str], advice: &'static str) -> Habit {
    Habit { words, right_after: &[], right_before: &[], advice }
}

const fn is_no(words: &'static [&'static str]) -> Habit {
    Habit { right_after: &["there", "here"], right_before: &COMPARISONS, ..habit(words, "write `is not a`") }
}

/// "There is no X" and "is no longer X" are right.
const COMPARISONS: [&str; 16] = [
    "better", "earlier", "faster", "fewer", "greater", "higher", "larger", "later", "less", "longer",
    "lower", "more", "older", "slower", "smaller", "worse",
];

const EXISTS: &str = "write `already exists`";
const AGAIN: &str = "write `again`";
const FIX: &str = "write `fix` or `repair`";

const HABITS: [Habit; 26] = [
    is_no(&["is", "no"]),
    is_no(&["are", "no"]),
    is_no(&["was", "no"]),
    is_no(&["were", "no"]),
    habit(&["mend"], FIX),
    habit(&["mends"], FIX),
    habit(&["mended"], FIX),
    habit(&["mending"], FIX),
    habit(&["of", "which"], "write `whose`, or a sentence of its own"),
    habit(&["there", "already"], EXISTS),
    habit(&["the", "business", "of"], "name the subject first: `X does this`"),
    habit(&["tell", "of"], "write `report`"),
    habit(&["tells", "of"], "write `reports`"),
    habit(&["told", "of"], "write `reported`"),
    habit(&["what", "stands"], "name the thing"),
    habit(&["stands", "there"], EXISTS),
    habit(&["stands", "here"], "name the thing"),
    habit(&["comes", "of"], "write `results from`"),
    habit(&["becomes", "of"], "write `happens to`"),
    habit(&["became", "of"], "write `happened to`"),
    habit(&["take", "also"], "write `also take` or `include`"),
    habit(&["takes", "also"], "write `also takes` or `includes`"),
    habit(&["for", "want", "of"], "write `without`"),
    habit(&["anew"], AGAIN),
    habit(&["once", "more"], AGAIN),
    habit(&["so", "manieth"], "write `every Nth`"),
];

const SUBJECT: &str = "a sentence that begins with `What` hides its subject: name it";

pub(super) fn check(project: &Project) -> Result<Vec<Fault>> {
    Ok(project.files.iter().flat_map(check_file).collect())
}

fn check_file(file: &TextFile) -> Vec<Fault> {
    let paragraphs = if file.path.ends_with(".md") {
        document_paragraphs(&file.text)
    } else if file.path.ends_with(".rs") && file.path != "xtask/src/tidy/english.rs" {
        source_paragraphs(&file.text)
    } else {
        return Vec::new();
    };
    paragraphs.iter().flat_map(|paragraph| paragraph.faults(&file.path)).collect()
}

/// Running text: its words, each with its line and the sign that ends it.
#[derive(Debug, Default)]
struct Paragraph<'a> {
    words: Vec<Word<'a>>,
}

#[derive(Debug, Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    line: usize,
    /// What follows the word, up to the next one.
    after: &'a str,
}

impl<'a> Paragraph<'a> {
    /// Adds a line, without what stands in backticks: that is code.
    fn add(&mut self, line: usize, text: &'a str) {
        for (part, is_code) in text.split('`').zip([false, true].into_iter().cycle()) {
            if is_code {
                self.words.push(Word { text: "``", line, after: "" });
                continue;
            }
            let mut rest = part.trim_start_matches(|sign: char| !sign.is_alphanumeric());
            if let Some(last) = self.words.last_mut().filter(|word| word.after.is_empty()) {
                last.after = &part[..part.len() - rest.len()];
            }
            while !rest.is_empty() {
                let (word, others) = rest.split_at(rest.find(|sign| !is_letter(sign)).unwrap_or(rest.len()));
                let next = others.trim_start_matches(|sign: char| !sign.is_alphanumeric());
                self.words.push(Word { text: word, line, after: &others[..others.len() - next.len()] });
                rest = next;
            }
        }
    }

    fn faults(&self, path: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (start, word) in self.words.iter().enumerate() {
            let place = format!("{path}:{}", word.line);
            if word.text == "What" && self.begins_sentence(start) && !self.is_question(start) {
                faults.push(Fault::new(&place, SUBJECT));
            }
            for habit in HABITS.iter().filter(|habit| self.has(start, habit)) {
                faults
                    .push(Fault::new(&place, format_args!("`{}`: {}", habit.words.join(" "), habit.advice)));
            }
        }
        faults
    }

    fn has(&self, start: usize, habit: &Habit) -> bool {
        let end = start + habit.words.len();
        let Some(words) = self.words.get(start..end) else { return false };
        let is_one_of = |position: Option<usize>, list: &[&str]| {
            let word = position.and_then(|position| self.words.get(position));
            word.is_some_and(|word| list.contains(&word.text.to_lowercase().as_str()))
        };
        let is_unbroken = words.iter().take(words.len() - 1).all(|word| word.after.trim().is_empty());
        let is_same =
            words.iter().zip(habit.words).all(|(word, wanted)| word.text.eq_ignore_ascii_case(wanted));
        is_same
            && is_unbroken
            && !is_one_of(start.checked_sub(1), habit.right_after)
            && !is_one_of(Some(end), habit.right_before)
    }

    fn begins_sentence(&self, start: usize) -> bool {
        let before = start.checked_sub(1).and_then(|position| self.words.get(position));
        before.is_none_or(|word| word.after.contains(['.', ':', '?', '!']))
    }

    fn is_question(&self, start: usize) -> bool {
        let ends = self.words.iter().skip(start).find(|word| word.after.contains(['.', '?', '!']));
        ends.is_some_and(|word| word.after.contains('?'))
    }
}

fn is_letter(sign: char) -> bool {
    sign.is_alphanumeric() || "'’_-".contains(sign)
}

/// Returns the paragraphs of a Markdown document, without its code.
fn document_paragraphs(text: &str) -> Vec<Paragraph<'_>> {
    let mut paragraphs = vec![Paragraph::default()];
    let mut is_code = false;
    for (line, number) in text.lines().zip(1..) {
        let start = line.trim_start();
        if start.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            if start.is_empty() || start.starts_with(['-', '*', '#', '|']) {
                paragraphs.push(Paragraph::default());
            }
            // Every cell of a table is a text of its own.
            let cells = if start.starts_with('|') { line.split('|').collect() } else { vec![line] };
            for (cell, position) in cells.into_iter().zip(0..) {
                if position > 0 {
                    paragraphs.push(Paragraph::default());
                }
                paragraphs.last_mut().into_iter().for_each(|paragraph| paragraph.add(number, cell));
            }
        }
    }
    paragraphs
}

/// Returns the comments and the strings of a Rust file. Lines of one comment are one paragraph.
fn source_paragraphs(text: &str) -> Vec<Paragraph<'_>> {
    let mut paragraphs = Vec::new();
    let mut comment = Paragraph::default();
    let mut is_code = false;
    for (line, number) in text.lines().zip(1..) {
        let start = line.trim_start();
        if let Some(said) = start.strip_prefix("//") {
            let said = said.trim_start_matches(['/', '!']).trim_start();
            if said.starts_with("```") {
                is_code = !is_code;
            }
            if said.is_empty() || said.starts_with(['-', '*', '#', '|']) {
                paragraphs.push(std::mem::take(&mut comment));
            }
            if !is_code {
                comment.add(number, said);
            }
            continue;
        }
        is_code = false;
        paragraphs.push(std::mem::take(&mut comment));
        paragraphs.extend(strings_in(line).map(|said| {
            let mut paragraph = Paragraph::default();
            paragraph.add(number, said);
            paragraph
        }));
    }
    paragraphs.push(comment);
    paragraphs
}

/// Returns what stands in quotation marks in a line of code, as far as it begins and ends there.
fn strings_in(line: &str) -> impl Iterator<Item = &str> {
    let mut quotes = line.char_indices().filter(|(at, sign)| *sign == '"' && !line[..*at].ends_with('\\'));
    std::iter::from_fn(move || {
        let (start, _) = quotes.next()?;
        let end = quotes.next().map_or(line.len(), |(end, _)| end);
        line.get(start + 1..end)
    })
}

#[cfg(test)]
mod tests {
    use super::check_file;
    use crate::tidy::TextFile;

    /// Returns the lines with a departure.
    fn lines(path: &str, text: &str) -> Vec<String> {
        let faults = check_file(&TextFile { path: path.to_owned(), text: text.to_owned() });
        faults.iter().map(|fault| fault.place.rsplit(':').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn habits_are_found_in_documents() {
        let wrong = [
            "A date alone is no time.",
            "These\nare no files.",
            "It mends the bag.",
            "A list of which parts are gone.",
            "The tag is there already.",
            "What has a tag is listed.",
            "It works. What is left is removed.",
            "| a | What is done |",
            "- What it costs",
            "Everything comes anew.",
        ];
        for text in wrong {
            assert_eq!(lines("a.md", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn plain_english_is_left_alone() {
        let right = [
            "There is no such tag.",
            "It is no longer used, and is no larger.",
            "What is a bag? A directory.",
            "It prints what it found.",
            "The order in which files come.",
            "Some time of day, which is the point.",
            "`What is no code` and\n```\nWhat is no prose\n```\n",
            "amend the commit; recommended",
        ];
        for text in right {
            assert_eq!(lines("a.md", text), [""; 0], "{text}");
        }
    }

    #[test]
    fn comments_and_messages_are_read_and_code_is_not() {
        let source = "//! What it does.\n\n/// Is it\n/// no file?\nfn mend() {\n    // It is\n    // no file.\n    let a = \"`{x}` is no path\";\n}\n";
        assert_eq!(lines("a.rs", source), ["1", "6", "8"]);
        assert_eq!(lines("a.txt", "It is no document."), [""; 0]);
    }
}
