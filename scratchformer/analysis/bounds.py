"""How sure a model is over a whole case: bounds of its margins over a product set of contexts.

Attention of one position is a quotient of sums, z = Σ_t w_t(x_t) v_t(x_t) / Σ_t w_t(x_t), and the token x_t
may be chosen freely from the case's set at t. The largest d·z over the case is found exactly, for any
direction d, by Dinkelbach's method (1967): at the true maximum λ the best choices of w_t(x) (d·v_t(x) - λ),
each position its own, sum to 0; from below, λ <- the quotient at the best choices for λ converges in a few
steps of O(L V).

From these suprema follow the range of each hidden unit over the case, and with it where its ReLU is settled.
With the others relaxed to a line, max(h, 0) >= s h and max(h, 0) <= u (h - l) / (u - l) for l < 0 < u (CROWN,
Zhang et al. 2018), a difference of two logits is bounded from below by a linear function of z, whose least
value over the case is one more supremum. Everything is exact for a single context, and up to ReLUs for one
head; with several heads each takes its own choice, which can only be more than what one choice gives to all.

Shapes: H heads, L positions, V tokens, C embedding, F hidden units, N cases.
"""

from math import exp, inf

import numpy as np

from scratchformer.engine.jit import jit

U = 2.0**-53                            # unit roundoff of float64
WIDEST = 600.0                          # scores of one case that lie further apart lose digits in exp


@jit
def judge_cases(query, members, allowed, rounding, lower, upper, attained, context, position, gains):
    """Bounds of the margin over each of N cases: the top allowed logit minus the best one not allowed.

    query: Query; members: (N, L, V) bool; allowed: (N, V) bool, neither all False nor all True;
    rounding: what attained must be below for `upper` to be worth its time
    -> lower, upper: (N,) bounds; attained: (N,) margin of context (N, L); position: (N,), where to split the
    case, between tokens of low and of high gains (N, V)
    """
    N, L, V = members.shape
    H, F, C = len(query.scores), len(query.pre), len(query.around)
    weights, heights, influences = np.empty((H, L, V)), np.empty((H, L, V)), np.empty((L, V))
    low, high, direction, logits = np.empty(F), np.empty(F), np.empty(C), np.empty(V)
    costs, scratch = np.empty(F), np.empty(L, np.int64)
    for n in range(N):
        case, right, at = members[n], allowed[n], context[n]
        single = True
        for t in range(L):
            count = 0
            for x in range(V):
                if case[t, x]:
                    at[t], count = x, count + 1
            single = single and count == 1
        logits_after(query, at, logits)
        if not single:
            for h in range(H):
                weigh(query.scores[h], case, weights[h])
            hidden_ranges(query, weights, case, low, high, scratch)
            lower[n] = least_margin(
                query, weights, heights, case, low, high, right, logits, direction, scratch, at,
            )
            logits_after(query, at, logits)
        a, b = best_token(logits, right, True), best_token(logits, right, False)
        attained[n] = logits[a] - logits[b]
        if single:
            lower[n] = upper[n] = attained[n]
            continue
        upper[n] = inf
        mixed = attained[n] <= rounding
        if mixed:
            upper[n] = most_margin(query, weights, heights, case, low, high, right, b, direction, scratch)
        choose_direction(query, low, high, a, b, mixed, direction, costs)
        project(query.values, direction, case, heights)
        influence(weights, heights, at, influences)
        position[n] = widest_position(influences, case)
        for x in range(V):
            gains[n, x] = influences[position[n], x]


@jit
def least_margin(query, weights, heights, case, low, high, right, logits, direction, scratch, context):
    """A lower bound of the margin over the case, and a context that comes near it.

    It is the least over the tokens b not allowed of a lower bound of max_a logit a - logit b, which is the
    greatest over three allowed tokens a, the likeliest after a context of the case whose `logits` are given.
    """
    V = len(logits)
    least, rank = inf, np.empty(3, np.int64)
    likeliest_three(logits, right, rank)
    for b in range(V):
        if not right[b]:
            best = -inf
            for n in range(3):
                a = rank[n]
                if a >= 0:
                    linearise(query, low, high, a, b, direction)
                    bound = linear_least(query, weights, heights, case, low, high, a, b, direction, scratch)
                    best = max(best, bound)
            if best < least:
                least = best
                for t in range(len(context)):
                    context[t] = scratch[t]
    return least


@jit
def most_margin(query, weights, heights, case, low, high, right, b, direction, scratch):
    """An upper bound of the margin over the case: the greatest over a of one of logit a - logit b."""
    most = -inf
    for a in range(len(right)):
        if right[a]:
            linearise(query, low, high, b, a, direction)
            bound = linear_least(query, weights, heights, case, low, high, b, a, direction, scratch)
            most = max(most, -bound)
    return most


