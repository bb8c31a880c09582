//! The conformance suite: every test runs on every store.
//!
//! A store is a module with `async fn fresh() -> (Arc<S>, impl Sized)`: an empty, prepared store, and
//! what keeps it alive until the test ends. One line below adds it. A test is a function in `suite/`
//! that takes the store as an `Arc<dyn Store>` or an `Arc<dyn AccountStore>`, and its name in
//! [`conformance!`]; one that isn't listed is dead code.

#![expect(clippy::expect_used, reason = "a test that can't go on fails")]

#[path = "../support/make.rs"]
mod make;
mod mongo;
#[path = "../support/mongod.rs"]
mod mongod;
mod sqlite;
mod suite;

macro_rules! conformance {
    ($fresh:path: $($file:ident { $($test:ident)* })*) => {
        $(mod $file {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let (store, _alive) = $fresh().await;
                crate::suite::$file::$test(store).await;
            })*
        })*
    };
    ($fresh:path) => {
        crate::conformance! { $fresh:
            changes {
                a_change_to_a_missing_message_is_ignored_and_never_resurrects_it
                an_edit_replaces_content_and_says_when
                an_outdated_edit_is_ignored_and_its_readers_are_added
                of_edits_made_at_the_same_time_the_last_one_stays
                what_an_edit_says_is_never_an_expression
                exactly_the_changes_of_unknown_messages_are_missing
                readers_are_kept_once_in_order_and_make_the_status_read
                a_hidden_message_is_gone_for_that_user_alone
                one_change_may_edit_read_and_hide
                the_last_twenty_revisions_are_kept_however_the_edits_come
                a_delivery_moves_the_status_on_and_never_back
                each_user_has_each_reaction_once_in_order
                the_last_word_on_a_pin_stays
                a_deleted_message_is_gone_for_everyone
                a_purge_takes_the_messages_of_that_group_alone
                a_batch_applied_twice_equals_once
                parts_of_a_batch_apply_in_their_order
            }
            accounts {
                an_account_comes_back_as_it_was_stored
                an_account_is_found_by_id_and_by_name_and_address_in_any_case
                a_name_and_an_address_are_given_once_in_any_case
                of_registrations_at_once_exactly_one_is_done
                accounts_come_in_the_order_of_names_and_in_pages
                a_password_is_changed_where_there_is_an_account
                a_deleted_account_frees_its_name_and_takes_its_sessions_along
                no_text_is_an_operator
            }
            attached {
                replies_come_in_pages_newest_first
                replies_are_counted_up_to_their_bound
                pins_are_those_of_the_conversation_the_latest_first
                a_file_is_named_by_what_is_stored
            }
            blocks {
                blocks_of_a_user_are_listed_the_last_one_first
                a_block_keeps_its_time_until_it_is_taken_back
            }
            catch_up {
                new_changed_and_deleted_messages_come_in_order_to_their_users_alone
                a_message_comes_once_as_it_is_now
                pages_go_on_where_the_last_one_ended
                memberships_and_cursors_come_too
                a_user_of_many_groups_misses_none
            }
            chats {
                conversations_are_newest_first_with_what_was_said_last
                what_is_hidden_is_not_shown_and_what_is_deleted_is_gone
                unread_is_counted_per_conversation
                three_hundred_peers_come_in_pages
            }
            client_ids {
                a_message_is_found_by_sender_and_client_id
                a_deleted_message_is_still_found_by_its_client_id
                a_client_id_is_given_once_by_each_sender
                the_client_id_of_a_deleted_message_stays_taken
                the_client_ids_of_purged_messages_are_free_again
            }
            groups {
                a_group_comes_back_as_it_was_stored
                a_part_of_a_group_is_its_first_members_and_their_number
                a_missing_group_is_none
                members_keep_the_order_in_which_they_joined
                joining_and_leaving_say_what_became_of_it
                a_deleted_group_is_gone_and_its_messages_stay
                groups_of_a_user_are_newest_first_up_to_the_limit
                a_search_finds_any_case_newest_first_up_to_the_limit
                a_search_folds_case_beyond_ascii
                a_search_text_is_never_a_pattern
            }
            history {
                a_page_is_newest_first_up_to_the_limit
                equal_timestamps_are_ordered_by_id
                before_continues_where_a_page_ended
                hidden_messages_are_left_out_and_take_no_place
                both_directions_are_one_conversation
                conversations_do_not_mix
                a_conversation_with_oneself_holds_only_own_notes
                after_goes_forwards_and_before_goes_back_the_same_way
                a_page_after_a_place_is_the_oldest_there
                without_a_viewer_nothing_is_hidden
                the_time_of_a_deleted_message_is_known
            }
            invitations {
                an_invitation_comes_back_as_it_was_stored
                those_into_a_group_that_work_are_listed_newest_first
                a_use_is_counted_while_it_works
                uses_at_once_are_no_more_than_it_allows
                one_that_was_ended_is_found_and_neither_listed_nor_used
                a_group_takes_its_invitations_along
            }
            messages {
                every_field_comes_back_as_it_was_stored
                a_second_insert_changes_nothing
                a_message_is_found_by_its_id_and_by_its_old_id
                an_empty_batch_is_taken
                ten_thousand_messages_are_one_batch
                a_call_given_up_half_way_leaves_the_store_consistent
                readers_go_on_while_batches_are_applied
            }
            mutes {
                mutes_of_a_user_last_until_they_are_taken_back
                changes_tell_a_mute_to_that_user_alone
                chats_say_which_groups_are_muted
                groups_that_are_excepted_do_not_count_as_unread
            }
            presence {
                peers_are_those_of_both_directions_once
                peers_are_found_up_to_the_limit
                groups_of_few_are_newest_first_up_to_the_limit
                the_last_time_only_moves_forward
                whoever_was_never_there_has_no_time
            }
            privacy {
                what_a_user_says_in_groups_comes_in_pages_oldest_first
                traces_are_read_cursors_and_invitations
                groups_are_owned_by_who_has_made_them_or_was_given_them
                an_erasure_is_remembered_until_it_ends
                an_alias_stands_wherever_a_message_named_the_user
                searches_find_what_was_said_under_the_alias
                others_lose_nothing_and_are_told
                thousands_of_messages_take_several_steps
                traces_go_and_groups_name_the_alias
            }
            random {
                random_batches_match_the_model
            }
            readers {
                readers_are_those_at_or_past_a_place_the_furthest_first
            }
            roles {
                a_group_with_roles_and_silences_comes_back_as_it_was_stored
                each_change_makes_what_it_says_once_however_often_it_comes
                admins_come_in_the_order_in_which_they_became_it
                a_silence_drops_those_that_have_run_out
                a_change_to_a_missing_group_makes_none
                changes_tell_each_member_that_the_group_is_another
                whoever_leaves_is_no_admin_any_more_and_stays_silenced
            }
            revocations {
                voiding_only_moves_forward
                a_ban_voids_and_stays_until_it_is_taken_back
                the_banned_and_the_recent_are_listed
                users_are_voided_and_banned_at_once
            }
            rooms {
                a_public_group_comes_back_public_until_it_is_made_private
                rooms_are_the_public_ones_and_ones_own_each_once
                rooms_come_in_pages_newest_first_and_ties_by_id
                a_search_finds_public_groups_and_ones_own_each_once
            }
            search {
                words_are_found_in_any_case_and_accent_by_their_beginnings
                only_what_the_viewer_may_see_is_found
                a_search_keeps_to_a_conversation_and_a_sender
                what_is_hidden_deleted_or_purged_is_gone
                an_edited_message_is_found_by_what_it_says_now
                results_are_newest_first_and_pages_follow_each_other
                a_word_of_thousands_of_messages_answers_the_newest
                a_search_that_takes_long_stops_and_goes_on_from_there
                no_sign_of_a_query_or_a_message_means_anything
                an_object_is_searched_in_its_text_and_caption
                a_user_of_many_groups_finds_what_is_in_each
                what_is_indexed_leaves_no_backlog
            }
            sessions {
                the_live_sign_ins_of_a_user_are_listed_newest_first
                a_session_comes_back_as_it_was_stored
                a_rotation_makes_the_old_secret_the_previous_one
                of_rotations_at_once_exactly_one_succeeds
                only_a_live_session_with_that_secret_is_rotated
                the_oldest_live_sessions_beyond_the_most_end
                of_sign_ins_at_once_no_more_than_the_most_stay
                a_session_ends_once
                all_live_sessions_of_a_user_end
                ended_sessions_are_told_from_a_time_on_until_they_expire
            }
            status {
                health_counts_and_names_indexes
                preparing_again_keeps_what_is_stored
                the_description_names_the_store
            }
            tombstones {
                an_insert_after_a_deletion_stays_deleted
                a_deletion_before_the_insert_wins
                a_message_deleted_twice_is_deleted_once
                a_change_of_a_deleted_message_is_neither_applied_nor_missing
                a_deletion_holds_in_its_own_batch_and_when_that_is_repeated
                a_purge_leaves_no_tombstones_and_takes_none_away
            }
            unread {
                direct_messages_count_until_read_or_hidden
                what_came_later_is_not_counted
                notes_to_oneself_are_never_unread
                group_messages_of_others_count_after_the_cursor
                without_a_cursor_the_newest_count
                a_group_message_read_or_hidden_does_not_count
                a_cursor_only_moves_forward
                cursors_of_equal_timestamps_are_ordered_by_id
                only_groups_the_user_is_in_count
                counts_are_exact_up_to_their_bound
            }
        }
    };
}
use conformance;

mod on_sqlite {
    crate::conformance!(crate::sqlite::fresh);
}

mod on_mongo {
    crate::conformance!(crate::mongo::fresh);
}
