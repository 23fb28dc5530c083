# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What is the own network, exactly?
#
# **Question.** The study notes describe a network of their own, InceptionFormer, by its widths, its depths and its ideas, and print what its parts cost.
# They give no code. Can those printed counts tell what the network is, layer by layer? What do they leave open? And is the network, once built, worth
# more than three plain convolutional ones: ResNet18, ResNet34 {cite:p}`he2016` and MobileNetV2 {cite:p}`sandler2018`?
#
# **Prediction, before looking.** A count fixes sizes, not functions: expect it to settle kernels, ratios and biases, and to be blind to activations, heads
# and the order of layers. On scores, the notes put their network some hundredths of F1 above the residual networks, and those above MobileNetV2. With few
# records and few epochs expect the residual networks to keep up: most of the own network's weights sit in its attention stage, and attention has to
# learn what a convolution is born with, that neighbours belong together.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: inception_former,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, counts_page, figures
from ecgstudy.study import network_anatomy as anatomy

page = axis_page.ask(globals(), "inceptionformer")
Markdown(page.what_runs())

# %% [markdown]
# The short profiles train narrow networks. Everything down to the scores is about the full one: built here, now, with fresh weights, at nine classes.
#
# ## The network
#
# A record passes from left to right. The *stem* looks at the raw samples through four branches at once, after InceptionTime
# {cite:p}`ismailfawaz2020`: three convolutions, from a tenth of a second to four tenths long, and a max-pool. It gives one token a sample. Four *stages* of
# blocks follow, as in SMT {cite:p}`lin2023`. Between two stages a *patch fusion*, a convolution of three tokens with stride two, halves the number of
# tokens and doubles their channels. The head takes the mean over time and one linear map.
#
# There are two kinds of block, and both are a pair of residuals: one mixes tokens, the other mixes channels. A **local** block mixes tokens by depth-wise
# convolution, each quarter of the channels with its own kernel. This is InceptionNeXt {cite:p}`yu2024` in one dimension, without its untouched channels:
#
# $$\begin{aligned}
# x &\leftarrow x + \mathrm{MSDW}(\mathrm{BN}(x)),\\
# x &\leftarrow x + W_2\,\mathrm{GELU}(W_1\,\mathrm{BN}(x)),\\
# \mathrm{MSDW}(x) &= [\mathrm{DW}_{3}x_1;\mathrm{DW}_{7}x_2;\mathrm{DW}_{11}x_3;\mathrm{DW}_{19}x_4]
# \end{aligned}$$ (eq-local)
#
# A **global** block mixes them by full self-attention {cite:p}`vaswani2017`, every token with every other:
#
# $$\begin{aligned}
# x &\leftarrow x + W_o\,\mathrm{softmax}\!\left(QK^\top/\sqrt{d}\right)V,\qquad [Q, K, V] = W_{qkv}\,\mathrm{LN}(x)\\
# x &\leftarrow x + W_2\,\mathrm{GELU}(W_1\,\mathrm{LN}(x))
# \end{aligned}$$ (eq-global)
#
# In both, $W_1$ doubles the channels and $W_2$ halves them. Stages 1 and 2 are local, stage 3 alternates, stage 4 is global: waves are read by
# convolution while tokens are many, and compared over the whole record once they are few.

# %% mystnb={"figure": {"name": "fig-anatomy", "caption": "The full network from left to right. Above: every piece as tall as it has channels. Below: how many seconds of the record one token in the middle depends on after that piece, found by its gradient."}, "image": {"alt": "Bars for stem, two local blocks, four local blocks, eight alternating local and global blocks, four global blocks and head, growing from 64 to 512 channels; below a stair of seconds seen that jumps to the whole record at the first global block."}}
pieces = anatomy.dissect(anatomy.full_network())
figures.closed(anatomy.drawing(pieces))

# %% [markdown]
# The stair under the blocks is measured: take one token in the middle, follow its gradient back to the record, and note the first and the last sample that it
# touches. Until the third stage a token knows a few heartbeats at most. The first global block shows it everything, so every later comparison over time
# is a choice of the network, not a limit. The first step is smaller than the longest kernel would allow: the stem's longest branch fills the
# second quarter of the channels, where the next block's kernel is one of the short ones. No count sees that order; it is one of our choices.
#
# ## Where parameters and work sit

# %% mystnb={"figure": {"name": "fig-shares", "caption": "Share of each part in the parameters and in the true multiply-accumulates of the full network. Orange: the products between queries, keys and values, which have no weights and which the notes' counter leaves out."}, "image": {"alt": "Two bar charts over the parts of the network: stage 4 holds most parameters; stages 3 and 4 share most multiply-accumulates, a small part of them attention products."}}
title = "Where the full network's parameters and work sit"
figures.closed(anatomy.shares(pieces, title))