@jit
def weigh(scores, case, weights):
    """weights[t,x] = exp(scores[t,x] - m), m so that every context of the case has a sum of at least 1.

    Where scores lie more than WIDEST apart, weights[0,0] = -1 says that they are not to be used. All (L, V).
    """
    L, V = scores.shape
    reference, most = -inf, -inf
    for t in range(L):
        least = inf
        for x in range(V):
            if case[t, x]:
                least, most = min(least, scores[t, x]), max(most, scores[t, x])
        reference = max(reference, least)
    for t in range(L):
        for x in range(V):
            weights[t, x] = exp(min(scores[t, x] - reference, WIDEST))
    if most - reference > WIDEST:
        weights[0, 0] = -1


@jit
def supremum(weights, heights, case, sign, context):
    """sup of Σ_t w_t(x_t) y_t(x_t) / Σ_t w_t(x_t) over x in the case, y = sign * heights: Dinkelbach (1967).

    Rounded so that every quotient, for the weights and heights as given, is at most that. Fills `context`
    (L,) with a choice that comes that far. weights, heights: (L, V)
    """
    L, V = heights.shape
    least, most = inf, -inf
    for t in range(L):
        highest = -inf
        for x in range(V):
            if case[t, x]:
                height = sign * heights[t, x]
                if height > highest:
                    highest, context[t] = height, x
                least, most = min(least, height), max(most, height)
    if weights[0, 0] < 0 or least == most:      # a quotient is a mean, so no more than the greatest height
        return most
    value = least
    for _ in range(60):
        top = bottom = 0.0
        for t in range(L):
            best = -inf
            for x in range(V):
                if case[t, x]:
                    gain = weights[t, x] * (sign * heights[t, x] - value)
                    if gain > best:
                        best, context[t] = gain, x
            weight = weights[t, context[t]]
            top, bottom = top + weight * sign * heights[t, context[t]], bottom + weight
        if top / bottom <= value + 4 * U * abs(value):
            break
        value = top / bottom
    step = 8 * (L + 4) * U * (most - least + abs(value))
    while value + step < most and excess(weights, heights, case, sign, value + step) > 0:
        step *= 4
    return min(value + step, most)


@jit
def excess(weights, heights, case, sign, bound):
    """The most that Σ_t w_t(x_t) (y_t(x_t) - bound) can be. If at most 0, no quotient is above bound."""
    L, V = heights.shape
    total = 0.0
    for t in range(L):
        best = -inf
        for x in range(V):
            if case[t, x]:
                best = max(best, weights[t, x] * (sign * heights[t, x] - bound))
        total += best
    return total


@jit
def hidden_ranges(query, weights, case, low, high, scratch):
    """Range of each hidden unit before its ReLU over the case: low, high (F,)."""
    H, L, V = weights.shape
    for f in range(len(low)):
        low[f], high[f] = query.pre[f] - query.slack[f], query.pre[f] + query.slack[f]
        for h in range(H):
            least, most = inf, -inf             # what a mean of the values can be at all
            for t in range(L):
                for x in range(V):
                    if case[t, x]:
                        least, most = min(least, query.rise[f, h, t, x]), max(most, query.rise[f, h, t, x])
            low[f], high[f] = low[f] + least, high[f] + most
        if low[f] < 0 < high[f]:                # not settled yet: exactly
            low[f], high[f] = query.pre[f] - query.slack[f], query.pre[f] + query.slack[f]
            for h in range(H):
                low[f] -= supremum(weights[h], query.rise[f, h], case, -1.0, scratch)
                high[f] += supremum(weights[h], query.rise[f, h], case, 1.0, scratch)


@jit
def linearise(query, low, high, a, b, direction):
    """The direction (C,) of a linear function of z that is nowhere above logit a - logit b.

    Each max(h, 0) is replaced by a line: see `line_of`.
    """
    C, F = query.W_in.shape
    for c in range(C):
        direction[c] = query.around[c, a] - query.around[c, b]
    for f in range(F):
        gain = query.through[f, a] - query.through[f, b]
        slope, _ = line_of(low[f], high[f], gain)
        for c in range(C):
            direction[c] += gain * slope * query.W_in[c, f]


@jit
def line_of(low, high, gain):
    """(slope, bend): gain * max(h, 0) >= gain * (slope h + bend) for low <= h <= high."""
    if low >= 0:
        return 1.0, 0.0
    if high > 0 and gain < 0:                   # below the chord
        slope = high / (high - low)
        return slope, -slope * low
    return (1.0, 0.0) if high > -low else (0.0, 0.0)


