//! Text that leaves the program: results on standard output, status on standard error.
//!
//! Every line passes through [`escaped`] here, so text from archives, registries and nodes cannot steer a terminal or
//! forge a line. JSON leaves as it is.

pub(crate) mod human;
pub(crate) mod progress;
#[cfg(feature = "distribution-client")]
pub(crate) mod waits;

use std::fmt::{self, Display, Write as _};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use crate::failure::Failure;

/// The form of results on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    #[default]
    Text,
    /// JSON with documented fields, for programs.
    Json,
}

/// The form of status lines, warnings and errors for unattended runs. Each has the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines that begin with the time.
    Text,
    /// JSON objects, one a line.
    Json,
}

/// How grave a line of a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Details that `-v` asks for.
    Debug,
    /// Status.
    Info,
    /// Something that the user should look at.
    Warning,
    /// The failure of the command.
    Error,
}

/// A line of a log in JSON.
#[derive(Debug, Serialize)]
struct LogLine<'a> {
    time: String,
    level: Level,
    message: &'a str,
}

/// Writes results and status in the form that the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    format: Format,
    log: Option<LogFormat>,
    quiet: bool,
    progress: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Not at all.
    None,
    /// As moving bars, on a terminal.
    Bars,
    /// As a line from time to time, in logs.
    Lines,
}

impl Printer {
    /// Returns a printer; `progress` allows progress to be shown.
    pub(crate) fn new(format: Format, quiet: bool, progress: bool) -> Self {
        Self { format, log: None, quiet, progress: progress && !quiet }
    }

    /// Returns the printer with times in status, warnings and errors.
    pub(crate) fn with_log(self, log: Option<LogFormat>) -> Self {
        Self { log, ..self }
    }

    /// Returns whether the user wants only results, warnings and errors.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Writes the result of work as [`result`](Self::result) does. If the user wants quiet, text has only its first line.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    pub(crate) fn done<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> Result<(), Failure> {
        self.result(value, self.first_line_if_quiet(text))
    }

    fn first_line_if_quiet<T>(
        self,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> impl FnOnce(&T, &mut Lines<'_>) {
        move |value, lines| {
            lines.limit = if self.quiet { 1 } else { usize::MAX };
            text(value, lines);
        }
    }

    /// Writes a result: as JSON, or as the lines that `text` adds.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    pub(crate) fn result<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> Result<(), Failure> {
        let mut output = BufWriter::new(io::stdout().lock());
        let written = match self.format {
            Format::Json => serde_json::to_writer_pretty(&mut output, value)
                .map_err(io::Error::from)
                .and_then(|()| output.write_all(b"\n")),
            Format::Text => Lines::write(&mut output, |lines| text(value, lines)),
        };
        written.and_then(|()| output.flush()).map_err(Failure::output)
    }

    /// Writes one result of many: as one line of JSON, or as the lines that `text` adds.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    #[cfg(any(feature = "d1-client", feature = "d1-gateway"))]
    pub(crate) fn item<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        match self.format {
            Format::Json => {
                serde_json::to_writer(&mut bytes, value).map_err(|error| Failure::output(error.into()))?;
                bytes.push(b'\n');
            }
            Format::Text => {
                Lines::write(&mut bytes, |lines| text(value, lines)).map_err(Failure::output)?;
            }
        }
        self.raw(&bytes)
    }

    /// Writes the result of a part of the work as [`item`](Self::item) does. If the user wants quiet, text has only its first line.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    #[cfg(feature = "d1-client")]
    pub(crate) fn done_item<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> Result<(), Failure> {
        self.item(value, self.first_line_if_quiet(text))
    }

    /// Begins a list of results that are written as they come: in JSON, an object with these fields and an array of this
    /// name.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    pub(crate) fn list(self, fields: &[(&str, String)], name: &str) -> Result<List, Failure> {
        List::begin(self.format, fields, name)
    }

    /// Returns the form of results.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Writes bytes to standard output as they are.
    ///
    /// # Errors
    ///
    /// If standard output fails.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut output = io::stdout().lock();
        output.write_all(bytes).and_then(|()| output.flush()).map_err(Failure::output)
    }

    /// Writes a line about the work to standard error, unless the user wants quiet.
    pub(crate) fn status(self, line: impl Display) {
        if !self.quiet {
            to_log(self.log, Level::Info, &line);
        }
    }

    /// Writes a warning to standard error, even if the user wants quiet.
    pub(crate) fn warning(self, line: impl Display) {
        match self.log {
            Some(LogFormat::Json) => to_log(self.log, Level::Warning, &line),
            log => to_log(log, Level::Warning, &format_args!("warning: {line}")),
        }
    }

    /// Returns how to show progress.
    pub(crate) fn progress_style(self) -> ProgressStyle {
        match (self.progress, io::stderr().is_terminal() && self.log.is_none()) {
            (false, _) => ProgressStyle::None,
            (true, true) => ProgressStyle::Bars,
            (true, false) => ProgressStyle::Lines,
        }
    }
}

