# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What can a teacher give to a network that sees less?
#
# **Question.** A watch records one lead; a clinic records twelve. A network of one lead cannot see what its lead does not show. But in training, the other
# eleven are there. Can a network that reads all of them pass on something that the labels do not say?
#
# **The idea.** First a *teacher* is trained on all leads, and frozen. Then a *student* of fewer leads learns from the labels and from the teacher. MVKT
# {cite:p}`qin2023mvkt` has a student of one lead and the same network on twelve as its teacher; MVMS-Net {cite:p}`yang2023mvms` has six small networks,
# one a view of the heart, as the teacher of one. What is asked of the student beside the labels takes two forms:
#
# $$\mathcal{L} = \gamma\,\mathcal{L}_{\text{labels}} + \alpha\, T^2\, \mathrm{KL}\big(p^t_T \,\|\, p^s_T\big) + \beta\,\mathcal{L}_{\text{CLT}}$$ (eq-distillation)
#
# The second term asks for the teacher's *answers*, softened by a temperature $T$: a record that the teacher holds for 0.7 RBBB and 0.2 LBBB says more than
# the label RBBB. The third asks for its *features*: the student's description of a record should be recognisable as the teacher's of the same record,
# among the teacher's of records with other diseases.
#
# **Prediction, before looking.** What a lead does not show, no teacher can show. So the gap to the teacher should stay in diagnoses that live in the chest
# leads, and close, if anywhere, in those that any lead shows and the labels are few for. Lead II, which sees the atria well, should gain less than lead I
# has to. Of the two forms of answers, the one label by label should do better than the soft-max, because our labels do not exclude each other.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), synthetic_rhythm, ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "all"  # or some of them: teacher,lead_I_bce,lead_I_both
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## Two forms of one answer
#
# MVMS-Net's published loss compares two distributions *over* labels, as is usual where exactly one label is right. MVKT's compares, *for each* label, the two
# probabilities that it is there:
#
# $$\begin{aligned} \text{soft-max form:}&\quad p_T = \mathrm{softmax}(z / T) \\ \text{Bernoulli form:}&\quad \tfrac12\sum_c \mathrm{KL}\big((p^t_c, 1 - p^t_c)\,\|\,
# (p^s_c, 1 - p^s_c)\big),\quad p_c = \sigma(z_c / T) \end{aligned}$$ (eq-two-forms)
#
# A record with two diagnoses forces the soft-max to share one unit of probability between them; and a record without any looks to it as if it had to have one.
# In {eq}`eq-distillation`, MVKT has $\gamma = \alpha = 1$, $\beta = 0.8$ and $T = 1$; MVMS-Net halves labels and answers, $T = 2$, and has no third term. On tasks
# whose classes exclude each other the Bernoulli form is that of each class against the rest.
#
# Every student has the network, the records, the recipe and the seed of the one that learns from labels alone. So a difference is the lesson's.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import axis_page, distillation_page

page = axis_page.ask(globals(), "distillation")
Markdown(page.what_runs())

# %% [markdown]
# ## One lead
#
# The teacher has twelve leads, each student one, in four ways: from labels alone, with the teacher's answers (multi-label knowledge distillation, MKD), with its
# features (contrastive lead-information transferring, CLT), and with both. The last two columns are paired: same patients, same seeds.

# %%
lesson = distillation_page.Lesson(page.compare())
display(*distillation_page.ways_table(lesson))

# %% mystnb={"figure": {"name": "fig-distillation-ways", "caption": "Students of lead I (left) and of lead II (right), one row for each way of teaching. Blue: mean over seeds of test macro-AUROC with its 95 % interval over patients; small strokes: single seeds. Grey band: the teacher of twelve leads."}, "image": {"alt": "Two dot plots of macro-AUROC with four rows each, labels alone, answers, features and both, beside a grey band for the teacher."}}
distillation_page.ways_picture(lesson)

# %% [markdown]
# A mean over classes can hide what a lesson does. So, class by class: how far is the student of labels alone behind the teacher, and how much of that
# does the lesson close? The share is shown only where the patients say that there is a gap, because a share of nothing is noise.

# %% mystnb={"figure": {"name": "fig-distillation-gaps", "caption": "Test AUROC of each class (in brackets its positive records): the student by labels alone (open), taught (filled; blue where higher, red where lower), and the teacher (stroke). Right: the share of the gap that the lesson closed; a dash where the 95 % interval of the gap includes zero."}, "image": {"alt": "For each lead a dumbbell plot with a row for each class, from the untaught student over the taught one to the teacher, with percentages at the right."}}
distillation_page.gap_picture(lesson)

# %% [markdown]
# ## One view
#
# The student is one small network; it sees one of the six views, or all twelve leads. Its teacher is the six-view network, gates and all. The two columns are the
# two forms of {eq}`eq-two-forms`, at the same weights and temperature.

# %%
distillation_page.view_table(lesson)

# %% mystnb={"figure": {"name": "fig-distillation-views", "caption": "Above: test AUROC of the student of each view (rows) by labels alone, in each class. Below: what either form of the teacher's answers adds to it. Dots: the 95 % interval over patients of that one difference leaves zero out; with so many cells, one in twenty does so by chance. Grey: no such record or no such run."}, "image": {"alt": "Three heat maps with seven rows, one for each view and one for all leads, and a column for each class, with the numbers written in."}}
distillation_page.view_picture(lesson)

# %% [markdown]
# ## Reading

# %%
distillation_page.reading(lesson)
