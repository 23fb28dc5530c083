# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does it matter how the blocks are stacked?
#
# **Question.** The notes name a whole family of networks. All share one stem and one pyramid; they differ in where convolution ends, where attention begins,
# and in what order the two alternate. Does the order change how well nine diagnoses are recognised, and at what cost? And is the reason that
# the notes give for mixing the two true: *convolution sees the high frequencies, attention the low ones*?
#
# **Prediction, before looking.** Most of the family has the same first two stages, in which the signal is still fine enough to show every wave. What
# follows sees tokens 40 ms and 80 ms apart. Expect small differences in score; expect the network without attention to keep up, because eight local layers
# in a row already reach over seconds. As to frequencies, expect every network to lose most where the QRS complex and the P and T waves have
# their energy, and no clear contrast between the kinds of block: the stem, a convolution, stands before all of them.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: inception_next,hilo_sa
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## The blocks
#
# With $\mathrm{Mix}$ a mixer over tokens, every block is one residual, or a pair of them:
#
# $$x \leftarrow x + \mathrm{Mix}(\mathrm{Norm}\,x),\qquad x \leftarrow x + \mathrm{MLP}(\mathrm{Norm}\,x)$$ (eq-stacking-block)
#
# | letter | block | source |
# | --- | --- | --- |
# | L | pair; the mixer is a depth-wise convolution with kernels of 3, 7, 11 and 19 tokens, each for a quarter of the width | {cite:t}`yu2024` |
# | G | pair; the mixer is attention: full, shunted or HiLo | {cite:t}`vaswani2017`, {cite:t}`ren2022`, {cite:t}`pan2022` |
# | S | L, one residual with attention, L: a sandwich | {cite:t}`liu2023sandwich` |
# | R | one residual: widen, depth-wise convolution of four scales, narrow | the notes |
# | P | R, then G | the notes, inferred |
#
# Local and global blocks that take turns in the third stage are the layout of {cite:t}`lin2023`.

# %%
from IPython.display import Markdown

from ecgstudy.study import axis_page, figures, frequency_claim, probes, stacking_page
from ecgstudy.study import tables, token_filter

page = axis_page.ask(globals(), "stacking")
Markdown(page.what_runs())

# %% [markdown]
# ## How each network stacks them
#
# Read from the built networks at full width, block by block, in the order in which tokens pass them. A wide cell is a pair of residuals as in
# {eq}`eq-stacking-block`, a narrow one a single residual.

# %% mystnb={"figure": {"name": "fig-strips", "caption": "The blocks of each network of the family, stage by stage, read from the built networks at full width. Wide cell: a pair of residuals; narrow cell: one residual."}, "image": {"alt": "One row of coloured cells for each network, in four stages: convolutions first in every row, attention joining in stage 3 in turns, in line, in sandwiches, or not at all."}}
built = stacking_page.full_width(page)
stacking_page.strips(built)

# %% [markdown]
# The notes print counts for one member of the family and describe the others in a few words. "Matched" and "inferred" say how sure each design is; a
# network whose design is inferred tests this study's reading of a name, not the notes' network.

# %%
stacking_page.family_table(page, built)

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. The baseline
# is InceptionFormer. Intervals are a bootstrap over *patients*; differences are taken on the same draws and corrected after Holm over the networks.
# The grey columns are what the notes report for CPSC2018 with the full network; they stand for orientation only.

# %%
found = page.compare()
found.score_table()

# %% [markdown]
# ## What a score costs
#
# The networks as they were trained on this page. The line joins those that no cheaper one equals. It is drawn through means: where intervals
# overlap, the front says which networks are worth a longer look, not which one is best.

# %% mystnb={"figure": {"name": "fig-trade-off", "caption": "Test macro-AUROC with its 95 % interval over patients against multiply-accumulates (left) and against the time of a forward pass (right). Grey line: the Pareto front of the means."}, "image": {"alt": "Two scatter plots with one mark for each network: macro-AUROC over MACs and over milliseconds, with a grey line along the best score for each cost."}}
title = tables.describe_data(found.outcome.finished[0])
drawn = figures.trade_off(found.rows, page.costs(), title)
axis_page.save_picture(drawn, page.request)
figures.closed(drawn)

