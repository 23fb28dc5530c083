"""Page 02's plan: the profile's recipe, and the same network trained with one thing of the recipe changed.

The names stand for changes to the recipe, not to the network, so the axis makes its experiments itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ecgstudy.errors import require_known
from ecgstudy.study.profiles import Profile, profile, supervised
from ecgstudy.study.variants import Axis, Variant
from ecgstudy.train.augment import AUGMENTATIONS
from ecgstudy.train.experiment import Experiment

SCHEDULES = ("cosine", "step")
WATCHED = "watched"         # the base run once more, its test logits kept after each epoch: for oracle rows, in no comparison
RECIPES = (*SCHEDULES, *AUGMENTATIONS, "all_three", WATCHED)


def step_after(size: Profile) -> int:
    """The epoch of the one step that a run meets: after two thirds, which is the notes' 20 of 30 in the full profile. Shorter
    profiles end before epoch 20; scaling the step is a choice of this study."""
    return max(1, round(2 * size.epochs / 3))


def change(base: Experiment, size: Profile, name: str) -> Experiment:
    """The base experiment with the named change of its recipe; equal to it where the name is what the profile does anyway."""
    if name == size.schedule:
        return base
    if name in SCHEDULES:
        return replace(base, schedule=name, schedule_step=step_after(size) if name == "step" else base.schedule_step)
    if name == WATCHED:
        return replace(base, watch_test=True)
    return replace(base, augmentation=tuple(AUGMENTATIONS) if name == "all_three" else (name,))


@dataclass(frozen=True)
class RecipeAxis(Axis):
    """An axis whose names change how the base network is trained. Its variants are all that one network."""

    def experiments(self, dataset: str, task: str, size: Profile, names: Sequence[str] = (),
                    seeds: Sequence[int] = ()) -> dict[Experiment, str]:
        for name in names:
            require_known(self.label, name, self.variants)
        bases = [supervised(dataset, task, size, "inception_former", Variant().all_settings(size), seed) for seed in (seeds or size.seeds)]
        return {change(base, size, name): name for base in bases for name in (names or self.variants)}


def recipe_axis(size: Profile) -> RecipeAxis:
    """Page 02's axis in a profile: the baseline is the schedule that the profile trains with."""
    return RecipeAxis("02_protocol", "recipes", "recipe", size.schedule, dict.fromkeys(RECIPES, Variant()))


def protocol(dataset: str, task: str = "", profile_name: str = "auto", names: Sequence[str] = (),
             seeds: Sequence[int] = ()) -> list[Experiment]:
    """Page 02: both schedules, the notes' three augmentations alone and together, and the base run watched on the test fold."""
    size = profile(profile_name)
    return list(recipe_axis(size).experiments(dataset, task, size, names, seeds))
