"""The numbers in docs/walkthrough.md, each computed from the run that it tells of."""

import numpy as np

from scratchformer.analysis.answers import (
    answer_share, count_right, explained_by_answers, judge_sequences, landings, mean_shifts,
    right_without_attention, single_answers,
)
from scratchformer.analysis.attention import answer_attention, attention_shares, even_attention, most_read
from scratchformer.analysis.decision_map import areas_by_token, frame_regions
from scratchformer.analysis.families import family, family_gaps, group_distances, sequence_distances
from scratchformer.analysis.followed import follow_all
from scratchformer.analysis.geometry import closest_and_farthest
from scratchformer.analysis.landscape import likeliest_counts
from scratchformer.analysis.logits import attribute_logits
from scratchformer.analysis.scores import focus, key_scores, mean_scores, pair_scores
from scratchformer.figures.f04_generated_sequences import written
from scratchformer.run.data import parse_tokens
from scratchformer.tools.prove.prove import prove

STEPS = {"early": 2000, "middle": 4000, "late": 6000}   # of training, at which the text looks
STRANDED = "2 1 1 1 1 +"                                # a context after which the model is wrong


def numbers(model):
    """All of them: {name: text}."""
    values = {name: f"{step:,}" for name, step in STEPS.items()}
    for part in (learning, data, embeddings, projections, attention, predictions, sequence, failures):
        values |= part(model)
    return values


def ids(model, name):
    """Ids of a family's tokens."""
    return [i for i, token in enumerate(model.vocabulary) if family(token) == name]


def constrained(model):
    """Where the rule says what comes next in held-out windows: (N, T) bool."""
    return model.run.held_out.allowed.any(axis=-1)


def line_share(points):
    """Share of the variance of points, (..., C), that lies along one line."""
    flat = points.reshape(-1, points.shape[-1])
    sizes = np.linalg.svd(flat - flat.mean(axis=0), compute_uv=False) ** 2
    return sizes[0] / sizes.sum()


def number(value, decimals=2):
    """A number with a proper minus sign."""
    return f"{value:.{decimals}f}".replace("-", "−")


def learning(model):
    """The model's size, and how its losses and errors fell."""
    params, history = model.params, model.run.history
    errors, losses = history["rule_error"], history["held_out_loss"]
    row = int((history["step"] == STEPS["early"]).argmax())
    wrong, count, loss = (*model.count_wrong(), float(model.held_out.loss))
    counts = np.bincount(np.concatenate(model.data.train_sequences))
    costs = -np.log(counts / counts.sum())[model.data.held_out_windows[:, 1:]]
    probs = model.run.at(STEPS["early"]).forward(model.run.held_out.tokens).probs[constrained(model)]
    return {
        "window": f"{model.config.model.block_size}", "vocabulary": f"{len(model.vocabulary)}",
        "steps": f"{model.step:,}", "params": f"{sum(array.size for array in params):,}",
        "params_attention": f"{sum(array.size for array in params[2:6])}",
        "params_ffn": f"{sum(array.size for array in params[6:10])}", "hidden": f"{params.b_in.size}",
        "loss_start": f"{losses[0]:.2f}", "loss_even": f"{np.log(len(model.vocabulary)):.2f}",
        "loss_early": f"{losses[row]:.2f}", "loss_counts": f"{costs.mean():.2f}", "loss": f"{loss:.2f}",
        "error_early": f"{errors[row]:.1%}",
        "even_early": f"{probs[:, ids(model, 'even')].sum(axis=1).mean():.1%}",
        "below_10": f"{history['step'][(errors < 0.1).argmax()]:,.0f}",
        "below_1": f"{history['step'][(errors < 0.01).argmax()]:,.0f}",
        "error": f"{wrong / count:.2%}", "wrong": f"{wrong}", "constrained": f"{count:,}",
    }


def data(model):
    """What the model read, and what it writes."""
    tokens = np.concatenate(model.data.train_sequences)
    correct, count = count_right(judge_sequences(model, model.data.train_sequences))
    before, after = (count_right(written(model.run.at(at))[1]) for at in (model.run.steps[0], model.step))
    judge = model.run.judge
    bad, judged = judge.judge_generated(judge.generate(model.params, judge.noise))
    return {
        "sequences": f"{len(model.data.train_sequences):,}", "tokens": f"{len(tokens):,}",
        "share_constrained": f"{count / len(tokens):.1%}", "share_correct": f"{correct / count:.0%}",
        "share_plus": f"{(tokens == model.vocabulary.index('+')).mean():.1%}",
        "written_before": "{} of {}".format(*before), "written_after": "{} of {}".format(*after),
        "written_wrong": f"{bad / judged:.1%}", "mass": f"{answer_share(model)[0]:.1%}",
    }


