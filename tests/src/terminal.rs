//! A program at a terminal, and a person who reads and types.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Pty, open};
use rustix::termios::{LocalModes, tcgetattr};

/// The longest wait for a text: a bound for a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with a terminal of its own.
pub struct Terminal {
    pty: Arc<Pty>,
    child: Child,
    output: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Starts a command at a terminal of 120 columns.
    ///
    /// # Panics
    ///
    /// If the system has no terminal, or the command does not start.
    pub fn start(command: Command) -> Self {
        Self::start_with_columns(command, 120)
    }

    /// Starts a command at a terminal of so many columns.
    ///
    /// # Panics
    ///
    /// If the system has no terminal, or the command does not start.
    pub fn start_with_columns(mut command: Command, columns: u16) -> Self {
        command.env("TERM", "xterm");
        let (pty, end_of_child) = open().expect("a terminal can be had");
        pty.resize(Size::new(24, columns)).expect("it has a size");
        let child = pty_process::blocking::Command::from(command).spawn(end_of_child);
        let child = child.expect("the command starts");
        let pty = Arc::new(pty);
        let (sender, output) = channel();
        let screen = pty.clone();
        std::thread::spawn(move || show(&screen, &sender));
        Self { pty, child, output, shown: String::new() }
    }

    /// Waits until the program shows a text.
    ///
    /// # Panics
    ///
    /// If the program ends without it, or is silent for too long.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let Ok(more) = self.output.recv_timeout(PATIENCE) else {
                panic!("`{text}` is not shown: {}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// Returns all output so far.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Types a line.
    ///
    /// # Panics
    ///
    /// If the terminal does not take it.
    pub fn type_line(&self, line: &str) {
        (&*self.pty).write_all(format!("{line}\n").as_bytes()).expect("the terminal takes it");
    }

    /// Types a line after the terminal has switched its echo off.
    ///
    /// # Panics
    ///
    /// If the echo stays on.
    pub fn type_unseen(&self, line: &str) {
        let began = Instant::now();
        // A program asks first and then switches the echo off. A test types faster than people.
        while tcgetattr(&*self.pty).expect("it has modes").local_modes.contains(LocalModes::ECHO) {
            assert!(began.elapsed() < PATIENCE, "the echo is still on: {}", self.shown);
            sleep(Duration::from_millis(5));
        }
        self.type_line(line);
    }

    /// Waits for the end. Returns the exit code and all output.
    ///
    /// # Panics
    ///
    /// If the program does not end.
    pub fn end(mut self) -> (Option<i32>, String) {
        while let Ok(more) = self.output.recv_timeout(PATIENCE) {
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
        (self.child.wait().expect("it ends").code(), self.shown)
    }
}

/// Sends on the output until the program closes the terminal. On Linux, reading then fails.
fn show(mut screen: &Pty, sender: &Sender<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        let Some(more) = buffer.get(..count) else { return };
        if sender.send(more.to_vec()).is_err() {
            return;
        }
    }
}
