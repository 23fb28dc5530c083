# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # MVMS-Net: six views of one heart
#
# **The problem.** Twelve leads are not twelve independent channels. Some are neighbours: V1 and V2 both face the septum, II, III and aVF all look from below. A
# first convolution over all of them mixes what belongs together with what does not, before anything was found in any of them.
#
# **The idea.** {cite:t}`yang2023mvms` part the leads into six anatomical views. Each view has a small network of its own, which turns it into a vector $f_v$; a gate
# that reads nothing but this vector weighs it; and the six are added:
#
# $$z = b + \sum_{v=1}^{6} \sigma(a_v^\top f_v + b_v)\; W f_v.$$ (eq-mvms)
#
# Written this way, {eq}`eq-mvms` shows something useful: a logit *is* a sum over views. How much each view adds to a diagnosis can be read off exactly, without any
# method of attribution. The six networks together are then the teacher of one small *student*; this page trains the student on labels
# alone, for comparison.
#
# **Questions of this page.** Do the gates open for the views in which a diagnosis is read? And does a block need several scales, which the title
# promises and the published code does not have?

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: mvms_ecg,hierarchical,student,resnet18
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is the paper's and what is ours

# %%
from IPython.display import Markdown, display

from ecgstudy.study import paper_page
from ecgstudy.study.papers import mvms_ecg as mvms

page = paper_page.ask(globals(), "mvms_ecg")
Markdown(f"{page.what_runs()}\n\n{paper_page.about(page)}")

# %% [markdown]
# ## Architecture
#
# Each view's network is a stem of a quarter of a second and two Res2 blocks that halve the length. A block widens its map, splits it into four parts, convolves
# three of them, joins them, and gates the result by coordinate attention, once for each channel and once for each channel and place. In Res2Net {cite:p}`gao2021`
# a part also receives what the part before it gave, so that the parts see one, two and three kernels far. The published code leaves these links out, and with them the
# scales; `hierarchical` puts them back, at the same number of parameters.
#
# $$y_i = K_i * u_i \quad\text{(as published)}, \qquad y_i = K_i * (u_i + y_{i-1}) \quad\text{(hierarchical)}$$
#
# The table shows one line for each view's stem and blocks, in the order of the views. The short profiles train a quarter of the width.

# %%
display(paper_page.shape_table(page, depth=3))
paper_page.size_table(page)

# %% [markdown]
# ## Scores
#
# Under the study's protocol: folds 1–8 train, 9 chooses the epoch and the thresholds, 10 is opened once. `student` is one view of all twelve leads, trained without
# its teacher. What the paper reports could not be established from the sources that were at hand; the grey number of ResNet18 is the study notes'.

# %%
found = page.compare()
found.score_table()

# %% mystnb={"figure": {"name": "fig-mvms-scores", "caption": "Test scores of the six views, of the hierarchical block, of the student, and of the baseline. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each network: macro-AUROC on the left, macro-F1 on the right, with 95 % intervals."}}
found.figure()

# %% [markdown]
# ## The signature: from where each view looks
#
# Drawn from the definition of the views in the code. An arrow shows the direction from which a lead sees the heart, which is the direction in
# which a current makes its trace go up; in the frontal plane by the angles of Einthoven and Goldberger, in the horizontal one as textbooks place the electrodes.
# Dots on the chest are the electrodes of V1 to V6. Two views are worth a second look: I and aVL face the same lateral wall as V5 and V6, from higher up, and are a
# view of their own; aVR, which faces the other way, is alone.

# %% mystnb={"figure": {"name": "fig-mvms-views", "caption": "The six views, one colour each: left the limb leads in the frontal plane and the chest electrodes, middle the chest leads in the horizontal plane. Right: the leads of each view and its gate, mean over validation records."}, "image": {"alt": "Outline of a torso with six arrows from the heart and six electrode dots, an oval cross-section of the chest with six arrows from back to front and left, and a list of views with their mean gates."}}
seen = mvms.subject(found)
mvms.views_figure(seen, found)

# %% [markdown]
# The gates by class. A gate is one number a record and view, so a class can only shift it. Left: its mean on records with the class. Middle: minus its mean on
# records without it. Right: the same difference of what the view adds to the class's own logit, gate and evidence together. A cardiologist would look for RBBB
# and LBBB in V1, V2 and the lateral leads, and for AF where atrial waves are largest, in II and V1.

# %% mystnb={"figure": {"name": "fig-mvms-classes", "caption": "Validation records by class (in brackets how many have it) and view. Left: mean gate. Middle: mean gate with the class minus without it. Right: mean part of the class's logit with the class minus without it. Grey: no such record."}, "image": {"alt": "Three heat maps with a row for each class and a column for each of six views: the gate, its difference, and the difference of the part of the logit."}}
mvms.class_figure(seen)

# %% [markdown]
# ## Reading

# %%
limits = ["the student had no teacher here, and the paper's point in having one is the teaching"]
paper_page.reading(found, [mvms.in_words(seen)], limits)
