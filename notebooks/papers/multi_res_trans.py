# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MRTNet: units of a beat at several rates, mean and maximum of each
#
# **The problem.** A cardiologist looks for infarction beat by beat and then compares the beats. A convolutional network over a whole strip
# sees ten seconds at once and loses that order.
#
# **The idea.** The network of {cite:p}`mrtnet2023` cuts the strip into overlapping units about as long as a beat, looks at each
# unit in several sampling rates, and lets a transformer relate the units to each other. Each unit $s$ at each rate gives a map
# $F_s \in \mathbb{R}^{C \times N}$, and what the transformer reads of it are two summaries side by side:
#
# $$p_s = W_p\,\big[\,\mathrm{mean}_n\,F_s\,;\ \mathrm{max}_n\,F_s\,\big] + b_p$$ (eq-mrt-pooling)
#
# The mean (GAP) marks the unit as a whole, the maximum (GMP) its most telling moment.
#
# **Questions of this page.** What of a beat is left at 25 Hz? Which moments do the maxima mark? And which classes are told by the maximum,
# which by the mean? One would expect the maximum to serve what is short, a single wide beat, and the mean what fills the unit.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: multi_res_trans,mean_alone,max_alone,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for
#
# Of this paper the abstract is known and little more. What stands below is therefore a network in the paper's outline, with sizes of our
# own, and a score of it says nothing against the paper.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import multi_res_trans, simulated

page = paper_page.ask(globals(), "multi_res_trans")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# Nine units of two seconds, one begun every second. In a block the squeeze-and-excitation weighs the channels of the second
# convolution's output $U$ before the shortcut is added:
#
# $$\tilde U_c = \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\bar U)\big)_c\;U_c$$ (eq-mrt-se)
#
# The three rates have a network each; the encoder behind them is one and the same, so a module below that runs three times is named
# three times and counted once.

# %%
display(paper_page.shape_table(page, depth=2))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# The network with both poolings, with either one alone, and a plain residual network for a baseline, under this study's protocol.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mrt-scores", "caption": "Test scores of the network with both poolings, with one of them, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## Three rates
#
# A lower rate is the mean of 2 or 4 samples. Slow waves pass unharmed; a narrow QRS loses height, as its title says, and a wide one keeps
# it. Under each rate: at which moment of the unit the channels of the last map have their maximum, the moment that GMP reports.

# %% mystnb={"figure": {"name": "fig-mrt-rates", "caption": "Upper: lead II of a simulated record and its overlapping units. Middle: one unit at the three rates, points over the trace at the full rate (grey), with P, QRS and T shaded. Lower: number of channels of the last map whose maximum stands at each moment."}, "image": {"alt": "An ECG strip with bars for nine overlapping units; below, one unit drawn at 100, 50 and 25 Hz, each above a histogram of maxima over time."}}
seen = simulated.subject(found, range(multi_res_trans.N_RECORDS))
figures.closed(multi_res_trans.rate_figure(seen))

# %% [markdown]
# ## Mean against maximum
#
# Each point is one channel of the last map, read alone: how well its mean separates the class from all other records, and how well its
# maximum does (AUROC, turned round where it is below one half; both averaged over the record's units). Above the dotted line the maximum
# tells more. Classes that few of these records carry are left out.

# %% mystnb={"figure": {"name": "fig-mrt-pooling", "caption": "Every channel's separation of a class by its maximum (GMP) against that by its mean (GAP), on simulated records; one colour a rate. In the titles the share of channels above the dotted line."}, "image": {"alt": "One scatter plot for each class, AUROC of the mean across, AUROC of the maximum up, with a dotted diagonal."}}
figures.closed(multi_res_trans.pooling_figure(seen))

# %% [markdown]
# ## Reading

# %%
told = [multi_res_trans.in_words(seen), multi_res_trans.reported()]
paper_page.reading(found, told, [multi_res_trans.REPORTED_LIMIT])
