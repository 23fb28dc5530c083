# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Dual-path RNN: one LSTM for the waves, one for the rhythm
#
# **The problem.** Atrial fibrillation is a matter of rhythm: no P waves, and beats that follow each other without order. A crop of two
# seconds hardly holds two intervals, and a recurrent network that walks a whole recording sample by sample has forgotten its beginning
# when it comes to the end. {cite:t}`wang2023dual` want the whole recording, one lead of it, and recurrent networks that remember.
#
# **The idea** comes from the separation of voices {cite}`luo2020`. Encode the record into $N$ frames, cut them into half-overlapping
# segments, and set these side by side as a matrix of $K$ positions by $S$ segments. One bidirectional LSTM walks down each column,
# about a second of ECG; a second one walks along each row, from segment to segment. With $K$ near $\sqrt{2N}$ no walk is long:
#
# $$\hat T = T + \mathrm{gLN}\big(G\,\mathrm{BiLSTM}_{intra}(T_{:,:,s})\big),\qquad
# T' = \hat T + \mathrm{gLN}\big(M\,\mathrm{BiLSTM}_{inter}(\hat T_{:,k,:})\big)$$ (eq-dual-path)
#
# for every segment $s$ and every position $k$. At the end the segments are added up where they overlap.
#
# **Questions of this page.** Is anything lost when a record is cut and joined? And do the two recurrences hold different things, one the
# beat, the other the rhythm?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: dual_path_rnn,intra_alone,inter_alone,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# The paper in full, what the network was built from, and what is ours.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import dual_path_rnn

page = paper_page.ask(globals(), "dual_path_rnn")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# A convolution turns the twelve leads into frames of 40 ms. Segments are 24 frames long, about one beat, and 12 apart. $\mathrm{gLN}$ in
# {eq}`eq-dual-path` takes mean and variance over the whole record, so it is the one place where a column hears of the others inside
# the first path. Each entry of `paths` is one recurrence: inside segments, across segments, and so on in turn.
#
# In the second table `paper` has the segments of the published code; the two sizes *alone* leave one recurrence out.

# %%
display(paper_page.shape_table(page, depth=2), paper_page.size_table(page))
Markdown(dual_path_rnn.cost_in_words(page))

# %% [markdown]
# ## Scores
#
# The network under this study's protocol, beside either recurrence alone and a plain residual network. The paper's
# task is another one, a single lead in four classes of rhythm, and its abstract names no score, so no number of the paper stands here.
# Its mix-up is left out: every network of the study is trained alike.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-dual-path-scores", "caption": "Test scores of the dual-path RNN and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Cut and joined
#
# From above: a record in atrial fibrillation; the segments, in two rows to show the overlap; the strongest feature of the encoder as the
# matrix that both recurrences walk over; the same feature as the encoder gave it and as it comes back when nothing happens between
# cutting and joining; in how many segments a frame lies, here and with the published code's lengths. The first segment holds padding
# alone: it is there so that the first frames, too, lie in two.

# %% mystnb={"figure": {"name": "fig-dual-path-segments", "caption": "How a record is cut and joined. Blue bars: segments. Matrix: one encoder feature, position in the segment by segment. Below: the feature before and after, and in how many segments each frame lies; grey: the published code's lengths."}, "image": {"alt": "Five panels on a time axis of ten seconds: a lead II trace with irregular beats, staggered bars, a red and blue matrix, two curves that coincide, and a step line at two."}}
seen = dual_path_rnn.gather(found)
dual_path_rnn.save_and_close(dual_path_rnn.segment_figure(seen), found)

# %% [markdown]
# ## What the recurrences hold
#
# The Euclidean norm of the LSTM's state, at each frame the mean of its two segments, over a record with fibrillation and one with a normal
# rhythm; dotted lines mark the R-peaks. Darker lines are later blocks. A norm says how strongly a state is excited, not what it
# means.

# %% mystnb={"figure": {"name": "fig-dual-path-states", "caption": "State norms over a record with atrial fibrillation (left) and a normal one (right): inside segments and across segments, block by block. Dotted: R-peaks."}, "image": {"alt": "Two columns of three panels: a lead II trace, norms of the states inside segments, and norms of the states across segments, with dotted lines at each beat."}}
dual_path_rnn.figures.closed(dual_path_rnn.state_figure(seen))

# %% [markdown]
# ## Reading

# %%
limits = ["the paper's own task, one lead and four classes of rhythm, was not repeated"]
paper_page.reading(found, [dual_path_rnn.in_words(seen)], limits)