def embeddings(model):
    """Where tokens and positions lie."""
    W, W_pos, even = model.params.W_token, model.params.W_pos, ids(model, "even")
    (apart, spread), (apart_0, spread_0) = (
        group_distances(one.params.W_token, model.vocabulary)
        for one in (model, model.run.at(model.run.steps[0]))
    )
    near, _, distance, _ = closest_and_farthest(W[even])
    split = [gap > both for gap, both in (
        family_gaps(model.run.at(at))["even", "odd"] for at in model.run.steps
    )]
    hops = np.linalg.norm(np.diff(W_pos, axis=0), axis=1)
    return {
        "even_odd": f"{apart['even', 'odd']:.2f}", "even_plus": f"{apart['even', 'operator']:.2f}",
        "odd_plus": f"{apart['odd', 'operator']:.2f}",
        "odd_plus_0": f"{apart_0['odd', 'operator']:.2f}",
        "even_plus_0": f"{apart_0['even', 'operator']:.2f}",
        "even_odd_0": f"{apart_0['even', 'odd']:.2f}",
        "odd_spread": f"{spread['odd']:.3f}", "odd_spread_0": f"{spread_0['odd']:.2f}",
        "even_spread": f"{spread['even']:.2f}", "even_line": f"{line_share(W[even]):.2%}",
        "near": " and ".join(f"`{model.vocabulary[even[i]]}`" for i in near),
        "near_distance": f"{distance:.2f}",
        "hop_first": f"{hops[0]:.2f}", "hop": f"{hops[1:-1].mean():.2f}", "hop_last": f"{hops[-1]:.2f}",
        "split": f"{model.run.steps[len(split) - split[::-1].index(False)]:,}",
    }


def projections(model):
    """What the three matrices make of the embeddings."""
    grid, start = (model.run.at(at).grid for at in (model.step, model.run.steps[0]))
    sizes = np.linalg.svd(model.params.W_q[:, 0], compute_uv=False)
    apart, apart_0 = (
        [group_distances(part[:, 0].mean(axis=1), model.vocabulary)[0]["even", "operator"]
         for part in (cache.q, cache.k)] for cache in (grid, start)
    )
    return {
        "q_line": f"{line_share(grid.q[:, 0]):.3%}", "v_line": f"{line_share(grid.v[:, 0]):.0%}",
        "q_long": f"{sizes[0]:.1f}", "q_short": f"{sizes[1]:.2f}",
        "q_apart_0": f"{apart_0[0]:.1f}", "q_apart": f"{apart[0]:.1f}",
        "k_apart_0": f"{apart_0[1]:.1f}", "k_apart": f"{apart[1]:.1f}",
    }


def attention(model):
    """Who reads whom."""
    cache, history = model.held_out, model.run.history

    def shares(weights, where):
        return attention_shares(weights, cache.tokens, model.vocabulary, where)

    to_even = {
        name: shares(model.run.at(at).held_out.attention[:, 0], constrained(model))["even"]
        for name, at in {"end": model.step, "start": model.run.steps[0], **STEPS}.items()
    }
    weights, even_queries = cache.attention[:, 0], np.isin(cache.tokens, ids(model, "even"))
    means = mean_scores(pair_scores(model), model.vocabulary)["operator"]
    return {
        **{f"read_{name}": f"{share:.1%}" for name, share in to_even.items()},
        "read_alike": f"{shares(even_attention(weights.shape), constrained(model))['even']:.1%}",
        "even_reads_plus": f"{shares(weights, even_queries)['operator']:.1%}",
        "error_late": f"{history['rule_error'][history['step'] == STEPS['late']][0]:.1%}",
        **{f"score_{name}": number(mean, 0) for name, mean in means.items()},
        **recency(model),
    }


def recency(model):
    """By how much the query of + prefers nearer keys of even tokens."""
    token, shown = focus(model)
    scores = np.array([                                                         # (query T, even, key T)
        key_scores(model.grid, token, position)[ids(model, "even")]
        for position in range(model.config.model.block_size)
    ])
    leads = [
        scores[t, :, s + 1].min() - scores[t, :, s].max() for t in range(len(scores)) for s in range(t - 1)
    ]
    seen = scores[shown, :, :shown]
    return {
        "gain": f"{np.diff(seen, axis=1).min():.1f}", "same_place": f"{np.ptp(seen, axis=0).max():.1f}",
        "lead": f"{min(leads):.1f}", "lead_times": f"{np.exp(min(leads)):.0f}",
    }


