"""What a model does with an input, in a few lines: what the rule asks, what is read, what comes of it."""

import numpy as np

from scratchformer.analysis.followed import follow
from scratchformer.analysis.why import compare_parts, logit_parts
from scratchformer.run.own_rule import may_run
from scratchformer.system.errors import plain
from scratchformer.tools.explain.text import number

SHOWN = 4                               # positions, parts
SMALL = 5e-4                            # of a logit: smaller parts share a line
LEAST = 0.01                            # share of attention that is worth a word


def brief_lines(model, ids):
    """At most eight lines on the forward pass of (T,) token ids; two where the rule may not be run."""
    if not may_run(model.config.data.rule):
        return [f"{model.name} at step {model.step:,} reads {' '.join(model.vocabulary[i] for i in ids)}",
                "what the rule asks is not known: it lies in a file that is not run without --trust"]
    seen = follow(model, ids)
    cache, t = seen.cache, len(ids) - 1
    probs, allowed = cache.probs[0, t], seen.allowed[t]
    first, second = np.argsort(-probs, kind="stable")[:2]
    lines = [f"{model.name} at step {model.step:,} reads {' '.join(seen.words)}"]
    asked = [model.vocabulary[i] for i in np.flatnonzero(allowed)]
    rule = plain(model.config.description or model.config.data.rule)
    lines.append(f"the rule asks: {' or '.join(asked)}   ({rule})" if asked
                 else f"the rule leaves the next token open   ({rule})")
    for h, row in enumerate(cache.attention[0, :, t]):
        order = [s for s in np.argsort(-row, kind="stable")[:SHOWN] if row[s] >= LEAST]
        head = f", head {h + 1}" if len(cache.attention[0]) > 1 else ""
        read = ", ".join(f"{seen.labels[s]} {row[s]:.1%}" for s in order)
        lines.append(f"{seen.labels[t]} reads{head}: {read}")
        if h == 1 and len(cache.attention[0]) > 3:
            lines.append(f"(and {len(cache.attention[0]) - 2} more heads)")
            break
    place = ", ".join(number(value) for value in cache.resid_mid[0, t][:SHOWN])
    more = ", ..." if cache.resid_mid.shape[-1] > SHOWN else ""
    lines.append(f"attention takes the stream to resid_mid = ({place}{more})")
    lines.append(f"top prediction: {model.vocabulary[first]} with {probs[first]:.1%}, "
                 f"then {model.vocabulary[second]} with {probs[second]:.1%}")
    if asked:
        verdict = "right" if allowed[first] else f"WRONG: the rule asks {' or '.join(asked)}"
        share = f"; it gives what the rule asks {probs[allowed].sum():.1%}" if not allowed[first] else ""
        lines.append(f"verdict: {verdict}{share}")
    return lines


def why_lines(model, cache, token):
    """Why a token gets its logit after the last position, and what sets it apart from the strongest other:
    lines of numbers that add up."""
    t = cache.tokens.shape[1] - 1
    logits, name = cache.logits[0, t], model.vocabulary
    parts = sorted(logit_parts(model, cache, token), key=lambda part: -abs(part.value))
    other = int(np.argsort(-np.where(np.arange(len(logits)) == token, -np.inf, logits), kind="stable")[0])
    differences = {(part.route, part.what): part.value for part in compare_parts(model, cache, token, other)}
    lines = [f"why {name[token]}: its logit is {number(logits[token])}, that of {name[other]} "
             f"{number(logits[other])}", row("", "", name[token], f"ahead of {name[other]}")]
    pairs = [(*part, differences[part.route, part.what]) for part in parts]
    shown = [pair for pair in pairs if max(map(abs, pair[2:])) >= SMALL]
    for route, what, value, ahead in shown:
        lines.append(row(route, what, number(value), number(ahead)))
    if rest := [pair[2:] for pair in pairs if pair not in shown]:
        lines.append(row("", f"the {len(rest)} smallest", *(number(sum(column)) for column in zip(*rest))))
    routes = [(route, f"all {route}") for route in dict.fromkeys(part.route for part in parts)]
    for route, what in [*routes, (None, "in all")]:
        share = sum(part.value for part in parts if route in (part.route, None))
        less = sum(value for (by, _), value in differences.items() if route in (by, None))
        lines.append(row("", what, number(share), number(less)))
    return lines


def row(route, what, value, difference):
    """A line of the table, 60 columns wide."""
    return f"{route:<13}{what:<23}{value:>12}{difference:>12}"
