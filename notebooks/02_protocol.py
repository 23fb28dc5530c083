# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What do the recipe and the scoring rule do to the number?
#
# **Question.** A score is made three times: by the network, by the recipe that trained it, and by the rule that turns probabilities into
# decisions and picks the epoch. The pages after this one compare networks. How much of a difference between two printed scores could
# come from the other two?
#
# **Prediction, before looking.** Let $c$ be what is chosen (a threshold, an epoch) and $F_S(c)$ the macro-F1 on records $S$. An honest
# rule chooses on validation and scores on test; an oracle chooses where it scores:
#
# $$\underbrace{\max_c F_{\mathrm{test}}(c)}_{\text{oracle}} \;-\; \underbrace{F_{\mathrm{test}}\big(\arg\max_c F_{\mathrm{val}}(c)\big)}_{\text{its twin}}\;\ge\;0$$ (eq-optimism)
#
# This *optimism* {eq}`eq-optimism` cannot be negative when both choose among the same values. It should be small for one threshold,
# larger for a threshold a class, and larger still when the fold is small, where a rare class has a handful of records. Schedules and
# augmentations should matter less than that in a short training, which ends before a network overfits.

# %% tags=["parameters"]
dataset = "synthetic"  # synthetic (no download), ptbxl, cpsc or chapman
task = ""  # empty: first task of the data set; ptbxl: nine, rhythm
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
recipes = "all"  # or some of them: cosine,step,noise
seeds = "auto"  # such as 0,1,2; auto: those of the profile
missing = "train"  # runs not made yet: train them, or only name them

# %% [markdown]
# ## What is trained
#
# One network, the base of the study, trained with AdamW {cite}`loshchilov2019`. A recipe changes one thing: the schedule of the learning
# rate, or what a training batch goes through before the network sees it. Validation and test records are never changed.

# %%
from IPython.display import Markdown

from ecgstudy.study import protocol_page

page = protocol_page.ask(globals())
Markdown(f"{protocol_page.notes_recipe()}\n\n{protocol_page.what_runs(page)}")

# %% [markdown]
# ## The scoring rule
#
# The same predictions, scored in several ways. The *protocol* of this study takes the epoch with the best macro-AUROC on validation and,
# for each class, the threshold with the best F1 on validation. The rows in grey let the test fold choose, as the study notes did in
# several of their entries, which print a threshold for each split and the best F1 over the epochs. They are shown to be measured, not to be
# compared with anything. Where the epoch is chosen on test, the run was repeated with its test predictions kept after every epoch;
# training did not see them, and its other results are the same bit for bit on the same machine.

# %%
found = protocol_page.run(page)
found.rule_table()

# %% [markdown]
# The fewer records a test fold holds, the more a choice made on it can follow their accidents. Below, the oracles choose and are scored on
# a share of the test *patients*, drawn without replacement; their twins choose on the whole validation fold as before.

# %% mystnb={"figure": {"name": "fig-optimism", "caption": "Optimism in macro-F1 (oracle minus its twin) over the number of test records. Lines: mean over draws of patients and over seeds; dots: single draws."}, "image": {"alt": "Line plot with one line for each oracle rule: the difference in macro-F1 between oracle and twin against the number of test records, from a quarter of the fold to all of it."}}
found.optimism_figure()

# %% [markdown]
# ## The recipe
#
# Every recipe sees the same records in the same order from the same seeds, and is scored by the protocol. Differences are paired over
# patients and corrected after Holm over the recipes.

# %%
found.recipe_table()

# %% mystnb={"figure": {"name": "fig-recipes", "caption": "Test scores of each recipe. Blue: mean over seeds with its 95 % interval over patients; small strokes: single seeds."}, "image": {"alt": "Dot plot with one row for each recipe: macro-AUROC on the left, macro-F1 on the right, each with an interval."}}
found.recipe_figure()

# %% [markdown]
# ## Another seed, other patients
#
# Two things move a score without any change of network or recipe: the seed (initial weights and the order of records) and which patients
# happen to be in the test fold. The interval answers the second question alone. More seeds narrow the first; only more patients narrow
# the second.

# %% mystnb={"figure": {"name": "fig-spread", "caption": "The baseline recipe: each seed with its 95 % interval over test patients, and the band of one SD over seeds around their mean."}, "image": {"alt": "Two panels, macro-AUROC and macro-F1: the mean of the seeds and each single seed as dots with horizontal intervals; a light band marks one standard deviation over seeds."}}
found.spread_figure()

# %% [markdown]
# ## Reading

# %%
Markdown(found.reading())
