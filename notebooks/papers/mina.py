# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MINA: attention that takes advice
#
# **The problem.** A deep network for the ECG is hard to explain, and hand-made features are fragile: a missed R-peak spoils them.
# {cite:t}`hong2019mina` keep the learned features as the only evidence and use the hand-made ones as advice on where to look.
#
# **The idea.** Three plain measurements, none of which needs a detector. A sharp change says where in a fifth of a second something
# happens; an unusual spread says which fifth of a second stands out; much power says which band of frequency to trust. At each of the
# three levels the hint $K$ joins the features $X$ only inside the weights:
#
# $$w = \mathrm{softmax}\big(V^\top \tanh(W^\top [X; K])\big),\qquad s = \sum_i w_i X_i$$ (eq-mina)
#
# What is summed is $X$ alone, so a hint can move the network's gaze and cannot speak for a class itself.
#
# **Questions of this page.** Where do the three levels look on a record with early ventricular beats? And does the trained network heed
# the hints, or has it learned to do without?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: mina,no_hints,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# The paper in full, what the network was built from, and what is ours.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import mina

page = paper_page.ask(globals(), "mina")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# The filters are part of the network and are not trained: a band's power is a hint only while nobody has scaled it away. Each of the four
# bands has a network of its own, `networks.0` to `networks.3`, with two of the three attentions in it; the third, over bands, sits in the
# head. They are called through their readings rather than as one module, so the table shows their parts, and of the recurrent layers,
# which return more than one tensor, only the parameters in the last row.
#
# In the second table `paper` has the published code's sizes with twelve leads and nine classes; `without knowledge` has zeros for every
# hint.

# %%
display(paper_page.shape_table(page, depth=2))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# The network under this study's protocol, beside itself without hints (zeros in their place, all weights kept) and a plain
# residual network. The paper's own numbers, for another task, stand in grey under *Reading*.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mina-scores", "caption": "Test scores of MINA and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Where it looks
#
# One simulated record with early ventricular beats. Blue are weights, orange the hints. Inside each segment of 0.2 s the ten positions
# share a weight of one, and so do the fifty segments, and the four bands; a dashed line marks the even share. The gaps between the lines
# are no lost samples: a position is drawn at the middle of the 0.11 s that it sees.

# %% mystnb={"figure": {"name": "fig-mina-attention", "caption": "Attention (blue) and the hint beneath it (orange) over one record: positions inside each segment, segments, and bands. Dashed: the even share; dotted: R-peaks."}, "image": {"alt": "On the left a lead II trace above beat attention, sharpness, rhythm attention and standard deviation on one time axis; on the right bars of frequency attention and power for four bands."}}
seen = mina.gather(found)
mina.draw(seen, found)

# %% [markdown]
# ## Reading

# %%
limits = ["the paper's own task, AF in one lead, was not repeated",
          "a weight says where a network looked, not why it decided"]
paper_page.reading(found, [mina.in_words(seen), mina.reported()], limits)
