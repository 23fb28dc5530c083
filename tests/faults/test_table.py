"""The table of faults, row by row: what a person sees.

Most rows are held by the tests beside the code at fault; COVERED says by which, and that they exist is a test of its own. Here
stand the cases that no other test shows.

row 1   cut or longer signal files               row 9    patients in two folds, the same recording twice
row 2   checksums                                row 10   classes absent from a fold or a draw
row 3   headers that contradict themselves       row 11   interrupted and lying downloads
row 4   units, gains, amplitudes                 row 12   damaged or foreign prepared data
row 5   leads                                    row 13   full disks, read-only folders
row 6   samples that are no numbers              row 17   locks, two results of one key
row 7   other lengths and rates                  row 18   dead kernels
row 8   labels                                   row 19   edited results, smoke results in full tables
                                                 row 20   paths, line ends, odd lengths
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recording_files import heartbeat, write_ptbxl, write_wfdb

from ecgstudy import files
from ecgstudy.data.dataset import open_prepared, verify, write_prepared
from ecgstudy.data.prepare import condition, prepare
from ecgstudy.data.record import read_record
from ecgstudy.errors import DataError
from ecgstudy.leads import limb_residuals

COVERED = {
    1: "data/test_record.py::test_cut_or_longer_signal_file_is_refused data/test_record.py::test_cut_matlab_structure_is_refused "
       "data/test_catalogs.py::test_faulty_reference_is_refused faults/test_table.py::test_a_cut_table_of_ptbxl_is_refused",
    2: "data/test_record.py::test_one_flipped_bit_is_refused data/test_record.py::test_checksum_is_compared_modulo_65536",
    3: "data/test_record.py::test_faulty_header_is_refused data/test_record.py::test_missing_half_is_refused",
    4: "data/test_record.py::test_declared_gain_baseline_and_unit_are_applied data/test_record.py::test_faulty_header_is_refused "
       "data/test_record.py::test_invalid_samples_and_implausible_amplitudes_are_refused",
    5: "data/test_record.py::test_leads_are_reordered_by_name_and_aliases_known data/test_record.py::test_faulty_header_is_refused "
       "faults/test_table.py::test_a_swapped_pair_of_leads_shows_in_the_limb_identities",
    6: "data/test_record.py::test_invalid_samples_and_implausible_amplitudes_are_refused "
       "data/test_prepare.py::test_clipping_is_counted_and_unfinite_samples_refused "
       "train/test_loop.py::test_scaling_leaves_padding_out_and_survives_a_flat_record",
    7: "data/test_prepare.py::test_long_records_are_cut_and_short_ones_padded test_signal.py::test_resample_is_the_reference_filter "
       "faults/test_table.py::test_an_absurd_rate_neither_fills_memory_nor_takes_long",
    8: "data/test_catalogs.py::test_cpsc_gaps_are_counted_and_listed data/test_catalogs.py::test_cpsc_unknown_code_names_the_nearest "
       "data/test_catalogs.py::test_reference_reads_labels data/test_catalogs.py::test_ptbxl_faulty_table_is_refused",
    9: "data/test_prepare.py::test_a_patient_in_two_folds_is_refused data/test_prepare.py::test_the_same_recording_twice_is_refused "
       "data/test_catalogs.py::test_ptbxl_gaps_are_logged_and_halves_refused data/test_splits.py::test_audit_names_what_is_unsound",
    10: "evaluate/test_metrics.py::test_an_absent_class_is_nan_and_leaves_the_mean "
        "evaluate/test_bootstrap.py::test_a_class_that_the_fold_lacks_leaves_every_draw",
    11: "data/test_fetch.py::test_a_download_cut_in_the_middle_is_resumed_where_it_broke_off "
        "data/test_fetch.py::test_a_part_of_other_bytes_is_thrown_away data/test_fetch.py::test_a_wrong_hash_is_refused "
        "data/test_fetch.py::test_a_web_page_instead_of_a_file_is_refused_and_shown "
        "data/test_fetch.py::test_the_mirror_is_tried_for_a_list_and_for_a_file "
        "data/test_fetch.py::test_a_list_that_cannot_be_trusted_is_refused_before_writing",
    12: "data/test_prepare.py::test_damaged_or_unfinished_folder_is_made_again "
        "data/test_prepare.py::test_second_call_reuses_and_any_change_of_labels_makes_another",
    13: "test_files.py::test_full_disk_is_a_data_error test_files.py::test_unwritable_folder_is_a_data_error "
        "data/test_prepare.py::test_too_little_disk_names_the_bytes faults/test_table.py::test_a_killed_writer_leaves_old_or_new "
        "faults/test_table.py::test_a_killed_preparation_is_never_half_used",
    17: "test_files.py::test_lock_excludes_and_names_its_holder test_files.py::test_lock_of_a_dead_process_is_free "
        "study/test_runs.py::test_two_processes_never_train_one_run "
        "study/test_runs.py::test_publishing_the_same_is_success_and_another_result_is_kept_apart",
    18: "study/test_strict_notebooks.py::test_failure_names_the_cell_and_keeps_the_partial_notebook",
    19: "study/test_runs.py::test_an_edited_experiment_is_refused study/test_runs.py::test_an_edited_score_is_found "
        "study/test_comparison.py::test_profiles_are_never_mixed",
    20: "data/test_record.py::test_unusual_paths_and_windows_line_ends models/test_models.py::test_any_length "
        "faults/test_table.py::test_a_table_with_windows_line_ends_in_a_folder_with_spaces",
}
TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("row", [*range(1, 14), 17, 18, 19, 20])
def test_every_row_is_held_by_tests_that_exist(row):
    for name in COVERED[row].split():
        file, test = name.split("::")
        assert re.search(rf"^ *def {test}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_a_cut_table_of_ptbxl_is_refused(tmp_path):
    table = write_ptbxl(tmp_path / "raw", 12) / "ptbxl_database.csv"
    whole = table.read_bytes()
    table.write_bytes(whole[:-60])                      # in the middle of the last row
    with pytest.raises(DataError, match=r"ptbxl_database.csv"):
        prepare("ptbxl", source=tmp_path / "raw", home=tmp_path / "home")
    table.write_bytes(b"")
    with pytest.raises(DataError, match=r"ptbxl_database.csv cannot be read .*expected the columns ecg_id, patient_id"):
        prepare("ptbxl", source=tmp_path / "raw", home=tmp_path / "home")
    assert not list(tmp_path.glob("home/prepared/*/*"))


def test_a_swapped_pair_of_leads_shows_in_the_limb_identities():
    one, two = heartbeat(500, seed=1)[:2] / 1000
    right = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *heartbeat(500)[6:] / 1000])
    assert max(limb_residuals(right).values()) < 1e-9
    swapped = right[[0, 1, 2, 4, 3, *range(5, 12)]]     # aVR and aVL
    assert {lead for lead, departure in limb_residuals(swapped).items() if departure > 0.1} == {"aVR", "aVL"}


@pytest.mark.parametrize(("fs", "recorded"), [(1, 1000), (7, 1000), (9973, 3), (10_000, 2)])
def test_an_absurd_rate_neither_fills_memory_nor_takes_long(tmp_path, fs, recorded):
    n_samples = 200_000 if fs < 10 else 200             # at 1 Hz, 960 MB if all of it were resampled
    record = read_record(write_wfdb(tmp_path, "A0001", np.tile(heartbeat(200), n_samples // 200), fs=fs))
    stored, kept, _ = condition(record)
    assert stored.shape == (12, 1000) and kept == recorded


def test_a_table_with_windows_line_ends_in_a_folder_with_spaces(tmp_path):
    source = write_ptbxl(tmp_path / "raw", 12)
    expected = prepare("ptbxl", source=source, home=tmp_path / "home")
    moved = source.rename(tmp_path / "Zürich 心電図")
    table = moved / "ptbxl_database.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    assert prepare("ptbxl", source=moved, home=tmp_path / "an other home").digest == expected.digest


# Killed at every write point. A forked child dies before or after the n-th call that changes a file.

CHANGES = ((os, "fchmod"), (os, "fsync"), (os, "replace"), (os, "unlink"), (tempfile, "mkstemp"), (Path, "unlink"))


def die_at(moment: int) -> None:
    """Kill this process before or after the calls in CHANGES: two moments a call, counted from 1."""
    passed = itertools.count(1)

    def dying(call):
        def counted(*arguments, **named):
            if next(passed) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **named)
            if next(passed) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    for module, name in CHANGES:
        setattr(module, name, dying(getattr(module, name)))


def killed_moments(write, before):
    """`write()` in a child that is killed at each moment in turn, `before()` each time; yields after each death."""
    for moment in itertools.count(1):
        before()
        if (child := os.fork()) == 0:
            try:
                die_at(moment)
                write()
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            assert moment > 8
            return
        yield moment


def test_a_killed_writer_leaves_old_or_new(tmp_path):
    path, seen = tmp_path / "a.txt", []
    for _ in killed_moments(lambda: files.write_text(path, "new" * 1000), lambda: path.write_text("old")):
        seen.append(path.read_text())
    assert set(seen) == {"old", "new" * 1000} and seen == sorted(seen, reverse=True)        # once new, never old again
    files.write_text(path, "whole")
    assert path.read_text() == "whole"


def test_a_killed_preparation_is_never_half_used(tmp_path):
    folder = tmp_path / "prepared"
    old = pd.DataFrame({"record_id": ["b", "c"], "patient_id": ["b", "c"], "fold": [1, 2], "age": 60, "sex": "", "n_samples": 20,
                        "statements": "PVC"})

    def prepare_old():
        write_prepared(folder, "synthetic", 100, [np.ones((2, 12, 20), np.int16)], old, 20, {"of": "before"})

    def prepare_new():
        write_prepared(folder, "synthetic", 100, [np.full((1, 12, 20), 7, np.int16)], old[:1], 20, {"of": "the killed"})

    outcomes = []
    for _ in killed_moments(prepare_new, prepare_old):
        try:
            verify(prepared := open_prepared(folder))
            outcomes.append(prepared.settings["of"])
        except DataError as refusal:
            assert "prepare" in str(refusal)
            outcomes.append("refused")
    assert outcomes == sorted(outcomes, key=["before", "refused", "the killed"].index) and set(outcomes) == {
        "before", "refused", "the killed"}
    prepare_old()
    assert open_prepared(folder).settings == {"of": "before"}