/// Lines of text for people. Each is escaped as a whole: a line break in a value stays visible inside its line.
pub(crate) struct Lines<'a> {
    output: &'a mut dyn Write,
    result: io::Result<()>,
    /// How many lines are still written. Further ones are dropped.
    limit: usize,
}

impl<'a> Lines<'a> {
    /// Writes the lines that `add` adds.
    ///
    /// # Errors
    ///
    /// If the output fails.
    pub(crate) fn write(output: &'a mut dyn Write, add: impl FnOnce(&mut Self)) -> io::Result<()> {
        let mut lines = Self { output, result: Ok(()), limit: usize::MAX };
        add(&mut lines);
        lines.result
    }

    /// Adds a line.
    pub(crate) fn add(&mut self, line: impl Display) {
        if self.result.is_ok() && self.limit > 0 {
            self.limit -= 1;
            self.result = writeln!(self.output, "{}", escaped(&line));
        }
    }
}

/// A list on standard output: lines for each item, or one JSON object in which the items are elements of an array.
///
/// Memory holds one item. A list that ends in an error has no end in JSON either, so no program takes it for the whole.
#[derive(Debug)]
pub(crate) struct List {
    format: Format,
    output: BufWriter<Stdout>,
    items: u64,
}

impl List {
    fn begin(format: Format, fields: &[(&str, String)], name: &str) -> Result<Self, Failure> {
        let mut list = Self { format, output: BufWriter::new(io::stdout()), items: 0 };
        if list.format == Format::Json {
            let mut text = String::from("{\n");
            for (field, value) in fields {
                text += &format!("  {}: {},\n", json(field)?, json(value)?);
            }
            text += &format!("  {}: [", json(name)?);
            list.bytes(text.as_bytes())?;
        }
        Ok(list)
    }

    /// Writes an item at once.
    pub(crate) fn item<T: Serialize>(
        &mut self,
        value: &T,
        text: impl FnOnce(&T, &mut Lines<'_>),
    ) -> Result<(), Failure> {
        match self.format {
            Format::Text => {
                Lines::write(&mut self.output, |lines| text(value, lines)).map_err(Failure::output)?;
            }
            Format::Json => {
                let comma = if self.items == 0 { "" } else { "," };
                let item = format!("{comma}\n    {}", json(value)?);
                self.bytes(item.as_bytes())?;
            }
        }
        self.items += 1;
        self.output.flush().map_err(Failure::output)
    }

    /// Ends the list, and returns the number of its items.
    pub(crate) fn end(mut self) -> Result<u64, Failure> {
        if self.format == Format::Json {
            let newline = if self.items == 0 { "" } else { "\n  " };
            self.bytes(format!("{newline}]\n}}\n").as_bytes())?;
        }
        self.output.flush().map_err(Failure::output)?;
        Ok(self.items)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.output.write_all(bytes).map_err(Failure::output)
    }
}

/// Standard output for content. It notes that its reader has gone away, which is not a failure of the program.
#[derive(Debug, Default)]
pub(crate) struct ContentOutput {
    closed: Arc<AtomicBool>,
}

impl ContentOutput {
    /// Returns a writer to standard output.
    pub(crate) fn writer(&self) -> impl Write + Send + 'static {
        let output = BufWriter::with_capacity(64 * 1024, io::stdout());
        ContentWriter { output, closed: Arc::clone(&self.closed) }
    }

    /// Returns the failure of a command that wrote to this output.
    pub(crate) fn failure(&self, failure: impl Into<Failure>) -> Failure {
        match self.closed.load(Ordering::Relaxed) {
            true => Failure::output(io::ErrorKind::BrokenPipe.into()),
            false => failure.into(),
        }
    }
}

struct ContentWriter {
    output: BufWriter<Stdout>,
    closed: Arc<AtomicBool>,
}

impl ContentWriter {
    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for ContentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.output.write(bytes);
        self.noted(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.output.flush();
        self.noted(result)
    }
}

