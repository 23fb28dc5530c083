# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does the network need to be told where a token stands?
#
# **Question.** Self-attention alone treats its tokens as a set: exchange two of them, and their outputs are exchanged, nothing else.
# Yet an early beat is early only relative to its neighbours. Seven ways of telling a token its place, against none: does any
# of them change how well the network recognises its diagnoses, and how it takes a record that begins later or lasts longer?
#
# **Prediction, before looking.** Small differences. The attention of this network stands behind a stem and two stages of
# convolutions, and alternates with convolutions in stage 3; those see the order of their inputs, and zero padding shows
# them the ends {cite:p}`islam2020`. What is left to tell is where in the ten seconds a token stands, and no diagnosis here depends on that: a
# recording begins at no special moment. Absolute places should therefore help least. They should suffer most when a record is
# moved or longer, because a token then bears a place at which training never showed it.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
positions = "all"  # or some of them: none,learned,lepe
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Seven ways to say where
#
# Attention of a query $i$ to a key $j$, with a bias $B$ that is zero unless the table says otherwise, is
#
# $$A_{ij} = \mathrm{softmax}_j\big(q_i^\top k_j / \sqrt{d} + B_{ij}\big),\qquad y_i = \sum_j A_{ij}\, v_j$$ (eq-attention-bias)
#
# A position can enter {eq}`eq-attention-bias` at the tokens, at the scores, or at the values.
#
# | encoding | formula | where | source |
# | --- | --- | --- | --- |
# | none | $B = 0$ | | the base of the other pages |
# | learned | $x_n \leftarrow x_n + p_n$, $p$ trained | once, at the entry of stage 3 | {cite:t}`dosovitskiy2021` |
# | sinusoidal | $x_n \leftarrow x_n + p_n$, $p_{n,2i} = \sin(n / 10000^{2i/D})$, $p_{n,2i+1} = \cos(n / 10000^{2i/D})$ | once, at the entry of stage 3 | {cite:t}`vaswani2017` |
# | relative | $B_{ij} = \hat B_{i-j}$, one trained number for each head and distance | scores, in every attention | {cite:t}`liu2021`, there inside windows |
# | CPE | $x \leftarrow x + \mathrm{DW}_3(x)$ | tokens, before every block with attention | {cite:t}`chu2023` |
# | LePE | $y \leftarrow y + \mathrm{DW}_k(v)$, $k$ = 3 or 5 tokens | values, in every attention | {cite:t}`dong2022` |
# | V + DWConv(V) | $v \leftarrow v + \mathrm{DW}_3(v)$ | values, before they are mixed | {cite:t}`ren2022`, and the study notes |
#
# $\mathrm{DW}_k$ is a depth-wise convolution along time. The first two name a place in the record, the third a distance; the last three only look
# at the neighbours. Fewer seconds than ten read the beginning of a table. For a longer record the learned table is stretched by linear
# interpolation, and the table of distances answers with its last entry.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, figures, position_page

page = axis_page.ask(globals(), "position_encoding")
Markdown(page.what_runs())

# %% [markdown]
# ## What each encoding adds
#
# Read from the weights of the networks of this page where they are at hand, else from fresh ones; the title says which. For the two that add a
# vector to each token: the cosine between the vectors of every two places. The learned vectors begin as noise, alike to themselves only; the sines are
# made so that the cosine depends on the distance alone, hence the stripes along the diagonal. For the relative bias: each head grey, their mean
# blue. For the convolutions: the answer to a single token of ones, each channel grey, their root mean square blue; LePE and V + DWConv(V)
# differ in where this answer goes. The last panel gives the convolutions equal tokens everywhere. In the middle the answer is the same for
# all, so nothing is said about place; only the tokens within half a kernel of an end differ, by the padding. Such a layer alone
# cannot say where in the record a token stands; a stack of them carries the ends inwards by half a kernel a layer.

# %% mystnb={"figure": {"name": "fig-positions", "caption": "What a position encoding adds in stage 3, where a token is 40 ms. Maps: cosine of the vectors of two places. Curves: bias of each head over distance; answer of each channel's convolution to one token. Last panel: how far the answer to equal tokens departs from the one in the middle."}, "image": {"alt": "Panels, one an encoding: two square similarity maps, bias curves over distance, four convolution answers that span a few tokens, and the departure near the start that vanishes after one or two tokens."}}
found = page.compare()
figures.closed(position_page.mechanisms(found))

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. Every encoding sees
# the same records in the same order from the same seeds. The interval is a bootstrap over *patients*; differences are taken on the same draws and
# corrected after Holm over the encodings.

# %%
display(found.score_table(), found.class_table())

# %% mystnb={"figure": {"name": "fig-position-scores", "caption": "Test scores of each position encoding. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each position encoding: macro-AUROC on the left, macro-F1 on the right, with intervals."}}
found.figure()

# %% [markdown]
# ## Moved and longer records
#
# The finished networks are measured again, without training, on records that were changed. This reads the **validation** fold, in the short
# profiles an evenly spread part of it: the test fold stays opened once, and a question asked afterwards must not lean on it. The epoch was chosen on this fold, so its scores flatter a little;
# the changes are what counts, and they are paired.
#
# *Moved.* The window slides: the first seconds are lost, the rest moves to the front, and zeros follow, as in a short record. This loses evidence
# and shows zeros that training may never have shown. So every move is read against its control, in which the *same* seconds are set to zero in
# place: same evidence, same zeros, other places. What is left is the effect of the place alone.
#
# *Longer.* The prepared records end at ten seconds. To append a record to itself would make a seam, a beat that came too early or too late, and
# that is a diagnosis. So zeros follow until 15 or 20 seconds: the same evidence and more empty tokens, which the mean over time dilutes for every
# network alike; the comparison with `none` is what to read. The simulator can do what a data set cannot: record the same patients for
# 20 seconds. Labels, age, sex and heart rate stay; beats and noise are drawn anew, so that this change holds fresh noise and twice the
# evidence as well as length.

# %% mystnb={"figure": {"name": "fig-robustness", "caption": "Above: validation macro-AUROC when the window slides, and when zeros follow the record; grey band: the baseline's interval on records as they are. Below: the changes that are read, with 95 % intervals over patients. Moving is read against the same seconds blanked in place."}, "image": {"alt": "Two line plots of macro-AUROC, against seconds lost and against seconds of input, one line for each encoding; under them two dot plots of the change for each encoding with intervals about zero."}}
moved = position_page.robustness(found)
figures.closed(moved.figure())

# %%
moved.table()

# %% [markdown]
# ## Cost and reading
#
# Parameters and multiply-accumulates (MACs) of the networks of this page and of the full ones. A table costs parameters and additions, which are not
# counted; a depth-wise convolution costs $k$ products for each token and channel.

# %%
display(page.cost_table(), Markdown(moved.reading()))
Markdown(found.reading(limits=["the kernels and the places of the encodings are the papers' "
                               "or the notes' own, not tuned"]))