# %% [markdown]
# ## Every printed count
#
# The notes' figures come from a counting tool with its own rule. To compare digits, one must count as it does:
#
# - A convolution or a linear map costs one multiply-accumulate (MAC) for each weight at each place. Its bias is free. The notes call these FLOPs; they are MACs.
# - A norm with weights costs four for each number that it receives. Average pooling, where it is a layer, costs about one for each.
# - Activations, softmax and the products inside attention cost nothing; nor are parameters seen that belong to no convolution, linear map or norm.
#
# Our own count, called *true* below, has every product and convolution, those inside attention included, and no norms. Its parameters are all that train.
#
# **By hand.** Take one local block of $C$ channels. Two norms have $2C$ parameters each. Four kernels of 3, 7, 11 and 19 on a quarter of the channels
# each are $10C$ weights, and $C$ biases. The MLP has $2 \cdot 2C^2$ weights and $2C + C$ biases. Together $4C^2 + 18C$. The MACs of one token, by the
# rule above: $4C + 10C + 4C + 4C^2$, which is $4C^2 + 18C$ again. So at 1,000 tokens the two figures show the same digits with another letter, and this
# is how the notes print stage 1. The coincidence, kernels of 10 on average, is what gives the block away.
#
# Three tables: the network stage by stage in true counts, the block by hand, read off its layers, and every figure that the notes print.

# %%
counts = counts_page.counts()
display(anatomy.stage_table(pieces), counts_page.by_hand())
display(counts_page.count_table(counts))
Markdown(counts_page.verdict(counts))

# %% [markdown]
# ## How the network was found, and what is inferred
#
# The counts were read backwards. For either block one writes down every design in reach (ratio of the MLP, norms, biases, kernels), counts each by the
# rule, and keeps those that print as the notes do. The search runs here again.

# %%
tried = counts_page.search()
display(counts_page.search_table(tried))
Markdown(counts_page.left_open(tried))

# %% [markdown]
# Of the two local designs left, one has neither norms nor biases; no network of this kind is built so, and the other is taken. A patch fusion with
# bias and no norm, and one linear map as head, then meet the whole network and its ablations. Two figures hardly pin a stem: many other stems meet them.
# This one is the block of an ECG network that the notes discuss {cite:p}`zhang2023`, reduced until it fits. A count that matches
# to the last digit is strong evidence for sizes. It is no proof, and it is silent about these:
#
# | choice | value here | why |
# | --- | --- | --- |
# | the four kernels | 3, 7, 11, 19 | their average is fixed; this set is in the same author's later published code |
# | norms | batch norm in local, layer norm in global blocks | both count alike; InceptionNeXt and the transformer have them so |
# | order in stage 3 | local first, then global, alternating | as in SMT; any order counts alike |
# | heads | 8 in stages 3 and 4 | the notes speak of 8 heads in a variant; heads cost nothing |
# | activation | GELU in blocks, ReLU after the stem | as in the networks that they come from; not counted |
# | position | none | the notes leave it open; tables of positions are not counted |
# | stem | kernels 7 and 5, then branches of 39, 19, 9 and a max-pool, each branch group its own place | the template; two printed figures fit other stems too |
# | dropout, layer scale | none | the notes name neither |
# | initial weights | those of the library | not described |
# | Tiny's stem | branches of 11, 7 and 3 | the base's stem at half width misses the printed figure; other repairs exist |
# | semantic tokens | pools of 5 and 7 tokens, summed | only the sum of the two kernels is fixed |
#
# A choice that no count sees may still matter for the score. The pages of this part try several of them: kernels, positions, stacking, tokens.
#
# ## Scores
#
# One protocol for all four: folds 1 to 8 train, fold 9 chooses the epoch and a threshold for each class, fold 10 is scored once. In `smoke` and `quick`
# all four are narrowed by the same factor, and the own network also has fewer blocks; the cost table says what is left of each. Their order at
# full width may be another. Intervals are over patients; differences are paired and corrected after Holm. In grey the notes' F1 on CPSC2018, with
# threshold and epoch picked on the scored fold: for orientation only. They print several for this network; shown is the one that comes with its
# threshold.

# %%
found = page.compare()
display(found.score_table(), found.class_table(), page.cost_table())

# %% [markdown]
# A network that costs more should score more. In the figure, up is better and left is cheaper; where intervals overlap, up and down may be luck.

# %% mystnb={"figure": {"name": "fig-network-costs", "caption": "Test macro-AUROC of the networks trained on this page against their true multiply-accumulates and against the time of one forward pass on this machine. Grey line: no cheaper network has a higher mean."}, "image": {"alt": "Two scatter plots of macro-AUROC with intervals, over millions of multiply-accumulates and over milliseconds, one mark a network, with the Pareto front as a line."}}
drawn = figures.trade_off(found.rows, page.costs(), "Score against cost")
axis_page.save_picture(drawn, page.request)
figures.closed(drawn)

# %% [markdown]
# ## Reading

# %%
Markdown(found.reading(limits=["equal counts show equal sizes, not the same network",
                               "one recipe for all, tuned for none of the four"]))
