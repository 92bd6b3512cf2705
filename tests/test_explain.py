import os
import re
import subprocess
import sys
from math import exp, isclose, log, sqrt

import numpy as np
import pytest
from conftest import REPO, make_params, small_cases, train_run
from hypothesis import given, settings

from scratchformer.analysis.why import compare_parts, logit_parts
from scratchformer.engine.lm_head import TINY as LEAST
from scratchformer.engine.model import backward, forward
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, TABLE
from scratchformer.engine.steps import backward_steps, forward_steps
from scratchformer.run.config import ModelConfig
from scratchformer.run.data import parse_tokens
from scratchformer.system.errors import RunError
from scratchformer.tools.explain import term as terms
from scratchformer.tools.explain import trace
from scratchformer.tools.explain.debugger import line_after
from scratchformer.tools.explain.explain import explain, where
from scratchformer.tools.explain.term import Operand, Term, constant, largest
from scratchformer.tools.explain.text import number, visible
from scratchformer.tools.explain.trace import Trace, forward_entry, routes

FUNCTIONS = {"exp": exp, "log": log, "max": max, "sqrt": sqrt, "TINY": LEAST}


def in_python(pieces):
    """The value of an expression as Python reads it."""
    return eval(" ".join(p if isinstance(p, str) else repr(p.value) for p in pieces), FUNCTIONS)


def entries(params, tokens, target, use_residual=True):
    """The Trace of one sequence and its gradients; target: the next token's id."""
    targets = np.full(len(tokens), -1)
    targets[-1] = target
    cache = forward(params, tokens[None], targets[None], use_residual)
    return Trace(params, cache, *backward(params, cache))


def check_every_entry(x):
    """Every expression gives the entry that the model computed, and every operand is what it is called."""
    for name in ACTIVATION_NAMES + PARAMETER_NAMES:
        for index in np.ndindex(x.arrays[name].shape):
            term, found = forward_entry(x, name, index), routes(x, name, index)
            close(in_python(term.pieces()), x.arrays[name][index], f"{name}{index}")
            total = sum(in_python(route.pieces()) for _, route in found)
            close(total, x.arrays[f"d{name}"][index], f"d{name}{index}")
            for expression in (term, *(route for _, route in found)):
                close(expression.value, in_python(expression.pieces()), f"{name}{index}")
                for piece in expression.pieces():
                    check_operand(x, piece)


def close(value, expected, what):
    assert isclose(value, expected, rel_tol=1e-11, abs_tol=1e-13), (what, value, expected)


def check_operand(x, piece):
    """An operand that is an entry has the value of the array at the index in its label."""
    if isinstance(piece, str) or not piece.name:
        return
    assert piece.label.startswith(piece.name + "[")
    assert piece.value == x.arrays[piece.name][index_in(x, piece.name, piece.label)]


@given(small_cases())
@settings(max_examples=25)
def test_every_expression_evaluates_to_its_entry(case):
    params, tokens, targets, use_residual = case
    check_every_entry(entries(params, tokens[0], max(targets[0, -1], 0), use_residual))


@pytest.mark.parametrize("scale", [1e-6, 30])
def test_expressions_with_extreme_weights(scale):
    model = ModelConfig(n_embd=4, num_heads=2, head_size=3, block_size=5, ffn_mult=2)
    rng = np.random.default_rng(1)
    x = entries(make_params(model, 6, rng, scale), np.array([1, 1, 5, 0]), 3)
    check_every_entry(x)
    if scale == 30:
        assert x("probs", 3, 3).value < LEAST           # so the loss has to hold on to TINY


def test_a_missing_route_is_caught(monkeypatch):
    params = make_params(ModelConfig(block_size=4), 5, np.random.default_rng(0))
    x = entries(params, np.array([0, 3, 1]), 2)
    check_every_entry(x)
    fewer = [step for step in backward_steps() if step.name != "k"]
    monkeypatch.setattr(trace, "backward_steps", lambda: fewer)
    with pytest.raises(AssertionError, match="dembed|dW_k"):
        check_every_entry(x)


