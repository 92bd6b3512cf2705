"""The face for notebooks and scripts: what the command line does, as functions and methods."""

import dataclasses
import hashlib
import inspect
import io
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path

import numpy as np

from scratchformer.analysis.interventions import Ablation, ablate
from scratchformer.analysis.selectors import parse_intervention
from scratchformer.engine import gradcheck as checking
from scratchformer.engine import model as engine
from scratchformer.engine.names import Cache, Params
from scratchformer.run import model as run_model
from scratchformer.run import run as run_run
from scratchformer.run.config import Config, load_config
from scratchformer.run.data import parse_tokens
from scratchformer.run.job import train_run
from scratchformer.run.own_metric import as_metric
from scratchformer.run.place import find_place, own_folder
from scratchformer.system.files import lock_folder, write_atomically
from scratchformer.system.progress import Progress
from scratchformer.tools.compare import Comparison, compare
from scratchformer.tools.course import course as lessons
from scratchformer.tools.exchange import find_parameters, gather_arrays, read_arrays, write_arrays
from scratchformer.tools.explain.explain import explain
from scratchformer.tools.prove.prove import prove
from scratchformer.tools.prove.verdict import Proof
from scratchformer.tools.sample import describe_samples, write_on
from scratchformer.tools.seeds import sweep as seeds
from scratchformer.tools.seeds.metric import measure_seeds
from scratchformer.tools.seeds.report import sweep_report

Rule = Callable[..., set | None]
Metric = Callable[[Cache, np.ndarray], float]
Tokens = str | Iterable[int]


class Text(str):
    """A text that a notebook or a prompt shows as it is."""

    def __repr__(self) -> str:
        return str(self)


class Picture:
    """A figure that a notebook shows inline. `figure` is matplotlib's; `save(path)` writes it to a file."""

    def __init__(self, figure, dpi: int):
        self.figure, self.dpi = figure, dpi

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"Picture of {width:g} x {height:g} inches"

    def _repr_png_(self) -> bytes:
        return self.render("png")

    def save(self, path: str | Path) -> None:
        """Write the figure to a .png, .svg or .pdf file, whole or not at all."""
        path = Path(path)
        write_atomically(path, self.render(path.suffix.removeprefix(".")))

    def render(self, format: str) -> bytes:
        """The figure as the bytes of a file of that format."""
        from scratchformer.figures.style import own_look

        buffer = io.BytesIO()
        with own_look():
            self.figure.savefig(buffer, format=format, dpi=self.dpi)
        return buffer.getvalue()


