# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Does the kind of self-attention matter?
#
# **Question.** A 12-lead ECG of ten seconds becomes 250 tokens in the third stage of the network and 125 in the fourth. Seven kinds of
# self-attention decide which of those tokens may look at which. If everything else is equal (stem, convolutions, widths, depths,
# optimiser, records, seeds), does the kind of attention change how well the network recognises nine diagnoses, and what does it cost?
#
# **Prediction, before looking.** At these lengths full attention is cheap: its products are about a twelfth of the network's
# multiply-accumulates. A mechanism that restricts attention has little to save here, and something to lose when the evidence lies far
# apart in time, as an early beat and its pause do. Expect small differences, and a real saving only for recordings of minutes.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
attentions = "all"  # or some of them: mhsa,window
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## The network, and the one thing that changes
#
# The network is the study's own pyramid, convolutions early and attention late: a stem, two stages of *local* blocks
# (multi-scale depth-wise convolution), a stage that alternates local and *global* blocks, and a stage of global blocks. A global block is
#
# $$x \leftarrow x + \mathrm{Attention}(\mathrm{LN}(x)),\qquad x \leftarrow x + \mathrm{MLP}(\mathrm{LN}(x))$$ (eq-global-block)
#
# and only $\mathrm{Attention}$ in {eq}`eq-global-block` changes. With queries, keys and values of width $d$ a head,
# $Q, K, V \in \mathbb{R}^{N \times d}$:
#
# | mechanism | what a query sees | formula | source |
# | --- | --- | --- | --- |
# | mhsa | every token | $\mathrm{softmax}(QK^\top/\sqrt{d})\,V$ | {cite:t}`vaswani2017` |
# | spatial reduction | pairs of tokens, merged by a convolution of stride 2 | $[K, V] = \mathrm{LN}(\mathrm{Conv}_{2,2}(x))\,W_{KV}$ | {cite:t}`wang2021` |
# | bi-level routing | the 10 of 25 windows whose mean key fits its window's mean query best | $\mathrm{softmax}(QK_I^\top/\sqrt{d})\,V_I + \mathrm{DW}_5(V)$, $I = \mathrm{top}_{10}(\bar Q\bar K^\top)$ | {cite:t}`zhu2023` |
# | window | its own 25 tokens (1 s in stage 3, 2 s in stage 4) | $\mathrm{softmax}(QK^\top/\sqrt{d} + B_{i-j})\,V$ inside windows | {cite:t}`liu2021` |
# | shifted window | the same; every second block's windows moved by 12 tokens | as above, rolled | {cite:t}`liu2021` |
# | shunted | every token in half of the heads, merged pairs in a quarter, merged fours in a quarter | $V_g \leftarrow V_g + \mathrm{DW}_3(V_g)$ a group | {cite:t}`ren2022` |
# | hilo | half of the heads 5 tokens around it, half the means of every 5 | $[\mathrm{Hi}(x)\,;\,\mathrm{Lo}(x)]$, no joint projection | {cite:t}`pan2022` |

# %%
from IPython.display import Markdown

from ecgstudy.study import ablation, axis_page, figures

page = axis_page.ask(globals(), "attention_ablation")
Markdown(page.what_runs())

# %% [markdown]
# ## What each mechanism may look at
#
# The last attention layer of stage 3, fresh weights, full width, given one simulated record: rows are queries, columns are keys, both on the time axis of
# the trace above. White means *no path*: whatever the weights become, that query cannot see that key in this layer. The upper maps average over the
# heads; the lower ones show the last head alone, closer, each on its own scale: merged keys stand out as stripes as wide as the tokens that they merge (two
# in spatial reduction, four in the last head of shunted, five in the low half of HiLo). Where the routed mechanism looks depends on the record; the
# other patterns do not.

# %% mystnb={"figure": {"name": "fig-patterns", "caption": "Attention of one untrained stage-3 layer under lead II of a simulated record: mean over heads (upper), last head of the first two seconds (lower). White: exactly zero."}, "image": {"alt": "For each attention mechanism a lead II trace above two square maps of query time against key time: full, merged, routed, windowed and mixed patterns."}}
title = "Who may look at whom (stage 3, 250 tokens of 40 ms)"
figures.closed(figures.attention_patterns(*ablation.patterns(page), 10.0, title))

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. Every mechanism sees the
# same records in the same order from the same seeds. The interval is a bootstrap over *patients*; differences are taken on the same draws and
# corrected after Holm over the mechanisms. The grey columns are what the study notes report for CPSC2018 with the full network; their threshold
# was chosen on the fold that was scored, so they flatter, and they stand here for orientation only.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-scores", "caption": "Test scores of each mechanism. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds; grey crosses: the notes' F1, on other data."}, "image": {"alt": "Dot plot with one row for each attention mechanism: macro-AUROC on the left, macro-F1 on the right, with overlapping intervals."}}
found.figure()

# %%
found.class_table()

# %% [markdown]
# ## Cost
#
# Parameters and multiply-accumulates (MACs) of the network trained on this page and of the full one; then one layer alone, as the recording grows from ten
# seconds to five minutes. Full attention grows with $N^2$, windows with $N$. The curves are measured on the machine that made this page, one record,
# width 256, four heads; "memory saved" is what autograd keeps between the forward and the backward pass.

# %% mystnb={"figure": {"name": "fig-costs", "caption": "One attention layer as the number of tokens grows: forward time and memory kept for the backward pass."}, "image": {"alt": "Two log-log plots over the number of tokens: forward milliseconds and megabytes saved, one line for each attention mechanism; full attention rises fastest in time."}}
curves, lengths = ablation.cost_curves(page), ablation.token_counts(page)
figures.closed(figures.costs(curves, lengths, "One layer, longer recordings"))

# %%
page.cost_table()

# %% [markdown]
# ## Reading

# %%
Markdown(found.reading(limits=["heads, windows and rates are the notes' or the papers' own, "
                               "not tuned for each mechanism"]))
