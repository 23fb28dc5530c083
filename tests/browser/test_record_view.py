"""The view of page 01 in a browser, alone on a page: the caliper reads what the simulator knows, by keyboard, mouse and finger."""

import re
from pathlib import Path

import numpy as np
import pytest

from ecgstudy.data.labels import CPSC_CLASSES
from ecgstudy.data.synthetic import Settings, simulate
from ecgstudy.leads import LEADS
from ecgstudy.study import record_view

TWO, V2 = LEADS.index("II"), LEADS.index("V2")
WATCH = """window.shifted = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) window.shifted += entry.value; })
  .observe({type: "layout-shift", buffered: true});"""


@pytest.fixture(scope="module")
def simulation():
    return simulate(4, range(9), settings=Settings(scheme="balanced"))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The fragment in an otherwise empty page; the theme is that of the address, so that both can be asked for."""
    page = tmp_path_factory.mktemp("view") / "view.html"
    page.write_text('<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
                    f"<title>View</title></head><body><main><h1>View</h1>{record_view.view()}<p>below</p></main></body></html>",
                    encoding="utf-8")
    return page.as_uri()


@pytest.fixture
def open_view(browser, address):
    """Opens the view in a window of a width and a theme; what went wrong on it fails the test at its end."""
    wrong, contexts = [], []

    def opened(width=800, theme="light", **more):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more))
        contexts[-1].add_init_script(WATCH)
        tab = contexts[-1].new_page()
        tab.on("console", lambda said: wrong.append(said.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: None if request.url == address else wrong.append(request.url))
        tab.goto(address)
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def measured(tab):
    """(ms, bpm, mV) as shown."""
    return tuple(float(text.split()[0].replace("−", "-")) for text in tab.locator(".measure b").all_inner_texts())


def end(tab, which):
    return tab.get_by_role("slider", name=f"caliper, {which} end")


def at(tab, which):
    return int(end(tab, which).get_attribute("aria-valuenow"))


def choose(tab, **values):
    for name, value in values.items():
        tab.select_option(f"[name={name}]", value)


@pytest.mark.parametrize("label", ["Normal", "AF", "PVC"])
@pytest.mark.parametrize("width", [800, 390])
def test_the_keyboard_measures_an_rr_interval(open_view, simulation, label, width):
    row = CPSC_CLASSES.index(label)
    r = simulation.beats.loc[simulation.beats["record"] == row, "r"].to_numpy()
    tab = open_view(width)
    choose(tab, record=str(row))
    assert abs(measured(tab)[0] - 1000 * (r[1] - r[0])) <= 10                               # where it begins
    end(tab, "second").focus()
    for _ in range(round(100 * r[4]) - at(tab, "second") // 10):
        tab.keyboard.press("ArrowRight")
    end(tab, "first").focus()
    steps = round(100 * r[3]) - at(tab, "first") // 10
    for _ in range(steps // 20):
        tab.keyboard.press("Shift+ArrowRight")
    for _ in range(steps % 20):
        tab.keyboard.press("ArrowRight")
    ms, bpm, mv = measured(tab)
    assert abs(ms - 1000 * (r[4] - r[3])) <= 10 and bpm == round(60000 / ms)
    two = simulation.signals[row, TWO]
    assert mv == pytest.approx(two[round(100 * r[4])] - two[round(100 * r[3])], abs=0.011)
    tab.wait_for_function("(text) => document.querySelector('[aria-live]').textContent.startsWith(text)",
                          arg=f"{ms:.0f} ms, {bpm:.0f} bpm, ")
    assert re.fullmatch(r"\d\.\d\d s, −?\d\.\d\d mV, lead II", end(tab, "first").get_attribute("aria-valuetext"))


def test_ends_leave_the_trace_and_stop_at_the_paper(open_view):
    tab = open_view()
    tab.uncheck("[name=follow]")
    before = measured(tab)
    end(tab, "second").focus()
    tab.keyboard.press("Shift+ArrowUp")
    tab.keyboard.press("ArrowDown")
    assert measured(tab) == (*before[:2], pytest.approx(before[2] + 0.45, abs=0.011))
    choose(tab, gain="20")
    assert measured(tab)[2] == pytest.approx(before[2] + 0.45, abs=0.011)                   # a gain changes the paper, not the measure
    tab.check("[name=follow]")
    assert measured(tab) == before
    tab.keyboard.press("Tab")
    end(tab, "second").press("End")
    assert at(tab, "second") == 9990
    end(tab, "first").press("End")
    assert tab.locator(".measure b").all_inner_texts() == ["0 ms", "– bpm", "0.00 mV"]
    end(tab, "first").press("Home")
    assert (at(tab, "first"), measured(tab)[0]) == (0, 9990)


def position(tab, x, y):
    """A place of the paper, from millimetres at 25 mm/s to pixels of the window."""
    frame = tab.locator(".sheet").bounding_box()
    width, height = (float(each) for each in tab.locator("svg").get_attribute("viewBox").split()[2:])
    return frame["x"] + frame["width"] * x / width, frame["y"] + frame["height"] * y / height


def test_a_mouse_drag_measures_in_the_lead_below_it(open_view, simulation):
    tab = open_view(1200)
    choose(tab, record="0")
    tab.locator(".sheet").scroll_into_view_if_needed()
    a, b = 5.4, 6.9                                                                         # V2 is shown from 5 to 7.5 s, in the second row
    tab.mouse.move(*position(tab, 15 + 25 * a, 55))
    tab.mouse.down()
    tab.mouse.move(*position(tab, 15 + 25 * (a + 0.5), 55))
    tab.mouse.move(*position(tab, 15 + 25 * b, 55))
    tab.mouse.up()
    ms, _, mv = measured(tab)
    assert ms == pytest.approx(1500, abs=15) and "lead V2, from 5.4" in tab.locator(".measure").inner_text()
    assert tab.locator("[name=lead]").input_value() == "V2"
    t, trace = np.arange(1000) / 100, simulation.signals[0, V2]
    assert mv == pytest.approx(np.interp(at(tab, "second") / 1000, t, trace) - np.interp(at(tab, "first") / 1000, t, trace), abs=0.011)
    tab.mouse.click(*position(tab, 15 + 25 * 6.0, 55))                                      # nearer to the first end
    assert measured(tab)[0] == pytest.approx(900, abs=15)
    handle = end(tab, "second").bounding_box()
    tab.mouse.move(handle["x"] + 15, handle["y"] + 15)
    tab.mouse.down()
    tab.mouse.move(*position(tab, 15 + 25 * 7.2, 40))
    tab.mouse.up()
    assert measured(tab)[0] == pytest.approx(1200, abs=15)


def test_a_tap_moves_the_nearer_end_on_a_phone(open_view):
    tab = open_view(390, has_touch=True)
    assert tab.locator("[name=layout]").input_value() == "long"
    first, zero = at(tab, "first"), 30
    tab.locator(".sheet").scroll_into_view_if_needed()
    tab.touchscreen.tap(*position(tab, 15 + 25 * (first / 1000 + 0.5), zero))
    ends = sorted((at(tab, "first"), at(tab, "second")))
    assert any(abs(each - first - 500) < 15 for each in ends)
    before, handle = at(tab, "second"), end(tab, "second").bounding_box()
    x, y = handle["x"] + 15, handle["y"] + 15
    finger = tab.context.new_cdp_session(tab)
    for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchMove", [{"x": x - 30, "y": y}]),
                         ("touchMove", [{"x": x - 4.5 * 25 * 0.4, "y": y}]), ("touchEnd", [])):
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert before - at(tab, "second") == pytest.approx(400, abs=15)                         # 0.4 s at 4.5 pixels a millimetre


def test_controls_change_the_paper(open_view, simulation):
    tab = open_view()
    texts = tab.locator("svg text").all_text_contents()
    assert sorted(text for text in texts if not text.endswith(" s")) == sorted([*LEADS, "II"])
    choose(tab, record="6")
    rects = tab.locator("svg rect")
    n_pvc, n_beats = ((table["record"] == 6).sum() for table in (simulation.spans, simulation.beats))
    bars = rects.count()
    shown = n_pvc * 4 + n_beats * 2                                # a span shows in the strip and in three rows; QRS and T of each beat
    assert shown <= bars <= shown + n_beats + 3 * n_pvc            # and a P where there is one, and spans that two columns share
    tab.uncheck("[name=truth]")
    assert rects.count() == 0 and not tab.locator(".told").is_visible()
    choose(tab, speed="50")
    assert tab.locator(".paper").get_attribute("role") == "region"
    assert tab.evaluate("document.querySelector('.paper').scrollWidth / document.querySelector('.paper').clientWidth") > 1.8
    choose(tab, layout="long", lead="V5")
    assert "Lead V5 of PVC" in tab.locator("svg").get_attribute("aria-label")
    end(tab, "second").press("End")
    assert tab.evaluate("document.querySelector('.paper').scrollLeft") > 300                 # the end stays in sight


@pytest.mark.parametrize("width", [800, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_stands_still_and_has_nothing_that_axe_finds_serious(open_view, width, theme):
    axe = Path(pytest.importorskip("axe_playwright_python.base").AXE_FILE_PATH).read_text(encoding="utf-8")
    tab = open_view(width, theme)
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tab.evaluate("window.shifted") == 0
    assert tab.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    below = tab.get_by_text("below", exact=True).bounding_box()["y"]
    for row in range(9):
        choose(tab, record=str(row))
        assert abs(tab.get_by_text("below", exact=True).bounding_box()["y"] - below) < 1, CPSC_CLASSES[row]
    tab.evaluate(axe)
    found = tab.evaluate("axe.run({preload: false, resultTypes: ['violations']})")["violations"]
    assert [(each["id"], node["target"]) for each in found for node in each["nodes"]] == []