class Model(run_model.Model):
    """A model at a step of its run: call it on tokens, ask what it does and why."""

    def __call__(self, tokens: Tokens, target: Tokens | int | None = None) -> Cache:
        """The Cache of one sequence: every intermediate by name, with a batch axis of 1.

        tokens: a text such as "5 8 3 +", or ids; target: the token to come after the last one, for the
        loss and its gradients, or one token for each position

        Raises ValueError for what the model cannot read.
        """
        ids = self.ids(tokens)
        targets = np.full(len(ids), -1)
        if target is not None:
            given = self.ids([target] if isinstance(target, int) else target)
            if len(given) not in (1, len(ids)):
                raise ValueError(f"{len(given)} targets for {len(ids)} tokens: give one, or one for each")
            targets[-len(given):] = given
        return self.forward(ids[None], targets[None])

    def ids(self, tokens: Tokens) -> np.ndarray:
        """The ids of tokens given as a text, or as ids: (T,)."""
        if isinstance(tokens, str):
            return parse_tokens(tokens, self.data.vocabulary, self.config.model.block_size)
        return np.array(list(tokens), np.int64)

    def backward(self, cache: Cache) -> tuple[Params, Cache]:
        """(gradients of the parameters, gradients of the intermediates) of a Cache with a target."""
        return engine.backward(self.params, cache)

    def figure(
        self, name: str, sequence: str | None = None, head: int = 1, dpi: int = 100,
        beside: "Model | None" = None,
    ) -> Picture:
        """A figure by name or number, such as "13_qk_attention" or "13".

        sequence: tokens to follow in place of the first of `demos`; head: the one to show, from 1 on; dpi:
        pixels an inch; beside: another model, whose figure stands to the right, on the same scale
        """
        from scratchformer.figures.catalogue import pick_figures
        from scratchformer.figures.draw import make_figure
        from scratchformer.figures.side_by_side import draw_pair
        from scratchformer.figures.style import own_look

        (name,) = pick_figures([str(name)])
        model = self
        if sequence is not None:
            run = Run(self.run.folder, self.config)
            run.follow(sequence)
            model = Model(run, self.step, self.params)
        model = model.with_head(head)
        with own_look():
            if beside is not None:
                return Picture(draw_pair((model, beside), name, dpi), dpi)
            return Picture(make_figure(model, name), dpi)

    def explain(
        self, tokens: str, name: str | None = None, at: str | tuple[int, ...] | None = None,
        target: str | None = None, width: int = 80, brief: bool = False, why: str | None = None,
    ) -> Text:
        """The forward pass of an input in numbers, or one entry of it: `--explain` as a text."""
        if at is not None and not isinstance(at, str):
            at = ",".join(map(str, at))
        return Text(explain(self, tokens, name, at, target, width, brief=brief, why=why))

    def generate_text(
        self, prompt: str, count: int = 5, length: int = 8, temperature: float = 1.0,
    ) -> Text:
        """Samples that go on from a prompt, each token with its probability and the rule's verdict."""
        ids = parse_tokens(prompt, self.data.vocabulary, 10_000)
        return Text(describe_samples(self, write_on(self, ids, count, length, temperature)))

    def export(
        self, path: str | Path, sequence: Tokens | None = None, target: Tokens | int | None = None,
    ) -> None:
        """Write the parameters to a .npz, .safetensors, .json or .csv file, under our names and under
        TransformerLens's; with a sequence all activations on it, with a target the gradients too."""
        cache = None if sequence is None else self(sequence, target)
        tokens, targets = (None, None) if cache is None else (cache.tokens[0], cache.targets[0])
        arrays = gather_arrays(self, tokens, None if target is None else targets)
        write_arrays(Path(path), arrays, self.config, self.vocabulary)

    def ablate(self, *interventions: str, metric: Metric | None = None) -> Ablation:
        """What becomes of the answers, and of a metric of yours (see `measure`), if activations are something
        else, as in "attention[+ -> even]"."""
        edits = [parse_intervention(text, self) for text in interventions]
        return ablate(self, edits, metric and as_metric(metric))

    def measure(self, metric: Metric) -> float:
        """A metric of yours on all held-out windows.

        metric(cache, allowed): cache holds every activation by name, with tokens and targets, over N windows;
        allowed, (N, T, V) bool, what the rule lets come next; returns a number

        Raises ConfigError if it does anything else.
        """
        return super().measure(as_metric(metric))

    def compare(self, other: "Model") -> Comparison:
        """What differs between two models with one vocabulary: answers that flip, attention that moves, what
        is proved of each. RunError for two that cannot read the same windows."""
        progress = Progress()
        found = compare(self, other, progress=progress.show)
        progress.clear()
        return found

    def prove(self, limit_seconds: float = 600) -> Proof:
        """The model judged after every context that the rule constrains."""
        progress = Progress()
        proof = prove(self, limit_seconds, progress.show)
        progress.clear()
        return proof


class Run(run_run.Run):
    """One training of one config, in one folder: `run.last` and `run.at(step)` are its models."""

    model_class = Model


class Study(seeds.Sweep):
    """A config and what each of its seeds came to: `results`, and `model(seed)`."""

    def model(self, seed: int) -> Model:
        """The Model that a seed came to; RunError if it has no result."""
        return super().model(seed, Run)

    def measure(self, metric: Metric) -> dict[int, float]:
        """A metric of yours, as in `Model.measure`, of what each seed came to: {seed: value}."""
        return measure_seeds(self, as_metric(metric))

    def figure(self, name: str = "atlas", dpi: int = 100) -> Picture:
        """A picture of all seeds: the "atlas" of their token planes in groups that are alike, or their
        learning "curves". RunError for any other, or where no seed has anything to show."""
        from scratchformer.figures.seeds.draw import study_figure
        from scratchformer.figures.style import own_look

        with own_look():
            return Picture(study_figure(self, name), dpi)

    def __repr__(self) -> str:
        return sweep_report(self)


def train(
    config: str | Rule = "plus_last_even", seed: int | None = None,
    settings: Mapping[str, object] | None = None, out: str | Path = "runs", retrain: bool = False,
) -> Run:
    """The Run of a config: trained now, or found trained in `out`.

    config: a config's name, the path of a .toml file or of a rule's .py file, or a function marked as `rule`;
    settings: values to change, as in {"training.steps": 5000}; retrain: train again even if it is finished

    Raises ConfigError for a config that cannot be used, RunError for a folder that holds something else.
    """
    run = find_place(find_config(config, seed, settings, out), out, retrain, Run)
    train_run(run, retrain=retrain)
    return run


