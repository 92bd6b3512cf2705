"""The explorer's page: what Python writes, and what a real browser makes of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, open_browser
from conftest import REPO, run_cli, run_name, train_run
from firefox import FIREFOX, open_firefox
from test_explore_engine import worst_error

from scratchformer.engine.model import backward, forward, unflatten
from scratchformer.figures.explorer.page import MODULES, explorer_page
from scratchformer.tools.explore.javascript import engine_code, page_code, table

NODE = shutil.which("node")
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
OXLINT = shutil.which("oxlint", path=PLACES)
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
EXPLORER = REPO / "figures" / "explorer"
LEARNING = ("training.steps=3000", "training.checkpoint_every=500", "training.eval_every=500")


def write_page(model, folder):
    """The page of a Model as a file."""
    path = folder / "explore.html"
    path.write_text(explorer_page(model, page_code(model), table()), "utf-8")
    return path


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory):
    """A run of 3000 steps of the default config: it still errs."""
    return train_run(tmp_path_factory.mktemp("runs") / "plus_last_even", "data.num_sequences=400", *LEARNING)


@pytest.fixture(scope="module")
def page(half_trained, tmp_path_factory):
    return write_page(half_trained.last, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    with open_browser() as found:
        yield found


@pytest.fixture
def opened(browser, page):
    """The browser with the page of the half-trained run; nothing is complained of or asked for meanwhile."""
    browser.problems.clear()
    browser.requests.clear()
    browser.open(page)
    yield browser
    assert browser.problems == []
    own = ("file:", "about:", "data:", "blob:")
    assert [url for url in browser.requests if not url.startswith(own)] == []


# the file


def test_the_file_is_whole_and_small(half_trained, page):
    text = page.read_text("utf-8")
    assert not re.search(r"\{\{\w+\}\}", text)
    others = r"""(src|href)\s*=\s*["'](?!data:)|@import|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)"""
    assert not re.search(others, text)
    start = time.perf_counter()
    model = half_trained.last
    page = explorer_page(model, page_code(model), table())
    assert time.perf_counter() - start < 3              # 1 s where nothing else runs
    data = re.search(r'id="run-data">(.*?)</script>', page, re.DOTALL)[1]
    assert len(page.encode()) < 1_500_000 and len(page.encode()) - len(data.encode()) < 300_000


@needs_node
@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_javascript(name):
    done = subprocess.run([NODE, "--check", EXPLORER / f"{name}.js"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_module_is_in_the_page():
    assert {path.stem for path in EXPLORER.glob("*.js")} == set(MODULES)


@needs_node
def test_no_name_is_said_twice(page, tmp_path):
    """All modules share one scope: a name that two of them declare is an error of the whole."""
    script = re.search(r'<script>\n(.*)</script>', page.read_text("utf-8"), re.DOTALL)[1]
    path = tmp_path / "page.js"
    path.write_text(script, "utf-8")
    done = subprocess.run([NODE, "--check", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^(?:async )?function (\w+)", "\n".join(
        (EXPLORER / f"{name}.js").read_text("utf-8") for name in MODULES), re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.skipif(OXLINT is None, reason="oxlint is not installed")
def test_the_script_passes_a_linter(page, tmp_path):
    """All modules as one script, the translated engine among them, where a size may be read and not used."""
    path = tmp_path / "page.js"
    path.write_text(re.search(r'<script>\n(.*)</script>', page.read_text("utf-8"), re.DOTALL)[1], "utf-8")
    allowed = ("unicorn/no-new-array", "unicorn/prefer-string-starts-ends-with")
    options = [word for rule in allowed for word in ("-A", rule)]
    done = subprocess.run([OXLINT, "--format=unix", *options, path], capture_output=True, text=True)
    found = re.findall(r"^\S+?:\d+:\d+: (.*)", done.stdout, re.MULTILINE)
    assert "problem" in done.stdout
    assert all(re.match("Variable '(V|range)' is declared but never used", text) for text in found), found
    path.write_text("const x = 1; x = 2; debugger;", "utf-8")           # it does find what is wrong
    done = subprocess.run([OXLINT, "--deny-warnings", path], capture_output=True, text=True)
    assert done.returncode and "no-const-assign" in done.stdout and "no-debugger" in done.stdout


def test_the_page_in_docs_is_the_current_one():
    """docs/explore.html holds the code as it is now; if not, python docs/explorer.py rebuilds it."""
    page = (REPO / "docs" / "explore.html").read_text("utf-8")
    for name in MODULES:
        text = (EXPLORER / f"{name}.js").read_text("utf-8")
        assert text.replace("</", "<\\/") in page, f"{name}.js has changed"
    assert engine_code().replace("</", "<\\/") in page, "the engine has changed"


def test_the_command(tmp_path):
    small = ("--set", "training.steps=20", "--set", "data.num_sequences=40", "--out", tmp_path)
    name = run_name("training.steps=20", "data.num_sequences=40")
    for words in (("explore", "plus_last_even"), ("plus_last_even", "--explore", "--step", "0", "--open")):
        done = run_cli(*words, *small, env=os.environ | {"BROWSER": "true"})
        assert done.returncode == 0, done.stderr
        assert f"explorer: {tmp_path / name / 'explore.html'} (" in done.stdout
    assert '"start": 0,' in (tmp_path / name / "explore.html").read_text("utf-8")


def test_a_model_too_large_to_look_at_is_refused_before_it_is_trained(tmp_path):
    done = run_cli("explore", "plus_last_even", "--set", "model.n_embd=64", "--out", tmp_path)
    assert done.returncode == 2 and "at most 20,000 parameters, this one has" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_the_modules_declare_is_used():
    code = "\n".join((EXPLORER / f"{name}.js").read_text("utf-8") for name in MODULES)
    declared = re.findall(r"^(?:function|const|let|class) (\w+)", code, re.MULTILINE)
    methods = re.findall(r"^  (?!if|for|while|return|switch|constructor)(\w+)\(.*\) \{$", code, re.MULTILINE)
    html = (EXPLORER / "page.html").read_text("utf-8")
    unused = [name for name in declared + methods if len(re.findall(rf"\b{name}\b", code)) < 2]
    assert len(declared) > 60 and len(methods) > 50 and not unused
    named = {*re.findall(r'\$\("([\w-]+)"\)', code)}
    assert named and named <= {*re.findall(r'id="([\w-]+)"', html)}


# in the browser


def arrays_of(browser, name):
    """All numbers that the page holds under a name: values, gradient."""
    found = json.loads(browser.run(f"JSON.stringify(all_numbers()[{json.dumps(name)}])"))
    return np.array(found["values"]), np.array(found["gradient"], float)


@needs_browser
def test_the_browser_computes_what_the_engine_computes(opened, half_trained):
    rng = np.random.default_rng(0)
    run, worst = half_trained, 0.0
    for n in range(12):
        step = int(rng.choice(run.steps))
        length = int(rng.integers(1, 9))
        ids = rng.integers(0, 12, length)
        at, target = int(rng.integers(length)), int(rng.integers(12))
        theta = np.concatenate([array.ravel() for array in run.at(step).params])
        theta += rng.normal(0, 0.1, theta.shape)
        opened.run(
            f"go_to(RUN.steps.indexOf({step})); follow({ids.tolist()}); S.position = {at};"
            f"S.target = {target}; theta.set({theta.tolist()}); redraw()"
        )
        targets = np.full((1, length), -1)
        targets[0, at] = target
        params = unflatten(theta, run.files.shapes)
        cache = forward(params, ids[None], targets)
        dparams, dcache = backward(params, cache)
        for values, gradients in ((params, dparams), (cache, dcache)):
            for name in values._fields:
                if name in ("tokens", "targets", "use_residual") or not getattr(values, name).size:
                    continue
                for found, array in zip(arrays_of(opened, name), (values, gradients), strict=True):
                    error = worst_error(found, getattr(array, name))
                    assert error <= 1e-12, (n, name, error)
                    worst = max(worst, error)
    assert worst > 0                                    # they differ in the last bits: they were compared


@pytest.mark.slow
@pytest.mark.skipif(FIREFOX is None, reason="Firefox is not installed")
def test_firefox_computes_and_shows_the_same(page, half_trained):
    """What the Chromium tests rest on, in another engine: the numbers, and what the page says."""
    with open_firefox() as browser:
        browser.open(page)
        test_the_browser_computes_what_the_engine_computes(browser, half_trained)
        test_the_regions_are_exact(browser)
        said = browser.run("document.body.innerText")
        assert "plus_last_even" in said and "NaN" not in said and "undefined" not in said
        before = browser.run("theta[0]")
        browser.run("go_to(RUN.steps.length - 1); theta[0] += 1; redraw()")
        assert browser.run("theta[0]") != before and "NaN" not in browser.run("document.body.innerText")


@needs_browser
def test_the_rule_error_is_the_runs(opened, half_trained):
    """Where the page reads all held-out windows, as of a small run, its count is the run's."""
    wrong, constrained = half_trained.last.count_wrong()
    found = opened.run("[sample.N, held_out.shape[0], computed.wrong, sample.places.length]")
    if found[0] == found[1]:
        assert found[2:] == [wrong, constrained]
    else:
        assert abs(found[2] / found[3] - wrong / constrained) < 0.08


@needs_browser
def test_the_regions_are_exact(opened):
    """At random points the polygon that holds the point names the model's top prediction."""
    found = opened.run("""(() => {
        const box = planes_panel.stream_plane.box(), regions = exact_regions(box), random = generator(3);
        const inside = (corners, x, y) => corners.every((a, i) => {
            const b = corners[(i + 1) % corners.length];
            const side = (b.x - a.x) * (y - a.y) - (b.y - a.y) * (x - a.x);
            return side >= -1e-9 * (Math.abs(b.x - a.x) + Math.abs(b.y - a.y));
        });
        let covered = 0, wrong = 0;
        for (let n = 0; n < 2000; n++) {
            const x = box.x0 + random() * (box.x1 - box.x0);
            const y = box.y0 + random() * (box.y1 - box.y0);
            const logits = Array.from(from_stream([[x, y]], "logits").data), best = Math.max(...logits);
            const here = regions.filter(({corners}) => inside(corners, x, y)
                || inside([...corners].reverse(), x, y));
            covered += here.length > 0;
            wrong += here.some(({token}) => best - logits[token] > 1e-6);
        }
        const whole = (box.x1 - box.x0) * (box.y1 - box.y0);
        return [covered, wrong, regions.reduce((sum, {corners}) => sum + area(corners), 0) / whole];
    })()""")
    assert found[0] == 2000 and found[1] == 0 and abs(found[2] - 1) < 1e-6


@needs_browser
def test_a_walk_that_uses_every_control(opened):
    b = opened
    before = b.run("Array.from(theta)")
    b.type("#sequence", "5 8 3 +")
    assert b.run("S.ids.length") == 4 and "After 5 8 3 +" in b.text("#sentence")
    b.click("#chips .chip:nth-child(2)")
    assert b.run("S.position") == 1
    b.click("#palette .token:last-child")
    b.click("#remove")
    b.click("#random")
    assert b.run("S.ids.length") == 8
    b.type("#sequence", "5 8 3 +")
    b.run("$('step').value = 2; $('step').dispatchEvent(new Event('input'))")
    b.settle()
    assert "step 1,000 of 3,000" in b.text("#step-text")
    b.click("#play")
    b.wait("S.step === RUN.steps.length - 1 && !sequence_panel.playing")
    b.click("#mode-gradient")
    assert "gradient of the loss" in b.text("#mode-text")
    b.run("$('target').value = 2; $('target').dispatchEvent(new Event('change'))")
    b.settle()
    assert "−log p(2)" in b.text("#loss-text")
    b.click('[data-box="embed"] [data-cell="1,0"]')
    assert "dembed[1,0]" in b.text("#readout-text") and "through v" in b.text("#readout-text")
    b.click("#unpin")
    b.click("#mode-forward")
    b.click('[data-box="scores"] [data-cell="3,1"]')
    text = b.text("#readout-text")
    assert "q[3,0] * k[1,0] + q[3,1] * k[1,1]" in text and "attention.py" in text
    assert "goes to attention[3,0]" in text
    b.click("#view-gradient")
    b.mouse("mouseMoved", *b.place('[data-weights="W_q"] [data-cell="1,0"]'))
    b.settle()
    assert "dW_q[1,0] = " in b.text("#weight-hover") and "embed[3,1] * dq[3,0]" in b.text("#weight-hover")
    b.click("#view-change")
    b.click("#view-values")
    b.click('[data-weights="W_k"] [data-cell="0,0"]')
    b.type("#weight", "0.75")
    b.key("Enter")
    weight = "params.W_k.data[params.W_k.at(0, 0, 0)]"
    assert b.run(weight) == 0.75 and "1 of 250 weights changed" in b.text("#change")
    b.key("ArrowUp")
    b.key("ArrowDown", shift=True)
    assert abs(b.run(weight) - 0.3) < 1e-12
    b.drag('[data-weights="W_v"] [data-cell="1,1"]', 0, -40)
    assert "2 of 250" in b.text("#change")
    b.drag('#plane-embed [data-drag="W_token:4"]', 25, 10)
    assert "4 of 250" in b.text("#change")
    b.run("document.querySelector('#plane-embed [data-drag=\"W_pos:2\"]').focus()")
    b.key("ArrowLeft")
    assert b.run("document.activeElement.dataset.drag") == "W_pos:2"
    b.click("#undo")
    b.click("#redo")
    b.click("#reset")
    assert b.run("Array.from(theta)") == before
    b.click("#train-1")
    assert "windows are read" in b.text("#one-step")
    b.click("#train-100")
    b.type("#rate", "0.01")
    b.type("#batch", "4")
    b.type("#decay", "0")
    b.type("#seed", "5")
    b.click("#train-run")
    b.wait("training.trainer.step > 150")
    b.click("#train-run")
    assert re.search(r"[\d,]+ steps from step 3,000; held-out loss", b.text("#train-text"))
    b.click("#train-stop")
    b.click("#reset")
    b.click("#theme")
    assert b.run("document.documentElement.dataset.theme") == "dark"
    b.click("#save-menu summary")
    for button in ("save-json", "save-csv", "copy-link"):
        b.click(f"#{button}")
    assert b.run("$('link').value").startswith("file:")
    assert b.run("numbers_csv().split('\\n').length") > 500
    for panel in ("forward", "planes", "weights", "train"):
        b.click(f'[data-panel="{panel}"] .tools button:first-child')
        b.click(f'[data-panel="{panel}"] .tools button:last-child')
    b.wait("explorer.saved.length === 4 && explorer.saved.every(({size}) => size > 5000)")
    svg = b.run("panel_svg(document.querySelector('[data-panel=planes]'))")
    assert svg.startswith("<svg") and "var(--q)" in svg and "--q:" in svg
    b.click("#tour")
    for _ in range(b.run("STOPS.length") - 1):
        assert len(b.text("#tour-text")) > 80 and "undefined" not in b.text("#tour-text")
        b.click("#tour-next")
    b.click("#tour-back")
    b.key("Escape")
    assert b.run("$('tour-box').hidden")


@needs_browser
def test_every_control_has_a_name_and_is_reached_by_the_keyboard(opened):
    nameless = """Array.from(document.querySelectorAll("button, input, select, [tabindex]"))
        .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || (e.labels || []).length))
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert opened.run(nameless) == []
    assert opened.run("document.querySelectorAll('.plane [data-drag]:not([tabindex])').length") == 0
    opened.run("document.querySelector('[data-box=scores] svg').focus()")
    for key in ("ArrowDown", "ArrowRight", "ArrowDown"):
        opened.key(key)
    assert "scores[2,1]" in opened.text("#readout-text")
    opened.key("Enter")
    assert opened.run("S.pinned.name") == "scores"


@needs_browser
@pytest.mark.parametrize(("field", "text", "sentence"), [
    ("sequence", "5 x +", "“x” is not a token"), ("sequence", "", "at least one token"),
    ("sequence", "1 2 3 4 5 6 7 8 9", "9 tokens are too many"), ("sequence", "<b>1</b>", "is not a token"),
    ("weight", "abc", "is not a number"), ("weight", "1e999", "must lie between"),
    ("weight", "-Infinity", "must lie"), ("weight", "", "is not a number"),
    ("rate", "fast", "number from 0 to 10"), ("batch", "2.5", "whole number"),
    ("batch", "0", "whole number from 1"), ("decay", "-1", "number from 0"), ("seed", "1e99", "whole number"),
])
def test_bad_input_is_told_beside_the_field(opened, field, text, sentence):
    before = opened.run("[String(S.ids), Array.from(theta), JSON.stringify(training.settings)]")
    opened.type(f"#{field}", text)
    opened.key("Enter")
    assert sentence in opened.text(f"#{field}-problem")
    assert opened.run(f"$('{field}').getAttribute('aria-invalid')") == "true"
    assert opened.run("[String(S.ids), Array.from(theta), JSON.stringify(training.settings)]") == before


@needs_browser
def test_training_that_diverges_keeps_the_last_good_weights(opened):
    opened.type("#rate", "10")
    opened.type("#decay", "10")
    opened.run("theta.fill(999999); redraw()")
    opened.click("#train-100")
    opened.click("#train-100")
    assert "diverged" in opened.text("#train-problem") and opened.run("theta.every(usable)")
    opened.click("#undo")
    opened.run("theta.fill(-1e6); redraw()")


@needs_browser
def test_the_address_brings_a_moment_back(opened, page):
    opened.type("#sequence", "5 8 3 +")
    opened.run("S.position = 2; S.target = 4; S.gradient = true; S.pinned = {name: 'q', cell: [2, 1]};"
               "go_to(3); theta[7] = 0.1 + 0.2; redraw()")
    shown = "[S.ids, S.position, S.target, S.gradient, S.pinned, S.step, Array.from(theta)]"
    state, fragment = opened.run(shown), opened.run("address()")
    opened.open(page, fragment)
    assert opened.run(shown) == state
    opened.run("theta.forEach((x, i) => (theta[i] = x + i / 3)); redraw()")
    state, fragment = opened.run(shown), opened.run("address()")
    opened.open(page, fragment)
    assert opened.run(shown) == state and "weights=" in fragment
    opened.open(page, "#s=5+99&step=7&at=-1&target=x&edit=1:oops&pin=nothing:1&weights=%%%")
    assert "does not know" in opened.text("#address-problem") and opened.run("theta.every(Number.isFinite)")


@needs_browser
def test_how_long_a_redraw_takes(opened):
    """By the page's own clock; the bounds leave room for a busy machine."""
    times = opened.run("""(async () => {
        timings.length = 0;
        for (let n = 0; n < 60; n++) {
            theta[n % theta.length] += 0.01;
            redraw();                           // all panels, in view or not
            await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        }
        return timings.slice(10).sort((a, b) => a - b);
    })()""")
    print(f"redraw: median {times[len(times) // 2]:.1f} ms, worst {times[-1]:.1f} ms")
    assert times[len(times) // 2] < 150
    rate = opened.run("(() => { training.ready(); const start = performance.now(); training.take(1000);"
                      "return 1e6 / (performance.now() - start); })()")
    print(f"training: {rate:.0f} steps a second")
    assert rate > 300


@needs_browser
def test_odd_models(browser, odd_run, tmp_path):
    """Several heads, one dimension, more than two, no residual, no operators: everything is drawn."""
    browser.problems.clear()
    browser.open(write_page(odd_run.last, tmp_path))
    assert browser.run("document.querySelectorAll('svg.plane').length") == 4
    browser.run("S.gradient = true; S.head = SIZES.H - 1; redraw()")
    pin_all = ("for (const name in forward_panel.boxes)"
               "{ S.pinned = null; forward_panel.pin(name, [0, 0]); redraw(); }")
    browser.run(pin_all)
    browser.run("S.gradient = false; " + pin_all)
    browser.run("go_to(0); remember(); planes_panel.embed_plane.drag('W_token:0', [0.1, 0.1]); redraw();"
                "training.steps(3); redraw()")
    if odd_run.config.model.n_embd > 2:
        assert "principal axes" in browser.text("#plane-embed-note")
        assert "slice" in browser.text("#plane-stream-note")
    assert "NaN" not in browser.run("document.querySelector('#planes').innerHTML")
    assert browser.problems == []


@needs_browser
def test_a_rule_that_is_not_known_everywhere(browser, tmp_path):
    rule = tmp_path / "rule.py"
    rule.write_text("def f(history):\n    even = [x for x in history if x != '+' and x % 2 == 0]\n"
                    "    return {even[-1]} if history[-1] == '+' and even else None\n")
    run = train_run(tmp_path / "own", "training.warmup_steps=0", config=str(rule))
    browser.problems.clear()
    browser.open(write_page(run.last, tmp_path))
    browser.type("#sequence", "1 3 5 7 1 3 5 +")
    assert "cannot be asked here" in browser.text("#sentence") or "allows" in browser.text("#sentence")
    assert browser.problems == []


@needs_browser
@pytest.mark.parametrize("width", [1920, 1280, 390])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.open(page, width=width, height=800)
    assert browser.run("document.documentElement.scrollWidth") <= width


@needs_browser
def test_without_javascript_the_page_says_what_it_needs(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.call("Page.navigate", url=page.resolve().as_uri())
        time.sleep(1)
        root = browser.call("DOM.getDocument")["root"]["nodeId"]
        found = browser.call("DOM.querySelector", nodeId=root, selector="noscript p")["nodeId"]
        assert "needs JavaScript" in browser.call("DOM.getOuterHTML", nodeId=found)["outerHTML"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
