//! The list of all checks: the one place where a check is entered.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::support::Outcome;
use super::{EmptyRepository, Need};

/// One fact that must hold for a backend.
#[derive(Debug)]
pub struct Check {
    /// Its name, which states the fact.
    pub name: &'static str,
    /// The features that the store must have for the fact to make sense.
    pub needs: &'static [Need],
    pub(super) run: fn(&EmptyRepository) -> BoxFuture<'_, Outcome>,
}

/// Returns the names of the checks that need at least one of these.
pub fn checks_that_need(needs: &[Need]) -> Vec<&'static str> {
    let needed = |check: &&Check| check.needs.iter().any(|need| needs.contains(need));
    CHECKS.iter().filter(needed).map(|check| check.name).collect()
}

macro_rules! table {
    (() $($module:ident { $($name:ident: [$($need:ident),*],)* })*) => {
        /// All checks.
        pub const CHECKS: &[Check] = &[
            $($(Check {
                name: stringify!($name),
                needs: &[$(Need::$need),*],
                run: |repository| super::$module::$name(repository).boxed(),
            },)*)*
        ];
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! with_every_check {
    ([$($callback:tt)+] ($($argument:tt)*)) => {
        $($callback)+! {
            ($($argument)*)
            blobs {
                an_absent_blob_is_no_error: [],
                reading_an_absent_blob_is_not_found: [],
                reading_a_range_of_an_absent_blob_is_not_found: [],
                the_empty_blob_is_stored: [],
                a_blob_of_one_byte_is_stored: [],
                a_blob_of_five_mebibytes_is_stored: [],
                a_stored_blob_is_already_there: [],
                a_blob_written_with_a_useless_hint_is_stored: [],
                a_source_may_come_in_small_pieces: [],
                a_source_may_be_made_while_it_is_read: [],
                a_blob_may_be_read_many_times_at_once: [],
                a_read_may_be_given_up: [],
                a_sha512_blob_is_stored: [Sha512],
                a_blob_of_an_unknown_algorithm_is_refused: [],
            }
            blob_faults {
                a_source_shorter_than_it_states_is_invalid: [],
                a_source_longer_than_it_states_is_invalid: [],
                an_empty_source_that_states_content_is_invalid: [],
                a_source_with_content_that_states_none_is_invalid: [],
                a_large_source_shorter_than_it_states_is_invalid: [],
                a_large_source_longer_than_it_states_is_invalid: [],
                a_source_with_another_digest_is_invalid: [],
                a_source_that_cannot_be_opened_gives_its_error: [],
                a_source_that_fails_in_the_middle_gives_its_error: [],
                a_source_that_fails_at_the_end_gives_its_error: [],
                a_blob_can_be_stored_after_a_failure: [],
                a_refused_blob_is_named: [],
            }
            ranges {
                the_start_of_a_blob_is_read: [RangeReads],
                the_middle_of_a_blob_is_read: [RangeReads],
                the_end_of_a_blob_is_read: [RangeReads],
                one_byte_of_a_blob_is_read: [RangeReads],
                the_whole_blob_is_a_range: [RangeReads],
                an_empty_range_gives_no_bytes: [RangeReads],
                an_empty_range_at_the_end_gives_no_bytes: [RangeReads],
                the_announced_range_is_the_one_that_comes: [],
                the_empty_range_of_the_empty_blob_is_read: [],
                a_range_that_ends_outside_is_invalid: [],
                a_range_that_starts_outside_is_invalid: [],
                an_enormous_range_is_invalid: [],
                a_range_that_runs_backwards_is_invalid: [],
            }
            limits {
                the_stated_limits_make_sense: [],
                the_backend_names_itself: [],
                a_blob_above_the_limit_is_too_large: [BlobLimit],
                a_manifest_above_the_limit_is_too_large: [],
                a_manifest_at_the_limit_is_stored: [],
                a_manifest_with_the_most_layers_is_stored: [],
            }
            manifests {
                an_absent_manifest_is_no_error: [],
                reading_an_absent_tag_is_not_found: [],
                reading_an_absent_manifest_is_not_found: [],
                an_absent_tag_is_not_found_among_others: [],
                a_tagged_manifest_is_read_by_tag: [],
                a_tagged_manifest_is_read_by_digest: [],
                an_untagged_manifest_is_read_by_digest: [],
                the_descriptor_has_type_digest_and_size: [],
                a_manifest_without_layers_is_stored: [],
                a_manifest_with_one_blob_twice_is_stored: [],
                unknown_fields_and_white_space_are_kept: [],
                a_manifest_that_does_not_state_its_type_keeps_it: [],
                a_sha512_manifest_is_stored: [Sha512],
                an_index_and_its_children_are_stored: [],
                an_index_of_nothing_is_stored: [],
                an_index_of_indexes_is_stored: [],
            }
            manifest_faults {
                bytes_that_are_no_json_are_invalid: [],
                an_empty_manifest_is_invalid: [],
                a_manifest_without_a_configuration_is_invalid: [],
                a_manifest_of_another_type_is_invalid: [],
                a_manifest_that_contradicts_its_type_is_invalid: [],
                a_manifest_at_another_digest_is_invalid: [],
                a_manifest_without_its_layer_is_incomplete: [],
                a_manifest_without_its_configuration_is_incomplete: [],
                an_untagged_manifest_without_its_layer_is_incomplete: [],
                an_index_without_its_child_is_incomplete: [],
                a_refused_manifest_does_not_move_the_tag: [],
            }
            tags {
                an_empty_repository_has_no_tags: [],
                an_untagged_manifest_has_no_tag: [],
                each_tag_is_listed_once: [],
                more_tags_than_fit_on_a_page_are_listed: [],
                a_tag_moves: [],
                a_moved_tag_leaves_its_manifest: [KeptDigests],
                a_tag_moves_back: [],
                tagging_the_same_manifest_again_changes_nothing: [],
                an_untagged_manifest_can_be_tagged_later: [],
                a_manifest_may_have_several_tags: [],
                tags_are_told_apart_by_case: [],
                the_longest_tag_is_stored: [],
            }
            referrers {
                an_absent_subject_has_no_referrers: [],
                a_manifest_without_referrers_has_none: [],
                a_referrer_is_listed: [],
                a_tagged_referrer_is_listed: [],
                a_referrer_is_read_by_digest: [],
                a_referrer_may_come_before_its_subject: [],
                a_referrer_stored_twice_is_listed_once: [],
                all_of_many_referrers_are_listed: [],
                a_referrer_is_listed_for_its_own_subject_only: [],
                a_referrer_has_its_artifact_type: [],
                a_referrer_without_an_artifact_type_has_that_of_its_configuration: [],
                a_referrer_has_its_annotations: [],
                referrers_of_one_type_are_listed: [],
                no_referrer_of_another_type_is_listed: [],
                an_index_may_be_a_referrer: [],
                a_referrer_may_have_referrers: [],
            }
            concurrency {
                writers_of_one_blob_all_succeed: [],
                writers_of_many_blobs_all_succeed: [],
                writers_of_many_tags_all_succeed: [],
                writers_of_one_tag_leave_it_with_one_of_them: [],
                losers_of_a_tag_keep_their_manifests: [KeptDigests],
                a_moving_tag_always_names_a_manifest: [],
                referrers_written_at_once_are_all_listed: [],
                one_manifest_written_at_once_is_stored: [],
            }
            second {
                what_one_value_stores_the_other_reads: [SecondValue],
                a_tag_moved_by_one_value_has_moved_for_the_other: [SecondValue],
                tags_written_by_two_values_at_once_are_all_there: [SecondValue],
                referrers_written_by_two_values_at_once_are_all_listed: [SecondValue],
            }
            admin {
                a_deleted_manifest_is_gone: [DeleteManifest],
                deleting_a_manifest_deletes_its_tags: [DeleteManifest],
                deleting_a_manifest_keeps_other_manifests: [DeleteManifest],
                deleting_a_manifest_keeps_its_blobs: [DeleteManifest],
                deleting_an_index_keeps_its_children: [DeleteManifest],
                a_deleted_referrer_is_not_listed: [DeleteManifest, DeleteReferrers],
                a_referrer_that_stays_is_not_called_deleted: [DeleteManifest],
                a_deleted_manifest_can_be_stored_again: [DeleteManifest],
                deleting_an_absent_manifest_is_not_found: [DeleteManifest],
                a_deleted_tag_is_gone: [DeleteTag],
                deleting_a_tag_keeps_the_manifest: [DeleteTag, KeptDigests],
                deleting_a_tag_keeps_the_manifests_other_tags: [DeleteTag],
                deleting_the_tag_of_a_referrer_keeps_it_listed: [DeleteTag],
                deleting_an_absent_tag_is_not_found: [DeleteTag],
                a_failed_delete_changes_nothing: [DeleteManifest],
            }
            prune {
                an_unreferenced_blob_is_pruned: [Pruner],
                an_empty_repository_can_be_pruned: [Pruner],
                a_young_blob_is_not_pruned: [Pruner],
                a_dry_run_reports_and_removes_nothing: [Pruner],
                a_tagged_manifest_and_its_blobs_stay: [Pruner],
                an_untagged_manifest_and_its_blobs_stay_by_default: [Pruner],
                an_untagged_manifest_is_pruned_on_request: [Pruner],
                what_a_moved_tag_left_is_pruned_on_request: [Pruner],
                a_blob_shared_with_a_kept_manifest_stays: [Pruner],
                the_children_of_a_kept_index_stay: [Pruner],
                the_referrers_of_a_kept_manifest_stay: [Pruner],
                the_referrers_of_a_referrer_stay: [Pruner],
                the_referrer_of_a_pruned_manifest_is_pruned: [Pruner],
                the_blobs_of_a_deleted_manifest_are_pruned: [Pruner, DeleteManifest],
                what_was_pruned_can_be_stored_again: [Pruner],
                pruning_twice_removes_nothing_more: [Pruner],
                the_configuration_of_a_kept_manifest_stays: [Pruner],
            }
        }
    };
}

with_every_check! { [table] () }