def find_config(
    config: str | Rule, seed: int | None, settings: Mapping[str, object] | None, out: str | Path,
) -> Config:
    """The Config that `train` and `sweep` are asked for."""
    if callable(config):
        config = write_rule(config, Path(out) / "rules")
    changes = dict(settings or {})
    if seed is not None:
        changes["training.seed"] = seed
    return load_config(str(config), [f"{key}={as_toml(value)}" for key, value in changes.items()])


def as_toml(value: object) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(list(value)) if isinstance(value, tuple) else str(value)


def load(
    path: str | Path, config: str | Rule = "plus_last_even", settings: Mapping[str, object] | None = None,
    out: str | Path = "runs",
) -> Run:
    """A Run whose one model has the weights of a file: for every figure and tool, though it was not trained
    here. It has step 0 and no history but one evaluation; it lies in a folder of its own in `out`.

    path: a .safetensors or .npz file with our names or TransformerLens's; config: which vocabulary and rule,
    as in `train`

    Raises RunError where a parameter is missing, of another shape or not finite.
    """
    path = Path(path)
    untrained = {"training.steps": 0, "training.warmup_steps": 0}
    found = find_config(config, None, dict(settings or {}) | untrained, out)
    params = find_parameters(path, read_arrays(path), found)
    theta = np.concatenate([array.ravel() for array in params])
    digest = hashlib.sha256(theta.tobytes()).hexdigest()[:8]
    folder = Path(out) / f"{found.name}.loaded-{digest}"
    run = Run(folder, dataclasses.replace(found, name=folder.name))
    data, judge, state = run.prepared
    folder.mkdir(parents=True, exist_ok=True)
    lock_folder(folder, alone=True)
    run.files.start(data)
    history = [(0, *judge.measure(params))]
    run.files.save(state._replace(theta=theta, history=history))
    run.files.write_history()
    lock_folder(folder)
    return run


def open_run(folder: str | Path) -> Run:
    """The Run whose files lie in a folder, such as runs/plus_last_even; RunError if there is none."""
    return Run.open(folder)


def rule(function: Rule) -> Rule:
    """Mark a function as a rule, to be trained by `train(function)`; it is tried out at once.

    function(history), or function(history, numbers), returns the tokens that may come next as a set, or None
    where anything may. It is stored with its run as source, so what it uses it must import or define itself.

    Raises ConfigError, one line, if it answers what a rule must not.
    """
    with tempfile.TemporaryDirectory() as folder:
        load_config(str(write_rule(function, Path(folder))))
    return function


def write_rule(function: Rule, folder: Path) -> Path:
    """Write a rule's source to a file of its name, for a config to refer to."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    start = next(i for i, line in enumerate(lines) if line.startswith("def "))
    path = folder / f"{function.__name__}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(lines[start:]).encode())
    return path


def gradcheck(model: Model, tokens: Tokens, target: Tokens | int) -> checking.Checks:
    """Every gradient of a model on one input, checked two ways; in float64, whatever it was trained in."""
    cache = model(tokens, target)
    params = Params(*(array.astype("float64") for array in model.params))
    return checking.gradcheck(params, cache.tokens, cache.targets, model.use_residual)


def course(
    name: str | None = None, *functions: Callable, hint: bool = False, solution: bool = False,
) -> Text:
    """The course that builds the engine function by function, in a notebook: `--course`.

    Without a name it says where you are; with one it shows the lesson, or its next hint, or the solution.
    With functions, it judges them. What was right is kept in course/progress.json.

    Raises RunError for an unknown lesson, or where a function that it asks for is missing.
    """
    if functions:
        return Text(lessons.judge_written(name, functions)[0])
    if name is None or name == "train" or solution:
        return Text(lessons.course(name, solution=solution)[0])
    return Text(lessons.show_lesson(name, hint))


def sweep(
    config: str | Rule, seeds_or_count: int | Iterable[int], settings: Mapping[str, object] | None = None,
    out: str | Path = "runs", executor: Executor | None = None,
) -> Study:
    """A config trained from many seeds: how often it learns its rule, how soon, and to what.

    seeds_or_count: a count for seeds 0, 1, ..., or the seeds; executor: of concurrent.futures, if not the
    processes of this machine
    """
    found = find_config(config, None, settings, out)
    chosen = range(seeds_or_count) if isinstance(seeds_or_count, int) else list(seeds_or_count)
    progress = Progress()
    done = seeds.sweep(found, chosen, own_folder(found, out) / "seeds", executor, progress.show)
    progress.clear()
    return Study(*done)
