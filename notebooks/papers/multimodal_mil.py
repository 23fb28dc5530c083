# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MAMIL: two bags of one record, and what each asks of the other
#
# **The problem.** A long ECG does not fit a network of fixed size, and cutting or squeezing it loses what is rare in it. {cite:t}`han2023` call the record a *bag*
# and its heartbeats *instances*. Only the bag has a label, which says that something is in it but not where.
#
# **The idea.** The same signal is also drawn as an image, a Gramian angular field {cite:p}`wang2015`, and the patches of the image are the instances of a second bag.
# With a lead stretched to $\tilde x \in [-1, 1]$ and $\phi = \arccos \tilde x$, the image holds $G_{ij} = \cos(\phi_i + \phi_j)$: each point of time
# against each other one. In each bag $m$ the loudest instance $X^m_{k_m}$ becomes a query, and it gathers from the instances $L$ of *both* bags:
#
# $$q_m = W \tanh(X^m_{k_m}) + b,\qquad \alpha^m = \mathrm{softmax}\big(L\,q_m / \sqrt d\big),\qquad
# B_m = \lambda\, L^\top \alpha^m + (1 - \lambda)\, q_m.$$ (eq-mamil)
#
# The two vectors $B_m$ are joined and classified. Plain fusion would join two modalities that never met; here each has asked the other first.
#
# **Questions of this page.** Is the loudest beat the one that a reader would point at? Does a query gather from the other bag? And can that be told from a
# network in which it may not?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: multimodal_mil,own_modality,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours
#
# The arg-max behind $k_m$ passes no gradient, so {eq}`eq-mamil` alone would choose by scores that stay as they were drawn. As in dual-stream multiple-instance
# learning {cite:p}`li2021dsmil`, the largest score of each class is a prediction of its own here, trained against the labels of the bag:
#
# $$\mathcal L = \mathrm{BCE}(z, y) + \tfrac14 \sum_m \mathrm{BCE}\big(\max_n s^m_n,\ y\big),\qquad k_m = \arg\max_n \max_c s^m_{n,c}.$$

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import multimodal_mil as mamil

page = paper_page.ask(globals(), "multimodal_mil")
Markdown(page.what_runs() + "\n\n" + paper_page.about(page))

# %% [markdown]
# ## Architecture
#
# The shapes leave out the first axis. For the beat encoder it counts the beats of all records together, so that none sees padding; for the patch encoder
# the sixteen patches of each record. `own` in the second table is the control: each query gathers from its own bag alone.

# %%
display(paper_page.shape_table(page, depth=2))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `own_modality` is the control, ResNet18 the plain
# baseline. What the paper reports could not be established from the sources at hand, so no number of its own stands beside these.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mamil-scores", "caption": "Test scores of the network, of the control whose queries stay in their own bag, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each of three networks: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Two bags side by side
#
# A simulated record with early beats. Left the bag of beats: a bar for each beat is the weight $\alpha$ that it gets, in per cent. Right the bag of patches of
# the same lead: time runs along both axes, and the diagonal is the trace itself. A narrow light stripe is a QRS against all other times. In the upper row
# the loudest beat asks, marked by a star; in the lower row the loudest patch, marked by its frame.

# %% mystnb={"figure": {"name": "fig-mamil-bags", "caption": "One simulated record as a bag of beats and as a bag of Gramian patches. Star and frame: the loudest beat and the loudest patch. Bars and numbers: what their queries gather from each beat and each patch, in per cent; upper row the beat's query, lower row the patch's."}, "image": {"alt": "Two rows. Left, an ECG trace with a coloured bar under each beat and a star over one; right, a grey image in four by four patches with a number on each."}}
seen = mamil.subject(found)
figures.closed(mamil.bag_figure(seen, found))

# %% [markdown]
# One record proves nothing. The next figure asks all of them: how often the loudest beat is an early one where there are early ones, which patch is loudest, and
# from where the queries gather, against what they would gather by the mere number of instances.

# %% mystnb={"figure": {"name": "fig-mamil-choices", "caption": "Over simulated records. Left: in how many records with early beats the loudest beat is one of them, and how many that would be by lot. Middle: how often each patch is the loudest. Right: share of a query's weight on beats and on patches; dashed, the share of beats among the instances."}, "image": {"alt": "Three panels: two bars, a four by four table of counts, and two stacked bars with a dashed line."}}
figures.closed(mamil.choice_figure(seen))

# %% [markdown]
# ## Reading

# %%
limits = ["ten seconds are a short bag; the paper is about records of minutes to hours"]
paper_page.reading(found, [mamil.in_words(seen)], limits)
