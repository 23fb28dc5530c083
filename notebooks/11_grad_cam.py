# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Is the bright spot where the evidence is?
#
# **Question.** A map laid over an ECG seems to say what a network looked at. A pretty map is easily believed: the QRS complex is the tallest thing in any
# record, and a map that marks it looks reasonable for almost every diagnosis. So this page measures. Do the maps mark the evidence better than a method that
# never saw the network? Do they change when the network forgets what it learned? Which of the pictures that papers draw survive that?
#
# **Prediction, before looking.** Maps of the last layer should do worse than their fame: their cells are a tenth to a third of a second wide, a wave is
# narrower, and where the head takes a mean every cell speaks through context. Gradients at the input should do well where the evidence is tall (PVC, bundle branch
# blocks), but so should the plain magnitude of the trace. The test is where evidence is low: the PR interval, the ST segment, f-waves.

# %% tags=["parameters"]
dataset = "synthetic"  # whose networks: synthetic, ptbxl or cpsc; the records with a truth are simulated
task = ""  # empty: nine, the classes whose evidence is known
profile = "auto"  # smoke, quick, full; auto: full with a GPU, else quick
networks = "mhsa,resnet18,im_ecg,stft_resnet34"  # or others: hilo,shunted,window, ...
methods = "all"  # or some of them: grad_cam,integrated_gradients,magnitude
real = "ptbxl"  # recordings looked at beside, by networks trained on such; empty: none

# %% [markdown]
# ## Eight maps through one door
#
# With the last feature map $A$, the logit $z$ of the class, and $g = \partial z / \partial A$,
#
# $$\begin{aligned} \text{Grad-CAM} &= \mathrm{ReLU}\Big(\sum_c \bar g_c\, A_c\Big) \\
# \text{HiResCAM} &= \mathrm{ReLU}\Big(\sum_c g_c \odot A_c\Big) \\
# \text{IG} &= x \odot \int_0^1 \frac{\partial z(\alpha x)}{\partial x}\, d\alpha \end{aligned}$$ (eq-maps)
#
# | map | gives leads | gives time | source |
# | --- | --- | --- | --- |
# | Grad-CAM | only where the last map has a row for each lead | a column of the last map | {cite:t}`selvaraju2017` |
# | HiResCAM | the same | the same | {cite:t}`draelos2020` |
# | gradient × input | yes | each sample | |
# | integrated gradients | yes | each sample | {cite:t}`sundararajan2017` |
# | occlusion by lead | yes | none | |
# | occlusion by beat | none | a beat | |
# | magnitude, noise | yes | each sample | baselines: they never see the network |
#
# $\bar g_c$ is the mean of $g_c$ over the map. Behind a head that takes a mean, $g_c$ is the same everywhere and the first two are one. Zero, the baseline of
# all of these, is the mean of the training records. The methods are Captum's {cite:p}`kokhlikyan2020`. What a method cannot give is left out: a one-dimensional
# network mixed the leads in its first layer, so its Grad-CAM has no leads, and the rows of a spectrogram's map are frequencies. A column of a map stands where
# its convolutions are centred, which in a network of stride 32 is 0.15 s from where an even spread would put it.
#
# ## The bed
#
# Simulated records of one class each, with the evidence known to the sample: `book/records.yaml` says which, and why. A network may be right for another
# reason than the marked one, so each record is also rendered *without* its evidence; the table says how far the logit then falls. Where it hardly falls, the network
# uses something else (in fibrillation the irregular beats), and a map that does not mark the f-waves is not wrong.

# %%
from IPython.display import Markdown, display

from ecgstudy.study import attribution_figures, attribution_page, figures

page = attribution_page.ask_page(globals())
found = attribution_page.study(page, real)
display(found.network_table(), Markdown(found.refusals()))

# %% [markdown]
# ## A picture like the papers'
#
# Grad-CAM on the first simulated PVC of the list: of IM-ECG {cite:p}`tao2024`, whose last map has a row for each lead, where the page was run with it, else of the page's first
# network, whose map is the same in every lead. The title says which. The picture alone cannot say whether it is right; the shading can.

