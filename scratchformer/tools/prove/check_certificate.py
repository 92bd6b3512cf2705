"""Check a certificate of a trained model, with nothing but Python's standard library.

    python check_certificate.py runs/plus_last_even/certificate_step_020000.json

It reads the certificate, beside it config.toml and checkpoints/step_020000.npy, and checks: these are the
files it is of; its cases are disjoint and cover each context of 1 to block_size tokens; after all of a
`right` case the top prediction is a token that the case allows, of a `wrong` one it is not; each count.
Bounds are computed here, in interval arithmetic rounded outward, and hold of the model in real numbers with
the weights as stored. Taken on trust: that a case states what the rule allows; exp and sqrt to 1e-15.
"""

import hashlib
import json
import sys
import tomllib
from array import array
from functools import cache
from itertools import product
from math import exp, inf, nextafter, prod, sqrt
from pathlib import Path


class Interval:                         # what is computed from intervals holds all that it can be
    def __init__(self, lo, hi=None):
        self.lo, self.hi = lo, lo if hi is None else hi

    def __add__(self, o):
        return Interval(nextafter(self.lo + o.lo, -inf), nextafter(self.hi + o.hi, inf))

    def __sub__(self, o):
        return Interval(nextafter(self.lo - o.hi, -inf), nextafter(self.hi - o.lo, inf))

    def __mul__(self, o):
        ends = self.lo * o.lo, self.lo * o.hi, self.hi * o.lo, self.hi * o.hi
        return Interval(nextafter(min(ends), -inf), nextafter(max(ends), inf))

    def exp(self):                      # of at most 700
        return Interval(exp(self.lo) * (1 - 1e-15), nextafter(exp(min(self.hi, 700)) * (1 + 1e-15), inf))


ZERO = Interval(0.0)


def dot(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), ZERO)


def affine(x, columns, bias):
    return [dot(x, column) + b for column, b in zip(columns, bias or [ZERO] * len(columns), strict=True)]


def over(table, columns, bias=()):
    return [[affine(x, columns, bias) for x in row] for row in table]


class Model:
    def __init__(self, config, content):
        m, data = config["model"], config["data"]
        C, H, D, T = (m[name] for name in ("n_embd", "num_heads", "head_size", "block_size"))
        V, F, plain = data["numbers"] + len(data["operators"]), m["ffn_mult"] * C, H == 1 and D == C
        dtype = "d" if b"'<f8'" in content[:128] else "f"
        values = map(Interval, array(dtype, content[10 + content[8] + 256 * content[9]:]))

        def take(*shape):
            return [take(*shape[1:]) for _ in range(shape[0])] if shape else next(values)

        tokens, positions = take(V, C), take(T, C)
        W_q, W_k, W_v = ([[*zip(*W)] for W in zip(*take(C, H, D))] for _ in "qkv")              # (H, D, C)
        W_o = [[[Interval(float(i == j)) for j in range(C)] for i in range(C)]] if plain else take(H, D, C)
        W_in, b_in, W_out, b_out, W_U, b_U = take(C, F), take(F), take(F, C), take(C), take(C, V), take(V)
        embed = [[[a + b for a, b in zip(x, t, strict=True)] for x in tokens] for t in positions]
        self.q, self.k, v = ([over(embed, W) for W in heads] for heads in (W_q, W_k, W_v))      # (H, T, V, D)
        self.values = [over(own, [*zip(*W)]) for own, W in zip(v, W_o, strict=True)]            # (H, T, V, C)
        self.units, out, nothing = [*zip(*W_in)], [*zip(*W_U)], [ZERO] * C
        base, self.around = (embed, out) if m["use_residual"] else ([[nothing] * V] * T, [nothing] * V)
        self.rise = [over(own, self.units) for own in self.values]                              # (H, T, V, F)
        (self.through,), read = over([W_out], out), affine(b_out, out, b_U)
        self.pre, self.start = over(base, self.units, b_in), over(base, self.around, read)
        self.scale, self.V, self.T = Interval((1 - 1e-15) / sqrt(D), (1 + 1e-15) / sqrt(D)), V, T


