# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How fast is it, and against what?
#
# **Question.** A study that is slow is not repeated. Is this code fast beside what a reader would otherwise use, how far is it from what the machine
# can do at all, and where does the rest of the time go?
#
# **The idea.** A speed alone says little: it is the speed of one machine on one day. A ratio says more, if both sides ran under the same conditions. So
# ours and the peer take turns, round by round, and the order moves on by one each time. With $t_r$ the time of ours and $t'_r$ that of the peer in
# round $r$, the number shown is
#
# $$\rho = \operatorname{median}_r \frac{t'_r}{t_r}$$ (eq-speed-ratio)
#
# with its quartiles. The peers are named: the loop of wfdb and scipy that one would write first, a `DataLoader` over records, torch_ecg's networks and
# reader, NeuroKit2's simulator, and for the study's own network a *plain* form of it, channels first, with its softmax written out. A test copies the
# weights from one into the other and finds the same outputs.
#
# **The limit.** A training step is made of products, three times those of a forward pass. So its share of the machine is
#
# $$\eta = \frac{3\,\mathrm{MACs}\cdot B / t}{\text{rate of one large matrix product}}$$ (eq-speed-share)
#
# with both rates from the same rounds {cite:p}`williams2009`. Norms, activations and the optimiser do no products that are counted, which is why
# $\eta = 1$ cannot be reached.
#
# **Prediction, before looking.** The larger the share of one plain operation, the smaller the gain: most for preparing and supplying records, where
# Python was in the way, little for the network, where the plain form calls the same products, and nothing for a plain residual network, which is
# built from the same layers everywhere.

# %% tags=["parameters"]
machine = "auto"  # a file of book/benchmarks without its ending; auto: the first CPU's
suites = "all"  # or some of them: preparation,supply,training,inference,attention,simulator,notebook,gpu
measure = False  # True: measure small sizes now, on this machine, instead of reading what is kept
rounds = 3  # of a measurement now

# %%
from IPython.display import Markdown, display

from ecgstudy.study import figures, speed_figures, speed_page

page = speed_page.ask(globals())
Markdown(speed_page.what_was_measured(page))

# %% [markdown]
# ## Targets
#
# What the code was asked to reach, written down before it was measured. The last column is computed, and so are the words at the end of the page.

# %%
speed_page.target_table(page)

# %% [markdown]
# ## Beside peers
#
# To the right of 1 ours is faster. Networks of different make are compared by the products that they get done in a second, not by records, so that a
# smaller network has no advantage.

# %% mystnb={"figure": {"name": "fig-speed-ratios", "caption": "How many times as fast as its peer each part of the study is: the median over rounds, and the quartiles as a bar behind it. Each line names what was measured and, after the dash, the peer."}, "image": {"alt": "Dots on a logarithmic axis of ratios, one line for each comparison, with a vertical line at one and short marks at the targets."}}
figures.closed(speed_figures.ratio_figure(page.against_peers(), "Beside peers, in the same rounds"))

# %% [markdown]
# ## Beside the machine
#
# The product of two large squares is the most that a network made of products can ask of the machine. Its own linear maps, with the shapes that they
# have in the network and with nothing between them, are a closer limit. Supplying a batch is moving numbers, and its limit is a copy.

# %% mystnb={"figure": {"name": "fig-speed-limits", "caption": "Shares of what the machine gives to one plain operation, median and quartiles over rounds."}, "image": {"alt": "Horizontal bars from zero to one hundred per cent, one for each limit, with short marks at the targets."}}
figures.closed(speed_figures.limit_figure(page.limits(), "Beside what the machine can do"))

# %% [markdown]
# ## Attention as records grow
#
# One layer of width 256 with four heads and one record, for 10 seconds (250 tokens) to more than five minutes (8,000). Below its line at 1 a mechanism costs
# more than attention over all tokens with the softmax written out.

# %% mystnb={"figure": {"name": "fig-speed-attention", "caption": "One attention layer over the number of tokens, both axes logarithmic. Above: time of a forward pass. Below: how many times as fast as the softmax written out, median and quartiles."}, "image": {"alt": "Two panels of rising and spreading lines, one line for each of seven attention mechanisms and a dashed one for the softmax written out."}}
figures.closed(speed_figures.attention_figure(page.found.of("attention"), "One attention layer"))

# %% [markdown]
# ## Where the time goes
#
# For each target that is missed: the operators, functions or imports that the time is spent in, largest first.

# %% mystnb={"figure": {"name": "fig-speed-profile", "caption": "Own time of operators and functions in what missed its target, as a share of the whole; for a page that is run again, of the time that its imports take."}, "image": {"alt": "Horizontal bars of time shares, one panel for each missed target."}}
figures.closed(speed_figures.profile_figure(page.missed(), "Where the time of missed targets goes"))

# %% [markdown]
# ## Reading

# %%
display(speed_page.row_table(page))
Markdown(speed_page.in_words(page))
