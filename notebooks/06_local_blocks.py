# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What should a local block do?
#
# **Question.** Before any token may look at the whole record, *local* blocks work on short stretches of it: a depth-wise convolution over time, then
# an MLP over channels. Four things can be changed there. A gate may weigh the channels. The block may take another form. The channel mixer may be gated or
# look at its neighbours. The kernels may be short, long or mixed. Does any of them change how well the network recognises nine diagnoses, and what does it
# cost?
#
# **Prediction, before looking.** The convolution is a few per cent of the block's work, so changing its kernels costs almost nothing; the shortest ones should
# lose a little, because they see less than a beat before attention begins, and attention should give most of it back. A gate from the mean over the
# whole record carries little that the last layers cannot carry themselves. The mixers have nearly the same budget and should tie. Modulation multiplies two
# views of the token and costs the most; if any change helps, it should be this one. The differences should be small beside the interval over patients.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
blocks = "all"  # or some of them: plain,coordinate
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## The block, and what changes in it
#
# With $x$ the normalised tokens of a block, the plain one is
#
# $$h \leftarrow h + \mathrm{MSDW}(\mathrm{BN}(h)),\qquad h \leftarrow h + W_2\,\mathrm{GELU}(W_1\,\mathrm{BN}(h))$$ (eq-local-block)
#
# $$\mathrm{MSDW}(x) = \mathrm{Concat}(\mathrm{DW}_{3}\,x_1, \mathrm{DW}_{7}\,x_2, \mathrm{DW}_{11}\,x_3, \mathrm{DW}_{19}\,x_4)$$ (eq-msdw)
#
# where $x_1 \dots x_4$ are four equal groups of channels and $\mathrm{DW}_k$ convolves each channel with a kernel of $k$ tokens of its own. Every row changes one
# thing in {eq}`eq-local-block` or {eq}`eq-msdw`. The stem, the attention blocks, widths, depths, records and seeds stay.
#
# | question | variant | what changes | source |
# | --- | --- | --- | --- |
# | | plain | nothing | {cite:t}`yu2024`, with a residual for each of the two steps |
# | gate | squeeze excite | each channel scaled by a gate from the mean over time | {cite:t}`hu2018` |
# | gate | coordinate | a gate for each token and channel, times one for each channel | {cite:t}`hou2021`, in one dimension |
# | form | inverted residual | widen, convolve the wide tokens, narrow: one step in place of two | {cite:t}`sandler2018`; kernels in groups {cite:p}`tan2019` |
# | form | modulation | stage 1 plain, stage 2 plain and modulated in turn, stage 3 modulated and attention in turn | {cite:t}`hou2022` |
# | mixer | dw mlp | the hidden channels see their neighbours; in attention blocks too | {cite:t}`ren2022`, {cite:t}`lin2023` |
# | mixer | glu | one half of the hidden channels gates the other; in attention blocks too | {cite:t}`shazeer2020` |
# | mixer | conv glu | the same, and the gate sees its neighbours | {cite:t}`shi2024` |
# | kernels | kernels 3 | the shortest everywhere | |
# | kernels | kernels 19 | the longest everywhere | |
# | kernels | kernels 3 5 7 9 | four short ones | {cite:t}`lin2023` |

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, figures
from ecgstudy.study import local_blocks_figures as draw
from ecgstudy.study import local_blocks_page as local

page = axis_page.ask(globals(), "local_blocks")
Markdown(page.what_runs())

# %% [markdown]
# ## What each block computes, and what it costs
#
# One block at full width, counted now, as it stands in stage 1 ($C = 64$ channels, $N = 1000$ tokens) and in stage 3 ($C = 256$, $N = 250$). $x$ is the
# normalised input of a step, $u$ an intermediate, $\bar u$ its mean over time, $y$ and $y_0$ the narrow tokens and the narrow mean, $\sigma$ the logistic
# function, $\delta$ the hard swish, $\odot$ the product element by element. Modulation does not stand in stage 1; its block is counted there for comparison. Below it, whole networks.

# %%
display(Markdown(local.block_table(page)))
page.cost_table()

