"""The command line refuses what it does not know, with the nearest name and the documented exit code."""

import pytest

from ecgstudy.cli import main


@pytest.mark.parametrize(("words", "message"), [
    (["swep"], "did you mean 'sweep'"),
    (["sweep", "atention_ablation"], "did you mean 'attention_ablation'"),
    (["sweep", "attention_ablation", "--dataset", "ptblx"], "did you mean 'ptbxl'"),
    (["sweep", "attention_ablation", "--profile", "quik"], "did you mean 'quick'"),
    (["sweep", "attention_ablation", "--only", "hlio"], "did you mean 'hilo'"),
    (["sweep", "attention_ablation", "--seeds", "one"], "whole numbers such as 0,1,2"),
    (["sweep", "attention_ablation", "--dataset", "ptbxl", "--task", "nin"], "did you mean 'nine'"),
    (["sweep", "attention_ablation", "--device", "gpu"], "Accepted: auto, cpu, cuda"),
    (["run", "04_attention_ablatio"], "did you mean '04_attention_ablation'"),
    (["run", "04", "-p", "datset", "cpsc"], "did you mean 'dataset'"),
    (["data", "fetch", "synthetic"], "simulated, not fetched"),
    (["data", "check", "synthetic"], "Accepted: ptbxl, cpsc, chapman, ludb"),
    (["data", "check", "ludv"], "did you mean 'ludb'"),
    (["sweep"], "see `ecgstudy sweep --help`"),
])
def test_usage_errors_exit_with_2_and_name_the_fix(words, message, capsys):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_absent_data_exit_with_3_and_say_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("ECGSTUDY_DATA", str(tmp_path / "nothing"))
    assert main(["sweep", "attention_ablation", "--dataset", "cpsc", "--profile", "smoke"]) == 3
    told = capsys.readouterr().err
    assert "data fetch cpsc" in told and str(tmp_path / "nothing") in told and "-p dataset synthetic" in told


def test_status_lists_every_data_set(capsys):
    assert main(["data", "status"]) == 0
    told = capsys.readouterr().out
    for name in ("synthetic", "ptbxl", "cpsc", "chapman", "ludb"):
        assert name in told
