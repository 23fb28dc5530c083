# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does a result hold on another data set?
#
# **Question.** The study notes close with two tables: the cross-stacked network, multi-scale convolutions crossed with shunted attention, on two
# multi-label data sets, and the same network on one whose records carry exactly one rhythm. Do those numbers come back under one protocol,
# does the network beat plain baselines there, and what does a network that learnt from one hospital know about the records of another?
#
# **Prediction, before looking.** The order of networks will not be the same everywhere: the data sets differ in what decides a label. The rhythm
# statements need timing over seconds, the nine statements also need the shape of single beats. Between data sets a network should lose most on
# the labels that are *written* differently (what counts as ST depression, how much early beats matter to the reader), and least on those with a hard
# criterion (bundle branch blocks, fibrillation).

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic, synthetic_rhythm, ptbxl, cpsc or chapman: what is run
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: crossed_shunted,resnet34
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Two kinds of task
#
# A record of CPSC2018 or PTB-XL may carry several statements at once. Each class is its own yes-or-no question, the loss is a binary
# cross-entropy a class, and each class has its threshold, chosen on the validation fold:
#
# $$\mathcal{L} = -\frac{1}{K}\sum_{k} \big[y_k \log \sigma(z_k) + (1 - y_k)\log(1 - \sigma(z_k))\big],\qquad \hat y_k = [\sigma(z_k) > \tau_k]$$ (eq-multilabel)
#
# A record of Chapman–Shaoxing {cite:p}`zheng2020` carries exactly one of four rhythm groups. The classes exclude each other, the loss is one
# cross-entropy, and the largest logit decides; there is no threshold to choose:
#
# $$\mathcal{L} = -\log \frac{e^{z_y}}{\sum_k e^{z_k}},\qquad \hat y = \arg\max_k z_k$$ (eq-multiclass)
#
# Under {eq}`eq-multiclass` *accuracy* is the share of records whose one group is right; recall and precision are means over the four groups, so a rare
# group counts as much as a common one. Under {eq}`eq-multilabel` "accuracy" would be ambiguous, and the table leaves it out.
#
# Each data set has its own table: people, labels and folds differ, so rows may be compared within a table and not between two. The page trains on
# the data set that its parameter names. The others show what the ledger of finished runs holds, or say that nothing is there.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, three_datasets

page = axis_page.ask(globals(), "three_datasets")
Markdown(page.what_runs())

# %% [markdown]
# ## Several statements a record

# %%
found = three_datasets.gather(page)
display(*three_datasets.result_tables(found, three_datasets.MULTI_LABEL))

# %% [markdown]
# ## One rhythm a record

# %%
display(*three_datasets.result_tables(found, three_datasets.SINGLE_LABEL))

# %% [markdown]
# ## The order of networks
#
# A panel is one table from above, so its scale is its own: what can be compared between panels is the order of the networks and how far their
# intervals lie apart, not the scores.

# %% mystnb={"figure": {"name": "fig-three-datasets", "caption": "Macro-AUROC of each network, a panel for each data set and task that has runs. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds. Each panel has its own scale."}, "image": {"alt": "Dot plots under each other, one panel for each data set and task, one row for each of the five networks: the macro-AUROC on that test fold with its interval."}}
three_datasets.picture(found)

# %% [markdown]
# ## From one data set to another
#
# The base network is trained, stopped and thresholded on one data set and then asked about the test fold of another, on the classes that both label. The
# nine CPSC2018 classes have statements of PTB-XL that mean the same; Chapman–Shaoxing's four rhythm groups are gathered from PTB-XL's rhythm
# statements (sinus arrhythmia counts as sinus rhythm, flutter with fibrillation, as Chapman–Shaoxing groups them), and records with two groups are
# left out. Only the AUROC is shown: a threshold that was fitted to one data set's prevalence has no right to hold on another.

# %%
moved = three_datasets.transfers(page)
three_datasets.transfer_table(found, moved)

# %% [markdown]
# ## Reading

# %%
Markdown(three_datasets.reading(found, moved))
