# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Every network, one protocol
#
# **Question.** Each paper of this study reports its network on its own data, in its own split, by its own rule, and each of them wins. What is left of
# the order when all of them read the same records, train by the same recipe, and are scored once on the same test fold? And what does a point of score
# cost?
#
# **The idea.** Everything but the network is held equal: folds 1 to 8 train, fold 9 chooses the epoch and a threshold for each class, fold 10 is opened
# once. A score is $m$ with an interval over patients; two networks are compared on the same patients and the same seeds. With $M$ networks there are
# $M(M-1)/2$ pairs, and one of them will look different by luck. So all pairs are asked at once: a pair counts as told apart only where
#
# $$|m_i - m_j| > q\,s_{ij}$$ (eq-benchmark-apart)
#
# where $s_{ij}$ is the spread of the paired difference over bootstrap draws of patients, and $q$ the value that the *largest* standardised difference
# of all pairs exceeds in one draw of twenty {cite:p}`westfall1993`. Every seed has to point the same way, too.
#
# **Prediction, before looking.** With few records and few epochs expect small convolutional networks in front, transformers behind, and most neighbours
# not told apart. Networks whose idea needs many beats or long training, the recurrent ones and those of several stages of attention, should gain most
# from the full profile.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: mina,inception_former,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, benchmark, benchmark_figures, figures
from ecgstudy.study.profiles import profile as size_of

page = axis_page.ask(globals(), "benchmark")
Markdown(page.what_runs())

# %% [markdown]
# ## Scores and cost
#
# All networks that are registered in the package, and the notes' best one (`InceptionNeXt + Shunted`), highest mean first. The short profiles narrow
# most of them; what is left of each stands in the last columns, and the second table has the sizes of the full profile. Multi-module is told age and
# sex, which no other network gets, and MAMIL and LightConv are told where the R-peaks are, found by a detector in the same signal.

# %%
found = page.compare()
costs = page.costs()
display(benchmark.benchmark_table(found, costs), found.class_table())
benchmark.size_table(page, page.costs(size_of("full")))

# %% [markdown]
# ## Score against cost
#
# Up is better and left is cheaper. MACs say what a network asks for; time says what one core of this machine makes of it. A recurrent network asks for
# little and waits long, because its steps wait for one another.

# %% mystnb={"figure": {"name": "fig-benchmark-cost", "caption": "Test macro-AUROC, mean with 95 % interval over patients, against multiply-accumulates (above) and processor time (below) of one record, both on a logarithmic scale. Bold: networks on the front, which no cheaper one exceeds."}, "image": {"alt": "Two scatter plots of macro-AUROC over cost, one point a network with its name at the right, and a line along the Pareto front."}}
drawn = benchmark_figures.cost_figure(found, costs, "Score against cost")
axis_page.save_picture(drawn, page.request)
figures.closed(drawn)

# %% [markdown]
# ## Who can be told from whom
#
# A critical-difference picture usually ranks methods over many data sets. Here is one data set, so the axis is the score itself, and the bars at the
# left join neighbours of which no two can be told apart by {eq}`eq-benchmark-apart`. No common bar means: told apart. Only networks with three seeds
# enter, for with fewer nobody knows what another seed would do.

# %% mystnb={"figure": {"name": "fig-benchmark-apart", "caption": "Networks with at least three seeds in the order of their mean test macro-AUROC. Each bar at the left joins neighbours of which no two can be told apart."}, "image": {"alt": "A list of networks from best to worst with a dot at each mean macro-AUROC; vertical bars on the left join groups that cannot be told apart."}}
ranked = benchmark.ranking(found)
figures.closed(benchmark_figures.ranking_figure(ranked, "All pairs asked at once"))

# %% [markdown]
# ## Beside published numbers
#
# PTB-XL has a benchmark of its own {cite:p}`strodthoff2021`, on the same folds. Its tasks are other ones than the nine classes that this study borrows
# from CPSC2018; the twelve rhythm statements are common to both. So that column, and only that column, may be read across the line.

# %%
benchmark.published_table(page)

# %% [markdown]
# ## Reading

# %%
limits = ["one recipe for all, tuned for none: a network that its authors trained longer, wider or otherwise is not judged here",
          "several papers' tasks, single beats or one lead, are not this one"]
Markdown(f"{benchmark.in_words(found, costs, ranked)}\n\n{found.reading(limits=limits)}")
