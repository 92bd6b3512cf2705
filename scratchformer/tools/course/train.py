"""The end of the course: a model trained by the learner's functions, beside one trained by the engine's."""

import numpy as np

from scratchformer.engine.adam import AdamSettings
from scratchformer.engine.model import empty_cache, parameter_shapes, unflatten
from scratchformer.engine.plain import plain_functions
from scratchformer.run.config import load_config
from scratchformer.run.data import make_data
from scratchformer.run.foreign import TooLong, limited
from scratchformer.run.train import initial_parameters, learning_rates
from scratchformer.system.progress import Progress
from scratchformer.tools.course.lessons import LESSONS
from scratchformer.tools.quiz.answer import complaint, judge_file

STEPS, SECONDS = 100, 120
SETTINGS = ("data.num_sequences=400",)


def train_with(paths):
    """A model trained for STEPS steps with the functions in a learner's files, in place of the engine's: what
    its loss is, and how far it is from the engine's -> (text, exit code).

    paths: {lesson: file} of those that were right
    """
    written = {}
    for name, path in paths.items():
        found, code = judge_file(path, LESSONS[name].functions, lambda functions, _: (functions, 0))
        if code:
            return "\n".join(found), 1
        written |= found
    config = load_config("plus_last_even", SETTINGS)
    theirs, ours = plain_functions(**written), plain_functions()
    late = f"{STEPS} steps are not done after {SECONDS} s: a few loops fewer would help"
    progress = Progress()
    try:
        with limited(SECONDS, lambda: late):
            first, last, theta = train_plainly(config, theirs, progress)
            _, _, wanted = train_plainly(config, ours, progress)
    except TooLong:
        return late, 1
    except (Exception, SystemExit) as error:
        return "\n".join(complaint("training", error)), 1
    finally:
        progress.clear()
    apart = float(np.abs(theta - wanted).max())
    own = f"{len(written)} functions of yours" if written else "no function of yours yet"
    verdict = "the same model" if apart <= 1e-9 else "not the same model"
    return (f"{config.name}, {STEPS} steps with {own}: loss {first:.4f} -> {last:.4f}\n"
            f"against the engine's: parameters apart by at most {apart:.1e}: {verdict}"), int(apart > 1e-9)


def train_plainly(config, functions, progress):
    """(first loss, last loss, parameters) after STEPS steps of plain Python with these functions."""
    settings, model = config.training, config.model
    rng = np.random.default_rng(settings.seed)
    data = make_data(config, rng)
    theta = initial_parameters(config, len(data.vocabulary), rng)
    shapes = parameter_shapes(model, len(data.vocabulary))
    m, v, gradient = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    params, dparams = unflatten(theta, shapes), unflatten(gradient, shapes)
    rates = learning_rates(settings)
    adam = AdamSettings(settings.beta1, settings.beta2, settings.epsilon, settings.weight_decay)
    losses = []
    for step in range(STEPS):
        progress.show(f"step {step} of {STEPS}")
        windows = data.train_windows[rng.integers(0, len(data.train_windows), settings.batch_size)]
        tokens, targets = windows[:, :-1].copy(), windows[:, 1:].copy()
        cache = empty_cache(params, tokens, targets, model.use_residual)
        dcache = empty_cache(params, tokens, targets, model.use_residual)
        functions["forward_pass"](params, cache)
        functions["backward_pass"](params, cache, dparams, dcache)
        functions["adam_update"](theta, gradient, m, v, step + 1, rates[step], adam)
        losses.append(float(cache.loss))
    return losses[0], losses[-1], theta
