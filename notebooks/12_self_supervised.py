# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How far does an ECG network get without labels?
#
# **Question.** A label costs a cardiologist's minute; a recording costs nothing more once it is made. Three papers of this study let a network learn from recordings
# alone before it is shown a single label. How much does that buy, with one label in a hundred, with one in ten, and with all of them? And does a network that has
# seen many recordings take noise better?
#
# **Prediction, before looking.** The fewer labels, the larger the gain. With all of them little is left to gain here, because pretraining sees the same training
# folds that the labels come from: it can show the network nothing that it would not meet anyway. The papers pool several collections, and that is the larger part of
# their promise. A frozen encoder with a trained head should fall behind as labels grow in number, since it cannot move.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
methods = "all"  # or some of them: cpc,cmsc,cmlc,cmsmlc,st_mem
percents = "all"  # or some of them: 1,10,100 per cent of the labels
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Three questions that need no label
#
# | method | what the network is asked | network | page |
# | --- | --- | --- | --- |
# | CPC {cite:p}`mehari2022` | Which of these samples comes 0.12 s after this one? | a point-wise encoder under an LSTM | [CPC](papers/cpc_ssl) |
# | CMSC {cite:p}`kiyasseh2021clocs` | Which of these other halves belongs to this half of a record? | a small encoder of one lead | [CLOCS](papers/clocs) |
# | CMLC | Which of these leads were recorded together with this one? | the same | the same |
# | CMSMLC | both at once | the same | the same |
# | ST-MEM {cite:p}`na2024stmem` | What stood in the three quarters that were hidden? | a transformer on patches of single leads | [ST-MEM](papers/st_mem) |
#
# The first four are contrastive: with a score $s$ between what is asked about and each candidate, the loss is a cross-entropy whose right answer is known without a cardiologist,
#
# $$\mathcal L = -\log \frac{e^{s_+}}{e^{s_+} + \sum_{j} e^{s_j}},$$ (eq-contrast-page-12)
#
# and the last is a regression on the hidden patches. What each method's published code gets wrong, and what is put right here, stands on its own page.
#
# **The protocol.** Pretraining reads the recordings of folds 1–8 that belong to the task, and not their labels; fold 9 tells, by the same loss, which epoch to keep; fold 10 stays closed. Then the
# encoder is handed on in two ways. As a *probe* it stays as it is, byte for byte, its normalisation in evaluation mode, and only a head learns. Or *everything*
# is trained, at a quarter of the usual rate. Beside both stands the same network *from scratch*, with the same labels, for as many epochs. The records whose labels are
# used are drawn once and nested: those of one per cent are among those of ten. Fewer records make shorter epochs, so there are up to ten times as many.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import self_supervised_page

asked = self_supervised_page.ask(globals())
Markdown(asked.what_runs())

# %% [markdown]
# ## Training without labels
#
# CLOCS also counts two recordings of one *patient* as belonging together. Which data set is used decides whether that ever happens: PTB-XL has patients with several recordings, CPSC2018
# has one recording a patient and a simulated patient is recorded once, so there the off-diagonal terms of its loss are empty. The page of CLOCS counts the pairs.

# %%
found = asked.compare()
found.pretraining_table()

# %% [markdown]
# ## Label efficiency
#
# Each network is compared with itself. The three differ in size and in cost, so a higher curve in one panel than in another says little about the methods; the distance
# between the curves within a panel is what pretraining does.

# %% mystnb={"figure": {"name": "fig-label-efficiency", "caption": "Test macro-AUROC against the share of the labels, with 95 % intervals over patients. Black: the network from scratch. Orange: pretrained, its head alone trained. Blue: pretrained, then all trained. Dotted: chance."}, "image": {"alt": "Five panels, one a method: macro-AUROC at 1, 10 and 100 per cent of the labels for three ways of training."}}
found.figure()

# %%
found.score_table()

# %% [markdown]
# ## In noise
#
# The networks that were trained with the most labels are measured again on the validation fold, with noise that training never showed: the simulator's noise of electrodes,
# baseline wander and muscle and now and then an electrode that moves, at several times the level of a resting record. It is noise of electrodes and not of leads, so the leads keep
# their identities ($\mathrm{III} = \mathrm{II} - \mathrm{I}$), as they do at the bedside. Every network meets the same noise, so the losses are paired.

# %% mystnb={"figure": {"name": "fig-ssl-noise", "caption": "Change of validation macro-AUROC when the simulator's noise is added, in multiples of its level in a resting record, with 95 % intervals over patients. Colours as above."}, "image": {"alt": "One panel a method: the change of macro-AUROC against the noise level for three ways of training."}}
noise = found.noise()
noise.figure()

# %% [markdown]
# ## What the papers report
#
# In grey, from other splits, label sets and sizes; nothing here can be ranked against them. CPC: PTB-XL's 71 statements, macro-AUROC, mean of ten runs. ST-MEM: PTB-XL's diagnostic super-classes,
# single-label records, the authors' split. CLOCS states its results in tables that were not at hand.

# %%
display(self_supervised_page.reported_table())
Markdown(found.reading(noise))
