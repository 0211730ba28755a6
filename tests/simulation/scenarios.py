"""All scenarios by number and name, and the tests that show each.

A place is `file::test`, of `tests/simulation` unless it says a path. Some are shown by the whole
network, some at the layer where the fault strikes; those that also run against real processes
(`PROCESSES`) are named a second time, in `tests/e2e`.
"""

from typing import NamedTuple

SIM = "tests/simulation/"


class Scenario(NamedTuple):
    number: int
    name: str
    where: tuple[str, ...]


def _at(number: int, name: str, *where: str) -> Scenario:
    paths = tuple(each if each.startswith("tests/") else SIM + each for each in where)
    return Scenario(number, name, paths)


_S, _F, _A = "test_scenarios.py::test_", "test_faults.py::test_", "test_amnesia.py::test_"
_M, _L, _R = "test_membership.py::test_", "test_liars.py::test_", "test_real_rules.py::test_"
_P, _K = "test_snapshot.py::test_", "test_missing_link.py::test_"

SCENARIOS = (
    # leader
    _at(1, "leader_silent", _S + "leader_silent", _S + "leader_dead"),
    _at(2, "leader_equivocates", _S + "leader_equivocates"),
    _at(3, "leader_invalid_parent", _S + "leader_invalid_parent"),
    _at(
        4,
        "leader_skips_views_without_nullification",
        _L + "leader_skips_views_without_nullification",
    ),
    _at(5, "leader_stale_or_censoring_tips", _S + "leader_stale_or_censoring_tips"),
    # lanes
    _at(
        6,
        "lane_fork_two_batches_same_height",
        _S + "lane_fork_siblings_shown_to_different_halves",
        _S + "lane_fork_a_final_cut_names_the_sibling",
    ),
    _at(7, "lane_withhold_selective_disclosure", _S + "batch_shown_to_one_node_only"),
    _at(
        8,
        "lying_hints",
        _S + "a_liar_that_hints_what_nobody_has_keeps_nobody_from_final_batches",
    ),
    # votes
    _at(9, "double_notarize", _L + "double_notarize"),
    _at(10, "finalize_and_nullify", _L + "finalize_and_nullify"),
    _at(11, "nullify_only_voter", _L + "nullify_only_voter"),
    _at(12, "outdated_views_replay", _L + "outdated_views_replay"),
    _at(13, "impersonator_bad_signature_mid_quorum", _L + "impersonator_bad_signature_mid_quorum"),
    _at(
        14,
        "wrong_epoch_or_wrong_chain_replay",
        _M + "wrong_epoch_replay",
        _L + "wrong_chain_replay",
    ),
    _at(15, "twins_f_nodes", "test_twins.py::test_twins_of_one_platform_fork_nothing"),
    # network
    _at(16, "partition_2_2_then_heal", _S + "partition_2_2_then_heal"),
    _at(
        17,
        "partition_ring_majorities_overlap",
        _S + "partition_ring_majorities_overlap",
        _K + "a_ring_comes_to_rest",
    ),
    _at(18, "asymmetric_one_way_link", _S + "asymmetric_one_way_link"),
    _at(19, "loss_30pct_duplicate_reorder", _S + "loss_30pct_duplicate_reorder"),
    _at(20, "certified_split_heals", _S + "certified_split_heals"),
    # crash and disk
    _at(21, "crash_between_write_and_send", _S + "crash_between_write_and_send"),
    _at(22, "crash_after_send_before_apply", _S + "crash_after_send_before_apply"),
    _at(
        23,
        "log_torn_tail_bitflip_truncate",
        _F + "log_torn_tail_bitflip_truncate",
        _A + "log_cut_off_anywhere",
    ),
    _at(24, "unsynced_writes_lost_on_power_loss", _A + "unsynced_writes_lost_on_power_loss"),
    _at(25, "disk_full_at_vote_fail_stop", _F + "disk_full_at_vote_fail_stop"),
    _at(
        26, "amnesia_wiped_node_or_old_backup", _A + "amnesia_wiped_node", _A + "amnesia_old_backup"
    ),
    _at(27, "all_nodes_crash_after_nullify_restart", _S + "all_nodes_crash_after_nullify_restart"),
    # time
    _at(28, "freeze_two_nodes_long_then_resume", _S + "freeze_two_nodes_long_then_resume"),
    _at(29, "clock_skew_hours", _F + "clock_skew_hours"),
    _at(30, "slow_validator_and_slow_disk", _S + "slow_validator_and_slow_disk"),
    _at(31, "backlog_after_blip", _R + "backlog_after_blip"),
    # membership and sync
    _at(32, "join_by_snapshot_malicious_chunks", _P + "join_by_snapshot_malicious_chunks"),
    _at(33, "snapshot_peer_vanishes_midway", _P + "snapshot_peer_vanishes_midway"),
    _at(
        34,
        "long_offline_catch_up",
        _S + "long_offline_catch_up",
        _M + "a_long_absent_node_catches_up_across_sets",
    ),
    _at(35, "epoch_change_during_view_change", _M + "epoch_change_during_view_change"),
    _at(36, "removed_node_old_key_signs", _M + "removed_node_old_key_signs"),
    _at(37, "key_rotation_mid_epoch", _M + "key_rotation_mid_epoch"),
    # proof
    _at(
        38,
        "f_plus_1_collusion_fork_yields_at_least_f_plus_1_culprits",
        _L + "f_plus_1_collusion_fork_yields_at_least_f_plus_1_culprits",
        "tests/consensus/test_evidence.py::test_a_checkpoint_of_the_other_side_of_a_fork_accuses_who_stands_under_both",
    ),
    _at(
        39,
        "fabricated_evidence_cannot_frame",
        _R + "fabricated_evidence_cannot_frame",
        "tests/ledger/test_evidence.py::test_no_changed_byte_accuses",
    ),
    _at(
        40,
        "light_client_forked_checkpoint",
        _L + "light_client_forked_checkpoint",
        "tests/node/audit/test_remote.py::test_a_forked_checkpoint_is_found_before_anything_else_is_read",
    ),
    _at(41, "store_ahead_or_behind_of_consensus", _A + "store_ahead_or_behind_of_consensus"),
    _at(42, "nondeterministic_execution_halts", _F + "nondeterministic_execution_halts"),
    _at(
        43,
        "duplicate_record_two_lanes",
        _R + "duplicate_record_two_lanes",
        _R + "duplicate_record_two_lanes_in_one_cut",
    ),
    _at(44, "oversize_or_deeply_nested_message", _F + "oversize_or_deeply_nested_message"),
    _at(
        45,
        "peer_floods_future_views",
        _S + "peer_floods_future_views_in_bounded_memory",
        _F + "floods_of_every_kind_in_bounded_memory",
    ),
    _at(46, "mixed_version_rolling_upgrade", _R + "mixed_version_rolling_upgrade"),
    _at(
        47,
        "auditor_finds_flipped_bit_and_exits_nonzero",
        "tests/ledger/test_replay.py::test_one_flipped_bit_in_any_row_is_found_and_named",
        "tests/node/audit/test_run.py::test_one_flipped_byte_in_any_kind_of_row_is_found_and_named",
    ),
    # schedules that forked, stalled or framed an earlier draft
    _at(48, "one_platform_active_time_moves", _S + "one_platform_active_time_moves"),
    _at(
        49,
        "forked_lane_siblings_shown_to_different_halves",
        _S + "lane_fork_siblings_shown_to_different_halves",
    ),
    _at(
        50,
        "leader_shows_notarization_to_one_then_silence",
        _S + "leader_shows_notarization_to_one_then_silence",
    ),
    _at(
        51,
        "last_finalize_vote_lost_then_idle",
        _S + "last_finalize_vote_lost_then_idle",
        _S + "all_finalize_votes_lost_then_idle",
    ),
    _at(
        52,
        "cosignature_lost_then_idle",
        _S + "cosignature_lost_then_idle",
        _S + "all_cosignatures_lost_then_idle",
    ),
    _at(53, "partition_heals_while_idle", _S + "partition_heals_while_idle"),
    _at(54, "batch_shown_to_one_node_only", _S + "batch_shown_to_one_node_only"),
    _at(
        55,
        "late_finalize_of_epoch_end_beside_next_epochs_first_block",
        _S + "late_finalize_of_epoch_end_beside_next_epochs_first_block",
        _M + "late_finalize_of_epoch_end_beside_next_epochs_first_block",
    ),
    _at(56, "idle_epoch_with_approved_change", _M + "idle_epoch_with_approved_change"),
    _at(57, "leaver_gone_before_cosigning", _M + "leaver_gone_before_cosigning"),
    _at(58, "joiners_absent_after_binding", _M + "joiners_absent_after_binding"),
    _at(
        59,
        "finalize_in_flight_disk_lost_then_nullify",
        _A + "finalize_in_flight_disk_lost_then_nullify",
    ),
    _at(60, "restored_backup_reseals_a_lane_height", _A + "restored_backup_reseals_a_lane_height"),
    _at(61, "two_two_split_of_roots", _F + "two_two_split_of_roots"),
    _at(
        62,
        "validator_stops_cosigning_while_finality_runs",
        _F + "validator_stops_cosigning_while_finality_runs",
    ),
    _at(
        63,
        "foreign_handle_written_or_registered_by_another_platform",
        _R + "foreign_handle_written_or_registered_by_another_platform",
    ),
    _at(
        64,
        "copied_record_to_make_the_original_a_duplicate",
        _R + "copied_record_to_make_the_original_a_duplicate",
    ),
    _at(65, "new_record_type_on_old_nodes", _R + "new_record_type_on_old_nodes"),
    _at(
        66,
        "same_header_different_signatures_to_different_nodes",
        _L + "same_header_different_signatures_to_different_nodes",
    ),
    _at(
        67,
        "last_cosignature_lost_at_epoch_end",
        _S + "last_cosignature_lost_at_epoch_end",
        _M + "last_cosignature_lost_at_epoch_end",
    ),
    _at(
        68,
        "approved_joiner_never_ready_network_goes_idle",
        _M + "approved_joiner_never_ready_network_goes_idle",
    ),
    _at(
        69, "batch_dated_a_day_ahead_starts_no_echo", _S + "batch_dated_a_day_ahead_starts_no_echo"
    ),
    _at(70, "silent_peer_during_anothers_restart", _A + "silent_peer_during_anothers_restart"),
    _at(
        71,
        "open_erase_then_outcome_replays_alike",
        "test_erasure.py::test_open_erase_then_outcome_replays_alike",
    ),
    _at(
        72,
        "same_handle_registered_by_two_platforms",
        _R + "same_handle_registered_by_two_platforms",
    ),
)

PROCESSES = {
    1: "tests/e2e/test_faults.py::test_leader_silent",
    16: "tests/e2e/test_faults.py::test_partition_2_2_then_heal",
    22: "tests/e2e/test_faults.py::test_crash_after_send_before_apply",
    26: "tests/e2e/test_amnesia.py::test_amnesia_wiped_node_or_old_backup",
    27: "tests/e2e/test_faults.py::test_all_nodes_crash_after_nullify_restart",
    28: "tests/e2e/test_faults.py::test_freeze_two_nodes_long_then_resume",
    34: "tests/e2e/test_faults.py::test_long_offline_catch_up",
    46: "tests/e2e/test_faults.py::test_mixed_version_rolling_upgrade",
    47: "tests/e2e/test_faults.py::test_auditor_finds_flipped_bit_and_exits_nonzero",
}
"""Number → the test that shows it with real processes."""
