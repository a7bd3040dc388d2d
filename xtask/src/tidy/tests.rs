//! The rules as tests of this very workspace.

use std::sync::OnceLock;

use super::{Project, Rule, cycles, documents, english, floors, manifests, sources, trees, words};

/// Checks one rule, and shows all faults if there are any.
fn assert_kept(check: fn(&Project) -> crate::error::Result<Vec<super::Fault>>) {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    let project = PROJECT.get_or_init(|| Project::load().unwrap());
    let faults = check(project).unwrap();
    let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

#[test]
fn imports_go_to_lower_floors() {
    assert_kept(floors::check);
}

#[test]
fn dependency_trees_are_small() {
    assert_kept(trees::check);
}

#[test]
fn sources_have_a_purpose_and_no_leftovers() {
    assert_kept(sources::check);
}

#[test]
fn files_of_a_crate_do_not_import_each_other_in_a_circle() {
    assert_kept(cycles::check);
}

#[test]
fn comments_messages_and_documents_are_plain_english() {
    assert_kept(english::check);
}

#[test]
fn no_text_speaks_of_one_machine() {
    assert_kept(words::check);
}

#[test]
fn crates_can_be_published() {
    assert_kept(manifests::check);
}

#[test]
fn documents_have_what_they_promise() {
    assert_kept(documents::check);
}

#[test]
fn every_rule_is_a_test() {
    let source = include_str!("tests.rs");
    let rules: [Rule; 8] = super::RULES;
    assert_eq!(source.matches(concat!("    assert_", "kept(")).count(), rules.len());
}
