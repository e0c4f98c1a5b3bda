"""The page to explore: whole in one file, deaf to hostile text, and usable in a real browser, offline."""

import json
import math
import os
import re
import shutil
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from gzip import decompress
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_page import HOSTILE, PAGE, MadeExperiment, made_experiment, with_further
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from reedit.errors import InputError
from reedit.report.page.html import packed, render_page
from reedit.report.tables.paper import FULL
from reedit.report.words import half_up, percent, perplexity

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
METHODS = {"memit": (900.0, 5.0, 0.5, 0.2), "na_memit": (800.0, 40.0, 3.0)}
LABELS = {"tiny": "Tiny (1M)", "na_memit": HOSTILE}

browser_needed = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver here (Debian: chromium, chromium-driver)"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeExperiment:
    """30 cases, the first of them with a hostile subject; nothing scored at k = 2."""
    folder = tmp_path_factory.mktemp("made")
    return made_experiment(folder, METHODS, cases=30, unscored=[2], subjects=[HOSTILE, "Zürich"])


@pytest.fixture(scope="module")
def page(made: MadeExperiment) -> Path:
    return made.page(LABELS)


class Elements(HTMLParser):
    """Every element's name and attributes, and the text of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "script" and data.strip():
            self.scripts.append((self.found[-1][1], data))


# -- the file -----------------------------------------------------------------------------------------------


def test_the_page_holds_the_parts_as_they_were_given(made: MadeExperiment, page: Path) -> None:
    scripts = Elements(page.read_text(encoding="utf-8")).scripts
    held = {attributes["id"]: text for attributes, text in scripts if attributes.get("type") == "text/plain"}
    for name, part in made.parts(LABELS).items():
        assert json.loads(decompress(b64decode(held[f"part-{name}"]))) == part


def test_the_same_data_give_the_same_page(made: MadeExperiment, page: Path) -> None:
    before = page.read_bytes()
    time.sleep(1.1)  # gzip keeps times in seconds
    assert made.page(LABELS).read_bytes() == before


def test_hostile_text_is_nowhere_in_the_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert (
        "onerror" not in re.sub(r'<script type="text/plain".*?</script>', "", text) and "\u2028" not in text
    )
    assert "<img" not in text


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_alone(page: Path) -> None:
    elements = Elements(page.read_text(encoding="utf-8"))
    for tag, attributes in elements.found:
        links = {attributes.get(name) for name in ("src", "href", "srcset", "action", "data")} - {None}
        assert all(link.startswith("#") for link in links if link), (tag, links)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(
        a["content"] for tag, a in elements.found if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "http" not in policy
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    run = [text for attributes, text in elements.scripts if "type" not in attributes]
    library = next(text for attributes, text in elements.scripts if attributes.get("id") == "part-plotly")
    run.append(decompress(b64decode(library)).decode())
    assert allowed == {b64encode(sha256(text.encode()).digest()).decode() for text in run}


def test_packed_is_text_that_ends_no_element() -> None:
    value = {"text": HOSTILE, "number": 0.1, "nothing": None}
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed(value))
    assert json.loads(decompress(b64decode(packed(value)))) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        packed({"number": math.nan})


@pytest.mark.parametrize("text", ["'</SCRIPT >'", "'<!-- a'"])
def test_a_script_that_would_end_its_element_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.js"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.js: holds"):
        render_page([PAGE[0], path], {"title": "t"}, {}, "")


def test_a_template_that_asks_for_what_it_is_not_given_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.html.j2").write_text("{{ titel }}")
    with pytest.raises(InputError, match=r"page\.html\.j2: 'titel' is undefined"):
        render_page([tmp_path / "page.html.j2"], {"title": "t"}, {}, "")


# -- in a browser -------------------------------------------------------------------------------------------


class Browser:
    """A headless Chromium that notes what it logs and what it asks for."""

    def __init__(self) -> None:
        options = Options()
        options.binary_location = CHROMIUM or ""
        for argument in ("--headless=new", "--disable-gpu", "--window-size=1400,1000"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")  # it refuses to have one as root
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))

    def open(self, page: Path, choice: str = "", plots: int = 8) -> None:
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(f"{page.as_uri()}#{choice}")
        self.until("return document.getElementById('status').hidden")
        self.until("return document.querySelectorAll('.plot .scatterlayer').length === arguments[0]", plots)

    def until(self, script: str, *given: object) -> None:
        WebDriverWait(self.driver, 60, poll_frequency=0.02).until(
            lambda driver: driver.execute_script(script, *given)
        )

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def choose(self, control: str, words: str) -> None:
        Select(self.driver.find_element(By.ID, control)).select_by_visible_text(words)
        self.settle()

    def click(self, element: WebElement) -> None:
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()
        self.settle()

    def settle(self) -> None:
        """Until what was asked for is drawn."""
        self.driver.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 50))")

    def texts(self, selector: str) -> list[str]:
        """The text of elements as it stands in the document, seen or scrolled away."""
        script = "return [...document.querySelectorAll(arguments[0])].map(element => element.textContent)"
        return self.driver.execute_script(script, selector)

    def rows(self, place: str) -> list[list[str]]:
        """The cells of a table's rows."""
        script = "return [...document.querySelectorAll(arguments[0])]"
        script += ".map(row => [...row.cells].map(cell => cell.textContent))"
        return self.driver.execute_script(script, f"{place} tbody tr")

    def head(self, place: str, words: str) -> WebElement:
        """The button of a column's head."""
        return next(button for button in self.find(f"{place} th button") if button.text == words)

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """The addresses that were asked for, but for what the page's policy refused."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        refused = {
            message["params"]["requestId"]
            for message in messages
            if message["method"] == "Network.loadingFailed"
            and message["params"].get("blockedReason") == "csp"
        }
        return {
            message["params"]["request"]["url"].partition("#")[0]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
            and message["params"]["requestId"] not in refused
        }


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    browser = Browser()
    yield browser
    browser.driver.quit()


@pytest.fixture
def browser(started: Browser, page: Path) -> Iterator[Browser]:
    """The page opened anew; after the test nothing may have gone wrong, or been asked for, in it."""
    started.open(page)
    yield started
    assert started.complaints() == []
    assert started.requests() <= {"about:blank", page.as_uri()}


@browser_needed
def test_the_measures_are_printed_as_in_the_tables(browser: Browser, made: MadeExperiment) -> None:
    methods = made.parts(LABELS)["overview"]["methods"]
    lines = [(method, k) for method in methods for k in method["mean"]["k"] if k > 0 or method is methods[0]]
    shown = browser.rows("#measures-table")
    assert len(shown) == len(lines)
    for cells, (method, k) in zip(shown, lines, strict=True):
        mark = {"selected": "*", "last": "†"}.get(method["mean"]["role"][k], "")
        assert cells[:2] == [method["method"]["label"] if k else "Unedited", f"{k}{mark}"]
        values = [method["mean"][measure][k] for measure in FULL]
        expected = [percent(value, 1, sign="") for value in values[:8]] + [perplexity(v) for v in values[8:]]
        assert cells[2:] == expected
    legend = " ".join(browser.texts("#legend li"))
    assert (
        "* the criterion abs Δp <= 1 is met" in legend and "† the criterion abs Δp <= 1 was not met" in legend
    )
    assert "seed 7" in " ".join(browser.texts("#notes li"))


@browser_needed
def test_numbers_are_rounded_as_in_the_tables(browser: Browser) -> None:
    values = [0.0, 0.285, 0.0115, 0.3125, 1.0, 1e-7, 0.99949, 0.9995, 0.12345, 2 / 3]
    shown = browser.driver.execute_script("return arguments[0].map(value => percent(value))", values)
    assert shown == [percent(value, 1, sign="") for value in values]
    values = [0.005, 1.005, -1.005, 999999.994, 999999.995, 1e6, 7.15e6, 9.996e9, 3.3e200, 1e22]
    shown = browser.driver.execute_script("return arguments[0].map(value => perplexity(value))", values)
    assert shown == [perplexity(value) for value in values]
    names = ["Infinity", "-Infinity", "NaN", None]
    shown = browser.driver.execute_script("return arguments[0].map(value => perplexity(value))", names)
    assert (
        shown == ["inf", "inf", "NaN", ""] == [perplexity(v) for v in (math.inf, -math.inf, math.nan, None)]
    )
    shown = browser.driver.execute_script(
        "return arguments[0].map(value => halfUp(value, 2))", [-0.125, -0.001]
    )
    assert shown == [half_up(-0.125, 2), "0.00"]


@browser_needed
def test_a_chosen_method_and_iteration_are_shown_case_by_case(browser: Browser, made: MadeExperiment) -> None:
    browser.choose("method", HOSTILE.replace("\u2028", " "))
    assert Select(browser.find("#k")[0]).first_selected_option.text == "k = 3 (last, criterion not met)"
    browser.choose("k", "k = 1")
    found = made.parts(LABELS)
    run, sample = found["run1"]["prompts"], found["sample0"]
    assert [row[0] for row in browser.rows("#list")] == [str(100 + case) for case in range(10)]
    prompts = browser.rows("#case")
    assert len(prompts) == 13
    for i, cells in enumerate(prompts):
        before, after = (run["words"][run["predicted"][at][i]] for at in (0, 1))
        kind = ["Efficacy", "Generalization", "Specificity"][sample["prompts"]["metric"][i]]
        assert cells[:4] == [kind, sample["prompts"]["prompt"][i], before, after]
        assert cells[5] == percent(run["accuracy"][1][i], 0, sign="")
        for column, cell in (("logp_new", cells[6]), ("logp_true", cells[7])):
            values = [half_up(run[column][at][i], 2).replace("-", "−") for at in (0, 1)]
            assert cell == " → ".join(values)
    assert prompts[0][4] == "✗ failed" and prompts[3][4] == "✗ broken"
    assert {row[4] for row in prompts[3:]} <= {"✗ broken", "✓ kept", "~ overtaken"}


@browser_needed
def test_broken_neighbors_and_failed_edits_can_be_listed(browser: Browser, made: MadeExperiment) -> None:
    found = made.parts(LABELS)
    run, sample = found["run0"]["prompts"], found["sample0"]
    browser.choose("k", "k = 1")
    for words, metric in (("failed edits", 0), ("broken neighbors", 2)):
        browser.choose("show", words)
        wrong = [
            i for i, value in enumerate(run["wrong"][1]) if value and sample["prompts"]["metric"][i] == metric
        ]
        cases = sorted({sample["prompts"]["case"][i] for i in wrong})
        assert 0 < len(cases) < 30
        browser.choose("view", "cases")
        assert [row[0] for row in browser.rows("#list")] == [str(100 + case) for case in cases[:10]]
        browser.choose("view", "prompts")
        shown = browser.rows("#list")
        assert [row[2] for row in shown] == [sample["prompts"]["prompt"][i] for i in wrong][:25]
        assert {row[5] for row in shown} == {"✗ failed" if metric == 0 else "✗ broken"}


@browser_needed
def test_tables_sort_by_every_column_and_what_is_empty_comes_last(
    browser: Browser, made: MadeExperiment
) -> None:
    browser.click(browser.head("#list", "neighbors"))
    tallies = [int(re.findall(r"\d+", row[5])[0]) for row in browser.rows("#list")]
    assert tallies == sorted(tallies, reverse=True) and len(set(tallies)) > 1
    head = browser.find("#list th[aria-sort='descending']")
    assert len(head) == 1
    browser.click(browser.head("#list", "Subject"))
    assert browser.rows("#list")[0][1] == HOSTILE  # "<" comes before letters
    browser.click(browser.head("#list", "Subject"))
    assert browser.rows("#list")[0][1] == "Zürich"
    browser.click(browser.head("#list", "Subject"))
    assert [row[0] for row in browser.rows("#list")] == [str(100 + case) for case in range(10)]
    for _ in range(2):
        browser.click(browser.head("#measures-table", "abs Δp"))
        values = [row[-1] for row in browser.rows("#measures-table")]
        assert values[-1] == "" and "" not in values[:-1]
        assert [float(v) for v in values[:-1]] in (
            sorted(map(float, values[:-1])),
            sorted(map(float, values[:-1]))[::-1],
        )


@browser_needed
def test_search_finds_what_stands_in_a_case_and_pages_turn(browser: Browser) -> None:
    assert browser.texts("#list .pager span") == ["1–10 of 30"]
    browser.click(browser.find("#list .pager button")[1])
    assert browser.rows("#list")[0][0] == "110" and browser.texts("#list .pager span") == ["11–20 of 30"]
    browser.find("#search")[0].send_keys("zÜRICH lies")
    browser.settle()
    assert [row[1] for row in browser.rows("#list")] == ["Zürich"]
    assert browser.texts("#case h3")[0].startswith("Zürich lies in")
    browser.find("#search")[0].send_keys(" nowhere")
    browser.settle()
    assert browser.rows("#list") == [] and "No case fits." in browser.texts("#list .empty")


@browser_needed
def test_hostile_text_is_shown_and_never_read(browser: Browser) -> None:
    assert HOSTILE in browser.rows("#list")[0]
    browser.choose("view", "prompts")
    assert browser.rows("#list")[0][0] == HOSTILE
    assert browser.find("#list img, #case img, #measures img, #curves img") == []
    assert browser.driver.title == "Edits, case by case"
    # and if it were put on the page as HTML, the policy would not let it run
    script = "const d = document.createElement('div'); d.innerHTML = arguments[0]; document.body.append(d)"
    browser.driver.execute_script(script, HOSTILE)
    browser.settle()
    assert browser.driver.title == "Edits, case by case"
    complaints = browser.complaints()
    assert complaints and all("Content Security Policy" in words for words in complaints)


@browser_needed
def test_the_network_is_out_of_reach(browser: Browser) -> None:
    script = (
        "fetch('http://127.0.0.1:9/').then(() => arguments[0]('sent'), error => arguments[0](String(error)))"
    )
    assert "TypeError" in browser.driver.execute_async_script(script)
    assert any("Content Security Policy" in words for words in browser.complaints())


@browser_needed
def test_an_iteration_that_was_not_scored_says_so_and_shows_no_numbers(browser: Browser) -> None:
    browser.choose("k", "k = 2")
    assert "not here at k = 2, only at k = 0, 1, 3, 4" in browser.find("#unscored")[0].text
    assert all(row[3:12] == [""] * 9 and row[13] for row in browser.rows("#list"))
    assert all(row[2] and row[3:6] == ["", "", ""] for row in browser.rows("#case"))
    browser.choose("k", "k = 3 (selected)")
    assert browser.find("#unscored")[0].text == ""


@browser_needed
def test_groups_and_own_words_stand_with_the_case_and_norms_with_the_curves(
    started: Browser, tmp_path: Path
) -> None:
    made = with_further(made_experiment(tmp_path, {"memit": [3.0, 0.5], "na_memit": [0.5]}))
    started.open(made.page(), plots=12)
    started.driver.execute_script("location.hash = ''")
    heads = started.texts("#case h4")
    assert heads == ["What follows from the edit, and what stays"]
    tables = started.driver.execute_script(
        "return [...document.querySelectorAll('#case table')].map(table => [...table.rows].map(row =>"
        " [...row.cells].map(cell => cell.textContent)))"
    )
    prompts, groups = tables
    assert "Itself before" in " ".join(prompts[0]) and " at 0." in " ".join(prompts[-1])
    body = [row for row in groups if row[0] in ("one hop", "kept")]
    assert [row[0] for row in body] == ["one hop", "one hop", "kept"]
    assert body[0][4:] == ["Itself 0: one_hop.", "✓ Itself 2: one_hop.", "0 → 50"]
    assert body[2][3:6] == ["known", "✓ Itself 0: kept.", "Itself 2: kept."]
    assert HOSTILE.replace("\u2028", "") in body[1][1].replace("\u2028", "")
    assert started.driver.title == "Edits, case by case", "a hostile prompt is shown and not read"
    assert started.texts("#panels h3")[8:] == [
        "Norm of the update, logarithmic",
        "Weights' norm, by the unedited",
        "Condition number, by the unedited, logarithmic",
        "Residual after SPREAD",
    ]
    assert started.complaints() == []
    if folder := os.environ.get("KEEP_PAGES"):
        for number, place in enumerate(("#case", "#panels")):
            started.driver.execute_script("document.querySelector(arguments[0]).scrollIntoView()", place)
            started.driver.save_screenshot(f"{folder}/groups{number}.png")


@browser_needed
def test_curves_have_a_line_a_method_and_a_tooltip(browser: Browser) -> None:
    assert [len(browser.find(f".panel:nth-child({n}) .scatter")) for n in range(1, 9)] == [2] * 8
    plot = browser.find(".plot")[0]
    browser.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
    ActionChains(browser.driver).move_to_element_with_offset(plot, 75, 10).perform()
    browser.until("return document.querySelector('.hoverlayer .legendtext') !== null")
    words = " ".join(browser.texts(".hoverlayer text"))
    assert "MEMIT: " in words and "(selected)" in words and "k = 3" in words
    assert "<img src=x onerror=" in words  # a label, as it stands
    browser.click(browser.find("#methods button")[1])
    assert len(browser.find(".panel:nth-child(1) .scatter")) == 1


@browser_needed
def test_the_keyboard_alone_opens_a_case_and_sorts(browser: Browser) -> None:
    button = browser.find("#list tbody button")[1]
    button.send_keys(Keys.ENTER)
    browser.settle()
    assert browser.texts("#case h3")[0].startswith("Zürich lies in")
    assert browser.find("#list tr[aria-current='true']")[0].text.startswith("101")
    for button, expected in [(1, 102), (0, 101), (0, 100), (0, 129), (1, 100)]:  # around the end of the list
        browser.find("#case .steps button")[button].send_keys(Keys.ENTER)
        browser.settle()
        assert browser.texts("#case .facts")[0].startswith(f"Case {expected} ")
        assert browser.find("#list tr[aria-current='true']")[0].text.startswith(str(expected))
    browser.head("#list", "Case").send_keys(Keys.ENTER)
    browser.settle()
    assert browser.rows("#list")[0][0] == "129"
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)  # the focus stays on the head
    browser.settle()
    assert browser.rows("#list")[0][0] == "100"


@browser_needed
def test_the_address_keeps_what_is_chosen(browser: Browser, page: Path) -> None:
    browser.choose("method", HOSTILE.replace("\u2028", " "))
    browser.choose("k", "k = 1")
    browser.choose("show", "broken neighbors")
    kept = browser.driver.current_url.partition("#")[2]
    expected = browser.rows("#list")
    browser.open(page, kept)
    assert browser.rows("#list") == expected
    browser.open(page, "method=none&k=99&show=all&view=x&case=nothing")  # what there is not is passed over
    assert Select(browser.find("#method")[0]).first_selected_option.text == "MEMIT"


@browser_needed
@pytest.mark.parametrize("width", [360, 700, 1100])
def test_a_narrow_window_needs_no_scrolling_sideways(browser: Browser, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    try:
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.settle()
        assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@browser_needed
def test_a_trial_can_be_read_in_place_of_the_mean(started: Browser, tmp_path: Path) -> None:
    made = made_experiment(tmp_path, {"memit": (9.0, 0.5)}, cases=4, trials=2)
    started.open(made.page())
    (method,) = made.parts()["overview"]["methods"]
    second = method["trials"][1]["course"]["efficacy_success"]
    assert second != method["mean"]["efficacy_success"]
    for course in (method["mean"]["efficacy_success"], second):
        assert [row[3] for row in started.rows("#measures-table")] == [percent(v, 1, sign="") for v in course]
        started.choose("trial", "2")
        assert "mean over the trials (2)" in started.find("#averaged")[0].text
        started.click(started.find("#mean")[0])
    run = made.parts()[method["trials"][1]["run"]]["prompts"]
    assert started.rows("#case")[0][3] == run["words"][run["predicted"][2][0]]
    assert started.complaints() == []


@browser_needed
def test_a_damaged_page_says_that_it_cannot_be_drawn(started: Browser, page: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "explore.html"
    text = page.read_text(encoding="utf-8")
    damaged.write_text(text.replace('id="part-overview">H4sI', 'id="part-overview">AAAA'), encoding="utf-8")
    started.driver.get(damaged.as_uri())
    started.until("return document.getElementById('status').className === 'problem'")
    assert started.find("#status")[0].text.startswith("This page could not be drawn: ")
    assert not started.find("main")[0].is_displayed()


@browser_needed
@pytest.mark.slow
@pytest.mark.parametrize("further", [False, True], ids=["scores", "with groups and own words"])
def test_three_thousand_cases_are_quick(started: Browser, tmp_path: Path, further: bool) -> None:
    made = made_experiment(tmp_path, dict.fromkeys(("memit", "pmet"), (9.0, 5.0, 0.9, 0.5)), cases=3000)
    page = with_further(made).page() if further else made.page()
    assert page.stat().st_size < (10e6 if further else 8e6)
    start = time.perf_counter()
    started.open(page, plots=12 if further else 8)
    assert time.perf_counter() - start < 10
    steps = """window.steps = [() => choose({show: "broken"}), () => choose({show: "all", view: "prompts"}),
        () => choose({search: "case 29"}), () => choose({search: ""}), () => choose({k: "1"}),
        () => tables.prompts.sortBy(tables.prompts.columns[2])]"""
    timed = """const start = performance.now(), done = arguments[1];
        Promise.resolve(steps[arguments[0]]()).then(() => done(performance.now() - start))"""
    started.driver.execute_script(steps)
    for step in range(6):
        assert started.driver.execute_async_script(timed, step) < 1500
    assert started.complaints() == []
