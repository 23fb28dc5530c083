r"""MVKT-ECG: a network of twelve leads that teaches one of a single lead.

A recorder of one lead sees the heart from one side, and several diagnoses do not show on that side. The paper does not look for a better
network; it looks for a better *lesson*. Teacher and student are the same XResNet, one on twelve leads and one on lead I. The teacher is
trained first and then frozen; the student learns from the labels and from two terms beside them,

$$\mathcal{L} = \gamma\,\mathcal{L}_{\mathrm{BCE}} + \alpha\,\mathcal{L}_{\mathrm{MKD}} + \beta\,\mathcal{L}_{\mathrm{CLT}}.$$

*Multi-label knowledge distillation* (MKD) asks for the teacher's probability of each label, see `ecgstudy.train.objectives.distil`;
*contrastive lead-information transferring* (CLT) asks that the student's feature of a record be recognisable as the teacher's feature of
the same record, see `ecgstudy.train.objectives.contrast`. In use the student is alone: a plain network of one lead.

The model of this file is both of them. What makes a network the student is the signal that it is built for.
"""

from __future__ import annotations

from torch import nn

from ecgstudy.models.registry import register
from ecgstudy.models.xresnet1d import xresnet
from ecgstudy.signal import SignalSpec

PAPER = ("Y. Qin, L. Sun, H. Chen, W. Yang, W.-Q. Zhang, J. Fei, G. Wang, MVKT-ECG: Efficient single-lead ECG classification for "
         "multi-label arrhythmia by multi-view knowledge transferring, Computers in Biology and Medicine, 2023, article 107503, "
         "doi 10.1016/j.compbiomed.2023.107503, arXiv 2301.12178")


@register(
    paper=PAPER,
    fidelity="Written anew from a description of the official code (QINYZz/MVKT-ECG): the layers of its network, its two losses, and their "
             "constants. Counts were worked out from that description. The paper's figures could not be established from what was at hand.",
    choices=("Depth 18; the official scripts ask for 101, for teacher and student.",
             "10 s at 100 Hz, padded with zeros; the official code repeats short records of CPSC2018 until 20 s at 500 Hz are full.",
             "No wavelet filter: at 100 Hz the bands that it removes reach down to 12.5 Hz and into the QRS complex.",
             "Negatives share no label with the record; in the official code they differ in the first label alone, which for PTB-XL it "
             "reads from the wrong place.",
             "A temperature divides logits and its square weighs the loss; the official code divides probabilities. At 1, the default of "
             "both, there is no difference.",
             "The epoch is chosen on validation records; the official loop also keeps the best epoch on the test set.",
             "The study's own recipe; the official one is Adam for 100 epochs with a warm-up of 15."),
    sizes={"study": ({}, 3_872_457), "34 layers": ({"depth": 34}, 7_246_793), "50 layers": ({"depth": 50}, 16_010_441),
           "101 layers": ({"depth": 101}, 28_317_897)},
    quick={"width": 16},
)
def mvkt_ecg(signal: SignalSpec, n_classes: int, *, depth: int = 18, width: int = 64) -> nn.Module:
    """The teacher on a signal of twelve leads, a student on one of fewer; stages and shapes as in `xresnet1d.XResNet1d`.

    depth: 18, 34, 50 or 101. width: channels of the first stage. Raises ConfigurationError for another depth and for a width below 2.
    """
    return xresnet(signal, n_classes, depth, width)
