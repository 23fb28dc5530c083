# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Two token sizes, and only the tokens that count
#
# **The problem.** Twelve leads tell much of the same story twelve times, and a transformer that cuts them into patches must choose one
# patch size: small enough for a wave, or large enough for a rhythm. {cite:t}`zhang2023` take both sizes, each with its own transformer,
# and let each branch throw away the tokens that it does not need.
#
# **The idea.** A class token stands before the others and gathers what the classifier will read. How strongly it attends to a token is
# taken for that token's worth. With $a_k$ the class token's attention in layer $k$, mean over heads,
#
# $$g \leftarrow \beta g + (1-\beta)\,a_k,\qquad \mathcal K = \mathrm{top}_{\lceil N/2 \rceil}(g)$$ (eq-token-score)
#
# and the encoder runs once more, with the same weights, on the class token and $\mathcal K$ alone. The two class tokens $u$ and $v$ are
# tied by a loss on their correlation $\rho$, and both feed the classifier:
#
# $$\mathcal L = \mathcal L_{\mathrm{labels}} + \lambda\,(1 - \rho(u, v)),\qquad \ell = W\,[u\,;\,v] + b$$ (eq-branch-relation)
#
# **Questions of this page.** Do the kept tokens lie where the evidence is? Does it matter that the *best* half is kept, or would any half
# do? Does the loss bring the branches together, or would they agree anyway?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: dual_branch_token_select,all_tokens,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# The abstract says that the network does better than those it was compared with on three public data sets, and gives no number; so none
# stands beside ours on this page.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import dual_branch_token_select as own

page = paper_page.ask(globals(), "dual_branch_token_select")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# The stem keeps all thousand samples. A coarse token begins every 0.2 s and is made of the 0.4 s that follow; a fine one begins every
# 0.05 s and is made of the second that follows, by one short and one long kernel. Through the stem every token also sees half a second
# to either side, and through the first pass whatever its attention brings it: a dropped token may live on in the ones that looked at it.
#
# The convolutions at full length are most of the cost; halving the tokens saves little here. In the second table `paper` is the size of
# the re-implementation that gave the geometry; it counts 2,208 parameters less, for it shares a norm where this one has two, and has no
# last norm.

# %%
display(paper_page.shape_table(page, depth=2))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-dual-branch-scores", "caption": "Test scores of the network and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Which tokens are kept
#
# One validation record a class, the one on which the network is surest of that class. A blue cell went through the second pass. Strips
# that look alike in different records would mean that the network chooses by place and not by what it sees; the reading says how alike.

# %% mystnb={"figure": {"name": "fig-dual-branch-kept", "caption": "Lead II of three validation records; below each, the coarse and the fine tokens that the network kept (blue) and dropped (grey)."}, "image": {"alt": "Three ECG traces, each above two strips of blue and grey cells, 50 coarse ones and 200 fine ones."}}
seen = own.select(found)
own.kept_figure(seen)

# %% [markdown]
# Three records are anecdotes. Over the whole validation fold, how often is a token kept that begins so long before or after an R-peak?
# White is what chance would do. R-peaks are those of a detector, not of an annotator.

# %% mystnb={"figure": {"name": "fig-dual-branch-beat", "caption": "How often a token is kept, by class and by where it begins relative to the R-peak; above, the mean beat of all records. White: half, as chance would."}, "image": {"alt": "Two heat maps, coarse and fine tokens, classes by time around the R-peak, each under a mean ECG beat."}}
own.beat_figure(seen)

# %% [markdown]
# ## The two branches while they train
#
# The same small network is trained twice for a few steps, from the same weights on the same batches, with the loss of
# {eq}`eq-branch-relation` and without.

# %% mystnb={"figure": {"name": "fig-dual-branch-correlation", "caption": "Mean correlation of the two class tokens on each training batch, with the loss on it and without."}, "image": {"alt": "Two curves of correlation over training steps, blue with the loss and grey without."}}
curves = own.correlation_curves(page)
own.correlation_figure(curves)

# %% [markdown]
# ## Does the choice matter?
#
# If class attention finds the tokens that carry the evidence, then the trained network should miss them when a random half takes their
# place. Nothing is trained again: only the second pass is given other tokens.

# %%
display(own.choice_table(found))
limits = ["whether the published network selects in exactly this way is not known"]
paper_page.reading(found, [own.in_words(seen, curves)], limits)
