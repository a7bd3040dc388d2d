//! Runs the sessions of the README line by line, and compares the output.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use d1oci_tests::{DockerRegistry, Outcome, bare_d1oci, binary, run, xtask};
use tempfile::TempDir;

/// The host in the README.
const HOST: &str = "localhost:5000";
const ROBOT: (&str, &str) = ("dataone+dataone", "s3cret-robot-token");

/// A typed command, and its output in the README.
struct Step {
    command: String,
    output: Vec<String>,
    /// Whether the README leaves out lines.
    shortened: bool,
}

/// Returns the commands of all console blocks of a section.
fn steps(section: &str) -> Vec<Step> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let from = readme.split_once(&format!("\n## {section}\n")).unwrap().1;
    let text = from.split("\n## ").next().unwrap();
    let (mut steps, mut said, mut in_block): (Vec<Step>, _, _) = (Vec::new(), "", false);
    for line in text.lines() {
        match line {
            "```console" => in_block = true,
            "```" => in_block = false,
            _ if !in_block && !line.is_empty() => said = line,
            _ if !in_block => {}
            _ => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step {
                    command: command.to_owned(),
                    output: Vec::new(),
                    shortened: said.contains("shortened"),
                }),
                None => steps.last_mut().unwrap().output.push(line.to_owned()),
            },
        }
    }
    steps
}

/// A home directory with the sample data set.
struct Reader {
    home: TempDir,
    /// The current directory, after every `cd`.
    directory: PathBuf,
    host: String,
}

impl Reader {
    fn new(host: String) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut sample = Command::new(xtask());
        sample
            .args(["sample", ".", "--size", "8MiB", "--files", "6", "--seed", "1"])
            .current_dir(home.path());
        run(&mut sample).success();
        let directory = home.path().to_owned();
        Self { home, directory, host }
    }

    fn type_line(&mut self, line: &str) -> Outcome {
        if let Some(directory) = line.strip_prefix("cd ") {
            self.directory.push(directory);
            return run(Command::new("test").arg("-d").arg(&self.directory)).success();
        }
        let mut shell = Command::new("bash");
        let search = bare_d1oci(self.home.path());
        shell.env_clear().envs(search.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let programs = binary().parent().unwrap();
        shell.env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default()));
        shell.env("ROBOT_TOKEN", ROBOT.1).current_dir(&self.directory);
        run(shell.args(["-euo", "pipefail", "-c", &line.replace(HOST, &self.host)])).success()
    }

    fn follow(&mut self, section: &str) -> usize {
        let steps = steps(section);
        for Step { command, output, shortened } in &steps {
            let outcome = self.type_line(command);
            let said = outcome.text().replace(&self.host, HOST);
            let lines: Vec<&str> = said.lines().collect();
            if *shortened {
                let mut lines = lines.iter();
                assert!(output.iter().all(|shown| lines.any(|line| line == shown)), "$ {command}\n{said}");
            } else if !output.is_empty() {
                assert_eq!(&lines, output, "$ {command}");
            }
        }
        steps.len()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(self.home.path()).join(path).exists()
    }
}

#[test]
fn five_minutes_with_a_layout_go_as_shown() {
    let mut reader = Reader::new(HOST.to_owned());
    assert!(reader.follow("Five minutes") > 10);
    assert!(reader.exists("temperature.csv") && reader.exists("store/oci-layout"));
}

#[test]
fn the_session_on_a_registry_goes_as_shown() {
    let Some(registry) = DockerRegistry::start(ROBOT.0, ROBOT.1, None) else { return };
    let mut reader = Reader::new(registry.other_name());
    assert!(reader.follow("On a registry") > 6);
    assert!(reader.exists("dataset_10.5072_A2MOORING/data/downloads/CP_2024_25m_Temp.csv"));
}
