# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What would a million records cost?
#
# **Question.** This study was made on some ten thousand records and two cores. What would the same design ask for with a million 12-lead records, with
# a day of one person, or with a thousand runs: in bytes, in hours, in money? And is the answer more than arithmetic?
#
# **The idea.** Every cost here is a count times a rate. Counts are exact: samples, records, multiply-accumulates. Rates are measured where there is a
# machine to measure on, and assumed where there is none; the table below says which is which, and each assumption is a parameter of this page. Then one
# prediction is put to the test: the simulator prepares a data set ten times as large as PTB-XL {cite:p}`wagner2020`, and what it takes is compared
# with what the smaller sizes promised.
#
# The work of the base network on a record of $T$ samples is a polynomial,
#
# $$\mathrm{MACs}(T) = a + b\,T + c\,T^2,$$ (eq-scale-length)
#
# whose last term is attention alone: every token meets every other. Three counted lengths give the three numbers exactly.
#
# **Prediction, before looking.** Expect preparing to hold hardly more memory for ten times the records, because each block is on disk before the next is
# read. Expect training on one core to cost hundreds of times what preparing does. Expect the square in {eq}`eq-scale-length` to be harmless over ten seconds, and
# out of the question over a day.

# %% tags=["parameters"]
n_records = 1_000_000  # 12 leads, 10 s
epochs = 30  # of one training run
holter_hours = 24.0  # length of one long recording
n_runs = 1000  # of the base, on as many training records as PTB-XL has
gpu_tflops = 180.0  # 10^12 operations a second that a training step sustains; assumed
price_gpu_hour = 3.0  # dollars; assumed
price_core_hour = 0.05  # dollars; assumed
price_gb_month = 0.025  # dollars; assumed

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, scale, scale_figures

rates = scale.ask(globals())
law = scale.length_law()
scale.rate_table(rates, law)

# %% [markdown]
# The assumed speed of a GPU is a guess on the careful side: about a quarter of what current data-centre cards reach on large bfloat16 matrix products.
# Nothing on this page was measured on one.
#
# ## Checked: ten times PTB-XL
#
# Each size was prepared in a process of its own, so that its largest memory is its own. What the next smaller size promises is its processor time and
# its bytes, times the records.

# %%
scale.prediction_table(rates)

# %% [markdown]
# What is left of the growth is the table (patient, fold, age, sex, statements), which stays in memory while it is short against the signals.
# Reading published files also keeps the headers that were read last, a bounded number of them.

# %% mystnb={"figure": {"name": "fig-scale-streaming", "caption": "Preparing, over the number of records. Marks: measured, each size in a process of its own. Dashed: the line through them, on to the number of records that this page asks for (dotted)."}, "image": {"alt": "Two plots over the number of records on logarithmic axes. Above, bytes on disk rise in proportion while the memory of the process stays almost level; below, processor time rises in proportion."}}
figures.closed(scale_figures.streaming_figure(rates, "Preparing: the disk fills, the memory holds the table"))

# %% [markdown]
# ## A million records
#
# One run of the base network over the training folds. Keeping is priced for a month; the two rows of training are two ways to do the same.

# %%
scale.cost_table(scale.million(rates, law), rates, f"{rates.n_records:,} records of 10 s and 12 leads, {rates.epochs} epochs of the base.")

# %% [markdown]
# ## A day of one person
#
# Two ways to read a long recording. Windows of ten seconds, each read by the network as it is, with a small recurrent network (a GRU) over the windows:
# the work grows with the length. Or the network over all of it at once: its convolutions would not mind, its attention would. *Held at once* is what must
# lie in memory beside the recording: one vector a window, or one head's attention weights in half precision, where the weights are held. Fused attention
# does not hold them; the work stays.

# %%
scale.reading_table(scale.holter(rates, law), rates, law)

# %% mystnb={"figure": {"name": "fig-scale-holter", "caption": "Multiply-accumulates of the base network reading one recording once, over the recording's length. Dotted: the length that this page asks for."}, "image": {"alt": "Two lines over the length of a recording on logarithmic axes. They start together at ten seconds; windows rise in proportion, attention over everything bends upwards to rise with the square."}}
figures.closed(scale_figures.holter_figure(rates, law, "Ten seconds at a time, or everything at once"))

# %% [markdown]
# ## A thousand runs
#
# What this study would ask for, had every run the size of the full profile on PTB-XL. A sweep is many such runs, and any of them can be stopped and
# taken up again, so hours need not be in a row.

# %%
n_training = scale.PTBXL_TRAINING
display(scale.cost_table(scale.many_runs(rates, law, n_training), rates, f"{rates.n_runs:,} runs of the base, {n_training:,} records each."))
Markdown(scale.in_words(rates, law, n_training))

# %% [markdown]
# ## What can be concluded
#
# Bytes and memory are settled: they were counted, and the largest size was measured. Processor time is measured on one core of one machine, and on
# simulated records; reading from a slow disk or over a network adds waiting that is not in it. The hours on a GPU rest on one assumed number, and money on
# assumed prices: change them at the top of the page.
#
# **What cannot.** That a million records would be worth it: nothing here says how a score grows with records. Nor that training stays fed: records
# that do not fit into the device's memory are read from disk, batch by batch, and how fast that is was not measured here.
#
# **What would settle it.** The training step of this page on a real card, in the same table as its assumed speed.
