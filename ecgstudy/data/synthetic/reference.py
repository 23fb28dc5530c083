"""What real 12-lead recordings measure: the numbers that the simulator is held to.

Amplitudes and spectra are of 60 public recordings of mixed diagnosis (PTB-XL, CPSC2018, Georgia, Ningbo; median beats), so they give
the order of size and no more. Rates and intervals are class means of the measurements that Chapman-Shaoxing publishes with
its 10,646 recordings.
"""

from __future__ import annotations

R_PEAK = {          # mV; 10th to 90th percentile over recordings
    "I": (0.17, 1.05), "II": (0.32, 1.27), "III": (0.08, 0.90), "aVL": (0.05, 0.69), "aVF": (0.10, 1.01), "V1": (0.08, 0.75),
    "V2": (0.17, 1.03), "V3": (0.19, 1.62), "V4": (0.38, 2.20), "V5": (0.57, 2.17), "V6": (0.46, 1.63),
}
S_TROUGH = {"V1": (-1.37, -0.13), "V2": (-1.88, -0.14)}         # mV; the same percentiles
T_PEAK = {"I": 0.11, "II": 0.19, "aVF": 0.12, "V1": -0.01, "V2": 0.23, "V3": 0.26, "V4": 0.18, "V5": 0.21, "V6": 0.15}   # mV; medians
T_TOLERANCE = 0.12                                              # mV around the median

CLASS_MEANS = {     # heart rate (1/min), QRS (ms), QTc after Bazett (ms); what is not named is not held to a value
    "Normal": {"heart rate": 76, "QRS": 87, "QTc": 431}, "AF": {"heart rate": 95, "QTc": 449}, "LBBB": {"QRS": 148, "QTc": 500},
    "RBBB": {"QRS": 130, "QTc": 468},
}
CLASS_TOLERANCE = 0.05                                          # of the mean

BANDS = ((1, 5), (10, 15), (15, 20), (20, 25), (25, 30), (30, 35), (35, 40))        # Hz
SPECTRUM = {        # dB relative to the power between 5 and 10 Hz, medians of real PTB-XL recordings, in the bands above
    "II": (1.0, -2.0, -4.1, -7.0, -10.3, -14.8, -18.8), "V5": (1.6, -0.7, -2.0, -4.5, -8.3, -12.8, -15.5),
}
SPECTRUM_TOLERANCE = 5.0                                        # dB

NOISE = {(0.01, 0.5): 0.030, (25, 45): 0.005}                   # band in Hz -> root mean square in mV
NOISE_FACTOR = 2.0                                              # times or divided by

LIMB_TOLERANCE = 1e-5                                           # mV; the identities of the limb leads hold to rounding