# %% [markdown]
# ## How far each block sees
#
# A token depends on those inputs that its gradient reaches, so this is measured and not derived. On the left, one block: a kernel of $k$ tokens spans twice as
# much time in each further stage, because the tokens there are twice as long. On the right, everything that comes before the first attention. Read both against the grey
# lines: what lies left of *QRS* sees less than one ventricular complex, what lies left of *RR* less than one beat. The convolution alone is drawn
# for gated blocks; a diamond says that the gate also brings them the mean of the whole record, which has no place in time. The stem
# puts its branches side by side, so in the first block each kernel meets one branch. The inverted residual mixes the channels before it convolves, and so joins the
# widest branch with the widest kernel.

# %% mystnb={"figure": {"name": "fig-reach", "caption": "Length of record that one token depends on, found by gradients. Left: one block in each stage that holds it. Right: stem and stages 1 and 2 together, for the full network and the one of this page. Dashed: median QRS and RR of a simulated record."}, "image": {"alt": "Two dot plots on a logarithmic axis of seconds, one row for each local block. Left, one block in stages 1 to 3; right, the network before its first attention. Short kernels lie left of the others."}}
title = "How much of the record a token sees"
figures.closed(draw.reach(local.reaches(page), local.example(), title))

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. Every variant sees the
# same records in the same order from the same seeds. The interval is a bootstrap over *patients*; differences to `plain` are taken on the same draws and
# corrected after Holm over all variants of the page, whichever question they belong to. The grey columns are what the study notes report for CPSC2018 with the full
# network; their threshold was chosen on the fold that was scored, so they flatter, and they stand here for orientation only.

# %%
found = page.compare()
display(found.score_table())
found.class_table()

# %% mystnb={"figure": {"name": "fig-block-scores", "caption": "Test scores of each local block. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds; grey crosses: the notes' F1, on other data."}, "image": {"alt": "Dot plot with one row for each local block: macro-AUROC on the left, macro-F1 on the right, each with its interval."}}
found.figure()

# %% [markdown]
# ## What training made of the kernels
#
# The gain of a kernel is how strongly it passes a rhythm of each frequency. A random kernel has hills and valleys by chance; over many channels their median is flat.
# Where blue leaves grey, training has shaped the filter: high at the left means that it smooths, a rise to the right that it takes
# differences, a wide band that the channels have parted ways. The first local block of each stage of `plain` is shown. Its inputs are features, not
# the ECG itself, and a stage can carry no frequency above half of its token rate.

# %% mystnb={"figure": {"name": "fig-responses", "caption": "Gain of the depth-wise kernels of the plain network: median and 10th to 90th percentile over channels. Grey, dashed and dotted: as initialised; blue, line and band: after training, where the weights are at hand. A row a stage, a column a kernel size."}, "image": {"alt": "Small panels of gain over frequency, one row for each stage and one column for each kernel size, with a grey curve before training and a blue one after."}}
plain = local.network(found, "plain")
title = f"The plain network, {plain.state}\n{local.moved(plain)}".strip()
figures.closed(draw.responses(plain, title))

# %% [markdown]
# ## What the gates do
#
# Both gated networks receive the same simulated record, whatever they were trained on. White is $\sigma = 0.5$, which halves a channel; red lets more through, blue less. In
# the map of coordinate attention a vertical stripe under a QRS is a gate that answers to the beat; a row of one colour is a channel weighed
# the same at all times, which squeeze-excite could do as well; the title says how the two share the variance. The strips beside it show the two gates that have no time: coordinate attention's second
# factor, and squeeze-excite's only one.

# %% mystnb={"figure": {"name": "fig-gates", "caption": "Gate values of the first and the last gated block over one simulated record, under its lead II. Each map and strip sorted by its own mean; one colour scale."}, "image": {"alt": "A lead II trace above two maps of channels against time, coloured by gate value, with two narrow strips of channel gates beside each map."}}
gated = [local.network(found, name) for name in ("squeeze_excite", "coordinate")]
seen, title = local.gates(*gated, local.example()), f"Gates, {local.states(gated)}"
figures.closed(draw.gate_maps(seen, local.example(), title))

# %% [markdown]
# ## Reading

# %%
display(Markdown(local.by_question(found)))
Markdown(found.reading(limits=local.limits(page)))
