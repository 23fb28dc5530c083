# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The 12-lead ECG, taken apart
#
# A neural network can learn to write down what is wrong with the heart behind twelve traces of ten seconds. **Which of its parts do the work?** This book takes
# one network and sixteen papers, changes one thing at a time, and measures what the change does under one protocol. What it found so far stands below; the
# [introduction](../intro.md) says how to read a page.

# %% tags=["parameters", "remove-cell"]
dataset = "ptbxl"  # of the picture: ptbxl, cpsc, chapman or synthetic
task = ""  # empty: first task of the data set
profile = "auto"  # full where the ledger holds it, else quick

# %% tags=["remove-input"]
from IPython.display import Markdown

from ecgstudy.study import found

networks = found.ask(globals())
found.answer_table()

# %% tags=["remove-input"] mystnb={"figure": {"name": "fig-found", "caption": "Test macro-AUROC of the main networks: mean over seeds with its 95 % interval over patients; small strokes: single seeds. Where intervals overlap much, look at page 15 for who can be told from whom."}, "image": {"alt": "Dot plot with one row for each network, best first: mean macro-AUROC with its interval, coloured by whether the network is this study's own, a paper's, or a baseline."}}
found.picture(networks)

# %% tags=["remove-input"]
Markdown(found.in_words(networks))
