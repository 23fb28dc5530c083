"""Page 13: what a network of few leads, or of one view, gains from a teacher that sees more.

MVKT: a teacher of twelve leads, and students of the same form on lead I or on lead II, trained on labels alone (`bce`), with the
teacher's probabilities (`kd`), with its features (`clt`), and with both. MVMS: the six views as teacher, and students of one view, on
labels alone, with the divergence label by label (`kd`), and with the soft-max over labels that was published (`published`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ecgstudy.models.mvms_ecg import VIEWS
from ecgstudy.models.registry import model_entry
from ecgstudy.study.profiles import Profile
from ecgstudy.train.experiment import Experiment, freeze_settings

Change = Callable[[Experiment, Profile], Experiment]

SINGLE_LEADS = ("I", "II")
MVKT = {"bce": None, "kd": {"knowledge": 1.0}, "clt": {"knowledge": 0.0, "transfer": 0.8}, "both": {"knowledge": 1.0, "transfer": 0.8}}
MVMS = {"bce": None,
        "kd": {"divergence": "bernoulli", "labels": 0.5, "knowledge": 0.5, "temperature": 2.0},
        "published": {"divergence": "softmax", "labels": 0.5, "knowledge": 0.5, "temperature": 2.0}}
VIEW_LEADS = {"inferior" if name == "inferior" else "_".join(leads): leads for name, leads in VIEWS.items()} | {"all": ()}


def student_of(teacher: str, leads: tuple[str, ...], learning: dict | None) -> Change:
    """An ordinary run made that of a student on these leads, () for all: of a teacher's network, or on labels alone for None."""
    def change(experiment: Experiment, size: Profile) -> Experiment:
        student = replace(experiment, leads=leads)
        if learning is None:
            return student
        settings = dict(model_entry(teacher).quick) if size.name != "full" else {}
        return replace(student, objective="distil", objective_settings=freeze_settings(learning),
                       teacher=replace(experiment, model=teacher, settings=freeze_settings(settings)))
    return change


MVKT_ROWS = {f"lead_{lead}_{way}": student_of("mvkt_ecg", (lead,), None if learning is None else {"divergence": "bernoulli"} | learning)
             for lead in SINGLE_LEADS for way, learning in MVKT.items()}
MVMS_ROWS = {f"view_{view}_{way}": student_of("mvms_ecg", leads, learning)
             for view, leads in VIEW_LEADS.items() for way, learning in MVMS.items()}
