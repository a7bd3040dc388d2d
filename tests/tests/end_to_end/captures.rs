//! The view at terminals of 40, 60, 80 and 120 columns, compared with the files in `tests/captures`.

use std::fs;
use std::process::Command;

use d1_testnode::{Config as NodeConfig, Scale, ScriptedNode};
use d1oci_tests::{
    BagBuilder, Preset, RegistryKind, RunningRegistry, Session, Terminal, payload, run, xtask,
};
use registry_conformance::scripted::{Action, Fault, Route, When};
use tokio::runtime::Runtime;
use vt100::Parser;

const COLUMNS: [u16; 4] = [40, 60, 80, 120];

/// The files with the captures.
const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/captures");

/// This variable makes the tests write the files.
const WRITE: &str = "D1OCI_WRITE_DOCS";

/// Compares the captures of a command with its file.
fn compare(name: &str, captures: &str) {
    let file = format!("{CAPTURES}/{name}.txt");
    if std::env::var_os(WRITE).is_some() {
        fs::create_dir_all(CAPTURES).unwrap();
        fs::write(&file, captures).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(written == captures, "{file} differs ({WRITE}=1 writes it):\n{captures}");
}

/// Returns a terminal that shows this output.
fn screen(shown: &str, columns: u16) -> Parser {
    let mut parser = Parser::new(24, columns, 0);
    parser.process(shown.as_bytes());
    parser
}

/// Returns the rows of the screen that are not empty.
fn rows(shown: &str, columns: u16) -> Vec<String> {
    let parser = screen(shown, columns);
    let rows = parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned());
    rows.filter(|row| !row.is_empty()).collect()
}

/// Returns the last row that contains a text, which must fit into the width of the terminal.
fn progress(terminal: &Terminal, columns: u16, awaited: &str) -> String {
    let parser = screen(terminal.shown(), columns);
    let screen = parser.screen();
    let (number, row) = screen
        .rows(0, columns)
        .enumerate()
        .filter(|(_, row)| row.contains(awaited))
        .last()
        .expect("progress is shown");
    assert!(!screen.row_wrapped(u16::try_from(number).unwrap()), "the row is longer than {columns}: {row}");
    row.trim_end().to_owned()
}

/// Returns a row of progress without the numbers and the length of the bar, which differ from run to run.
fn normalised(row: &str) -> String {
    let mut text = String::new();
    let (mut is_in_bar, mut is_in_number) = (false, false);
    for character in row.chars() {
        let is_number = character.is_ascii_digit() || (is_in_number && character == '.');
        match character {
            '[' => text.push_str("[bar"),
            _ if is_in_bar && character != ']' => {}
            _ if is_number && is_in_number => {}
            _ if is_number => text.push('N'),
            _ => text.push(character),
        }
        is_in_bar = character == '[' || is_in_bar && character != ']';
        is_in_number = is_number;
    }
    for unit in ["KiB", "MiB", "GiB"] {
        text = text.replace(&format!("N {unit}"), "N B");
    }
    // The number of items comes with the first of them.
    text.replace("(N/N)", "()").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name for the address of a node in a command and in a capture.
const NODE: &str = "http://node.example/mn";

/// Runs a command at terminals of all widths. Progress is captured while a request to the registry waits.
///
/// `node` is the address to which [`NODE`] leads. A capture never holds the address itself, because it
/// contains a port, which differs from run to run and may contain the number of columns.
fn capture(
    session: &Session,
    node: &str,
    held: Option<(&RunningRegistry, (Route, When), &str)>,
    line: &dyn Fn(u16) -> String,
) -> String {
    let mut captures = String::new();
    for columns in COLUMNS {
        let line = line(columns);
        captures += &format!("== {columns} columns: d1oci {}\n", line.replace(&columns.to_string(), "N"));
        let mut terminal = Terminal::start_with_columns(session.command(&line.replace(NODE, node)), columns);
        if let Some((registry, (route, when), awaited)) = &held {
            let scripted = registry.scripted().unwrap();
            scripted.add_fault(Fault::new(*route, *when, Action::Hold));
            terminal.wait_for(awaited);
            captures +=
                &format!("-- while it works\n{}\n", normalised(&progress(&terminal, columns, awaited)));
            scripted.forget_faults();
        }
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(0), "{shown}");
        captures += "-- at the end\n";
        let shown = match session.host() {
            "" => shown,
            host => shown.replace(host, "127.0.0.1:50000"),
        };
        let shown = if node.is_empty() { shown } else { shown.replace(node, NODE) };
        for row in rows(&shown, columns) {
            captures += &format!("{row}\n");
        }
        captures.push('\n');
    }
    captures
}

