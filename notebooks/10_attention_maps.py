# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What does attention look at?
#
# **Question.** An attention map is the part of a network that seems to explain itself: for every moment of the record it says which
# other moments it was mixed with. Does the attention that a moment receives gather on the beat that a cardiologist would point at? More than the
# height of the trace does, and more than the same network did before it was trained?
#
# **Prediction, before looking.** Near, but not because of the diagnosis. A QRS is the largest thing in the record, and tokens that stand out are
# looked at. So attention should follow amplitude, on normal and premature beats alike, and gain little over it. What a place holds in the last
# stage was gathered from elsewhere by convolutions and earlier attention, so the place that receives attention need not be the place of the
# evidence {cite:p}`jain2019`. Heads should look less far than an even spread would.

# %% tags=["parameters"]
dataset = "synthetic"  # whose networks and records: synthetic (no download) or ptbxl
task = ""  # empty: first task of the data set
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: mhsa,hilo,window,class_token; the first is shown in detail
records = "all"  # or some of the list: Normal,PVC,PAC
real = "ptbxl"  # recordings shown beside, by a network trained on such; empty: none

# %% [markdown]
# ## Whose maps, and which records
#
# Nothing is trained here. The networks are those that ship with the study, one for each type of attention, and one whose head reads a class token in
# place of a mean; where one does not ship, fresh weights are shown and said to be fresh. The records stand in `book/records.yaml`, chosen by a rule
# before anyone saw a map of them: simulated ones, whose truth is known, and beside them recordings, seen by a network that was trained on recordings.

# %%
from IPython.display import HTML, Markdown, display

from ecgstudy.study import attention_figures, attention_ludb, attention_page, attention_scores, attention_view

page = attention_page.ask(globals())
Markdown(page.what_is_shown())

# %% [markdown]
# ## Stage by stage
#
# A layer's map $A^h$ has a row for each query and a column for each key; each row sums to 1. What place $k$ receives, as a multiple of what an even
# spread would give it, is
#
# $$r^h_k = N \cdot \frac{1}{N} \sum_q A^h_{qk} = \sum_q A^h_{qk}$$ (eq-received)
#
# so 1 is even. For a network that is read by a class token, $r$ is instead that token's own row in the last stage. Every mechanism is mapped back to tokens: weights inside windows stand at their true places, and the weight of a merged key is
# shared by the tokens that it covers. A token of stage 3 stands for 40 ms and one of stage 4 for 80 ms; token $n$ is centred on
# the sample that its strided convolutions are centred on. The first two stages have no attention.

# %% mystnb={"figure": {"name": "fig-attention-stages", "caption": "Attention received, mean over heads, in every attention layer of the first mechanism, under lead II of each record: first the simulated ones, then the recordings. Premature beats are shaded where they are known, which in recordings they are not."}, "image": {"alt": "For a normal record and records with a premature ventricular and a premature atrial beat, simulated and recorded: five seconds of lead II on millimetre paper, and below each a heat strip for each attention layer of stages 3 and 4."}}
attention_figures.stages(page)

# %% [markdown]
# ## Every head of the last layer
#
# The mean over heads hides what single heads do. A vertical line in a map is a place that all queries look at; a diagonal is a head that looks near
# itself; squares are windows.

# %% mystnb={"figure": {"name": "fig-attention-heads", "caption": "Every head of the first network's last layer over one record: what each place receives, and below it the whole ten-second map, query down and key across. White is an even spread, orange more, purple less."}, "image": {"alt": "Lead II with a premature beat, a heat strip for each head of the last layer, and a square map for each head."}}
attention_figures.heads(page)

# %% [markdown]
# ## How far heads look
#
# The distance of a head is $\frac{1}{N}\sum_q\sum_k A_{qk}\,|q-k|$ in seconds. An even spread over ten seconds looks 3.3 s far, an even spread over a
# window much less, so each mechanism is held against an even spread over what it can see at all. The entropy of a row says how widely a
# query spreads, here as a share of the $\ln N$ that an even spread over the record has.

# %% mystnb={"figure": {"name": "fig-attention-distance", "caption": "Distance and entropy of every head, by layer (stage.number), mean over the scored records. Stroke: an even spread over what each query can see. Grey squares: the same networks before training."}, "image": {"alt": "Rows of dots, a panel for each attention type: mean distance in seconds on the left, entropy as a share of an even spread's on the right, one dot for each head of each layer."}}
attention_figures.distances(page)

# %% [markdown]
# ## All mechanisms side by side

# %% mystnb={"figure": {"name": "fig-attention-mechanisms", "caption": "Attention received in the last layer of each network, mean over heads, under the same records."}, "image": {"alt": "Three records of five seconds on millimetre paper, and below each a heat strip for each type of attention."}}
attention_figures.mechanisms(page)

# %% [markdown]
# ## Try it
#
# The first mechanism again, all ten seconds, every layer and head; recordings with the network trained on such. Move over the trace, or drag the slider, to
# choose the query; *received* is the mean over all queries, as in the pictures above. *Grad-CAM* and *gradient × input* are maps of the record's own
# class, which have neither head nor layer; {doc}`11_grad_cam` says what they are worth. *Rollout* follows attention
# back through all layers {cite:p}`abnar2020`: with $\bar A_i$ the mean over heads and half of each token kept by the residual path,
#
# $$R = M_D \cdots J \cdots M_2 M_1,\qquad M_i = \tfrac12 (\bar A_i + I)$$ (eq-rollout)
#
# where $J$, at the strided join between two stages, gives a token's share evenly to the three that it was fused from. Rollout knows nothing of the
# convolutions, of the values that are mixed, or of what the head makes of them.

# %%
HTML(attention_view.view(page))

# %% [markdown]
# ## Does attention gather on the premature beat?
#
# On simulated records the premature beats are known to the sample. A map is scored by the chance that a sample inside such a beat stands higher than a
# sample outside (AUROC over samples, record by record), and by *pointing*: whether its highest sample lies inside. The outer 0.4 s are left out,
# and 20 ms around a beat count as neither. The question is asked of one map, fixed beforehand: attention received in the last
# layer, mean over heads. It must beat
#
# - **|x|**, the distance of the trace from its median, mean over leads, at the same resolution: a premature ventricular beat is tall and wide;
# - **fresh weights**: the same network before its training;
# - **another record's map**: what a map owes to its own record;
#
# and it cannot exceed the *ceiling*: a map that knows the truth and has only tokens to say so. Differences are paired over records; verdicts after Holm
# over all networks, labels and rivals.

# %% mystnb={"figure": {"name": "fig-attention-gathered", "caption": "AUROC over samples of attention received in the last layer, with 95 % intervals over simulated records, beside what it must beat."}, "image": {"alt": "Dot plot, one row for each type of attention and a panel for each label: the network's score with its interval, the same network before training, another record's map, amplitude, and the ceiling."}}
question = attention_scores.ask(page)
attention_figures.gathered(question)

# %% [markdown]
# ## Reading
#
# On recordings the premature beat has no marked beginning and end, but LUDB {cite:p}`kalyakulina2020` has the boundaries of P, QRS and T. So the second
# table asks less: which part of the beat do places stand in that receive attention?

# %%
recordings = attention_ludb.ask(page)
display(question.table(), attention_ludb.table(recordings))
Markdown(question.reading(recordings))