def predictions(model):
    """Which token is the likeliest where, and whom attention brings there."""
    embed = model.grid.embed.reshape(-1, model.config.model.n_embd)
    areas, areas_early = (
        areas_by_token(frame_regions(one), len(model.vocabulary))
        for one in (model, model.run.at(STEPS["early"]))
    )
    plus = model.vocabulary.index("+")
    cache, allowed, right = landings(model)
    chosen = constrained(model)
    still = right_without_attention(model, cache.embed, allowed)
    return {
        "regions": f"{(areas > 0).sum()}", "regions_early": f"{(areas_early > 0).sum()}",
        **{f"area_{name}": f"{areas[model.vocabulary.index(token)] / areas.sum():.1%}"
           for name, token in (("plus", "+"), ("6", "6"), ("0", "0"), ("2", "2"))},
        "points": f"{len(embed)}",
        "points_plus": f"{likeliest_counts(model.landscape(embed))[plus]}",
        "right": f"{right.sum():,}", "still": f"{still:,}", "still_share": f"{still / chosen.sum():.1%}",
    }


def sequence(model):
    """What becomes of the sequences that the figures follow."""
    shown = follow_all(model)
    cache = shown[0].cache
    apart = list(sequence_distances(cache.embed[0], shown[0].words).values())
    share, alike, _ = answer_attention(model)
    weight, distance, length = most_read(model)
    shifts = mean_shifts(model)
    parts, _ = attribute_logits(model)
    between = explained_by_answers(model.held_out, single_answers(model))
    weights = cache.attention[0, 0, shown[0].where[-1]]
    values = {
        "apart": f"{apart[0]:.2f}", "among": f"{apart[1]:.2f}",
        "to_answers": f"{share:.1%}", "to_answers_alike": f"{alike:.1%}",
        "read_6": f"{weights[3]:.1%}", "read_10": f"{weights[2]:.1%}",
        "most_read": f"{weight:.1%}", "off": f"{distance:.3f}", "length": f"{length:.2f}",
        "shift": f"{shifts['constrained'][0]:.2f}", "shift_else": f"{shifts['unconstrained'][0]:.2f}",
        "between_embed": f"{between['embed']:.0%}", "between_mid": f"{between['resid_mid']:.0%}",
        "logits": f"{parts['sum'].mean():.2f}", "logits_ffn": f"{parts['ffn_out'].mean():.2f}",
        "demos_right": f"{sum((demo.state == 1).sum() for demo in shown)} of "
                       f"{sum(len(demo.where) for demo in shown)}",
    }
    for i, demo in enumerate(shown[:2]):
        for t in demo.where:
            values[f"demo_{i}_{t}"] = f"{demo.cache.probs[0, t].max():.1%}"
    return values


def failures(model):
    """Where the model is wrong, of all contexts there are."""
    proof = prove(model)
    verdict = proof.producible
    wrong, total = verdict.wrong.total(), verdict.total.total()
    answers = [failure.allowed for failure in verdict.failures]
    first = [family(str(failure.context[0])) == "even" and
             not any(family(str(token)) == "even" for token in failure.context[1:])
             for failure in verdict.failures]
    cache = model.forward(parse_tokens(STRANDED, model.data.vocabulary, model.config.model.block_size)[None])
    two, nought = (model.vocabulary.index(token) for token in "20")
    v = model.grid.v[:, 0]
    return {
        "contexts": f"{total:,}", "failures": f"{wrong:,}", "failures_share": f"{wrong / total:.2%}",
        "failures_2": f"{answers.count((2,)):,}", "failures_0": f"{answers.count((0,)):,}",
        "failures_first": f"{sum(first):,}",
        "stranded_read": f"{cache.attention[0, 0, -1, 0]:.1%}",
        "stranded_2": f"{cache.probs[0, -1, two]:.1%}", "stranded_0": f"{cache.probs[0, -1, nought]:.1%}",
        "value_moved": f"{np.linalg.norm(v[two, 0] - v[two, 1]):.2f}",
        "value_apart": f"{np.linalg.norm(v[two, 1] - v[nought, 1]):.2f}",
    }
