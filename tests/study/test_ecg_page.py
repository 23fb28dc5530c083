"""The page of twelve leads: its scale to the pixel, its words, its shading."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ecgstudy.errors import ConfigurationError, DataError
from ecgstudy.leads import LEADS
from ecgstudy.study.ecg_page import DPI, LEFT, PIXELS, column_starts, twelve_leads


@pytest.fixture(autouse=True)
def close_all():
    yield
    plt.close("all")


def record(seconds=10.0, fs=100):
    """Every lead is flat but for one step of 1 mV between 1.0 and 2.0 s."""
    t = np.arange(round(seconds * fs)) / fs
    return np.tile(((t >= 1) & (t < 2)).astype(float), (12, 1))


def lines(figure, start):
    return [line for line in figure.axes[0].lines if (line.get_gid() or "").startswith(start)]


def pixels(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    file.seek(0)
    return (plt.imread(file)[..., :3] * 255).round().astype(int)


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_millivolt_is_10_mm_and_a_second_25_mm_in_the_saved_figure():
    figure = twelve_leads(record(), 100, title="steps")
    millimetres = figure.get_size_inches() * 25.4
    np.testing.assert_allclose(figure.axes[0].transData.transform([[0, 0], [1, 1]]) * 25.4 / DPI, [[0, 0], [1, 1]], atol=1e-9)
    strip, = [line for line in lines(figure, "trace II ") if len(line.get_xdata()) > 500]
    x, y = strip.get_xdata(), strip.get_ydata()
    assert np.ptp(y) == pytest.approx(10.0) and x[200] - x[100] == pytest.approx(25.0) and x[0] == LEFT
    dark = (pixels(figure) < 100).all(2)
    assert dark.shape == tuple(np.round(millimetres[::-1] * PIXELS))
    top = dark.shape[0] - round(y.max() * PIXELS)                      # the row of pixels on which the step of the strip lies
    step = np.flatnonzero(dark[top - 1:top + 2].any(0))
    step = step[step > (LEFT + 10) * PIXELS]
    assert abs(step.max() - step.min() - 25 * PIXELS) <= 2             # one second
    column = np.flatnonzero(dark[:, round((LEFT + 1.5 * 25) * PIXELS)])
    assert abs(column.max() - (dark.shape[0] - y.max() * PIXELS)) <= 1
    zero = np.flatnonzero(dark[:, round((LEFT + 2.2 * 25) * PIXELS)]).max()
    assert abs(zero - column.max() - 10 * PIXELS) <= 1                 # one millivolt


def test_the_grid_has_a_line_on_every_millimetre_and_a_darker_one_on_every_fifth():
    image = pixels(twelve_leads(np.zeros((12, 1000)), 100, title=""))
    row = image[14 * PIXELS - 2, :, 1]                                 # a row of pixels between two lines, free of traces
    marked = np.flatnonzero(row < 250)
    assert set(np.diff(marked)) == {PIXELS}
    coarse = np.flatnonzero(row < 200)
    assert set(np.diff(coarse)) == {5 * PIXELS}


def test_names_calibration_speed_and_gain_stand_on_the_page():
    figure = twelve_leads(record(), 100, title="AF · record 7")
    for lead in LEADS:
        assert words(figure).count(lead) == 1 + (lead == "II")
    assert "AF · record 7" in words(figure)
    assert "25 mm/s   10 mm/mV" in words(figure)
    pulses = lines(figure, "calibration")
    assert len(pulses) == 4
    for pulse in pulses:
        y, x = pulse.get_ydata(), pulse.get_xdata()
        high = x[np.isclose(y, y.max())]
        assert np.ptp(y) == pytest.approx(10.0) and np.ptp(high) == pytest.approx(5.0) and x.max() < LEFT


def test_each_column_shows_its_own_seconds():
    signal = np.tile(np.arange(1000) / 1000.0, (12, 1))
    figure = twelve_leads(signal, 100, title="")
    shown = {line.get_gid(): line for line in lines(figure, "trace")}
    assert len(shown) == 12         # II stands twice
    for lead, begin in (("I", 0), ("aVL", 2.5), ("V3", 5), ("V6", 7.5)):
        line = shown[f"trace {lead} from {begin:g} s"]
        assert line.get_xdata()[0] == LEFT + 25 * begin
        np.testing.assert_allclose(line.get_ydata()[:250] - line.get_ydata()[0], 10 * (signal[0, :250] - signal[0, 0]), atol=1e-9)


@pytest.mark.parametrize("seconds, starts", [(10, [0, 2.5, 5, 7.5]), (30, [0, 2.5, 5, 7.5]), (6, [0, 2.5, 3.5, 3.5]), (2, [0, 0, 0, 0])])
def test_short_and_long_records(seconds, starts):
    assert column_starts(seconds) == starts
    figure = twelve_leads(record(seconds), 100, title="")
    strip = max(lines(figure, "trace II "), key=lambda line: len(line.get_xdata()))
    assert len(strip.get_xdata()) <= 1001 and len(lines(figure, "trace")) == 13
    assert any("columns from" in text for text in words(figure)) == (seconds < 10)


def test_a_later_part_of_a_long_record():
    signal = np.zeros((12, 2000))
    signal[1, 1500] = 1
    strip = max(lines(twelve_leads(signal, 100, title="", start=10), "trace II "), key=lambda line: len(line.get_xdata()))
    assert strip.get_xdata()[np.argmax(strip.get_ydata())] == LEFT + 25 * 5.0


def test_spans_are_shaded_where_they_show_and_only_there():
    signal = np.zeros((12, 1000))
    plain = pixels(twelve_leads(signal, 100, title=""))
    figure = twelve_leads(signal, 100, title="", spans={"PVC": [(3.0, 3.5)]}, leads={"PVC": ["aVF"]})
    changed = (pixels(figure) != plain).any(2)
    legend = changed.copy()
    legend[:-7 * PIXELS] = False
    assert legend.any() and "PVC" in words(figure)
    y, x = np.nonzero(changed & ~legend)
    expected = (LEFT + 25 * 3.0) * PIXELS, (LEFT + 25 * 3.5) * PIXELS
    assert abs(x.min() - expected[0]) <= 1 and abs(x.max() - expected[1]) <= 1
    zero = lines(figure, "trace aVF")[0].get_ydata()[0]
    rows = plain.shape[0] - zero * PIXELS
    assert (np.abs(y - rows) <= 10 * PIXELS).all()
    everywhere = pixels(twelve_leads(signal, 100, title="", spans={"PVC": [(3.0, 3.5)]}))
    assert (everywhere != plain).any(2)[:-7 * PIXELS].sum() > 3 * (changed & ~legend).sum()


def test_high_voltages_stay_on_the_page():
    figure = twelve_leads(record() * 30, 100, title="")
    assert figure.get_size_inches()[1] * 25.4 < 230


@pytest.mark.parametrize("signal, start", [(np.zeros((11, 1000)), 0), (np.zeros(1000), 0), (np.zeros((12, 500)), 6),
                                           (np.full((12, 9), np.nan), 0)])
def test_what_is_no_record_is_refused(signal, start):
    with pytest.raises(DataError):
        twelve_leads(signal, 100, title="", start=start)


def test_an_unknown_lead_is_refused():
    with pytest.raises(ConfigurationError, match="V6"):
        twelve_leads(record(), 100, title="", spans={"STE": [(0, 1)]}, leads={"STE": ["V7"]})


def test_heat_lies_behind_its_own_lead_and_time():
    heat = np.zeros((12, 1000))
    heat[LEADS.index("V1"), 500:1000] = np.linspace(0, 1, 500)
    heat[0, 100] = np.nan
    figure = twelve_leads(record(), 100, title="heat", heat=heat)
    found = {image.get_gid(): image for image in figure.axes[0].images}
    assert len(figure.axes[0].images) == 13 and len(found) == 12          # lead II begins twice
    warm = [gid for gid, image in found.items() if image.get_array()[..., 3].any()]
    assert warm == ["heat V1 from 5 s"]
    left, right = found[warm[0]].get_extent()[:2]
    assert right - left == pytest.approx(25 * 2.51) and left == pytest.approx(LEFT + 25 * 5 - 0.125)
    np.testing.assert_allclose(found[warm[0]].get_array()[0, :, 3], heat[LEADS.index("V1"), 500:751])


def test_heat_of_another_shape_is_refused():
    with pytest.raises(DataError, match=r"heat has the shape \(12, 63\)"):
        twelve_leads(record(), 100, title="heat", heat=np.zeros((12, 63)))
