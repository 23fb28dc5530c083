# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How much of the network is needed?
#
# **Question.** The network can be made smaller in its blocks, in its width, or in the number of tokens that its last stage works on. Which of
# these costs accuracy? And two ideas that the study notes name but never tried: delete the tokens that receive little attention, and the
# heads that contribute little. Does it work, is their criterion better than chance, and does it save anything here?
#
# **Prediction, before looking.**
#
# - Shorter and narrower networks come close to the base: nine diagnoses and a few thousand records do not fill it.
# - Half of the tokens can go unnoticed, and random ones do nearly as well as chosen ones. A token of the last stage has looked at the whole record
#   in stage 3, and its neighbour knows almost the same. The choice should matter only when very few are kept.
# - The criterion for heads is no better than chance: a head of one layer and the head of the same number in the next share nothing but that number.
# - Little is saved. Deletion begins after the first block of the last stage; all that comes before is paid in full.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
sizes = "all"  # or some of them: base,tiny
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Nine sizes
#
# Stage 4 receives $x \in \mathbb{R}^{N \times D}$, 125 tokens of 80 ms for ten seconds. The base averages them after its last block,
# $\hat y = W\,\frac{1}{N}\sum_i x_i$. Each variant changes one thing.
#
# | variant | what changes | formula | source |
# | --- | --- | --- | --- |
# | three stages | stage 4 is left out; the head reads stage 3 | $\hat y = W'\,\frac{1}{2N}\sum_i x^{(3)}_i$ | the notes |
# | short last stage | half as many blocks in stage 4 | depths $[2, 4, 8, 2]$ in place of $[2, 4, 8, 4]$ | the notes |
# | tiny | every width halved, stem kernels 11, 7, 3 in place of 39, 19, 9 | $D \rightarrow D/2$ | the notes; kernels inferred from their counts |
# | semantic tokens | stage 4 works on $M = N/5$ pooled tokens, refined by two cross-attentions | $S = \mathrm{Attn}(S^1 + G,\ [S^1; x])$ | {cite:t}`chang2023` |
# | class token | a learned token joins stage 4, and the head reads it alone | $\hat y = W\,x_0$ | {cite:t}`dosovitskiy2021` |
# | tokens 50, tokens 25 | tokens are deleted from block to block, down to half or a quarter | {eq}`eq-importance` | {cite:t}`wang2021spatten` |
# | heads 50 | heads are deleted in the same way, down to half | {eq}`eq-importance` | {cite:t}`wang2021spatten` |
#
# Deletion needs no parameters. A token is as important as the attention that it has received so far, a head as the size of what it has put
# out so far. With $A^{(l)}_{h,i,j}$ the weight of key $j$ for query $i$, and $E^{(l)}_{h}$ the output of head $h$ in block $l$ of the
# stage,
#
# $$s_j = \sum_{l}\sum_{h}\sum_{i} A^{(l)}_{h,i,j}, \qquad r_h = \sum_{l} \big\lVert E^{(l)}_{h} \big\rVert_1$$ (eq-importance)
#
# The least important go, and stay away in all later blocks. The share kept falls in equal ratios from 1 in the first block to its setting
# in the last.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, size_page, size_traces

page = axis_page.ask(globals(), "size_and_tokens")
Markdown(page.what_runs())

# %% [markdown]
# ## Scores
#
# The protocol of every page: fold 9 chooses the epoch and the thresholds, fold 10 is opened once, intervals are over patients, differences
# are paired and corrected. The grey columns are the notes' best epoch on the fold that was scored, for orientation only.

# %%
found = page.compare()
display(found.score_table(), found.class_table())

# %% [markdown]
# ## Score against cost
#
# A variant is worth its place if no cheaper one scores as high: the grey line joins those. It is drawn through means, so where intervals
# overlap it is a hint and no proof. Fewer MACs need not mean less time: the right panel shows what one forward pass takes.

# %% mystnb={"figure": {"name": "fig-size-trade-off", "caption": "Macro-AUROC on the test fold with its 95 % interval over patients against MACs (left) and measured time (right) of one record. Grey: the front of the means."}, "image": {"alt": "Two scatter plots of macro-AUROC, one point with an upright interval for each variant, over multiply-accumulates and over milliseconds; a grey line joins the points that no cheaper variant equals."}}
size_page.trade_off(found)

# %%
page.cost_table()

# %% [markdown]
# ## Deleting without training again
#
# Three of the rows above were trained with deletion. The sharper question is what the *trained base* loses when parts of its last stage are
# left out afterwards. Every run of the base is measured again at each share kept, on the **validation** fold (in the short profiles an evenly spread part of it), so that the test fold stays opened
# once. Beside it stands the control: as many tokens or heads left out at random, {eq}`eq-importance` replaced by a draw. Three draws are
# made, and the curve is their mean. Only the distance between the two curves speaks for the criterion.

# %% mystnb={"figure": {"name": "fig-deletion", "caption": "The trained base with part of its last stage deleted, no training in between: macro-AUROC on the validation fold with 95 % interval over patients, each random draw as a small stroke (upper); MACs and time of the whole network (lower)."}, "image": {"alt": "Four plots over the share kept in the last block: macro-AUROC for tokens and for heads, one curve by importance and one at random, and below each the multiply-accumulates and the time of the network."}}
deletion = size_page.measure_deletion(found)
deletion.figure()

# %% [markdown]
# ## Which tokens stay
#
# One simulated record with two premature ventricular beats, whose spans the simulator knows. Below the trace stand the blocks of stage 4
# with a quarter of the tokens kept in the last. Colour is the importance gathered up to and including
# the block, on a logarithmic scale; white tokens are gone.

# %% mystnb={"figure": {"name": "fig-kept-tokens", "caption": "Token deletion over a simulated record: lead II with the premature beats shaded, and for each block of stage 4 the importance gathered so far. White: deleted before this block."}, "image": {"alt": "A lead II trace with two shaded premature beats above one strip of 125 cells for each block of the last stage; more cells are white in each later strip."}}
kept = size_traces.kept_tokens(found)
kept.figure()

# %% [markdown]
# ## What semantic tokens look at
#
# The pooled tokens start as windows of five and seven neighbours. Two cross-attentions may then carry them anywhere. Each row is one of
# them in the last of the two; the marks on the diagonal are the window that it was pooled from. Rows that follow the diagonal are still
# windows; columns that many rows share are places in the record that all of them read.

# %% mystnb={"figure": {"name": "fig-semantic-tokens", "caption": "Semantic tokens over the same record: where on the trace each looks in the second cross-attention, mean over heads."}, "image": {"alt": "A lead II trace above a map of 25 rows, one for each semantic token, over 125 columns of time."}}
semantic = size_traces.semantic_tokens(found)
semantic.figure()

# %% [markdown]
# ## Reading

# %%
own = [deletion.reading(), kept.reading(), semantic.reading()]
limits = ["deletion is tried in the last stage alone, not in stage 3",
          "`tiny` changes its widths and its stem's kernels at once"]
Markdown("\n\n".join([*own, found.reading(limits=limits)]))
