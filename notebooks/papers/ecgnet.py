# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ECGNet: several kernel sizes, and an LSTM beside them
#
# **The problem.** Classic programs find a beat, filter it, measure it, and decide by hand-made rules. {cite:t}`murugesan2018` ask whether a
# network can do without: it is given two seconds of raw signal and says whether the beat is normal, an early ventricular one or an early
# atrial one. Three networks are trained end to end: a CNN, an LSTM, and *CLSTM*, in which one classifier reads both.
#
# **The idea.** P, QRS and T differ in length, so the first layer has several kernel lengths side by side; and what a convolution sees ends
# with its kernel, so an LSTM walks the record beside the CNN and may carry along what came before. In one line, for a record
# $x \in \mathbb{R}^{12 \times T}$:
#
# $$\ell = W\,\big[\,\mathrm{mean}_t\,\mathrm{CNN}(x)\,;\ r_T\,\big] + b,\qquad r_t = \mathrm{LSTM}(x_t, r_{t-1})$$ (eq-ecgnet)
#
# where the CNN begins with $h = \mathrm{concat}_{k \in \{15, 17, 19, 21\}}(W_k * x)$.
#
# **Questions of this page.** Do kernels of neighbouring lengths learn different things? And does a state that is read only at the last of a
# thousand steps still know the beginning of the record?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: ecgnet,cnn_alone,lstm_alone,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# The paper is named in full below, with what the network was built from and what is ours.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import ecgnet, simulated

page = paper_page.ask(globals(), "ecgnet")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# The first layer keeps the length; a step of 2 and three max-pools bring a thousand samples down to 62. The fifteen residual blocks apply
# BN, ReLU and dropout *before* each convolution ($\phi$ in {eq}`eq-ecgnet-block`), and every fourth one halves the length ($P$) and
# widens the map ($W_s$):
#
# $$y = P\Big(W_b * \phi\big(\mathrm{BN}(W_a * \phi(\mathrm{BN}(x)))\big)\Big) + W_s * P(x)$$ (eq-ecgnet-block)
#
# The LSTM reads the twelve leads sample by sample, at the full rate. There is no attention anywhere.
#
# In the second table `cnn` and `lstm` are the paper's two other networks; `wide` has twice the channels, the width of the
# re-implementation that the layout follows.

# %%
display(paper_page.shape_table(page, depth=3))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# The paper's own comparison, under this study's protocol: CLSTM, its CNN alone, its LSTM alone, and a plain residual network for a
# baseline. Nine labels of ten-second records are another task than three classes of two-second strips, so the paper's number below is no
# reference for these.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-ecgnet-scores", "caption": "Test scores of the paper's three networks and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## What the kernels learned
#
# A kernel of the first layer is an image of twelve leads by 15 to 21 samples. Above: of each length the map that responds most. Below: how
# strongly each map passes each frequency. The diagnostic content of a QRS lies between about 5 and 15 Hz, that of P and T below.

# %% mystnb={"figure": {"name": "fig-ecgnet-kernels", "caption": "Learned kernels of the first layer. Upper: of each size the map with the strongest response, lead by time. Lower: gain of every map of that size over frequency; dashed: the mean before training."}, "image": {"alt": "Four columns, one for each kernel length: above, a red and blue image of twelve leads by time; below, gain curves from 0 to 50 Hz."}}
seen = simulated.subject(found, range(ecgnet.N_RECORDS))
figures.closed(ecgnet.kernel_figure(seen))

# %% [markdown]
# What the maps respond to can be measured on simulated records, whose waves are known to the sample. On the right 1 would be a map that
# does not care where it is. The signal itself is strongest in the QRS, so most maps are, trained or not: what training changed is the
# distance between the grey and the blue dots. On the left the same is seen over time.

# %% mystnb={"figure": {"name": "fig-ecgnet-responses", "caption": "What the first layer responds to. Left: lead II with P, QRS and T shaded, and the response of the strongest map of each kernel size. Right: mean power of every map inside each wave over its power everywhere, before training and in the network shown."}, "image": {"alt": "Left, an ECG trace above four response curves on the same time axis; right, dots on a logarithmic axis for P, QRS, T and the rest."}}
figures.closed(ecgnet.response_figure(seen))

# %% [markdown]
# ## What the LSTM adds
#
# The classifier reads the last state alone. Left: how far that state depends on each sample before it, on a logarithmic axis. Right: how
# much either branch moves each logit from record to record; a branch with a short bar is carried along but hardly heard.

# %% mystnb={"figure": {"name": "fig-ecgnet-memory", "caption": "Left: sensitivity of the LSTM's last state to the samples of the record, before training and in the network shown. Right: standard deviation over records of what each branch adds to each logit."}, "image": {"alt": "Left, curves that rise steeply towards the end of the record; right, paired bars for CNN and LSTM in each of nine classes."}}
figures.closed(ecgnet.memory_figure(seen))

# %% [markdown]
# ## Reading

# %%
paper_page.reading(found, [ecgnet.in_words(seen), ecgnet.reported()], [ecgnet.REPORTED_LIMIT])
