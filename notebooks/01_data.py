# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What is in the data, and can it be trusted?
#
# **Question.** Every later page ranks networks by how they score on the same records. Before that: who are the people in these
# records, how often does each diagnosis occur, do the folds resemble each other, what is wrong with the recordings, and does a
# trace look like what its label says?
#
# Three public collections of 12-lead recordings serve the study, PTB-XL {cite:p}`wagner2020` and, by way of PhysioNet
# {cite:p}`goldberger2000`, CPSC2018 {cite:p}`liu2018` and Chapman-Shaoxing {cite:p}`zheng2020`. A simulator stands beside them whose
# records need no download and whose truth is known to the millisecond. Each run of this page looks at one of the four; the
# simulator's own check closes every run.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; says how many records are simulated

# %%
import matplotlib.pyplot as plt
from IPython.display import HTML, Markdown, display

from ecgstudy.data.synthetic import realism
from ecgstudy.study import class_pages, data_page, record_view, request
from ecgstudy.study import simulated_to_real

page = request.read_request(globals(), "01_data", {})
data = data_page.open_data(page)
Markdown(data_page.what_is_here(data))

# %% [markdown]
# ## How many of each
#
# A record may carry several classes. Folds 1 to 8 train, 9 chooses, 10 is scored once. Where the study notes printed their own
# counts, these stand beside ours: if the two agree to the record, the labels were read as the notes read them.

# %%
display(data_page.count_table(data), Markdown(data_page.verdict(data)))

# %% [markdown]
# ## Who

# %% mystnb={"figure": {"name": "fig-people", "caption": "Left: ages of all records by sex, in bins of five years. Middle: median age of each class with its middle half. Right: share of men in each class."}, "image": {"alt": "Histogram of ages for women and men; beside it one row for each class with median age and quartiles, and the share of men."}}
people = data_page.people(data)
plt.close(people)
people

# %% [markdown]
# ## Lengths, folds, and what is wrong with the recordings
#
# A fold that resembles the others makes a validation score a fair guess of the test score. Folds are made over patients, not records:
# two records of one person never stand on both sides.
#
# Recordings that cannot be read as they claim to be are refused by name when the data are prepared. What can be read may still be
# poor: a lead that is flat, a signal at its limit, a drifting baseline. Such records stay, as they would in a clinic, and are counted.

# %%
display(data_page.fold_table(data), Markdown(data_page.lengths(data)), data_page.quality(data))

# %% [markdown]
# ## One record of every class
#
# The rule is fixed beforehand and looks at no signal: of the records of fold 9 that carry no other class of the task, the one with the
# fewest published statements, and among those the first. Fold 10 is not looked at. Tasks of more than nine classes show the nine most
# frequent in folds 1 to 8. A small square is a millimetre: 40 ms wide, 0.1 mV tall. Lead II runs through below.

# %% mystnb={"image": {"alt": "Twelve-lead ECG on millimetre paper, three rows of four leads above a rhythm strip of lead II; the line above it names class, record, age, sex and statements."}}
for about, picture in class_pages.class_pages(data):
    display(Markdown(about), *[picture] * (picture is not None))
plt.close("all")

# %% [markdown]
# ## The simulator, and what is true of it
#
# Of a recording nobody knows which samples made a cardiologist write a label. Of a simulated record it is known, in time and in leads:
# the right bundle branch block below stands in every conducted beat and shows late in V1 and V2 and, as a broad S, in I and V6; the
# ventricular beat shows everywhere. Later pages score attention maps and Grad-CAM against these spans.
#
# It is known because every wave of a beat is one bump $k_w(t)$ that is exactly zero outside its boundaries. A wave has a vector $d_w$, of a
# dipole and of two weak sources near the electrodes, and lead $l$ sees it through its lead vector $v_l$:
#
# $$x_l(t) = \sum_w \big(v_l^\top d_w\big)\, k_w(t) + \varepsilon_l(t)$$ (eq-simulated)
#
# with the noise $\varepsilon$ of electrodes, muscle and breathing. An abnormality changes $d_w$ or the times of $k_w$, so when and in which leads it
# shows is read off, not estimated.
#
# Truth is worth as much as the record around it, so simulated records are measured the way real ones were: the answer below counts how
# many measures lie inside the range of real recordings, and the table under it lists them.

# %% mystnb={"figure": {"name": "fig-truth", "caption": "A simulated record with two labels. Shaded: when each label shows, on the leads that show it; nothing else in the trace is evidence for it."}, "image": {"alt": "Simulated twelve-lead ECG on millimetre paper. Blue bands on each conducted QRS of leads I, V1, V2 and V6 mark the bundle branch block; orange bands across all leads mark ventricular beats."}}
truth = class_pages.simulated_truth()
plt.close(truth)
truth

# %% [markdown]
# ## Measure one yourself
#
# One simulated record of each class, at the 100 Hz that networks read. The caliper begins on the first two beats of lead II. Switch the truth off,
# measure the PR interval of the record with an AV block or the pause after a premature beat, and switch it on again: the shade stands where the
# finding shows, in time and in leads, and the bars under the strip run from the beginning to the end of each wave. Page 10 draws attention over
# three of these records.

# %%
HTML(record_view.view())

# %% [markdown]
# ## Reading
#
# Last, the sharpest question to a simulator: does a network that was trained, stopped and thresholded on simulated records alone
# recognise recorded ones? The answer below is read from the ledger of finished runs.

# %%
checks = realism.measure()
display(Markdown(data_page.reading(data, checks)))
display(data_page.realism_table(checks), *simulated_to_real.shown(page.size.name))
