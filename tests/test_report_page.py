"""report.html in a real headless Chromium: loaded, dragged, driven by keys, narrow and dark."""

import csv
import shutil

import pytest

from tests.processes import run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium here: apt-get install chromium brings it"
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, report):
    """The report in a window of a size and scheme. At the end nothing may have gone wrong in it."""
    finished, out = report
    assert finished.returncode == 0, finished.stderr
    pages, said, asked = [], [], []

    def opened(width=1280, height=900, scheme="light"):
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{out}/report.html")
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.close()
    assert said == []
    assert [
        url for url in asked if not url.startswith(("data:", f"file://{out}/report.html"))
    ] == []


def divider(page) -> float:
    """Where the divider stands: 0 at the left edge of the viewer to 1 at the right."""
    line, viewer = (page.locator(each).bounding_box() for each in (".divider", ".viewer"))
    at = (line["x"] + line["width"] / 2 - viewer["x"]) / viewer["width"]
    clip = page.locator(".coded").evaluate("image => getComputedStyle(image).clipPath")
    assert float(clip.split()[-1].strip("%)")) / 100 == pytest.approx(at, abs=0.01)
    return at


def test_loads_with_pictures_and_what_was_measured(open_page, labelled_root):
    page = open_page()
    for image in (".source", ".coded"):
        page.wait_for_function(f"document.querySelector('{image}').naturalWidth === 640")
    assert page.locator(".source").get_attribute("src") != page.locator(".coded").get_attribute(
        "src"
    )
    assert page.locator("section.tables").count() == 4
    for caption in page.locator("section.tables caption").all_inner_texts():
        assert "not viewers' judgements" in caption
    assert page.locator(".plots svg").count() == 9
    assert "common.tables --data_dir" in page.locator("#made").inner_text()
    assert str(labelled_root) in page.locator("header").inner_text()
    assert page.locator("[role=note]").is_visible()


def test_the_divider_is_dragged(open_page):
    page = open_page()
    page.locator(".viewer").scroll_into_view_if_needed()
    assert divider(page) == pytest.approx(0.5, abs=0.01)
    box = page.locator(".viewer").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, middle, steps=4)
    page.mouse.move(box["x"] + box["width"] * 0.2, middle, steps=4)
    page.mouse.up()
    assert divider(page) == pytest.approx(0.2, abs=0.02)
    page.mouse.move(box["x"] + box["width"] * 0.9, middle)  # let go is let go
    assert divider(page) == pytest.approx(0.2, abs=0.02)


def test_the_divider_obeys_keys(open_page):
    page = open_page()
    page.locator(".viewer input").focus()
    before = divider(page)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert divider(page) == pytest.approx(before + 0.02, abs=0.005)
    page.keyboard.press("Home")
    assert divider(page) == pytest.approx(0, abs=0.005)
    page.keyboard.press("End")
    assert divider(page) == pytest.approx(1, abs=0.005)


def test_levels_and_frames_are_chosen_by_keys_and_the_worst_comes_first(open_page):
    page = open_page()
    misses = [float(text.split()[0]) for text in page.locator(".frames b").all_inner_texts()]
    assert len(misses) == 3
    assert misses == sorted(misses, reverse=True)
    assert f"mean error {misses[0]:.2f}" in page.locator(".panel p").inner_text()

    page.locator("fieldset input").first.focus()
    coded = page.locator(".coded").get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert page.locator(".tag.right").inner_text().startswith("JND2, QP ")
    assert page.locator(".coded").get_attribute("src") != coded
    assert page.locator(".panel tr[aria-current]").inner_text().startswith("JND2")

    name = page.locator(".panel h3").inner_text()
    page.locator(".frames button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.locator(".panel h3").inner_text() != name
    assert page.locator(".tag.right").inner_text().startswith("JND2, QP ")  # the level stays
    assert page.locator(".frames button").nth(1).get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("width", [360, 768, 1024, 1440])
def test_nothing_is_wider_than_the_page(open_page, width):
    page = open_page(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wider = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter(element => {
            const box = element.getBoundingClientRect();
            return box.width && (box.right > innerWidth + 1 || box.left < -1);
        }).filter(element => !element.closest("svg, thead, legend, fieldset input"))
          .map(element => element.outerHTML.slice(0, 80))"""
    )
    assert wider == []


def test_light_and_dark(open_page):
    def brightness(page, what):
        colour = page.evaluate(
            f"getComputedStyle(document.querySelector('body')).{what}.match(/[0-9]+/g)"
        )
        return sum(map(int, colour[:3])) / 3

    light, dark = open_page(), open_page(scheme="dark")
    assert brightness(light, "backgroundColor") > 230 > 80 > brightness(light, "color")
    assert brightness(dark, "backgroundColor") < 40 < 200 < brightness(dark, "color")
    # Plots are drawn in the page's colour of text.
    for page in (light, dark):
        inks = page.evaluate(
            """() => [...document.querySelectorAll(".plots svg")].map(svg =>
                getComputedStyle(svg.querySelector("[style*=currentColor]")).color)"""
        )
        assert set(inks) == {page.evaluate("getComputedStyle(document.body).color")}
        assert len(inks) == 9


HOSTILE = [
    '0"><img src=x onerror=document.title=1>.png',
    "1<svg onload=document.title=2>.png",
    "2\u202e<script>document.title=3<!--.png",
]


@pytest.fixture(scope="module")
def hostile_report(report, labelled_root, mj_weights, tmp_path_factory):
    """The same report, of images and in a folder whose names would be run if they were not text."""
    root = tmp_path_factory.mktemp("hostile") / "<script>document.title=4<" / "script>'&amp;"
    shutil.copytree(labelled_root, root)
    for number, name in enumerate(HOSTILE):
        (root / "test" / f"{number}.png").rename(root / "test" / name)
    with (root / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (root / "manifest.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        for row, name in zip(rows, HOSTILE):
            table.writerow({**row, "file": f"test/{name}"})
    out = root / "out"
    given = "--data_dir", root, "--model_weights_path", mj_weights, "--out", out
    cache = shutil.copytree(report[1] / "cache", root / "cache")
    done = run("-m", "common.tables", *given, "--cache_dir", cache)
    assert done.returncode == 0, done.stderr
    return root, out / "report.html"


def test_names_are_text_whatever_is_in_them(browser, hostile_report):
    root, path = hostile_report
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.title() == f"JND prediction: {root}"
    frames = page.locator(".frames button")
    shown = []
    for number in range(frames.count()):
        frames.nth(number).click()
        shown.append(page.locator(".panel h3").inner_text())
    expected = [name.removesuffix(".png").replace("\u202e", r"\u202e") for name in HOSTILE]
    assert sorted(shown) == expected
    assert page.title() == f"JND prediction: {root}" and said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    page.close()


@pytest.mark.parametrize("width", [1080, 1200, 1440])
def test_no_heading_is_broken_inside_a_word(open_page, width):
    broken = open_page(width).evaluate(
        """() => [...document.querySelectorAll("th")].flatMap(heading => {
            const text = heading.firstChild;
            return [...text.data.matchAll(/[^\\s-]+/g)].filter(word => {
                const range = document.createRange();
                range.setStart(text, word.index);
                range.setEnd(text, word.index + word[0].length);
                return range.getClientRects().length > 1;
            }).map(word => word[0]);
        })"""
    )
    assert broken == []