# %% [markdown]
# ## High frequencies for convolution, low ones for attention?
#
# {cite:t}`park2022` found in images that attention acts as a low-pass filter and convolution as a high-pass filter on feature maps. The notes say the
# same of ECG. If the networks *use* frequencies that way, taking a band away must hurt them differently. So one band at a time is taken out of the
# recorded signal, without moving its phase, and the trained networks are scored again. With $b$ a band and $n$ a network,
#
# $$\mathrm{loss}(n, b) = \mathrm{AUROC}(n) - \mathrm{AUROC}(n \mid \text{without } b)$$ (eq-band-loss)
#
# **The test, fixed beforehand.** Low bands end at 10 Hz or below, high bands begin at 15 Hz or above; 10–15 Hz is shown and not tested, because the
# tokens of stage 3 carry no more than 12.5 Hz. The claim is *supported* if the network of convolutions alone loses more than **each** of the three with
# attention over the high bands, and less over the low ones: both 95 % intervals of the paired difference exclude zero on the claimed side, in
# every one of at least three seeds. It is *contradicted* if high minus low is below zero against all three. Anything else is undecided.
#
# The scores below are of the **validation** fold, in the short profiles of an evenly spread part of it, which also chose the epoch: the test fold stays opened once.

# %% mystnb={"figure": {"name": "fig-bands", "caption": "Left: validation macro-AUROC that each trained network loses without one band of its input; grey: the bands that are tested. Right: loss of the convolutions minus loss of each network with attention. Intervals: 95 % over patients, paired."}, "image": {"alt": "Left, loss of macro-AUROC over seven bands from 0.5 to 45 hertz, four marks with intervals in each. Right, three rows of differences with intervals: high bands, low bands, high minus low."}}
claimed = stacking_page.only(found, frequency_claim.NETWORKS)
probed = probes.probe_all(claimed, frequency_claim.PROBES)
losses = frequency_claim.losses(probed.groups)
frequency_claim.figure(losses, f"{title.split(':')[0]}, validation fold")

# %% [markdown]
# ## A direct look
#
# The claim is about feature maps, and a band of the input is not a band of the tokens: a burst of 30 Hz lasts a few tokens, whatever it holds inside. So
# the last layer of each kind in stage 3 is also given pure tones over its tokens, 25 a second. For an attention map $A$ and a tone
# $u_f$ of unit size, the gain is the root mean square of $A\,u_f$ over queries, heads and eight simulated records; for depth-wise
# kernels it is the frequency response, likewise over channels. A layer that favours no frequency lies on the grey line. Fresh kernels do; fresh attention is
# nearly a mean, and so a low-pass filter before it has learned anything. HiLo's means can pass nothing at 5 and 10 Hz, where
# five tokens span whole waves. Neither layer removes what it dampens: the residual in
# {eq}`eq-stacking-block` carries it past.

# %% mystnb={"figure": {"name": "fig-token-filter", "caption": "Gain of one stage-3 layer on tones over its tokens, divided by its root mean square over frequencies; trained weights of one seed where no other is said. HiLo's heads in windows and its heads on window means are shown apart."}, "image": {"alt": "Two plots of relative gain on a log scale over token frequency from 0 to 12.5 hertz: attention matrices on the left, depth-wise convolution kernels on the right."}}
made = token_filter.responses(found)
token_filter.figure(made, "One layer as a filter over tokens (stage 3, 25 a second)")

# %% [markdown]
# ## Reading

# %%
reading = found.reading(limits=stacking_page.LIMITS)
verdict = frequency_claim.told(frequency_claim.contrasts(losses))
parts = (verdict, token_filter.told(made), probed.gaps(), reading)
Markdown("\n\n".join(part for part in parts if part))