/// Starts a registry, and writes a package and a larger file.
fn prepared() -> (RunningRegistry, Session) {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let session = Session::new(&[&registry]);
    BagBuilder::new()
        .payload_files(12, 3000)
        .file("data/large.csv", payload(1, 900_000))
        .write(&session.path("dataset"));
    (registry, session)
}

#[test]
fn a_push_fits_every_terminal() {
    let (registry, session) = prepared();
    let held = Some((&registry, (Route::UploadCommit, When::Always), "Sending"));
    compare("push", &capture(&session, "", held, &|columns| format!("push HOST/a/b{columns}:v1 dataset")));
}

#[test]
fn a_pull_fits_every_terminal() {
    let (registry, session) = prepared();
    session.line("d1oci push HOST/a/b:v1 dataset -q").success();
    let held = Some((&registry, (Route::BlobGet, When::Nth(3)), "Receiving"));
    compare("pull", &capture(&session, "", held, &|columns| format!("pull HOST/a/b:v1 -o out{columns}")));
}

#[test]
fn a_verification_fits_every_terminal() {
    let (registry, session) = prepared();
    session.line("d1oci push HOST/a/b:v1 dataset -q").success();
    compare("verify", &capture(&session, "", None, &|_| "verify --deep HOST/a/b:v1".to_owned()));
    drop(registry);
}

#[test]
fn a_replication_fits_every_terminal() {
    let runtime = Runtime::new().unwrap();
    let scale = Scale { packages: 2, objects: 4, smallest: 100, largest: 5000, seed: 3 };
    let config = NodeConfig { catalog: scale.catalog().unwrap(), ..NodeConfig::default() };
    let node = runtime.block_on(ScriptedNode::start(config)).unwrap();
    let session = Session::new(&[]);
    let line = |columns| format!("replicate oci:store{columns} {} --node {NODE}", scale.map(0));
    compare("replicate", &capture(&session, &node.member_url(), None, &line));
}

/// The commands of the picture.
const PICTURE: [&str; 4] = [
    "push oci:store:v1 dataset_10.5072_A2MOORING",
    "ls oci:store:v1 data/CP_2024_1*",
    "cat oci:store:v1 data/CP_2024_15m_Temp.csv --range 0-78",
    "verify --deep --sysmeta oci:store:v1",
];

/// The width of the picture's terminal.
const PICTURE_COLUMNS: u16 = 110;

/// The size of a character of the picture, in pixels.
const CHARACTER: (usize, usize) = (8, 19);

/// Returns the picture of a terminal with these rows. A row that begins with `$ ` is a command.
fn picture(rows: &[String]) -> String {
    let (width, height) = CHARACTER;
    let (whole_width, whole_height) = (usize::from(PICTURE_COLUMNS) * width + 32, rows.len() * height + 56);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole_width}\" height=\"{whole_height}\" \
         viewBox=\"0 0 {whole_width} {whole_height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b2330\"/>\n\
         <circle cx=\"20\" cy=\"18\" r=\"6\" fill=\"#ec6a5e\"/><circle cx=\"40\" cy=\"18\" r=\"6\" fill=\"#f4bf4f\"/>\
         <circle cx=\"60\" cy=\"18\" r=\"6\" fill=\"#61c554\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"13\" fill=\"#d8dee9\" \
         style=\"white-space: pre\">\n"
    );
    for (number, row) in rows.iter().enumerate() {
        let escaped = row.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let (y, length) = (50 + number * height, row.chars().count() * width);
        let colour = if row.starts_with("$ ") { " fill=\"#a3d9a5\" font-weight=\"bold\"" } else { "" };
        svg += &format!(
            "<text x=\"16\" y=\"{y}\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{colour}>\
             {escaped}</text>\n"
        );
    }
    svg + "</g>\n</svg>\n"
}

#[test]
fn the_picture_of_the_readme_is_a_real_terminal() {
    let session = Session::new(&[]);
    let mut sample = Command::new(xtask());
    sample.args(["sample", ".", "--size", "8MiB", "--files", "6", "--seed", "1"]);
    run(sample.current_dir(session.home())).success();
    let mut seen = Vec::new();
    for line in PICTURE {
        seen.push(format!("$ d1oci {line}"));
        let terminal = Terminal::start_with_columns(session.command(line), PICTURE_COLUMNS);
        let (code, shown) = terminal.end();
        assert_eq!(code, Some(0), "{shown}");
        seen.extend(rows(&shown, PICTURE_COLUMNS));
    }
    let (file, picture) = (concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/terminal.svg"), picture(&seen));
    if std::env::var_os(WRITE).is_some() {
        fs::write(file, &picture).unwrap();
    }
    let written = fs::read_to_string(file).unwrap_or_default();
    assert!(written == picture, "{file} differs ({WRITE}=1 writes it):\n{}", seen.join("\n"));
}
