# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What held, and what did not
#
# **Question.** The study notes claim that one kind of attention beats another, that a gate does not help, that convolution sees what attention does not.
# Each of the sixteen papers claims that its idea is what makes its network good. Set beside what this study measured: which of these claims are met, which
# are not, and which cannot be told?
#
# **Prediction, before looking.** Counts will be met, because they need no luck. Most comparisons of two variants will stay open: a difference of a
# hundredth needs more seeds and more patients than anyone used. Printed scores will stay out of reach of every short run.
#
# ## How a verdict comes about
#
# No verdict is typed. A claim is written down as data: who makes it, what is printed, which runs would test it, and in which metric. The rest follows.
#
# - **A comparison** is *met* when every difference that it names is above zero by the rule of the other pages: paired on the same patients, at least three
#   seeds that all point the same way, and $p < 0.05$ after Holm over the comparisons of one source on one axis. It is *not met* when one of them is below
#   zero by the same rule.
# - **"No worse", "no benefit"** asks for more than an interval that holds zero. With $\Delta$ the paired difference and $\delta$ a hundredth,
#   all of the interval must lie above $-\delta$, as in {eq}`eq-reproduced-margin`.
# - **A printed number** must lie in the measured interval, at full size, on the data that it is of.
# - **A count** is made anew on the built network and must print as it was printed.
# - *Cannot be told* is what remains: too few seeds, seeds that disagree, or patients that do not decide. It is no verdict against the claim.
# - *Not comparable* are claims about data or labels that this study does not have, and *not yet run* says which command would make the runs.
#
# $$\begin{aligned}\text{met} &\iff \text{low}_{95}(\Delta) > -\delta\\ \text{not met} &\iff \text{high}_{95}(\Delta) < -\delta\end{aligned}$$ (eq-reproduced-margin)
#
# A claim is asked at full size before a short profile, and on its own data before PTB-XL. Where only narrow networks and short runs are at hand, or other
# recordings, the verdict says so and is counted apart: such a run shows which way things lie, and cannot refute a claim about the full network.

# %% tags=["parameters"]
dataset = "auto"  # where to look: auto is the claim's own data, else PTB-XL; or the only one: ptbxl, cpsc, chapman, synthetic
task = ""  # of the data set that is named; empty: its first
profile = "auto"  # full where it was run, else quick; or the only one: smoke, quick, full
sources = "all"  # or some of them: notes,mina,ecgnet

# %%
from IPython.display import Markdown

from ecgstudy.study import claims_page

page = claims_page.ask(globals())
Markdown(page.what())

# %% [markdown]
# ## Counted

# %%
found = page.verdicts()
found.summary()

# %% mystnb={"figure": {"name": "fig-reproduced", "caption": "Each square is a claim, each row a page of the notes' experiments or a paper. Full colour: verdict on the claim as it was made. Pale: from narrow networks and short runs, or from other recordings than the claim's."}, "image": {"alt": "Rows of small squares, one row for each topic of the notes and each paper, marked with a tick, a cross, a question mark, a dash or dots by their verdict."}}
found.figure()

# %% [markdown]
# ## The notes
#
# Where the notes print scores, they chose the epoch and sometimes the threshold on the fold that they scored, on CPSC2018, and give no spread over seeds. Page 02 measures
# what such a choice adds. Two of their own tables disagree about shunted attention, so no measurement can meet both.

# %%
found.table(found.notes)

# %% [markdown]
# ## The papers
#
# What a paper claims is put here as a test that this study can make: the network against itself without the idea. The paper's own numbers are of other data, other
# tasks or other rules of scoring, and stand as not comparable.

# %%
found.table(found.papers, whose=True)

# %% [markdown]
# ## Reading

# %%
Markdown(found.reading())
