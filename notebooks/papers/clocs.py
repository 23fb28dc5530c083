# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # CLOCS: an ECG is its own second opinion
#
# **The problem.** Labels are dear, recordings are not. A network can learn from recordings alone if it is told which of them belong together. For images one makes
# such pairs by cropping, turning and recolouring; what a change of that kind does to the diagnosis of an ECG is not known.
#
# **The idea.** {cite:t}`kiyasseh2021clocs` change nothing. Two stretches of one record, a few seconds apart, come from one heart (CMSC, *contrast over time*). So do two
# leads at one moment (CMLC, *over space*), or both at once (CMSMLC). And two recordings of one *patient* belong together too. One small encoder $f$ turns each single-lead view into
# a vector, and for views $A$ and $B$ of the records $i, j$ of a batch
#
# $$s^{ij} = \frac{\cos\big(f(x_A^i), f(x_B^j)\big)}{\tau}, \qquad \ell_{A\to B} = -\frac1{|\mathcal P|}\sum_{(i,j)\in\mathcal P}\log\frac{e^{s^{ij}}}{\sum_l e^{s^{il}}}.$$ (eq-clocs)
#
# $\mathcal P$ is first the diagonal, each record with itself, and then, as a term of its own, the pairs $i \ne j$ of one patient. The loss of a pair of views is the mean of these terms in both
# directions, and the objective the mean over all pairs of views: 1 for CMSC, 66 for CMLC, 276 for CMSMLC.
#
# **Questions of this page.** Does the encoder learn *whose* an ECG is, or only *when* a beat came? And does a network that begins with it do better, with all the labels at
# hand, than one that begins with nothing? (Few labels are the subject of the page on self-supervised learning.)

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: clocs,cmsc_tuned_100,cmlc_tuned_100,cmsmlc_tuned_100,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page, pretraining
from ecgstudy.study.papers import clocs

page = paper_page.ask(globals(), "clocs")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# Three convolutions and one linear layer, for one lead of half a record. Each view is scaled to the range from 0 to 1 by its own minimum and maximum, so the encoder
# knows no millivolts: how tall a wave is, it sees only beside the other waves of its view. There is no projection behind the embedding. The classifier
# passes the two halves of all twelve leads through the one encoder, takes the mean over the halves, and reads the leads side by side:
#
# $$z = W\,[\bar v_1; \dots; \bar v_{12}] + b, \qquad \bar v_l = \tfrac12\,(v_{l,1} + v_{l,2}).$$
#
# `views` is the official head instead, a linear map for each view and the mean of the probabilities.

# %%
display(paper_page.shape_table(page, depth=3))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `clocs` begins with fresh weights. `probe` keeps the pretrained
# encoder as it is and trains the linear head alone; `tuned` trains both. Pretraining saw the records of folds 1–8 and no label.

# %%
found = page.compare()
display(found.score_table(), pretraining.history_table(found, list(clocs.schemes_of(found).values())), clocs.patients_table(found))
clocs.reported_table()

# %% mystnb={"figure": {"name": "fig-clocs-scores", "caption": "Test scores of the network from scratch, of its pretrained versions, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Views, and the pairs they make
#
# The views are those that the objective itself cuts. For CMSC a lead is drawn, for CMLC a stretch of five seconds, for each batch anew and the same for all its records, so that a
# record differs from its rivals in the heart and not in the lead.
#
# Below each record stand the pairs. The published code contains a slip here: in the loop over pairs the loss is *assigned* to the running sum, not added to it, and the
# sum is then divided by the number of pairs. What remains is the last pair, outlined. For CMLC that is V5 with V6. For CMSMLC, whose views are ordered lead by lead, it is the two halves of V6: what
# was to contrast space and time is CMSC on one lead, with a gradient 276 times too small, of which Adam takes no notice. CMSC has one pair and is not concerned. This study sums
# over all pairs, as the formula says.

# %% mystnb={"figure": {"name": "fig-clocs-views", "caption": "Above: the views of one validation record in the three schemes, in colour (two colours: two times). Below: every pair of views that the loss compares, coloured by what differs within it. Outlined: the only pair that the published code learns from."}, "image": {"alt": "Three columns. Above, twelve leads over ten seconds: in the first one lead is coloured in two halves, in the second all leads for five seconds, in the third all leads in two halves. Below, triangular grids of 1, 66 and 276 pairs with the last cell outlined."}}
seen = clocs.subject(found)
clocs.views_figure(seen, found)

# %% [markdown]
# ## The signature: how alike, over time, over leads, over patients
#
# Each cell is the cosine of two embeddings: a record's view in the row, another record's in the column. What {eq}`eq-clocs` asks for is a dark diagonal. The third matrix has patients with
# several recordings, side by side; a box is one patient, and off its diagonal are different recordings of the same heart. The scale is the same everywhere. Fresh weights are not a picture of chance: all views lie
# between 0 and 1 and the last layer adds the same constant to all, so embeddings may point nearly the same way whatever the record. What they tell apart all the same, the next picture shows.
#
# A table under the scores counts how often the patient term of the loss is there at all. In CPSC2018, Chapman and the simulated records every recording is a patient of its own, so the term never appears there, and
# the matrix of patients is left out. PTB-XL has patients who came back; the question is how often a shuffled batch holds two of their recordings.

# %% mystnb={"figure": {"name": "fig-clocs-matrices", "caption": "Cosines between validation records before (first row) and after pretraining. Left: two halves of lead II. Middle: leads II and V5 at one time. Right, where there are any: recordings of patients with several, each patient in a box."}, "image": {"alt": "A grid of square heat maps, one row for each network, the untrained one first, and a column each for time, leads and, where there are any, returning patients."}}
clocs.matrix_figure(seen)

# %% [markdown]
# ## Whose, or when?
#
# A diagonal can be had cheaply. The leads of one moment share the places of their beats, so an encoder may match them by *when* the beats come and learn nothing
# of the heart. The test is to let the second lead's view begin later: the heart stays, the moment goes. An encoder that knows whose the record is would stay where it was. One that knows the moment would fall to
# luck (0.5), or below it where other records' beats now lie better, and rise again where a whole beat has passed.

# %% mystnb={"figure": {"name": "fig-clocs-spreads", "caption": "Above: cosines of all pairs of validation records by kind. Dot: median; thick: half of the pairs; thin: nine tenths. Numbers: how often one of this kind is above one of different patients (AUROC). Below: the same number for leads II and V5 of one record, when V5's view begins later."}, "image": {"alt": "Two panels of horizontal ranges, a group for each network with same record, same patient and others; below them lines over a shift from 0 to 2 seconds."}}
clocs.spread_figure(seen)

# %% [markdown]
# ## Reading

# %%
parts = (clocs.in_words(seen, found), paper_page.beside_its_parts(found), found.reading(clocs.limits(found)))
Markdown("\n\n".join(part for part in parts if part))
