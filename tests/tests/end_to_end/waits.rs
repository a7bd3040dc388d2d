//! Waits that a registry asks for are shown, and outages are survived.

use std::fs;
use std::time::Duration;

use d1oci_tests::{Outcome, Preset, RegistryKind, RunningRegistry, Session, Terminal};
use registry_conformance::scripted::{Action, Answer, Fault, RetryAfter, Route, When};

fn limited() -> (RunningRegistry, Session) {
    let registry = RegistryKind::Scripted(Preset::Strict).start(None).unwrap();
    let answer = Answer::too_many_requests(RetryAfter::Seconds(2));
    let fault = Fault::new(Route::ManifestPut, When::First(1), Action::Answer(answer));
    registry.scripted().unwrap().add_fault(fault);
    let session = Session::new(&[&registry]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    (registry, session)
}

fn lines_with<'a>(outcome: &'a Outcome, text: &str) -> Vec<&'a str> {
    outcome.stderr.lines().filter(|line| line.contains(text)).collect()
}

#[test]
fn a_wait_that_the_registry_asks_for_is_a_line() {
    let (_registry, session) = limited();
    let pushed = session.line("d1oci push HOST/a/b:v1 a.txt").success();
    assert_eq!(lines_with(&pushed, "wait"), ["127.0.0.1 asked to wait 2.0 s"]);
    let (_registry, session) = limited();
    let pushed = session.line("d1oci push --quiet HOST/a/b:v1 a.txt").success();
    assert_eq!(pushed.stderr, "");
}

#[test]
fn a_wait_is_json_where_results_are() {
    let (_registry, session) = limited();
    let pushed = session.line("d1oci push --format json HOST/a/b:v1 a.txt").success();
    let lines = lines_with(&pushed, "waiting");
    let [line] = lines.as_slice() else { panic!("{}", pushed.stderr) };
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let waiting = &line["waiting"];
    assert_eq!((waiting["server"].as_str(), waiting["stated"].as_bool()), (Some("127.0.0.1"), Some(true)));
    assert_eq!(waiting["seconds"].as_f64(), Some(2.0));
    assert!(waiting["reason"].as_str().unwrap().contains("429"), "{waiting}");
}

#[test]
fn a_wait_is_shown_at_a_terminal() {
    let (_registry, session) = limited();
    let mut terminal = Terminal::start(session.command("push HOST/a/b:v1 a.txt"));
    terminal.wait_for("127.0.0.1 asked to wait 2.0 s");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
}

/// A registry that answers 503 until it is told that the outage is over.
fn outage(preset: Preset, work: impl Fn(&Session) -> Outcome + Sync) {
    let registry = RegistryKind::Scripted(preset).start(None).unwrap();
    let session = Session::new(&[&registry]);
    fs::write(session.path("a.txt"), "a file").unwrap();
    session.line("d1oci push HOST/owner/source:v1 a.txt").success();
    let scripted = registry.scripted().unwrap();
    scripted.add_fault(Fault::anywhere(When::Always, Action::Answer(Answer::html(503))));
    std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&session));
        // Longer than six tries in five seconds.
        std::thread::sleep(Duration::from_secs(9));
        scripted.forget_faults();
        let outcome = working.join().unwrap().success();
        assert!(
            outcome.stderr.contains("503") && outcome.stderr.contains("the next try is in"),
            "{outcome:?}"
        );
    });
}

#[test]
fn transfers_survive_an_outage() {
    for preset in [Preset::Strict, Preset::Quay] {
        let works = [
            "d1oci push HOST/owner/other:v1 a.txt",
            "d1oci pull HOST/owner/source:v1 -o got",
            "d1oci copy HOST/owner/source:v1 oci:copied",
            "d1oci mirror HOST/owner/source oci:mirrored",
        ];
        std::thread::scope(|scope| {
            for work in works {
                scope.spawn(move || outage(preset, |session| session.line(work)));
            }
        });
    }
}