class Case:                             # bounds over all contexts of some sets, the last being one token
    def __init__(self, model, sets):
        self.model, self.weights, self.ranges = model, [], []
        self.rows = [[(t, x) for x in tokens] for t, tokens in enumerate(sets)]
        self.cells = sum(self.rows, [])
        t, (x,) = len(sets) - 1, sets[-1]
        self.pre, self.start = model.pre[t][x], model.start[t][x]
        for q, k in zip(model.q, model.k, strict=True):
            scores = {(s, y): dot(q[t][x], k[s][y]) * model.scale for s, y in self.cells}
            low = Interval(max(min(scores[cell].lo for cell in row) for row in self.rows))
            far = max(score.hi for score in scores.values()) - low.lo > 600     # digits would be lost
            self.weights.append(None if far else {cell: (s - low).exp() for cell, s in scores.items()})
        for f, pre in enumerate(self.pre):          # the range of each hidden unit
            rises = [[rise[s][y][f] for s, y in self.cells] for rise in model.rise]
            low = sum((Interval(min(r.lo for r in rise)) for rise in rises), pre)
            high = sum((Interval(max(r.hi for r in rise)) for rise in rises), pre)
            if low.lo < 0 < high.hi:                # not settled by what a mean can be at all
                low = pre - self.most([[-r.lo for r in rise] for rise in rises])
                high = pre + self.most([[r.hi for r in rise] for rise in rises])
            self.ranges.append((low.lo, high.hi))

    def most(self, heights):
        return sum(map(self.most_of_head, self.weights, heights), ZERO)

    def most_of_head(self, w, heights):
        """What no mean of heights (given from above) with a head's weights exceeds: Dinkelbach's method."""
        least, most, height = min(heights), max(heights), dict(zip(self.cells, heights, strict=True))
        value, old = least, -inf
        while w and old < value < most:             # in plain floats: a proposal
            picks = [max((w[c].hi * (height[c] - value), c) for c in row)[1] for row in self.rows]
            old, value = value, sum(w[c].hi * height[c] for c in picks) / sum(w[c].hi for c in picks)
        step = 1e-13 * (most - least + abs(value))
        while w and value + step < most:            # proved if no choice of w (height - bound) sums above 0
            bound, total = value + step, 0.0
            for row in self.rows:
                gaps = ((nextafter(height[cell] - bound, inf), w[cell]) for cell in row)
                total += max(nextafter(gap * (own.hi if gap > 0 else own.lo), inf) for gap, own in gaps)
                total = nextafter(total, inf)
            if total <= 0:
                return Interval(bound)
            step *= 4
        return Interval(most)

    def exceeds(self, a, b):
        """Whether it is proved that logit a is above logit b after every context."""
        bound, model = self.start[a] - self.start[b], self.model
        direction = [x - y for x, y in zip(model.around[a], model.around[b], strict=True)]
        for f, (low, high) in enumerate(self.ranges):
            gain, slope, bend = model.through[f][a] - model.through[f][b], ZERO, ZERO
            if low >= 0 or high > max(-low, 0) and gain.lo >= 0:
                slope = Interval(1.0)               # max(h, 0) >= h
            elif high > 0 and gain.hi <= 0:         # below the chord
                slope = Interval(high / (high - low) * (1 + 1e-15))
                bend = slope * Interval(-low)
            elif high > 0 and gain.lo < 0:          # a gain of unknown sign
                bend = Interval(0.0, high)
            bound += gain * (slope * self.pre[f] + bend)
            direction = [d + gain * slope * w for d, w in zip(direction, model.units[f], strict=True)]
        bound -= self.most([[-dot(v[t][x], direction).lo for t, x in self.cells] for v in model.values])
        return bound.lo > 0

    def holds(self, kind, allowed):
        """Whether the case is proved right, or wrong."""
        others = [b for b in range(self.model.V) if b not in allowed]
        if kind == "right":
            return all(any(self.exceeds(a, b) for a in allowed) for b in others)
        return any(all(self.exceeds(b, a) for a in allowed) for b in others)


def proved(model, kind, allowed, masks, claim=None):
    """How many contexts of a case are right, wrong, open and free, if that is proved; else {}."""
    sets = [[x for x in range(model.V) if mask >> x & 1] for mask in masks]
    fits = set(allowed) <= set(range(model.V)) and all(0 < mask < 1 << model.V for mask in masks)
    if not fits or (kind == "each") != bool(claim) or (kind == "free") == bool(allowed):
        return {}
    if kind == "each":                  # [right, wrong] contexts, each judged by itself
        singles = [Case(model, [[x] for x in context]) for context in product(*sets)]
        counts = [sum(case.holds(name, allowed) for case in singles) for name in ("right", "wrong")]
        return dict(zip(("right", "wrong"), claim)) if counts == claim and sum(counts) == len(singles) else {}
    done = kind in ("open", "free") or kind in ("right", "wrong") and Case(model, sets).holds(kind, allowed)
    return {kind: prod(map(len, sets))} if done else {}


def covers_once(cases, size):
    """Whether each string of tokens lies in just one of some cases of one length."""
    @cache
    def covered(inside, t):
        groups = {tuple(i for i in inside if cases[i][t] >> x & 1) for x in range(size)} if t >= 0 else ()
        return all(covered(group, t - 1) for group in groups) if t >= 0 else len(inside) == 1
    return covered(tuple(range(len(cases))), len(cases[0]) - 1)


def check(path):
    """The counts of a certificate's file, checked; ValueError says what is wrong."""
    certificate, counts = json.loads(path.read_text()), dict.fromkeys(("right", "wrong", "open", "free"), 0)
    weights = path.parent / "checkpoints" / f"step_{certificate['step']:06d}.npy"
    for file in (config := path.parent / "config.toml", weights):
        if hashlib.sha256(file.read_bytes()).hexdigest() != certificate["sha256"][file.name]:
            raise ValueError(f"{file} is not the file that the certificate is of")
    model = Model(tomllib.loads(config.read_text()), weights.read_bytes())
    by_length = [[] for _ in range(model.T)]
    for number, case in enumerate(certificate["cases"]):
        if not (found := proved(model, *case)):
            raise ValueError(f"case {number} is not proved: {case}")
        by_length[len(case[2]) - 1].append(case[2])
        counts = {name: count + found.get(name, 0) for name, count in counts.items()}
    for length, cases in enumerate(by_length, 1):
        if not covers_once(cases, model.V):
            raise ValueError(f"the cases of {length} tokens overlap, or leave some context out")
    if counts != certificate["counts"]:
        raise ValueError(f"the counts are {counts}, not {certificate['counts']}")
    return counts


if __name__ == "__main__":
    try:
        print("yes: " + ", ".join(f"{count:,} {name}" for name, count in check(Path(sys.argv[1])).items()))
    except Exception as error:          # whatever is wrong with the files, the answer is no
        sys.exit(f"NO: {type(error).__name__}: {error}")
