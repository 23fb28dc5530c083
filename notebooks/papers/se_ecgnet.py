# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # SE-ECGNet: the ECG as a grey image, and gates that weigh its channels
#
# **The problem.** Recurrent networks find it hard to learn from thousands of samples in a row, and a one-dimensional convolution merges the leads in its
# first layer, before it has found anything in any of them.
#
# **The idea.** {cite:t}`zhang2020` give the network the record as a grey image of one row a lead. Two-dimensional kernels that are one row high treat every
# lead alike and mix none. Then channels and leads become one axis, and one-dimensional kernels mix the leads. Three branches, with kernels 3, 5 and 7, see
# the same image at three scales. In both parts each block ends in a squeeze-and-excitation gate {cite:p}`hu2018`,
#
# $$x \odot s,\qquad s = \sigma\big(W_2\,\mathrm{ReLU}(W_1\,\bar x)\big),$$ (eq-se-gate)
#
# where $\bar x$ is the mean of a channel over the whole record: over leads and time in the image part, over time in the other. So the gate is the one
# place of the image part where the leads meet.
#
# **Questions of this page.** What is the record as an image to a network that reads it so? And do the gates open differently for records of
# different classes?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: se_ecgnet,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown

from ecgstudy.study import figures, paper_page
from ecgstudy.study.papers import se_ecgnet

page = paper_page.ask(globals(), "se_ecgnet")
Markdown(page.what_runs() + "\n\n" + paper_page.about(page))

# %% [markdown]
# ## The network
#
# A stem of half a second and three blocks of long kernels shrink the image along time. Each branch then has four blocks on every lead, and four that
# mix the leads and halve the time again. The tables show the study's size; the short profiles train a narrower one, `quick` in the registry.

# %%
paper_page.shape_table(page, depth=2)

# %%
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol, beside a plain ResNet18: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. The grey number of ResNet18
# is the study notes', on CPSC2018. What the paper reports stands at the end of the page, with the reason why it cannot stand in this table.

# %%
found = page.compare()
found.score_table()

# %% [markdown]
# ## The signature: the record as an image
#
# Three views of one validation record. In the image a deflection is a grey level, and what a reader calls the shape of a wave is a short row of greys. The
# rows have an order, but the network cannot use it before the leads are mixed: the same kernel runs along each.

# %% mystnb={"figure": {"name": "fig-se-image", "caption": "A validation record on one time axis. Top: twelve traces, each from its own median. Middle: the same numbers as the image that enters the network, scaled by the training records' mean and deviation. Bottom: one channel after the stem. Greys end at the 0.5th and 99.5th percentile."}, "image": {"alt": "Twelve ECG traces above two grey images of twelve rows: the input, in which each QRS complex is a narrow column of light and dark cells, and a filtered version of it."}}
seen = se_ecgnet.gather(found)
se_ecgnet.image_figure(seen, found)

# %% [markdown]
# ## The gates, class by class
#
# The factors $s$ of {eq}`eq-se-gate` depend on the record. If they sort out what matters for a diagnosis, records of different classes should get
# different factors. Averages over the validation records of each class (at most 256 records in all, evenly spread), minus the average over all of them:

# %% mystnb={"figure": {"name": "fig-se-gates", "caption": "Mean factor of each channel over the validation records of a class, minus its mean over all records; in brackets the records of the class. Each panel has its own scale. Grey: fewer than three records."}, "image": {"alt": "Two heat maps with a row for each class and a column for each channel, in red where a class raises a channel's factor and in blue where it lowers it."}}
figures.closed(se_ecgnet.gate_figure(seen))

# %% [markdown]
# A class mean of few records differs from the others by chance too. The next figure measures every gate of the network by one number, the standard
# deviation over classes of the mean factor, averaged over channels, and sets beside it what the same records give when their labels are shuffled.

# %% mystnb={"figure": {"name": "fig-se-depth", "caption": "How far classes lie apart in each gate, from the first to the last, in each branch. Dashed: mean over twenty shuffles of the labels."}, "image": {"alt": "Line plot over the gates in network order, one line for each of three branches and dashed grey lines for shuffled labels."}}
figures.closed(se_ecgnet.depth_figure(seen))

# %% [markdown]
# ## Reading

# %%
limits = ["a gate that differs between classes need not be what the decision rests on"]
paper_page.reading(found, [se_ecgnet.words(seen), se_ecgnet.paper_scores()], limits)
