"""Every paper's page runs under plain papermill in the smoke profile: it trains, meets its counts, draws, and reads what it drew."""

import json
import subprocess
import sys

import pytest

from ecgstudy import files
from ecgstudy.models import list_models
from ecgstudy.models.registry import model_entry

TRAINED, PRETRAINED = "trained on synthetic, smoke profile", "pretrained on synthetic, smoke profile"
# page -> networks that are trained here, "all" for all of the page's; figures; what must stand on it
PAGES = {
    "clocs": ("clocs,cmsc_tuned_100", 4, ("63,233", "266,761", PRETRAINED, "- CMSC: a record", "**Pretraining.**",
                                          "nothing here shows likeness over patients")),
    "cpc_ssl": ("cpc_ssl,cpc_tuned_100", 4, ("5,261,312", "5,013,001", "0.942", PRETRAINED, "the pretrained network picks")),
    "dual_branch_token_select": ("dual_branch_token_select", 4, ("2,312,361", TRAINED, "half kept at random")),
    "dual_path_rnn": ("dual_path_rnn", 3, ("673,865", TRAINED, "largest departure is 0.")),
    "ecgnet": ("ecgnet", 4, ("1,840,385", TRAINED, "0.976")),
    "im_ecg": ("all", 3, ("25,602,825", "| im_ecg | 0 |", "**The picture.**")),
    "lightweight_transformer": ("all", 4, ("530,565", "596,293", TRAINED, "- `lightweight_transformer` (136,615", "0.9962")),
    "mina": ("mina", 2, ("148,045", TRAINED, "0.9488")),
    "multi_module": ("multi_module", 3, ("682,761", TRAINED, "99.14", "Without each module")),
    "multi_res_trans": ("multi_res_trans", 3, ("1,537,489", TRAINED, "0.77")),
    "multimodal_mil": ("all", 3, ("690,667", TRAINED, "- `multimodal_mil` (", "**Across the bags.**")),
    "mvkt_ecg": ("mvkt_ecg,lead_I_bce,lead_I_both", 4, ("3,872,457", "28,316,841", TRAINED, "**Features**", "labels alone", "lead_I_both")),
    "mvms_ecg": ("mvms_ecg", 3, ("2,245,263", "391,049", TRAINED, "**Views.**")),
    "progressive_gated_transformer": ("progressive_gated_transformer", 3, ("2,028,169", TRAINED, "**Constant gates.**")),
    "se_ecgnet": ("all", 3, ("17,590,631", "| se_ecgnet | 0 |", "99.2 %")),
    "st_mem": ("st_mem_tuned_100", 4, ("3,114,202", "88,534,753", "**Filling in**", PRETRAINED, "Over 1 epoch the loss")),
}


@pytest.mark.parametrize("name", PAGES)
def test_the_smoke_profile_trains_and_draws(name, tmp_path):
    networks, n_figures, parts = PAGES[name]
    words = ["-p", "profile", "smoke", "-p", "networks", networks]
    ran = subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", f"notebooks/papers/{name}.ipynb", str(tmp_path / "out.ipynb"),
                          *words], cwd=files.repository(), capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    shown = (tmp_path / "out.ipynb").read_text(encoding="utf-8")
    for part in parts:
        assert part in shown, part
    figures = [o for c in json.loads(shown)["cells"] for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(figures) == n_figures
    assert (tmp_path / "runs" / "papers" / f"{name}-synthetic-smoke.png").stat().st_size > 10_000


def test_every_paper_has_its_page():
    assert set(PAGES) == {name for name in list_models() if model_entry(name).sizes}
    assert {path.stem for path in (files.repository() / "notebooks" / "papers").glob("*.ipynb")} == set(PAGES)