# %% mystnb={"figure": {"name": "fig-grad-cam-leads", "caption": "The first PVC of the record list as twelve leads at 25 mm/s and 10 mm/mV. Orange: Grad-CAM of its class, full colour the largest value of the whole map. Blue: where the evidence truly is, on the leads that show it."}, "image": {"alt": "Twelve-lead ECG on millimetre paper with orange bands of varying strength behind the traces and a blue band over the premature beat."}}
pictured = attribution_figures.pictured()
figures.closed(attribution_figures.twelve_leads(found, pictured[0]))

# %% [markdown]
# The same question to every network and method, for evidence that is low and in every beat, the PR interval of a first-degree block.

# %% mystnb={"figure": {"name": "fig-maps-side-by-side", "caption": "Lead II of the first I-AVB record of the list, its evidence in blue, and under it one strip for each map that knows time. Every strip is scaled to its own largest value in these five seconds, so that only places can be compared, not strengths."}, "image": {"alt": "A lead II trace on millimetre paper with blue bands over the PR intervals, and below it rows of orange strips, one for each network and attribution method."}}
figures.closed(attribution_figures.side_by_side(found, pictured[1]))

# %% [markdown]
# ## Measured
#
# *Pointing*: is the largest value on the evidence? The tolerance is 20 ms, because at 80 ms an R-peak already counts for the PR interval before it; the outer 0.4 s are not
# scored, because zero padding draws maxima there. For evidence that is in every beat the map is first *folded*: all beats are laid over each other at the R-peak,
# which also helps wide cells, since beats stand at other places in them. For fibrillation, which has no place of its own, the score is the rank correlation
# of the map with what removing the f-waves changes. Equal values share a score, so an empty map scores chance. The line to beat is |x|.

# %%
found.class_table()

# %% [markdown]
# Three checks for every map, after {cite:t}`adebayo2018`. It should beat |x|. It should beat the same method on a network of new weights, and not resemble
# that map. And a spike that means nothing, half again as tall as anything in the record, should not attract its largest value.
#
# Two controls more. Premature ventricular beats are tall, so on some records they are made lower than the other beats: |x| no longer points at them, and a
# map should. And each normal record is asked for an abnormal class: a picture is always scaled to its own largest value, so only the map's sum tells that
# there was nothing to see.
#
# The second table has the other scores. *IoU* takes as many samples of the largest values as the evidence has; next to it stands the best that cells of this width can do.

# %%
display(found.check_table(), found.place_table())

# %% [markdown]
# ## What the network says
#
# No truth is needed for this one: tenths of a second are set to zero in the order of the map, and the probability of the class should fall fast; put into an
# empty record in the same order, it should rise fast. A record with holes is unlike any that the network learned from, so this is no referee either: compare with noise and
# with |x|.

# %% mystnb={"figure": {"name": "fig-deletion-insertion", "caption": "Mean probability of the own class over the records on which the network is right, each class counting the same, as tenths of a second are deleted from the record (above) or inserted into an empty one (below), the most marked first."}, "image": {"alt": "Two rows of line plots, one column for each network: probability against the share of the record deleted or inserted, one line for each attribution method, with dashed and dotted lines for the two baselines."}}
figures.closed(attribution_figures.deletion_and_insertion(found))

# %% [markdown]
# ## On recordings
#
# The networks below were trained on recordings, those of them that ship. First the PVC of the record list from PTB-XL {cite:p}`wagner2020`. Nobody marked where its
# evidence lies, so nothing of the above that needs a truth is scored on it: neither pointing nor IoU, energy or leads. A cardiologist sees the beat.

# %% mystnb={"figure": {"name": "fig-maps-recorded", "caption": "Lead II of a recording with a premature ventricular beat, and one strip for each map of that class that knows time, by networks trained on recordings. Each strip is scaled to its own largest value in these five seconds."}, "image": {"alt": "A recorded lead II trace on millimetre paper with one broad tall beat, and below it rows of orange strips, one for each network and attribution method."}}
figures.closed(attribution_figures.recorded(found))

# %% [markdown]
# LUDB {cite:p}`kalyakulina2020` has the boundaries of P, QRS and T as cardiologists drew them in every lead. It does not say which wave is the evidence; medicine
# does: P and PR for a first-degree block, QRS for a bundle branch block, between the beats for fibrillation.

# %%
display(attribution_page.on_recordings(found))
Markdown(found.reading())
