# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # ST-MEM: hide three quarters of every lead, and learn to fill them in
#
# **The problem.** Recordings are plenty, labels are few. Methods that learn from unlabelled records by comparing two altered copies of one record need alterations
# that leave the diagnosis as it is, and on an ECG that is hard to promise: a stretched or masked record may be another finding.
#
# **The idea.** {cite:t}`na2024stmem` alter nothing. They hide most of a record and have a network fill it in, as {cite:t}`he2022mae` did with images. The question is
# what one piece should be. A piece of time over all leads loses how leads differ; a whole lead loses time. Here each lead is cut by itself into patches of 0.3 s, so that a token is a
# place in time *and* a lead. All leads share one table of places $p$; a learned vector $e_l$ says which lead it is; a learned separator $s$ stands at both ends of a lead:
#
# $$t_{l,i} = \mathrm{LN}\big(W\,\mathrm{LN}(x_{l,i}) + b\big) + p_i + e_l, \qquad t_{l,0} = t_{l,n+1} = s + e_l.$$ (eq-st-mem-token)
#
# Of each lead, three quarters of the patches are hidden at random. The encoder reads what is left of all twelve leads together. The decoder then works on *one lead at a time*: it cannot
# simply copy the neighbouring lead, and what other leads know about a hidden patch has to be in the encoder's tokens already. Afterwards the decoder is thrown away.
#
# $$\mathcal L = \frac{\sum_{l,i} m_{l,i}\,\frac1p\lVert \hat x_{l,i} - \tilde x_{l,i} \rVert_2^2}{\sum_{l,i} m_{l,i}}, \qquad
# \tilde x_{l,i} = \frac{x_{l,i} - \mu(x_{l,i})}{\sqrt{\mathrm{Var}(x_{l,i}) + 10^{-6}}}, \qquad m_{l,i} = 1 \text{ where hidden.}$$ (eq-st-mem-loss)
#
# **Questions of this page.** What does the network fill in, and where does it fail? Do the lead vectors come to know which leads go together? And does an encoder that has
# learned this classify better than one from scratch?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: st_mem,st_mem_probe_100,st_mem_tuned_100,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page, pretraining
from ecgstudy.study.papers import st_mem

page = paper_page.ask(globals(), "st_mem")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# The first table shows the classifier, with nothing hidden. The second one adds the pretraining network and the official size, which is built without memory for its weights and only
# counted. The inner $\mathrm{LN}$ in {eq}`eq-st-mem-token` takes a patch's mean and amplitude away before anything is learned, and the target in {eq}`eq-st-mem-loss` has neither, so
# this network reads shapes and not millivolts.
#
# The study notes walk through the code in an excerpt. Five of its lines are not what the official code does; here they stand as that has them:
#
# 1. **The decoder has its own depth**, four blocks in the official size, and not the six of the excerpt. What a deep decoder learns is thrown away with it.
# 2. **Norm and output map stand behind the last decoder block**, not inside the loop over blocks. Inside, every block would end in an output of its own.
# 3. **The mask returns to the order of time** before it meets the loss. It is drawn in a shuffled order; used as drawn, it would score patches that the network has seen and skip
#    others that it has not. Here the kept places are written back one by one, which needs no second permutation.
# 4. **Separators have places of their own**, a row of zeros at either end of the table. Without them a separator would take the first patch's place and move every patch by one.
# 5. **The target is standardised patch by patch**, as in {eq}`eq-st-mem-loss`. In millivolts the QRS complexes would be nearly all of the loss, and a flat line between them nearly right.

# %%
display(paper_page.shape_table(page, depth=2), paper_page.size_table(page), st_mem.count_table())
Markdown(st_mem.cost_in_words(page))

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `st_mem` is trained from scratch. The other two begin with the pretrained encoder:
# in `st_mem_probe_100` it stays as it is and only the head learns, in `st_mem_tuned_100` all of it does. How either fares with a tenth or a hundredth of the labels is
# a question of the chapter on learning without labels. In grey what the paper reports.

# %%
found = page.compare()
display(found.score_table(), pretraining.history_table(found, st_mem.WANTED[:1]))
st_mem.reported_table()

# %% mystnb={"figure": {"name": "fig-st-mem-scores", "caption": "Test scores from scratch, with a head on the pretrained encoder, fine-tuned, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## The signature: what was hidden, and what was filled in
#
# The network predicts standardised patches, {eq}`eq-st-mem-loss`. To draw them in millivolts each is given **the mean and the standard deviation of the true patch**, which
# the network is never asked for: compare shapes, not levels or heights. The record is not chosen for its looks; of all that were tried its error is the median.

# %% mystnb={"figure": {"name": "fig-st-mem-filled", "caption": "The first seconds of a validation record in twelve leads. Shaded: patches that the network was given. Grey: recorded and hidden. Orange: filled in, with the true patch's own mean and standard deviation."}, "image": {"alt": "Twelve traces in two columns, each cut into patches of 0.3 seconds, about a quarter of them shaded; over the others a grey recorded line and an orange one that was filled in."}}
seen = st_mem.gather(found)
st_mem.filled_figure(seen, found)

# %% [markdown]
# ## Where filling in is hard
#
# On simulated records it is known which samples belong to which wave. A patch is of the kind of the first wave that it holds a sample of: a QRS complex, else a T wave, else a P wave,
# else nothing but baseline and noise. An error of 1 is what a patch's own mean costs, a flat line, whatever the patch holds. Noise cannot be filled in, so in a patch without
# a wave nothing much below 1 is to be had.

# %% mystnb={"figure": {"name": "fig-st-mem-errors", "caption": "Squared error of hidden patches, in variances of the true patch, by lead and by what the patch holds; mean over simulated records with its 95 % interval. Dashed: the patch's own mean, a flat line. Grey: the same network before pretraining."}, "image": {"alt": "Two panels of dots with error bars around a dashed line at one: twelve leads on the left, four kinds of patches on the right."}}
st_mem.error_figure(seen)

# %% [markdown]
# ## Do the lead vectors know the leads?
#
# Nobody tells the network where an electrode lies. A lead's vector $e_l$ is learned, and begins as a short random one. If two leads can stand in for each other, the
# encoder should come to treat their tokens alike. On the left is how the leads go together in the records; among the limb leads this is so by construction, since III = II − I and
# the augmented leads are sums of these. A lead that is another one upside down, as aVR nearly is of the lateral leads, has the same shape with the other sign.

# %% mystnb={"figure": {"name": "fig-st-mem-leads", "caption": "Left: correlation of each pair of leads, mean over validation records. Middle: cosine of each pair of lead vectors. Right: both for the 66 pairs, and their rank correlation, before pretraining (grey) and after it."}, "image": {"alt": "Two 12 by 12 heat maps in red and blue, and a scatter plot of cosines against correlations."}}
st_mem.lead_figure(seen)

# %% [markdown]
# ## Reading

# %%
limits = ["the paper pretrains far longer, on records of three data sets, with a network many times as large"]
paper_page.reading(found, [st_mem.in_words(seen)], limits, seen.net.weights)
