# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # LightConv transformer: can a few numbers a head stand for attention?
#
# **The problem.** An ECG from a patch or a watch runs for days, is noisy, and must be read on a small device. The beats that matter in it are early ones:
# from the ventricles (PVC) with a broad, strange shape, from above them with an ordinary shape at an unusual time. {cite:t}`meng2022` start from a
# transformer that reads one beat at a time and is told its rhythm in numbers, and make it lighter.
#
# **The idea.** Two attentions of different reach. *Local*: squeeze-and-excitation {cite:p}`hu2018` in the convolutions that embed a beat asks which channels
# matter in it. *Global*: self-attention over the tokens of the beat is replaced by LightConv {cite:p}`wu2019`, a convolution whose kernels are averages and are
# shared by many channels, behind a gate:
#
# $$\mathrm{LConv}(X)_{t,c} = \sum_{j=1}^{k} \mathrm{softmax}(w_{h(c)})_j\, X_{t+j-(k+1)/2,\,c},\qquad
# \mathrm{LCA}(X) = \mathrm{LConv}\big(A \odot \sigma(B)\big) W_o,\quad [A, B] = X W_i.$$ (eq-light-conv)
#
# Attention computes from the tokens who listens to whom. In {eq}`eq-light-conv` that is fixed after training; only the gate $\sigma(B)$ still depends on
# the beat.
#
# **Questions of this page.** Is the light convolution told apart from the self-attention that it replaces, everything else equal? What did its kernels
# become? And do the gates open differently for beats of different origin?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: lightweight_transformer,self_attention,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours
#
# The paper labels beats. The records here are labelled as a whole, and nobody says which beat earned the label. So a record is a *bag*: every beat is encoded
# alone, and the mean and the maximum over beats are classified. The mean serves what all beats share, a bundle branch block; the maximum serves a single
# early beat.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import lightweight_transformer as light

page = paper_page.ask(globals(), "lightweight_transformer")
Markdown(page.what_runs() + "\n\n" + paper_page.about(page))

# %% [markdown]
# ## Architecture
#
# The shapes leave out the first axis. It counts beats, not records: the beats of a batch are cut out, laid behind one another, and put back into their records
# before the bag. So no batch norm ever sees the padding of a record with few beats. In the second table `attention` is the control: the same
# network with self-attention in each encoder layer. How many MACs a record costs depends on how many beats it has.

# %%
display(paper_page.shape_table(page, depth=2))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `self_attention` is the control, ResNet18 reads
# the whole record without knowing of beats. In grey, where there is one, the study notes' F1 on CPSC2018.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-light-scores", "caption": "Test scores of the light convolution, of self-attention in its place, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each of three networks: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## The beats
#
# What the network gets, on simulated records, where the origin of each beat is known. The beats of one kind lie over one another below. Atrial early
# beats (PAC) look much like sinus beats; what marks them is the interval before, given as a number. In atrial fibrillation the P wave is gone and
# the interval is all but random. The network is not told the kind.

# %% mystnb={"figure": {"name": "fig-light-beats", "caption": "Above: lead II of a simulated record; triangles are detected R-peaks, bars the windows that are cut, coloured by the true kind of beat. Below: beats of each kind as they are cut, grey, and their median; the RR interval before the beat over the record's mean, median."}, "image": {"alt": "A ten-second ECG trace with a coloured bar and a triangle for each beat, and below it a panel of overlaid beats for each kind, aligned at the R-peak."}}
seen = light.subject(found)
figures.closed(light.beat_figure(seen, found))

# %% [markdown]
# ## The gates and the kernels
#
# The gates of the three convolutions, averaged over beats of a kind. A gate at one half that never moves does nothing; what counts is the lower row.

# %% mystnb={"figure": {"name": "fig-light-gates", "caption": "Squeeze-and-excitation in the embedding. Above: how far each channel is opened, mean over the beats of a kind, channels sorted by sinus beats. Below: difference to sinus beats."}, "image": {"alt": "Three columns, one for each convolution: above, dots between 0 and 1 for each channel and kind; below, a red and blue heat map of differences."}}
figures.closed(light.gate_figure(seen))

# %% [markdown]
# Each head of a layer has one kernel. All weights are positive and add up to one, so a kernel can smooth and shift but take no difference. A token is
# 40 ms. A kernel that stays at the dashed line is a plain running mean.

# %% mystnb={"figure": {"name": "fig-light-kernels", "caption": "The softmax kernels of the encoder, one line a head. Dashed: equal weights. In use: the exponential of the kernel's entropy, mean over heads, and what it was before training."}, "image": {"alt": "Four panels with the kernel weights of eight heads over time offset; kernels span 3, 7, 15 and 15 tokens."}}
figures.closed(light.kernel_figure(seen))

# %% [markdown]
# ## Reading

# %%
limits = ["the paper's own task, the label of a single beat in one lead, was not repeated"]
paper_page.reading(found, [light.in_words(seen), light.reported()], limits)
