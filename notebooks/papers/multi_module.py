# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Waveform, spectrogram, age and sex, fused by a transformer
#
# **The problem.** A CNN on single pieces of an ECG, drawn as a wave or as a spectrogram, does not know what came before the piece; and
# age and sex, which a cardiologist reads first, are rarely given to a network at all. {cite:t}`le2021` give each of the four a module of
# its own.
#
# **The idea.** The record is cut into pieces of one second. Two modules read them, one as waves and one as images, each with a CNN for a
# single piece and an LSTM for their order; two more read age and sex. Each module gives one vector, and a small transformer encoder
# weighs the four against each other. With $E = [t, s, a, g]$, one token each of waveform, spectrogram, age and sex, three times
#
# $$E \leftarrow \mathrm{LN}\big(E + \mathrm{MHA}(E)\big),\qquad E \leftarrow \mathrm{LN}\big(E + W_2\,\mathrm{ReLU}(W_1 E)\big)$$ (eq-module-fusion)
#
# and a classifier reads the mean of the four.
#
# **Questions of this page.** Which module does the trained network lean on, and for which diagnosis? The spectrogram is computed from the
# same samples as the waveform: does it add anything? And what are age and sex worth?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some: multi_module,signal_alone,waveform_alone
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Whom this network stands for

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import multi_module as own

page = paper_page.ask(globals(), "multi_module")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# Both CNNs read all ten pieces with the same weights, so the first number of their shapes is the number of pieces. Age is one-hot over a
# hundred years and sex over two values, each with one more place for "unknown". In the second table `signal alone` has neither, and
# `deep` has the depths of the authors' code.

# %%
display(paper_page.shape_table(page, depth=3))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. This
# network is told age and sex, the baseline is not; a difference between them is not one of architecture alone.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-multi-module-scores", "caption": "Test scores of the network and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## What the paper reports
#
# On MIT-BIH, six kinds of window of ten seconds, F1 and accuracy in per cent. Windows of one patient lie in training and in validation
# there, which flatters every line of the table, and the authors' script takes F1 over the first three classes only. The lines differ by
# less than one point; no interval is given.

# %%
own.reported_table()

# %% [markdown]
# ## What the modules see, and how they are weighed
#
# The image is what the spectrogram module gets: decibels, each piece standardised by itself. Below, the mean attention of
# {eq}`eq-module-fusion` over heads and validation records; a row is what one module's token takes from the others.

# %% mystnb={"figure": {"name": "fig-multi-module-inputs", "caption": "Above: lead II of a validation record in pieces of a second, and the spectrogram of each piece. Below: mean attention between the modules in the three layers of the fusion."}, "image": {"alt": "An ECG trace cut by vertical lines, a spectrogram under it with a bright column at each beat, and three small square matrices of attention between the modules."}}
seen = own.subject(found)
own.input_figure(seen)

# %% [markdown]
# ## Each module left out
#
# The trained network is read again on the validation fold without one module: once with its token removed from the fusion, once with the
# token replaced by its mean over all records, which tells the network nothing and yet looks familiar to it. Nothing is trained again.

# %% mystnb={"figure": {"name": "fig-multi-module-left-out", "caption": "Loss of validation macro-AUROC without each module, with 95 % intervals over patients, and loss of AUROC by class with its token replaced by the mean."}, "image": {"alt": "Left, dots with intervals for each of four modules, two ways of leaving it out; right, a table of modules by classes, red where AUROC is lost."}}
left_out = own.contributions(seen)
own.contribution_figure(seen, left_out)

# %% [markdown]
# ## Reading

# %%
limits = ["age and sex are given to this network and not to the baseline"]
paper_page.reading(found, [own.in_words(seen, left_out)], limits)
