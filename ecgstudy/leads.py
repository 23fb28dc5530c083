"""Lead names, their one order, and the identities that bind the limb leads.

I = LA - RA, II = LL - RA, III = II - I (Einthoven); aVR = -(I + II)/2, aVL = (I - III)/2, aVF = (II + III)/2 (Goldberger).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgstudy.errors import DataError

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_BY_FOLDED_NAME = {lead.casefold(): lead for lead in LEADS}


def lead_order(names: Sequence[str], where: str = "recording") -> list[int]:
    """Positions in `names` of the twelve leads in the study's order; aliases differ in case only (AVR, avr).

    Raises DataError where a lead is missing, unknown, or named twice.
    """
    known = [_BY_FOLDED_NAME.get(name.strip().casefold()) for name in names]
    strange = [name for name, lead in zip(names, known, strict=True) if lead is None]
    twice = sorted({lead for lead in known if lead is not None and known.count(lead) > 1})
    missing = [lead for lead in LEADS if lead not in known]
    if strange or twice or missing:
        found = [f"{what} {', '.join(leads)}" for what, leads in
                 (("unknown", strange), ("named twice", twice), ("missing", missing)) if leads]
        raise DataError(f"{where}: leads {'; '.join(found)}. Expected each of {', '.join(LEADS)} once")
    return [known.index(lead) for lead in LEADS]


def limb_residuals(signal: np.ndarray) -> dict[str, float]:
    """Largest absolute departure from each limb identity.

    signal: [L=12, T] in the study's lead order, any unit. Returns the maxima in that unit, keyed by the derived lead.
    """
    one, two, three, avr, avl, avf = np.asarray(signal, dtype=np.float64)[:6]
    departures = {"III": three - (two - one), "aVR": avr + (one + two) / 2, "aVL": avl - (one - three) / 2,
                  "aVF": avf - (two + three) / 2}
    return {lead: float(np.abs(departure).max()) for lead, departure in departures.items()}
