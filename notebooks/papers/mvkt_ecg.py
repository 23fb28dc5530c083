# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MVKT-ECG: twelve leads teach one
#
# **The problem.** Small recorders have one lead, and one lead shows the heart from one side. A bundle branch block is told from the chest leads, an ischaemia from
# the leads that face it. A network that gets lead I alone has to decide from what happens to be visible there.
#
# **The idea.** {cite:t}`qin2023mvkt` change the lesson and not the network. While the student is trained, the other eleven leads of each record are at hand. A
# teacher of all twelve, the same network, is trained first and frozen, and the student learns from it in two ways beside the labels $y$:
#
# $$\mathcal{L} = \mathcal{L}_{\text{BCE}}(z^s, y) + \alpha\,\mathcal{L}_{\text{MKD}}(z^s, z^t) + \beta\,\mathcal{L}_{\text{CLT}}(f^s, f^t),
# \qquad \alpha = 1,\ \beta = 0.8.$$ (eq-mvkt)
#
# After training the teacher is gone; what runs on the recorder is a plain network of one lead.
#
# **Questions of this page.** How much of what one lead lacks does the lesson bring back, and in which diagnoses? And does the student come to describe a record
# as its teacher does?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), synthetic_rhythm, ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: mvkt_ecg,lead_I_bce,lead_I_both,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import mvkt_ecg as mvkt

page = paper_page.ask(globals(), "mvkt_ecg")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## The lesson
#
# **Answers.** Ordinary distillation {cite:p}`hinton2015` compares two soft-max distributions over the classes. Labels of an ECG do not exclude each other, so here
# each label has a distribution of two points, there or not there, and the divergences are added (*multi-label knowledge distillation*, MKD):
#
# $$\mathcal{L}_{\text{MKD}} = \sum_c \frac{1}{2B}\sum_b \mathrm{KL}\big((p^t_{bc}, 1 - p^t_{bc})\,\|\,(p^s_{bc}, 1 - p^s_{bc})\big),\qquad p = \sigma(z).$$ (eq-mkd)
#
# **Features.** Two linear maps bring both features to unit vectors $u$ (student) and $v$ (teacher), and of each training record the last ones are remembered, in
# banks $U$ and $V$. The student's $u_i$ has to pick the teacher's vector of the *same* record out of $K = 1024$ of records with *other diseases*, and the other way
# round (*contrastive lead-information transferring*, CLT). The form is that of {cite:t}`tian2020crd`; new is whom a record is set against:
#
# $$\mathcal{L}_{\text{CLT}} = \sum_{m\in\{s,t\}} -\frac1B\sum_i\Big[\log h(g^m_{ii}) + \sum_{j\in\mathcal{N}_i}\log\big(1 - h(g^m_{ij})\big)\Big],
# \qquad g^s_{ij} = \frac{e^{V_j^\top u_i/\tau}}{Z_s},\quad h(g) = \frac{g}{g + K/n}.$$ (eq-clt)
#
# Beside {eq}`eq-mkd` this is a large number: before anything is learnt it stands near 15.9, a cross-entropy near 0.7. So $\beta = 0.8$ does not make it the smaller
# part of {eq}`eq-mvkt`.

# %% mystnb={"figure": {"name": "fig-mvkt-lesson", "caption": "One simulated record, its first three seconds. The teacher reads all leads and stays as it is; the student reads lead I (blue). Orange: the three terms of the loss. All but the lower row is gone after training."}, "image": {"alt": "A scheme of two rows: twelve traces into a frozen teacher with feature and logits, one trace into a student with feature and logits; arrows between the features, between the logits, and from labels to the student's logits."}}
mvkt.scheme_figure()

# %% [markdown]
# ## Architecture
#
# An XResNet {cite:p}`he2019bag`: a stem of three small convolutions, four stages of residual blocks whose shortcuts are averaged before they are thinned out, and a
# head that reads mean and maximum of each channel. Teacher and student differ in the first convolution alone, by eleven leads' worth of kernels.
# The short profiles train a quarter of the width.

# %%
display(paper_page.shape_table(page, depth=2))
mvkt.count_table()

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `MVKT-ECG` is the teacher of twelve leads. A student is named by
# its lead and its lesson: `bce` labels alone, `kd` with {eq}`eq-mkd`, `clt` with {eq}`eq-clt`, `both`. What the paper reports could not be established from the
# sources that were at hand; the grey number of ResNet18, which has twelve leads too, is the study notes'.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mvkt-scores", "caption": "Test scores of the teacher, of the students of lead I and of lead II in each way of teaching, and of the baseline of twelve leads. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## The signature: the gap, class by class
#
# Grey is what the student of labels alone lacks. The filled dot is the same student after the lesson of {eq}`eq-mvkt`. The share that is closed stands at the right
# where the patients say that there is a gap at all.

# %% mystnb={"figure": {"name": "fig-mvkt-gaps", "caption": "Test AUROC of each class (in brackets its positive records) for students of lead I and of lead II: by labels alone (open), taught (filled; blue where higher, red where lower), and their teacher of twelve leads (stroke). Right: the share of the gap that was closed; a dash where the 95 % interval of the gap includes zero."}, "image": {"alt": "For each lead a dumbbell plot with a row for each class, from the untaught student over the taught one to the teacher, with percentages at the right."}}
told = mvkt.lesson(found)
mvkt.gap_figure(told)

# %% [markdown]
# **And the features.** Does the lesson do what it asks for? The maps of {eq}`eq-clt` are discarded after training, and a student of labels alone never had one. So that all
# students can be asked the same, one linear map from the student's feature to the teacher's is fitted afterwards, by ridge regression on one half of the
# validation records. On the other half, each record's mapped feature is compared with the teacher's feature of every record. If the student knows which record it
# sees in the teacher's terms, the own one is the nearest.

# %% mystnb={"figure": {"name": "fig-mvkt-alignment", "caption": "Cosines between a student's mapped feature and the teacher's feature, for pairs of one record (blue), of two records that share a label (orange), and of two that share none (grey); dashed their means. One row for each student, from the untrained one to the one with both terms. Right: how often the own record is the nearest of all."}, "image": {"alt": "A stack of histograms, one for each way of teaching; in each three overlapping distributions of cosines, with a percentage at the right."}}
seen = mvkt.aligned(found)
mvkt.alignment_figure(seen)

# %% [markdown]
# ## Reading

# %%
limits = ["lead I of a 12-lead recording stands in for a recorder of one lead, which has other electrodes and more noise",
          "the paper's own network has 101 layers and its own recipe, which were not repeated"]
paper_page.reading(found, [mvkt.in_words(told, seen)], limits)