def test_routes_of_the_stream():
    params = make_params(ModelConfig(block_size=4), 5, np.random.default_rng(0))
    for use_residual in (True, False):
        x = entries(params, np.array([0, 3, 1]), 2, use_residual)
        found = dict(routes(x, "embed", (1, 0)))
        assert list(found) == ["through resid_mid", "through q", "through k", "through v"]
        around = "".join(str(getattr(piece, "label", piece)) for piece in found["through resid_mid"].pieces())
        assert around == ("dresid_mid[1,0]" if use_residual else "0")
        assert [by for by, _ in routes(x, "resid_mid", (1, 0))] == ["through resid_post", "through ffn_pre"]


def test_terms_are_shown_as_simply_as_they_can_be():
    values = {"a": 2.0, "b": 3.0, "c": 0.0}
    a, b, c = (Term(value, "", (Operand(name, name, value),)) for name, value in values.items())

    def shown(term):
        return " ".join(getattr(piece, "label", piece) for piece in term.pieces())

    assert shown(0.0 + a * b + a * c) == "a * b"
    assert shown((a + b) * (1 / terms.sqrt(2))) == "( a + b ) * ( 1 / sqrt(2) )"
    assert shown(a - (b - a) - 1) == "a - ( b - a ) - 1"
    share = terms.exp(a - b) / (terms.exp(a - b) + terms.exp(b))
    assert shown(share) == "exp( a - b ) / ( exp( a - b ) + exp( b ) )"
    assert shown(0.0 - terms.log(a)) == "-log( a )" and shown((a + b) * 1) == "a + b"
    assert shown(largest(a, 0)) == "max( a , 0 )" and largest(a, b) is b
    assert shown(a / (a * b)) == "a / ( a * b )" and shown(constant(0) + 0) == "0"


def test_a_sum_of_thousands_is_evaluated():
    total = 0
    for i in range(10_000):
        total += Term(0.5, "", (Operand("q", "q", 0.5),)) * Term(i + 1.0, "", (Operand("k", "k", i + 1.0),))
    quotient = total / 2
    assert quotient.value == 10_000 * 10_001 / 8 and len(quotient.pieces()) == 4 * 10_000 + 3


@pytest.mark.parametrize("num_heads", [1, 2])
def test_formulas_name_what_the_expressions_read(num_heads):
    params = make_params(ModelConfig(block_size=4, num_heads=num_heads), 5, np.random.default_rng(0))
    x = entries(params, np.array([0, 3, 1]), 2)
    for name, step in forward_steps().items():
        left, _, right = step.formula.partition(" = ")
        index = (0, 2, 1)[-x.arrays[name].ndim:] if x.arrays[name].ndim else ()
        pieces = forward_entry(x, name, index).pieces()
        read = {piece.name for piece in pieces if isinstance(piece, Operand) and piece.name}
        named = set(re.findall(r"\b[a-zA-Z]\w*", right.replace("ᵀ", ""))) & (set(TABLE) - {"tokens"})
        if num_heads == 1:
            named -= {"W_o"}                    # this model has none
        assert left == name and named == read, name


def check_printed(text, array):
    """A printed number is the entry, to the digits printed."""
    digits = re.sub(r"e.*", "", text).partition(".")[2]
    power = int(re.findall(r"e(.*)", text)[0]) if "e" in text else 0
    assert abs(float(text) - array) <= 0.5001 * 10.0 ** (power - len(digits)) * (text != "0")


def index_in(x, name, label):
    """The index that a label such as q[3,0] writes, with the head's."""
    index = [int(i) for i in re.findall(r"\d+", label.partition("[")[2])]
    if "H" in x.dims(name) and x.H == 1:
        index.insert(x.dims(name).index("H"), 0)
    return tuple(index)


