"""Label sets: which classes a task has, in which order, and how published statements become targets.

A prepared table keeps every record's statements as the data set publishes them; a task selects from those. Class names
are the data set's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ecgstudy.errors import ConfigurationError, require_known

CPSC_CLASSES = ("Normal", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE")   # REFERENCE.csv codes 1 to 9, in that order

# SNOMED CT codes in the PhysioNet Challenge headers of CPSC2018 -> class.
CPSC_SNOMED = {
    "426783006": "Normal", "164889003": "AF", "270492004": "I-AVB", "164909002": "LBBB", "59118001": "RBBB", "284470004": "PAC",
    "164884008": "PVC", "429622005": "STD", "164931005": "STE",
}

# SNOMED CT codes in the headers of Chapman-Shaoxing -> the rhythm as Diagnostics.xlsx abbreviates it. Codes of other conditions
# stand in the same headers and are no rhythm.
CHAPMAN_SNOMED = {
    "426177001": "SB", "426783006": "SR", "164889003": "AFIB", "427084000": "ST", "164890007": "AF", "427393009": "SA",
    "426761007": "SVT", "713422000": "AT", "233896004": "AVNRT", "233897008": "AVRT", "195101003": "SAAWR",
}

# The 71 SCP-ECG statements of PTB-XL.
PTBXL_STATEMENTS = frozenset("""
1AVB 2AVB 3AVB ABQRS AFIB AFLT ALMI AMI ANEUR ASMI BIGU CLBBB CRBBB DIG EL HVOLT ILBBB ILMI IMI INJAL INJAS INJIL
INJIN INJLA INVT IPLMI IPMI IRBBB ISCAL ISCAN ISCAS ISCIL ISCIN ISCLA ISC_ IVCD LAFB LAO/LAE LMI LNGQT LOWT LPFB LPR
LVH LVOLT NDT NORM NST_ NT_ PAC PACE PMI PRC(S) PSVT PVC QWAVE RAO/RAE RVH SARRH SBRAD SEHYP SR STACH STD_ STE_ SVARR
SVTAC TAB_ TRIGU VCLVH WPW
""".split())


@dataclass(frozen=True)
class LabelSet:
    """The classes of one task.

    name: the task. classes: in the order that every stored logit keeps. multilabel: several classes may hold at once.
    members: class -> the published statements that count as it; a class without an entry is its own statement.
    """

    name: str
    classes: tuple[str, ...]
    multilabel: bool
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def encode(self, statements: Iterable[Sequence[str]]) -> np.ndarray:
        """Targets [R, K] as uint8 from each record's list of published statements; others are ignored."""
        column = {statement: k for k, name in enumerate(self.classes) for statement in self.members.get(name, (name,))}
        rows = [[column[s] for s in given if s in column] for given in statements]
        targets = np.zeros((len(rows), len(self.classes)), np.uint8)
        for row, columns in zip(targets, rows, strict=True):
            row[columns] = 1
        return targets


CHAPMAN_RHYTHMS = LabelSet("rhythm", ("AFIB", "GSVT", "SB", "SR"), multilabel=False, members={
    "AFIB": ("AFIB", "AF"),                                     # AF means atrial flutter in this data set
    "GSVT": ("ST", "SVT", "AT", "SAAWR", "AVNRT", "AVRT"),
    "SB": ("SB",),
    "SR": ("SR", "SA"),
})

SIMULATED = ("synthetic", "synthetic_rhythm")       # need no download; each is one scheme of the simulator

TASKS: dict[str, dict[str, LabelSet]] = {
    "ptbxl": {
        "nine": LabelSet("nine", ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "PVC", "STD_", "STE_"), multilabel=True),
        "rhythm": LabelSet("rhythm", ("AFIB", "AFLT", "BIGU", "PACE", "PSVT", "SARRH", "SBRAD", "SR", "STACH", "SVARR", "SVTAC",
                                      "TRIGU"), multilabel=True),
    },
    "cpsc": {"nine": LabelSet("nine", CPSC_CLASSES, multilabel=True)},
    "synthetic": {"nine": LabelSet("nine", CPSC_CLASSES, multilabel=True)},
    "chapman": {"rhythm": CHAPMAN_RHYTHMS},
    "synthetic_rhythm": {"rhythm": CHAPMAN_RHYTHMS},
}


# The nine statements of CPSC2018 as PTB-XL publishes them: what a network trained on one of the two can be asked about the other.
NINE_IN_PTBXL = dict(zip(CPSC_CLASSES, TASKS["ptbxl"]["nine"].classes, strict=True))

# Chapman-Shaoxing's four groups in PTB-XL's statements. PTB-XL's supraventricular arrhythmia has no group.
RHYTHMS_IN_PTBXL = {"AFIB": ("AFIB", "AFLT"), "GSVT": ("STACH", "SVTAC", "PSVT"), "SB": ("SBRAD",), "SR": ("SR", "SARRH")}

# (classes, data set whose statements are looked through) -> for each class the statements that mean it
_SAME = {name: (name,) for name in CPSC_CLASSES}
_FOREIGN: dict[tuple[tuple[str, ...], str], dict[str, tuple[str, ...]]] = {
    (CPSC_CLASSES, "cpsc"): _SAME, (CPSC_CLASSES, "synthetic"): _SAME,
    (CPSC_CLASSES, "ptbxl"): {name: (own,) for name, own in NINE_IN_PTBXL.items()},
    (TASKS["ptbxl"]["nine"].classes, "cpsc"): {own: (name,) for name, own in NINE_IN_PTBXL.items()},
    (TASKS["ptbxl"]["nine"].classes, "synthetic"): {own: (name,) for name, own in NINE_IN_PTBXL.items()},
    (CHAPMAN_RHYTHMS.classes, "chapman"): CHAPMAN_RHYTHMS.members,
    (CHAPMAN_RHYTHMS.classes, "synthetic_rhythm"): CHAPMAN_RHYTHMS.members,
    (CHAPMAN_RHYTHMS.classes, "ptbxl"): RHYTHMS_IN_PTBXL,
}


def as_published_by(labels: LabelSet, dataset: str) -> LabelSet:
    """The same classes, looked for among another data set's statements; ConfigurationError where the two share none."""
    if (labels.classes, dataset) not in _FOREIGN:
        known = [name for classes, name in _FOREIGN if classes == labels.classes]
        helps = f"they can be tested on {', '.join(known)}" if known else "a network trained on them is tested on its own data set alone"
        raise ConfigurationError(f"no statements of {dataset} are known to mean {', '.join(labels.classes)}; {helps}")
    return replace(labels, members=_FOREIGN[labels.classes, dataset])


def label_set(dataset: str, task: str = "") -> LabelSet:
    """The label set of a data set's task; an empty task means the data set's first one."""
    tasks = TASKS[require_known("dataset", dataset, TASKS)]
    return tasks[require_known(f"task of {dataset}", task or next(iter(tasks)), tasks)]
