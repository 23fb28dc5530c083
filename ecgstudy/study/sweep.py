"""Walk a plan on whatever device is there: finished runs are skipped, a failed one does not stop the rest, a kill loses a minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ecgstudy.data.dataset import Prepared
from ecgstudy.errors import LockedError, RunError
from ecgstudy.progress import progress
from ecgstudy.study import ledger, runs
from ecgstudy.study.ledger import Run
from ecgstudy.train.experiment import Experiment
from ecgstudy.train.loop import OutOfTime

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What a walk left: finished runs in the plan's order, experiments that failed with why, and those still to do."""

    finished: list[Run] = field(default_factory=list)
    failed: list[tuple[Experiment, str]] = field(default_factory=list)
    missing: list[Experiment] = field(default_factory=list)


def sweep(experiments: Sequence[Experiment], prepared: Prepared, *, device: str = "auto", time_budget: float | None = None,
          publish_to: Path | None = None) -> Outcome:
    """Run every experiment of a plan that is not finished.

    time_budget: seconds after which training stops, saved. publish_to: a ledger folder that each finished run is copied to.
    """
    deadline = None if time_budget is None else time.monotonic() + time_budget
    outcome = Outcome()
    for experiment in progress(experiments, desc="plan", unit="run"):
        if deadline is not None and time.monotonic() >= deadline and runs.finished(experiment, prepared.digest) is None:
            outcome.missing.append(experiment)
            continue
        try:
            run = runs.run(experiment, prepared, device=device, deadline=deadline)
        except OutOfTime as error:
            logger.info("%s", error)
            outcome.missing.append(experiment)
        except (RunError, LockedError) as error:
            logger.error("%s", error)
            outcome.failed.append((experiment, str(error)))
        else:
            outcome.finished.append(run)
            if publish_to is not None:
                ledger.publish(run, publish_to)
    return outcome
