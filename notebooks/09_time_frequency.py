# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is there something in the spectrum that the trace does not show a network?
#
# **Question.** An ECG can be given to a network as twelve traces, or as twelve images of time and frequency. Both hold the same recording. Does a network that
# reads the images recognise other diagnoses than one that reads the traces, and does a network that reads both recognise more?
#
# **Prediction, before looking at our own runs.** The image keeps magnitudes and drops phases. A lead and its mirror image give the same picture, so whether a
# wave points up or down is lost, and the order of waves within one window shows only indirectly. Expect the frequency stream to lag where polarity or order
# inside a beat is the evidence, as in first-degree block and ST shifts, and to keep up where the rhythm or the width of the QRS complex is. Expect two streams to
# score little more than the traces alone: the second view adds no information, only another way to find it. The notes' own scores were known when this was
# written.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
streams = "all"  # or some of them: time,frequency
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Three networks
#
# The image of a lead $x$ is the logarithm of its short-time Fourier transform's magnitude,
#
# $$S_{f,n} = \log\Big(1 + \Big|\sum_{t=0}^{w-1} h_t\, x_{nH + t - w/2}\, e^{-2\pi i f t / w}\Big|\Big),$$ (eq-stft)
#
# with a Hann window $h$ of $w = 100$ samples, one second, moved by $H = 25$. Twelve leads of 1000 samples become twelve images of 51 frequencies, a hertz
# apart, and 41 frames, a quarter of a second apart.
#
# | network | input | what it is |
# | --- | --- | --- |
# | time | 12 × 1000 | ResNet34 with one-dimensional kernels |
# | frequency | 12 × 51 × 41 | the image network ResNet34 on {eq}`eq-stft`, the twelve leads in place of the colours |
# | two stream | both | the two side by side; their pooled features are joined and one linear map reads them |
#
# The study notes give the window and its length. The rest is our choice: the hop, the logarithm, one mean and one deviation a lead over all its cells (nothing
# learned), mirrored ends, and where the streams meet. All three networks start as wide as the first of the widths that the next line names.

# %%
from IPython.display import Markdown

from ecgstudy.study import axis_page, figures, time_frequency

page = axis_page.ask(globals(), "time_frequency")
Markdown(page.what_runs())

# %% [markdown]
# ## What the streams see
#
# Two simulated records and the networks' own transform of them. In the image a QRS complex is a bright column: short in time, hence wide in frequency. The
# dashed lines name the band in which QRS detectors look for it; P and T waves lie below it.
#
# A regular rhythm is a *comb*. Seen through one window as long as the record, its spectrum has a tooth at each multiple of the heart rate, and in atrial
# fibrillation the teeth dissolve. One second is too short for that: its bins are a hertz apart and a Hann window blurs each over its neighbours, so the teeth
# of an ordinary heart rate run together. What the network gets of the rhythm is the distance between the columns, on a grid of a quarter of a second.

# %% mystnb={"figure": {"name": "fig-streams-see", "caption": "Lead II of two simulated records, one regular and one in atrial fibrillation. Top: the trace. Middle: the spectrogram that the frequency stream gets, before it is standardised. Bottom: magnitude of one window over the whole record and mean magnitude of the one-second frames, with the multiples of the mean heart rate."}, "image": {"alt": "Two columns, regular rhythm and atrial fibrillation, of three panels: a lead II trace, a spectrogram with one bright column a beat, and spectra. The regular record's spectrum has sharp teeth at multiples of the heart rate, the other's has none; the curve of the one-second frames is smooth in both."}}
figures.closed(time_frequency.what_the_streams_see())

# %% [markdown]
# ## Scores
#
# Folds 1–8 train, 9 chooses the epoch (validation macro-AUROC) and one threshold a class (best F1), 10 is opened once, at the end. The three networks see the
# same records in the same order from the same seeds. The interval is a bootstrap over *patients*; differences are taken on the same draws and
# corrected after Holm. The grey columns are what the study notes report for CPSC2018 at full width; their threshold was chosen on the fold that was scored, so
# they flatter, and they stand here for orientation only.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-stream-scores", "caption": "Test scores of each stream. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds; grey crosses: the notes' F1, on other data."}, "image": {"alt": "Dot plot with one row for each of the streams time, frequency and both: macro-AUROC on the left, macro-F1 on the right, with intervals."}}
found.figure()

# %% [markdown]
# ## Class by class
#
# First the table of the notes, F1 a class, beside ours. F1 depends on a threshold that a handful of validation records set, so the gain of each stream is
# read from AUROC: its difference to the time stream, class by class, on the same patients.

# %%
time_frequency.f1_table(found.rows)

# %% mystnb={"figure": {"name": "fig-stream-gains", "caption": "Test AUROC of each class minus that of the time stream, mean over seeds, with a paired 95 % interval over patients; in brackets the positive test records. Grey: too few of them to be tested. Filled: the rule gives a verdict after Holm's correction over all classes and streams; open: undecided."}, "image": {"alt": "Dot plot with one row for each class and one panel for each stream beside time: the difference in AUROC to the time stream with its interval around a line at zero."}}
gains = time_frequency.class_gains(found)
figures.closed(time_frequency.gains_figure(gains, "What each stream gains"))

# %% [markdown]
# ## Cost
#
# Parameters and multiply-accumulates (MACs) of the networks on this page and at full width. Square kernels of nine weights stand where the network on traces has
# three, which makes the image network the heavier one; its image is small, so that at full width it still needs fewer MACs. The Fourier transform itself
# is in the measured time, and in no count of MACs.

# %%
page.cost_table()

# %% [markdown]
# ## Reading

# %%
Markdown(time_frequency.reading(found, gains))
