# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MPGT: a fine and a coarse reading, and a gate between them
#
# **The problem.** A physiological signal has detail that lasts hundredths of a second and order that lasts seconds. A recurrent network is slow to carry the
# one over to the other; a convolutional one sees what its kernel spans.
#
# **The idea.** {cite:t}`zhou2022mpgt` read the signal twice, with a *fine* and a *coarse* extractor, and let the fine reading flow into the coarse one
# through a gate, step by step. Each reading is a row of tokens; token $n$ of either row stands for the same 80 ms. In level $\ell$ both rows pass a block $B$
# of attention and convolution, and then
#
# $$c_\ell = f_\ell \odot g_\ell + B^c_\ell(c_{\ell-1}),\qquad g_\ell = \sigma\big(\tanh(W_\ell f_\ell + b_\ell)\big),\qquad
# f_\ell = B^f_\ell(f_{\ell-1}).$$ (eq-mpgt)
#
# A consequence of {eq}`eq-mpgt` that is easily overlooked: $\tanh$ lies between $-1$ and $1$, so the gate lies between $\sigma(-1) = 0.269$ and
# $\sigma(1) = 0.731$. It can weigh the fine row by a factor of 2.7 at most. It can neither shut it out nor let it pass whole.
#
# **Questions of this page.** Does such a gate do anything over time, or is it a constant for each channel that the next layer could have learned as well? And
# are two rows better than one?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: progressive_gated_transformer,no_gate,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# Little of the paper could be read, so what follows is a network in its manner. The known parts are named first, then ours.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import progressive_gated_transformer as mpgt

page = paper_page.ask(globals(), "progressive_gated_transformer")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# Either extractor is Conv, MaxPool, Conv, AvgPool. The fine one begins with a kernel of 70 ms, about a QRS; the coarse one with 510 ms, about P to T. A block is
# attention, feed-forward, temporal convolution, feed-forward, each as $x \leftarrow x + \mathrm{Layer}(\mathrm{LN}(x))$; the convolution's
# dilation doubles from level to level. In a level the table shows the blocks of both rows and the gated sum.
#
# In the second table are also the networks that take the idea apart: one gate behind the last level only, plain sums without any gate, and either branch
# alone. The short profiles train the narrow size.

# %%
display(paper_page.shape_table(page, depth=3))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. All networks but the baseline share their blocks. What
# the paper reports could not be read from the sources that were at hand, so no grey number stands here for it; the grey one of ResNet18 is the study notes'.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mpgt-scores", "caption": "Test scores of the network, of the four that take it apart, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## The signature: gates over time
#
# A simulated record, so that P, QRS and T are known to the sample. Left: each line of a map is one channel of a gate, ordered by its mean. A gate that followed
# the heart would change from column to column in step with the beats; one that is a constant would show plain stripes. The colours span all that the formula allows.
# Right: what is added up in each level, the weighed fine row and the coarse row.

# %% mystnb={"figure": {"name": "fig-mpgt-gates", "caption": "Lead II of a simulated record with its waves. Left: the gate of each level for every channel, from 0.269 (blue) to 0.731 (red). Right: root mean square over channels of the two rows that each level adds. A token is 80 ms."}, "image": {"alt": "Two columns under the same ECG trace: on the left three heat maps of channels by time, on the right three pairs of step curves over time that change with the beats."}}
seen = mpgt.gather(found)
mpgt.gate_figure(seen, found)

# %% [markdown]
# One record may mislead, so the same is asked of 48. Left: the gate's departure from each channel's mean, averaged over all beats at the same distance
# from the R-peak; what is not tied to the beat cancels. Grey: the same network before training, which already follows the beat, because its extractor does. Middle:
# how the gate's variance divides. Right: how far each logit moves when every gate is held at its channels' means.

# %% mystnb={"figure": {"name": "fig-mpgt-constancy", "caption": "Left: departure of each level's gate from its mean around the R-peak, before training (grey) and in the network shown. Middle: shares of a gate's variance. Right: root mean square change of each logit under constant gates, in standard deviations of that logit over records."}, "image": {"alt": "Three panels: curves over time from the R-peak, stacked bars for three levels, and horizontal bars for nine classes."}}
mpgt.constancy_figure(seen)

# %% [markdown]
# ## Reading

# %%
limits = ["many networks fit the paper's formula; of this one the sizes are not the paper's"]
paper_page.reading(found, [mpgt.in_words(seen)], limits)