@jit
def linear_least(query, weights, heights, case, low, high, a, b, direction, context):
    """The least value over the case of the linear function of `linearise`, and a context that comes near
    it."""
    bound = query.start[a] - query.start[b]
    for f in range(len(low)):
        gain = query.through[f, a] - query.through[f, b]
        slope, bend = line_of(low[f], high[f], gain)
        bound += gain * (slope * query.pre[f] + bend)
    project(query.values, direction, case, heights)
    for h in range(len(heights)):
        bound -= supremum(weights[h], heights[h], case, -1.0, context)
    return bound


@jit
def project(values, direction, case, heights):
    """heights[h,t,x] = values[h,t,x] · direction, where x is in the case: (H, L, V, C), (C,) -> (H, L, V)"""
    H, L, V, C = values.shape
    for h in range(H):
        for t in range(L):
            for x in range(V):
                heights[h, t, x] = 0.0
                if case[t, x]:
                    for c in range(C):
                        heights[h, t, x] += values[h, t, x, c] * direction[c]


@jit
def influence(weights, heights, context, gains):
    """What each token does to Σ_h of the heads' quotients at a context, to first order: gains (L, V)."""
    H, L, V = heights.shape
    for t in range(L):
        for x in range(V):
            gains[t, x] = 0
    for h in range(H):
        top = bottom = 0.0
        for t in range(L):
            weight = abs(weights[h, t, context[t]])
            top, bottom = top + weight * heights[h, t, context[t]], bottom + weight
        for t in range(L):
            for x in range(V):
                gains[t, x] += abs(weights[h, t, x]) / bottom * (heights[h, t, x] - top / bottom)


@jit
def choose_direction(query, low, high, a, b, mixed, direction, costs):
    """The direction (C,) of z to split a case along.

    If the answer itself differs within the case (`mixed`): that of logit a - logit b. Else the bound was
    missed because of unsettled hidden units: that of the unit which costs it most.
    """
    linearise(query, low, high, a, b, direction)
    worst = -1
    for f in range(len(low)):
        costs[f] = 0
        if low[f] < 0 < high[f]:
            gain = abs(query.through[f, a] - query.through[f, b])
            costs[f] = gain * high[f] * -low[f] / (high[f] - low[f])
            if worst < 0 or costs[f] > costs[worst]:
                worst = f
    if worst >= 0 and not mixed:
        for c in range(len(direction)):
            direction[c] = query.W_in[c, worst]


@jit
def widest_position(gains, case):
    """The position with the widest range of gains (L, V) over the case."""
    L, V = gains.shape
    widest, position = -1.0, 0
    for t in range(L):
        least, most, count = inf, -inf, 0
        for x in range(V):
            if case[t, x]:
                least, most, count = min(least, gains[t, x]), max(most, gains[t, x]), count + 1
        if count > 1 and most - least > widest:
            widest, position = most - least, t
    return position


@jit
def logits_after(query, context, logits):
    """The logits after one context of token ids (L,), fills (V,)."""
    H, L, V, C = query.values.shape
    z = np.zeros(C)
    for h in range(H):
        largest = -inf
        for t in range(L):
            largest = max(largest, query.scores[h, t, context[t]])
        total = 0.0
        for t in range(L):
            total += exp(query.scores[h, t, context[t]] - largest)
        for t in range(L):
            weight = exp(query.scores[h, t, context[t]] - largest) / total
            for c in range(C):
                z[c] += weight * query.values[h, t, context[t], c]
    for x in range(V):
        logits[x] = query.start[x]
        for c in range(C):
            logits[x] += z[c] * query.around[c, x]
    for f in range(len(query.pre)):
        hidden = query.pre[f]
        for c in range(C):
            hidden += z[c] * query.W_in[c, f]
        if hidden > 0:
            for x in range(V):
                logits[x] += hidden * query.through[f, x]


@jit
def best_token(logits, allowed, among):
    """The token with the largest logit of those whose `allowed` (V,) is `among`; -1 of none."""
    best = -1
    for x in range(len(logits)):
        if allowed[x] == among and (best < 0 or logits[x] > logits[best]):
            best = x
    return best


@jit
def likeliest_three(logits, allowed, rank):
    """The three allowed tokens with the largest logits, -1 where there are fewer: fills rank (3,)."""
    for n in range(3):
        rank[n] = -1
    for n in range(3):
        for x in range(len(logits)):
            if allowed[x] and x != rank[0] and x != rank[1] and (rank[n] < 0 or logits[x] > logits[rank[n]]):
                rank[n] = x