/// Writes a line to standard error. If that fails, there is no place to report it.
pub(crate) fn to_stderr(line: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(line));
}

/// Writes a line to standard error, with the time if the user wants a log.
pub(crate) fn to_log(log: Option<LogFormat>, level: Level, line: &dyn Display) {
    to_stderr(&log_line(log, level, line));
}

fn log_line(log: Option<LogFormat>, level: Level, line: &dyn Display) -> String {
    match log {
        None => line.to_string(),
        Some(LogFormat::Text) => format!("{} {line}", now()),
        Some(LogFormat::Json) => {
            let line = LogLine { time: now(), level, message: &line.to_string() };
            // Text always has a form in JSON.
            hostile_as_json(&serde_json::to_string(&line).unwrap_or_default())
        }
    }
}

/// Returns the time in UTC with seconds (RFC 3339).
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Returns a writer to standard error for traces, which escapes everything but line breaks. Each call writes whole lines.
pub(crate) fn trace_writer(log: Option<LogFormat>) -> impl Write {
    TraceWriter { log, output: io::stderr() }
}

struct TraceWriter<W> {
    log: Option<LogFormat>,
    output: W,
}

impl<W: Write> Write for TraceWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        for line in text.strip_suffix('\n').unwrap_or(&text).split('\n') {
            writeln!(self.output, "{}", escaped(&log_line(self.log, Level::Debug, &line)))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Returns a text with every character written out, as `\u{1b}`, that could steer a terminal or forge a line.
pub(crate) fn escaped<T: Display + ?Sized>(text: &T) -> impl Display + use<'_, T> {
    struct Escaped<'a, T: ?Sized>(&'a T);

    impl<T: Display + ?Sized> Display for Escaped<'_, T> {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(Escaping(formatter), "{}", self.0)
        }
    }

    Escaped(text)
}

/// Returns a JSON text in which no character can steer a terminal. Such characters stand only in strings, where `\u` and the hexadecimal
/// digits of UTF-16 stand for them (RFC 8259, section 7).
pub(crate) fn hostile_as_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_hostile(character) {
            let units = character
                .encode_utf16(&mut [0; 2])
                .iter()
                .map(|unit| format!("\\u{unit:04x}"))
                .collect::<String>();
            text.push_str(&units);
        } else {
            text.push(character);
        }
    }
    text
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_hostile) {
            let (plain, from) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut characters = from.chars();
            if let Some(hostile) = characters.next() {
                write!(self.0, "{}", hostile.escape_unicode())?;
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Control characters of ASCII and of C1, separators of lines, and marks that change the direction of text (Unicode Standard
/// Annex 9, section 2).
pub(crate) fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::output(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_in_json_become_escapes_of_json() {
        let text = "\u{202e}\u{9b}\u{7f}\u{1b}[2J\u{1f30a}";
        let json = hostile_as_json(&serde_json::to_string(text).unwrap());
        assert_eq!(escaped(&json).to_string(), json);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn hostile_characters_are_written_out_and_others_stay() {
        for (text, expected) in [
            ("plain é 北 𝄞", "plain é 北 𝄞"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("bell\u{7}", "bell\\u{7}"),
            ("\u{9b}1A", "\\u{9b}1A"),
            ("two\nlines\r", "two\\u{a}lines\\u{d}"),
            ("csv\u{202e}exe", "csv\\u{202e}exe"),
            ("\u{2028}\u{2067}\u{feff}", "\\u{2028}\\u{2067}\\u{feff}"),
        ] {
            assert_eq!(escaped(text).to_string(), expected);
        }
    }

    #[test]
    fn a_line_break_in_a_value_does_not_end_its_line() {
        let mut output = Vec::new();
        Lines::write(&mut output, |lines| {
            lines.add(format_args!("path {}", "a\nerror: forged"));
            lines.add("next");
        })
        .unwrap();
        assert_eq!(output, b"path a\\u{a}error: forged\nnext\n");
    }

    #[test]
    fn a_log_keeps_its_own_line_breaks() {
        let mut traces = TraceWriter { log: None, output: Vec::new() };
        traces.write_all(b"one \x1b[2J\ntwo\n").unwrap();
        assert_eq!(traces.output, b"one \\u{1b}[2J\ntwo\n");
        let json = log_line(Some(LogFormat::Json), Level::Warning, &"one\u{1b}");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["level"].as_str(), json["message"].as_str()), (Some("warning"), Some("one\u{1b}")));
        assert!(json["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{json}");
    }
}
