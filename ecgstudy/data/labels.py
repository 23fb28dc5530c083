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


TASKS: dict[str, dict[str, LabelSet]] = {
    "ptbxl": {
        "nine": LabelSet("nine", ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "PVC", "STD_", "STE_"), multilabel=True),
        "rhythm": LabelSet("rhythm", ("AFIB", "AFLT", "BIGU", "PACE", "PSVT", "SARRH", "SBRAD", "SR", "STACH", "SVARR", "SVTAC",
                                      "TRIGU"), multilabel=True),
    },
    "cpsc": {"nine": LabelSet("nine", CPSC_CLASSES, multilabel=True)},
    "synthetic": {"nine": LabelSet("nine", CPSC_CLASSES, multilabel=True)},
    "chapman": {
        "rhythm": LabelSet("rhythm", ("AFIB", "GSVT", "SB", "SR"), multilabel=False, members={
            "AFIB": ("AFIB", "AF"),                                     # AF means atrial flutter in this data set
            "GSVT": ("ST", "SVT", "AT", "SAAWR", "AVNRT", "AVRT"),
            "SB": ("SB",),
            "SR": ("SR", "SA"),
        }),
    },
}


# The nine statements of CPSC2018 as PTB-XL publishes them: what a network trained on one of the two can be asked about the other.
NINE_IN_PTBXL = dict(zip(CPSC_CLASSES, ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "PVC", "STD_", "STE_"), strict=True))


def as_published_by(labels: LabelSet, dataset: str) -> LabelSet:
    """The same classes, looked for among another data set's statements; ConfigurationError where the two share none.

    Known: the nine classes of CPSC2018 and of the simulator among each other's statements and among PTB-XL's.
    """
    if labels.classes != CPSC_CLASSES or dataset not in ("ptbxl", "cpsc", "synthetic"):
        raise ConfigurationError(f"no statements of {dataset} are known to mean {', '.join(labels.classes)}; the nine CPSC classes can be "
                                 "tested on ptbxl, cpsc or synthetic")
    return replace(labels, members={name: (NINE_IN_PTBXL[name],) for name in labels.classes} if dataset == "ptbxl" else {})


def label_set(dataset: str, task: str = "") -> LabelSet:
    """The label set of a data set's task; an empty task means the data set's first one."""
    tasks = TASKS[require_known("dataset", dataset, TASKS)]
    return tasks[require_known(f"task of {dataset}", task or next(iter(tasks)), tasks)]
