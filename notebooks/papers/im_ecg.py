# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # IM-ECG: which lead did the network look at?
#
# **The problem.** A one-dimensional network mixes the twelve leads in its first layer. Whatever it finds afterwards can be placed in time, but no longer in a
# lead. A reader of an ECG asks for both: a bundle branch block is read in V1 and V6, an infarction in the leads that face it.
#
# **The idea.** {cite:t}`tao2024` treat the record as an image with one row a lead, and the network never shrinks the rows. Two kernels scan it. A *row* kernel
# moves along one lead; an *area* kernel also takes in the rows above and below. With lead $l$ and time $t$,
#
# $$y_{l,t} = \sum_{j} w_j\, x_{l,\,t+j} \qquad\text{(row)}, \qquad
# y_{l,t} = \sum_{i=-1}^{1} \sum_{j} w_{ij}\, x_{l+i,\,t+j} \qquad\text{(area)}.$$ (eq-scans)
#
# Since the last map still has a row for each lead, Grad-CAM {cite:p}`selvaraju2017` on it answers with leads *and* times. It weighs each channel $A_c$ of that
# map by the mean slope of a class's logit $z_k$ and keeps what speaks for the class:
#
# $$M^{k} = \mathrm{ReLU}\Big(\sum_c \alpha_c A_c\Big),\qquad
# \alpha_c = \frac{1}{L N}\sum_{l,n} \frac{\partial z_k}{\partial A_{c,l,n}}.$$ (eq-grad-cam)
#
# Here only a mean and a linear map follow the last map. So $\alpha_c$ is that linear map's weight divided by $L N$, and {eq}`eq-grad-cam` is exact: before
# the ReLU, the sum of $M^{k}$ over leads and times *is* the logit, but for its bias.
#
# **Questions of this page.** In which leads, and when, does the map mark a record whose label is known? And what does an area kernel
# answer to that a row kernel does not?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: im_ecg,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import im_ecg

page = paper_page.ask(globals(), "im_ecg")
Markdown(page.what_runs() + "\n\n" + paper_page.about(page))

# %% [markdown]
# ## The network
#
# A stem of half a second; two stages of area and row scans; three tails of different kernels side by side; a 1 × 1 convolution that merges them. Strides act
# on time alone: 1000 samples become 63 columns, and twelve rows stay twelve. Each block has a projection past it and a squeeze-and-excitation gate. The tables
# show the study's size; the short profiles train a narrower and shallower one, `quick` in the registry, because two processor cores should not need an hour.

# %%
paper_page.shape_table(page, depth=2)

# %%
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol, beside a plain ResNet18: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. The grey number of ResNet18
# is the study notes', on CPSC2018. IM-ECG has none: what the paper reports could not be established from the sources that were at hand, and a remembered
# number is worse than none.

# %%
found = page.compare()
found.score_table()

# %% [markdown]
# ## The signature: lead by lead, over the traces
#
# A record of the validation fold with a class whose evidence has a place, the one on which the network is surest. Behind each lead lies its row of
# {eq}`eq-grad-cam`, stretched along time alone and placed where each column's field of view is centred. The colour of a lead is that lead's own row;
# nothing is spread over leads for looks.

# %% mystnb={"figure": {"name": "fig-im-ecg-grad-cam", "caption": "A validation record as twelve leads at 25 mm/s and 10 mm/mV. Behind each lead its row of the Grad-CAM map of the class in the title; full colour is the largest value of the whole map, none is zero."}, "image": {"alt": "Twelve-lead ECG on millimetre paper with orange bands of varying strength behind the traces, stronger on some leads and beats than on others."}}
seen = im_ecg.gather(found)
explained = im_ecg.explain(seen)
explained.figure(found)

# %% [markdown]
# One record proves nothing, so the next figure asks the whole validation fold (at most 256 records, evenly spread). Left: how much of a class's map each lead
# holds, on records with the class. Right: the same minus its mean over records *without* the class. What the network always draws from a lead cancels there.

# %% mystnb={"figure": {"name": "fig-im-ecg-leads", "caption": "Share of each lead in a class's Grad-CAM map, mean over validation records with the class (left; in brackets how many), and minus the mean over records without it (right). An even map would give each lead a twelfth. Grey: no such record, or only empty maps."}, "image": {"alt": "Two heat maps with a row for each class and a column for each of the twelve leads: shares of the map, and their difference to records without the class."}}
figures.closed(im_ecg.lead_figure(seen))

# %% [markdown]
# ## How far a kernel sees
#
# Grad-CAM names a row. How much of that row is the lead's own? Silence one lead and watch what changes. A row scan's change stays in the lead; an area scan's
# reaches one row up and down. Three area scans follow one another, so a row of the last map knows three rows to either side, and the gates, which average over
# all leads, add a faint change everywhere. Rows are neighbours by the order of the leads alone: aVF borders V1 here, and in the body it does not.

# %% mystnb={"figure": {"name": "fig-im-ecg-reach", "caption": "Above: the strongest kernel of the first row scan and of the first area scan, and the lead that is silenced. Below: what its silence changes after each of these scans alone, and in the last map when the record lacks it; root mean square over channels."}, "image": {"alt": "Three heat maps of lead against time. The row scan changes in the silenced lead only, the area scan in it and its two neighbours, the last map in about seven leads and faintly in all."}}
figures.closed(im_ecg.reach_figure(seen))

# %% [markdown]
# ## Reading

# %%
limits = ["a map shows what this network used, not what is true of the heart, and a row of it "
          "holds up to three neighbouring leads on either side"]
paper_page.reading(found, [explained.words()], limits)
