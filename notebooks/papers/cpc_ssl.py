# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # CPC: learning an ECG without a cardiologist
#
# **The problem.** Recordings are plentiful and diagnoses are not: each costs minutes of a cardiologist. A network that is trained on labels alone sees none of the
# recordings that nobody read.
#
# **The idea.** {cite:t}`mehari2022` first set the network a task that needs no labels, which {cite:t}`oord2018` proposed for speech. An encoder turns each sample of the
# twelve leads into a latent $z_t$; a recurrent network sums up what has passed as $c_t$; and $c_t$ has to pick the latent that comes $k$ samples later out of
# distractors $\mathcal{N}_t$ drawn from the same record:
#
# $$\mathcal{L} = -\log \frac{e^{z_{t+k}^\top W c_t}}{e^{z_{t+k}^\top W c_t} + \sum_{j \in \mathcal{N}_t} e^{z_j^\top W c_t}}.$$ (eq-cpc)
#
# The network does not have to draw the next wave, only to recognise it, so noise that no one can foresee costs it nothing. Because the distractors are of the same
# person, knowing the person does not help: what tells a P wave's successor from the rest is where in the beat and in the rhythm the record is. $W$ is
# then thrown away, and encoder and context are handed to a classifier.
#
# **Questions of this page.** How far ahead does the network recognise what comes, and does it beat guessing at all? And how many labels does that save?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: cpc_ssl,cpc_probe_10,cpc_tuned_10,cpc_ssl_scratch_10,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours
#
# A run's name tells how it came about. `cpc_probe_10` is pretrained, its encoder then left as it is, and a linear head trained on ten per cent of the labels;
# in `cpc_tuned_10` everything trains; `cpc_ssl_scratch_10` begins with fresh weights; `cpc_ssl` has fresh weights and every label.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import cpc_ssl as cpc

page = paper_page.ask(globals(), "cpc_ssl")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# The encoder sees one sample at a time: four maps of 512 units, the same at every sample. Speech models begin with strided convolutions, because audio has
# 16,000 samples a second; at 100 Hz the recurrent network can see every sample, and nothing is thrown away before it. All that concerns time is left to two
# LSTM layers that read from left to right. Were they to read both ways, $c_t$ would have seen $z_{t+k}$, and the task would be none.
#
# The head joins the mean, the maximum and the last of all contexts. The short profiles train a narrow network.

# %%
display(paper_page.shape_table(page, depth=2), cpc.pretraining_table())
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. Pretraining sees the records of the training folds
# without their labels, and chooses its epoch by its own loss on fold 9. The paper pretrained on a larger collection, for many more epochs, and scored other labels; its
# numbers stand in grey.

# %%
found = page.compare()
display(found.score_table())
cpc.reported_table()

# %% mystnb={"figure": {"name": "fig-cpc-scores", "caption": "Test scores of the pretrained networks, of the same network from scratch, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## One anchor
#
# What {eq}`eq-cpc` asks, on one record. The context has read the shaded part, up to the dashed line. It states one expectation, $W c_t$, and every sample of the
# record is scored against it; in training only the positive and the drawn distractors are. The record is the first normal one of the validation fold, and the
# anchor is where a QRS complex comes next: a rule that asks no network.

# %% mystnb={"figure": {"name": "fig-cpc-anchor", "caption": "Lead II of one validation record with its anchor (dashed line) and its positive (diamond), and below it the score of every sample of the record against the expectation of that one anchor. Circles: the ten highest scores of the first network. A rank of 1 means that no other sample scores as high as the positive."}, "image": {"alt": "An ECG trace above one or two curves of scores on the same time axis, the part before the anchor shaded; a diamond marks the sample that really comes next."}}
seen = cpc.gather(found)
cpc.anchor_figure(seen)

# %% [markdown]
# ## The signature: prediction accuracy by step
#
# How often the true sample scores above all its distractors, on validation records. There is a single $W$, trained for one distance. The curve asks the same
# expectation at other distances: it shows at which of them it fits, and how sharply the network tells what comes next from what is merely near. Fresh weights tell
# what the encoder's mere form is worth.

# %% mystnb={"figure": {"name": "fig-cpc-steps", "caption": "Left: share of anchors whose sample so much later scores above all distractors, mean over validation records with its 95 % interval over records; dotted: chance; dashed: the distance of the loss. Right, where a pretraining is at hand: its loss on training and validation records; dotted: the loss of a network whose scores are all equal."}, "image": {"alt": "On the left two curves of accuracy in per cent against the distance in seconds on a logarithmic axis, with the chance level; on the right two falling curves of the loss over epochs."}}
measured = cpc.curves(seen)
cpc.step_figure(seen, found, measured)

# %% [markdown]
# ## Label efficiency
#
# What pretraining is for. The three ways differ in their training alone, and the fewer labels are the same records for all three. A probe that scores well means that the
# classes were there, linearly, before the first label was seen. Pretraining has seen all training records throughout, also those whose labels are
# withheld: that is the situation that the paper addresses, many recordings and few diagnoses.

# %% mystnb={"figure": {"name": "fig-cpc-labels", "caption": "Macro-AUROC on the test fold against the share of the training records whose labels were used: mean over seeds with its 95 % interval over patients; black strokes: single seeds. Grey, right: what the paper reports with all labels of its own task."}, "image": {"alt": "Up to three lines of macro-AUROC against 1, 10 and 100 per cent of the labels: fine-tuned, linear probe and from scratch, with intervals."}}
cpc.efficiency_figure(found)

# %% [markdown]
# ## Reading

# %%
limits = ["the paper's collection for pretraining is many times larger and its schedule far longer, and its point is what such a collection gives",
          "robustness to noise, which the paper also claims, is not tested on this page"]
paper_page.reading(found, [cpc.in_words(seen, found, measured)], limits, seen.pretrained.weights)