def check_block(x, name, lines, words):
    """What the forward pass prints of one name: every entry, under each token, and the worked one."""
    stop = next(i for i, line in enumerate(lines) if re.fullmatch(rf"  {name}(\[[\d,]+\])?", line))
    rows, head = {}, 0
    for line in lines[3:stop]:
        match = re.match(r"  (\S+?)([₀-₉]+) ", line)
        if line.startswith("  head"):
            head = int(line.split()[1]) - 1
            assert line.endswith(f"(index {head})")
        elif match:
            t = int(match[2].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")))
            assert match[1] == words[t]
            rows.setdefault((head, t), []).extend(line.split()[1:])
    array = x.arrays[name]
    printed = [text for key in sorted(rows) for text in rows[key]]
    assert len(printed) == (array.size if array.ndim else 0)
    for text, value in zip(printed, array.ravel(), strict=array.ndim > 0):
        check_printed(text, value)
    check_printed(lines[-1].removeprefix("    = "), array[index_in(x, name, lines[stop])])


@pytest.mark.parametrize("length", [1, 3])
def test_the_walk_prints_the_cache(odd_run, length):
    ids = np.resize(np.arange(len(odd_run.vocabulary)), min(length, odd_run.config.model.block_size))
    words = [odd_run.vocabulary[i] for i in ids]
    step = odd_run.steps[-1]
    x = entries(odd_run.at(step).params, ids, 1, odd_run.config.model.use_residual)
    text = explain(odd_run.at(step), " ".join(words), target=odd_run.vocabulary[1])
    brief, title, *blocks = text.split("\n\n")
    assert title.startswith("indices count from 0")
    check_brief(brief.splitlines(), odd_run.at(step), ids)
    assert [block.split()[0] for block in blocks] == list(ACTIVATION_NAMES)
    for name, block in zip(ACTIVATION_NAMES, blocks, strict=True):
        check_block(x, name, block.split("\n"), words)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_page(odd_run, width):
    vocabulary, step = odd_run.vocabulary, odd_run.steps[-1]
    tokens = " ".join(np.resize(vocabulary, odd_run.config.model.block_size))
    params = odd_run.at(step).params
    for name in (None, *ACTIVATION_NAMES, *PARAMETER_NAMES):
        if name == "W_o" and not params.W_o.size:
            continue
        plain = explain(odd_run.at(step), tokens, name, target=vocabulary[-1], width=width)
        assert max(map(len, plain.split("\n"))) <= width, name
        colored = explain(odd_run.at(step), tokens, name, target=vocabulary[-1], width=width, color=True)
        assert visible(colored) == plain != colored
        assert "\033" not in plain


@pytest.mark.slow
def test_lines_of_a_long_window_stay_narrow(tmp_path):
    run = train_run(
        tmp_path / "run", "training.steps=1", "model.block_size=110", "model.n_embd=11", "model.num_heads=11",
        "data.min_length=120", "data.max_length=121", "data.num_sequences=4", "data.numbers=200",
        "data.held_out_fraction=0.5",
    )
    tokens = " ".join(["+"] * 110)
    long = {"attention": "10,109,105", "scores": "10,109,105", "probs": "109,199", "k": "10,109,1"}
    for name, at in long.items():
        text = explain(run.at(1), tokens, name, at, "199", 60)
        assert max(map(len, text.split("\n"))) <= 60, name


def test_colours(tiny_run):
    text = explain(tiny_run.at(20), "5 8 3 +", "scores", "3,1", color=True)
    assert "\033[1mscores\033[0m" in text
    assert "\033[34mq[3,0]\033[0m" in text and "\033[31mk[1,0]\033[0m" in text
    walk = explain(tiny_run.at(20), "5 8 3 +", color=True)
    assert "\033[32;1mv\033[0m" in walk
    value = number(tiny_run.at(20).forward(tiny_ids(tiny_run)).q[0, 0, 3, 0])
    assert walk.count("\033[1;7m") == len(ACTIVATION_NAMES) - 1
    assert f"\033[1;7m{value}\033[0m" in walk


def tiny_ids(run):
    return parse_tokens("5 8 3 +", run.vocabulary, 8)[None]


def check_brief(lines, model, ids):
    """Every statement of the first lines is what the cache and the rule say."""
    text = " ".join(" ".join(lines).split())
    cache, t = model.forward(ids[None]), len(ids) - 1
    words, vocabulary = [model.vocabulary[i] for i in ids], list(model.vocabulary)
    probs = cache.probs[0, t]
    assert text.startswith(f"{model.name} at step {model.step:,} reads {' '.join(words)} the rule")
    assert len(lines) <= 12
    allowed = model.rule([model.data.vocabulary[i] for i in ids])
    if allowed is None:
        assert "the rule leaves the next token open" in text and "verdict" not in text
    else:
        asked = re.search(r"the rule asks: (.*?) \(", text)[1].split(" or ")
        assert asked == [word for word, token in zip(vocabulary, model.data.vocabulary) if token in allowed]
        verdict = re.search(r"verdict: (right|WRONG)", text)[1]
        assert (verdict == "right") == (model.data.vocabulary[probs.argmax()] in allowed)
    read = re.findall(r"(\S+?)([₀-₉]+) ([\d.]+)%", text)
    for word, place, share in read:
        s = int(place.translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")))
        assert words[s] == word
        assert (np.abs(cache.attention[0, :, t, s] - float(share) / 100) < 6e-4).any()
    place = re.search(r"resid_mid = \((.*?)\)", text)[1].removesuffix(", ...").split(", ")
    for value, printed in zip(cache.resid_mid[0, t], place, strict=False):
        check_printed(printed, value)
    top = re.search(r"top prediction: (\S+) with ([\d.]+)%, then (\S+) with ([\d.]+)%", text).groups()
    order = np.argsort(-probs, kind="stable")
    assert [vocabulary.index(top[0]), vocabulary.index(top[2])] == order[:2].tolist()
    for i, share in enumerate((top[1], top[3])):
        assert abs(probs[order[i]] - float(share) / 100) < 6e-4


def test_brief_alone(tiny_run):
    model = tiny_run.at(20)
    for tokens in ("5 8 3 +", "2 1 1 1 1 +", "+", "7 + 4"):
        text = explain(model, tokens, brief=True)
        check_brief(text.splitlines(), model, parse_tokens(tokens, tiny_run.vocabulary, 8))
        assert len(text.splitlines()) <= 8


@pytest.mark.parametrize("tokens", [1, 4])
def test_the_parts_of_a_logit_add_up(odd_run, tokens):
    model = odd_run.last
    ids = np.resize(np.arange(len(model.vocabulary)), min(tokens, model.config.model.block_size))
    cache = model.forward(ids[None])
    for token, name in enumerate(model.vocabulary[:3]):
        parts = logit_parts(model, cache, token)
        logits = cache.logits[0, -1]
        assert isclose(sum(part.value for part in parts), logits[token], rel_tol=1e-11, abs_tol=1e-11)
        other = (token + 1) % len(model.vocabulary)
        gap = sum(part.value for part in compare_parts(model, cache, token, other))
        assert isclose(gap, logits[token] - logits[other], rel_tol=1e-11, abs_tol=1e-11)
        text = explain(model, " ".join(model.vocabulary[i] for i in ids), why=name)
        text = text[text.index(f"why {name}: its logit is "):]
        total = re.search(r"^ +in all +(\S+) +(\S+)$", text, re.M).groups()
        check_printed(total[0], cache.logits[0, -1, token])
        rows = re.findall(r"^(?:direct|attention|feed-forward|bias| +the \d+) .*?(\S+) +(\S+)$", text, re.M)
        assert len(rows) <= len(parts)
        assert abs(sum(float(row[0]) for row in rows) - cache.logits[0, -1, token]) < 1e-3 * max(1, len(rows))


def test_one_entry(tiny_run):
    cache = tiny_run.at(20).forward(tiny_ids(tiny_run))
    text = explain(tiny_run.at(20), "5 8 3 +", "scores", "3,1")
    assert text == explain(tiny_run.at(20), "5 8 3 +", "scores", "0, 3, 1")
    assert "scores = q kᵀ / √D" in text
    assert f"    = {number(cache.scores[0, 0, 3, 1])}" in text.split("\n")
    q, k = cache.q[0, 0, 3], cache.k[0, 0, 1]
    worked = f"({number(q[0])} * {number(k[0])} + {number(q[1])} * {number(k[1])}) * (1 / 1.4142)"
    assert f"    = {worked}" in text.split("\n")
    assert abs(eval(worked) - cache.scores[0, 0, 3, 1]) < 1e-3 and "gradient" not in text
    text = explain(tiny_run.at(20), "5 8 3 +", "W_token", "8,1")
    assert f"    = {number(tiny_run.at(20).params.W_token[8, 1])}" in text


def test_the_gradient_of_one_entry(tiny_run):
    targets = np.array([[-1, -1, -1, 8]])
    params = tiny_run.at(20).params
    _, dcache = backward(params, forward(params, tiny_ids(tiny_run), targets))
    lines = explain(tiny_run.at(20), "5 8 3 +", "embed", "1,0", "8").split("\n")
    where_sum = lines.index("  dembed[1,0] in all")
    assert lines[where_sum + 1] == "    = through resid_mid + through q + through k + through v"
    assert lines[-1] == f"    = {number(dcache.embed[0, 1, 0])}"
    assert dcache.embed[0, 1, 0] != 0
    shares = [float(share) for share in lines[where_sum + 2].removeprefix("    = ").split(" + ")]
    assert abs(sum(shares) - dcache.embed[0, 1, 0]) < 2e-4
    for by, share in zip(("through resid_mid", "through q", "through k", "through v"), shares, strict=True):
        own = lines[lines.index(f"  dembed[1,0] {by}"):]
        value = next(line for line in own if re.fullmatch(r"    = -?[\d.e-]+", line))
        assert float(value.removeprefix("    = ")) == share


@pytest.mark.parametrize(("name", "line"), [
    ("scores", "scores_forward(c.q, c.k, c.scores)"),
    ("token_embed", "token_embed_forward(c.tokens, p.W_token, c.token_embed)"),
    ("resid_mid", "residual_forward(c.embed, c.attn_out, c.use_residual, c.resid_mid)"),
    ("loss", "loss_forward(c.probs, c.targets, c.loss)"),
])
def test_the_line_that_computes_a_name(name, line):
    assert source_line(*where(name)).startswith(line)


def source_line(file, number):
    return (REPO / file).read_text("utf-8").split("\n")[number - 1].strip()


def test_every_name_is_computed_on_a_line_of_its_own():
    places = [where(name) for name in ACTIVATION_NAMES]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(("arguments", "message"), [
    (("5 x +",), "--explain: 'x' is not a token; the tokens are 0 1 2 3 4 5 6 7 8 9 10 +"),
    ((" ",), "--explain: .* has 0 tokens; allowed are 1 to 8"),
    (("1 2 3 4 5 6 7 8 9",), "--explain: .* has 9 tokens; allowed are 1 to 8"),
    (("5 +", "score"), "--name score: no such array; did you mean 'scores'"),
    (("5 +", "scores", "0,2"), "--at 0,2: no entry of scores; allowed are H 0 to 0, T 0 to 1, T 0 to 1"),
    (("5 +", "scores", "1"), "--at 1: no entry of scores; allowed"),
    (("5 +", "scores", "0,0,0,0"), "--at 0,0,0,0: no entry of scores; allowed"),
    (("5 +", "scores", "-1,0"), "--at -1,0: write whole numbers from 0 up"),
    (("5 +", "scores", "a,0"), "--at a,0: write whole numbers"),
    (("5 +", "scores", ""), "--at : write whole numbers"),
    (("5 +", "loss", "0", "5"), "--at 0: no entry of loss; allowed are no indices"),
    (("5 +", "W_o"), "--name W_o: this model has none"),
    (("5 +", "loss"), "--name loss needs --target"),
    (("5 +", None, "3,1"), "--at needs --name"),
    (("5 +", None, None, "11"), "--target: '11' is not a token"),
    (("5 +", None, None, "1 2"), "--target: '1 2' has 2 tokens; allowed are 1 to 1"),
])
def test_bad_input(tiny_run, arguments, message):
    with pytest.raises(RunError, match="^" + re.escape(message).replace(r"\.\*", ".*")) as error:
        explain(tiny_run.at(20), *arguments)
    assert "\n" not in str(error.value)


def test_a_step_that_is_not_saved(tiny_run):
    with pytest.raises(RunError, match="no snapshot of step 7"):
        explain(tiny_run.at(7), "5 +")


def test_parse_tokens():
    ids = parse_tokens(" 5  + 10\t+ ", (*range(11), "+"), 4)
    assert ids.dtype == np.int64 and ids.tolist() == [5, 11, 10, 11]
    with pytest.raises(ValueError, match=r"'y' is not a token; the tokens are 0 1 2 \.\.\. 98 99 \+$"):
        parse_tokens("y", (*range(100), "+"), 4)


def debug(run, name, commands, target=None, **environment):
    """What a user sees who types the commands into the debugger."""
    code = (
        "import sys; from scratchformer.run.run import Run; "
        "from scratchformer.tools.explain.debugger import *; "
        "stop_in_debugger(Run.open(sys.argv[1]).at(20), '5 8 3 +', sys.argv[2], *sys.argv[3:]); "
        "print('the end')"
    )
    words = [str(run.folder), name, *([target] if target else [])]
    return subprocess.run(
        [sys.executable, "-c", code, *words], input="\n".join(commands) + "\n", cwd=REPO,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"} | environment,
        capture_output=True, text=True, timeout=100,
    )


@pytest.mark.parametrize(("name", "ask", "answer"), [
    ("scores", "c.scores.shape, c.q.shape", "((1, 1, 4, 4), (1, 1, 4, 2))"),
    ("token_embed", "c.tokens.tolist()", "[[5, 8, 3, 11]]"),
    ("resid_mid", "c.attn_out.shape", "(1, 4, 2)"),
])
def test_stop_in_the_debugger(tiny_run, name, ask, answer):
    done = debug(tiny_run, name, [f"p {ask}", "c"])
    assert done.returncode == 0, done.stderr
    file, line = where(name)[0], line_after(name)
    assert f"{REPO / file}({line})" in done.stdout and f"-> {source_line(file, line)}" in done.stdout
    assert source_line(file, where(name)[1]) not in done.stdout         # that line is done
    assert answer in done.stdout and done.stdout.count("(Pdb)") == 2
    assert done.stdout.endswith("the end\n")


def test_the_debugger_stops_when_the_quantity_is_complete(tiny_run):
    done = debug(tiny_run, "mixed", ["p 'sum', c.mixed[0, 0].sum().item(), c.attn_out[0, 0, 0].item()", "q"])
    value = tiny_run.at(20).forward(tiny_ids(tiny_run)).mixed.sum()
    assert float(re.search(r"'sum', ([-\d.e]+), nan", done.stdout)[1]) == pytest.approx(value, rel=1e-12)
    assert "c.mixed is complete" in done.stdout and "p c.mixed" in done.stdout
    assert done.returncode == 0 and done.stdout.endswith("the end\n")


def test_the_debugger_reaches_the_backward_pass(tiny_run):
    ask = "p 'sum', d.attention[0, 0].sum().item(), d.q[0, 0, 0, 0].item()"
    done = debug(tiny_run, "scores", [ask, "c"], "8")
    model = tiny_run.at(20)
    _, dcache = backward(model.params, model.forward(tiny_ids(tiny_run), [[-1, -1, -1, 8]]))
    value = dcache.attention.sum()
    assert float(re.search(r"'sum', ([-\d.e]+), nan", done.stdout)[1]) == pytest.approx(value, rel=1e-9)
    assert done.returncode == 0 and done.stdout.endswith("the end\n")


def test_the_debugger_refuses(tiny_run):
    done = debug(tiny_run, "atention", [])
    assert "no such array; did you mean 'attention'" in done.stderr
    done = debug(tiny_run, "attention", [], NUMBA_DISABLE_JIT="0")
    assert "RunError: a debugger sees no compiled code" in done.stderr
