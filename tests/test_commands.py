"""The command line's commands: both forms of each, their help, and the refusal of what they do not use."""

import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import REPO, run_cli

from scratchformer.commands import parsing
from scratchformer.commands.arguments import CONFIG, TRAINED, UsageError
from scratchformer.commands.help import help_text, wants_help
from scratchformer.commands.main import main
from scratchformer.commands.parsing import arguments_of, choose_command, find_commands, parse_arguments

COMMANDS = find_commands()
VERBS = (
    "train explain prove ablate causal seeds quiz course gradcheck list video decompile explore generate "
    "export compare"
).split()
ALL = {entry.flag: entry for command in COMMANDS.values() for entry in arguments_of(command)}
FOREIGN = [
    (name, flag, by_verb)
    for name, command in COMMANDS.items() for flag in ALL for by_verb in (True, False)
    if flag not in parsing.flags_of(command) and (by_verb or name != "train")
    and (name, flag, by_verb) != ("prove", "--seeds", False)        # that is a study with --prove
]
SAMPLES = {
    "--explain": "5 8 3 +", "--seeds": "2", "--quiz": "attention", "--ablate": "v", "--generate": "5",
    "--export": "npz", "--course": "softmax", "--compare-steps": "0",
}
VALUES = {
    "--format": "svg", "--seed": "3", "--head": "2", "--step": "0", "--dpi": "100", "--fps": "3",
    "--every": "2", "--figure": "5", "--prove-limit": "5", "--decompile-limit": "5", "--rule": "rule.py",
    "--data": "my.txt", "--compare-run": "runs/x",
    "--set": "training.steps=3", "--count": "2", "--length": "2", "--temperature": "0.5",
}


def parse(words):
    """The name of the command that some words ask for, and its arguments."""
    command, words, by_verb = choose_command(words)
    return parsing.command_name(command), parse_arguments(command, words, by_verb)


def minimal(name, by_verb):
    """The shortest command line of a command."""
    command = COMMANDS[name]
    config = ["plus_last_even"] * (CONFIG in command.ARGUMENTS)
    sample = [SAMPLES[entry.flag] for entry in command.FLAGS[:1] if entry.metavar]
    if by_verb:
        return [name, *config, *sample]
    return [*config, *(entry.flag for entry in command.FLAGS[:1]), *sample]


def given(entry):
    """An Argument with a value, as words."""
    return [entry.flag, VALUES.get(entry.flag, "x")] if entry.metavar else [entry.flag]


def test_the_verbs():
    assert sorted(COMMANDS) == sorted(VERBS) and next(iter(COMMANDS)) == "train"
    assert not set(COMMANDS) & {"main", "parsing", "help", "arguments", "trained"}


@pytest.mark.parametrize("name", VERBS)
def test_both_forms_are_one(name):
    (verb, by_verb), (flag, by_flag) = (parse(minimal(name, form)) for form in (True, False))
    for entry in COMMANDS[name].FLAGS[:1]:
        if not entry.metavar:                   # the switch itself, which nobody reads
            assert by_flag.__dict__.pop(entry.dest) and not by_verb.__dict__.pop(entry.dest)
    assert verb == flag == name and by_verb == by_flag


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("by_verb", [True, False])
def test_every_argument_of_a_command_is_taken_by_it(name, by_verb):
    for entry in COMMANDS[name].ARGUMENTS:
        words = given(entry) if entry != CONFIG else []
        if name == "video" and entry.flag == "--format":
            words = ["--format", "mp4"]
        found, args = parse([*minimal(name, by_verb), *words])
        assert found == name and (entry.dest in args)
        if words and entry.metavar:
            assert getattr(args, entry.dest) is not None and getattr(args, entry.dest) != entry.default


@pytest.mark.parametrize(("name", "flag", "by_verb"), FOREIGN)
def test_an_argument_that_a_command_does_not_use_is_refused(name, flag, by_verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = ALL[flag]
    words = ["plus_last_even"] if entry == CONFIG else given(entry)
    with pytest.raises(UsageError) as caught:
        parse([*minimal(name, by_verb), *words])
    message = f"{caught.value} {caught.value.verb}"
    assert name in message and (flag.strip("-") in message or words[0] in message)
    assert main([*minimal(name, by_verb), *words]) == 2 and not list(tmp_path.iterdir())


def test_how_many_combinations_are_tried():
    assert len(FOREIGN) > 200
    assert {name for name, _, _ in FOREIGN} == set(VERBS)


@pytest.mark.parametrize("words", [
    "--list --set rubbish", "--quiz attention --step 5", "--quiz attention plus_last_even",
    "--list --debug", "plus_last_even --figure 5 --fps 3", "plus_last_even --gradcheck --format svg",
    "--list plus_last_even", "plus_last_even --explain 5 --dpi 100", "plus_last_even --prove --sequence 5",
    "--list --out x", "plus_last_even --gradcheck --out x", "plus_last_even --every 2",
    "plus_last_even --prove-limit 5", "plus_last_even --video --dpi 100",
    "plus_last_even --video --sequence 5", "train plus_last_even --quiz x",
    "plus_last_even --seeds 2 --seed 1", "plus_last_even --video-qkv --figure 5",
    "plus_last_even --ablate v --figure 5", "plus_last_even --hint", "plus_last_even --causal --figure 3",
    "plus_last_even --seeds 2 --step 5", "plus_last_even --compare x",
    "plus_last_even --visualize --resume", "plus_last_even --video --step 5",
    "train plus_last_even --prove",
])
def test_what_would_be_ignored_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1 and "; see scratchformer " in stderr and "--help" in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [
    ["--figure", "5", "plus_last_even"], ["train", "--figure", "5", "plus_last_even"],
    ["--figure", "5", "plus_last_even", "--dpi", "40"],
    ["--dpi", "40", "--figure", "5", "--", "plus_last_even"],
])
def test_a_config_after_figures(words):
    name, args = parse(words)
    assert name == "train" and args.config == "plus_last_even" and args.figure == ["5"]


def test_a_rule_after_figures_and_figures_alone():
    assert parse(["--figure", "5", "6", "my_rule.py:f"])[1].config == "my_rule.py:f"
    with pytest.raises(UsageError, match="name a config"):
        parse(["--figure", "plus_last_even"])
    with pytest.raises(UsageError, match="name a config"):
        parse(["--figure", "5", "6"])


def test_options_may_stand_between_words():
    name, args = parse(["explain", "--name", "q", "plus_last_even", "--at", "3,1", "- 8"])
    assert (name, args.config, args.explain, args.name) == ("explain", "plus_last_even", "- 8", "q")
    name, args = parse(["ablate", "plus_last_even", "v", "--step", "100", "q[even]=mean"])
    assert args.ablate == ["v", "q[even]=mean"] and args.step == 100
    assert parse(["plus_last_even", "--ablate", "v", "--ablate", "q"])[1].ablate == ["v", "q"]


@pytest.mark.parametrize(("words", "message"), [
    (["explian", "plus_last_even", "5"], "did you mean 'explain'?"),
    (["plus_last_even", "--visualise"], "did you mean '--visualize'?"),
    (["explain", "plus_last_even"], "TOKENS is missing"),
    (["ablate", "plus_last_even"], "WHAT is missing"),
    (["prove"], "name a config"),
    (["prove", "plus_last_even", "--prove-limit", "0"], "--prove-limit 0: must be above 0"),
    (["plus_last_even", "--video", "--format", "png"], "--format png: must be gif or mp4"),
    (["plus_last_even", "--format", "gif"], "--format gif: must be png, svg or pdf"),
    (["plus_last_even", "--prove", "--prove-limit", "nan"], "--prove-limit nan: must be above 0"),
    (["list", "more"], "unrecognized arguments for list: more"),
])
def test_mistakes(words, message):
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert message in str(caught.value)


@pytest.mark.parametrize("words", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_fits_a_screen_and_its_example_can_be_called(words, capsys):
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    (example,) = [line for line in lines if line.startswith("example: ")]
    assert parse(shlex.split(example.removeprefix("example: scratchformer ")))
    if words[0] != "--help":
        text = "\n".join(lines)
        assert all(entry.flag in text or entry.metavar in text for entry in arguments_of(COMMANDS[words[0]]))


def test_whose_help_is_shown():
    assert help_text(["plus_last_even", "--explain", "5", "-h"]) == help_text(["explain", "--help"])
    assert help_text(["plus_last_even", "--help"]) == help_text(["--help"])
    assert all(f"\n  {verb} " in help_text(["--help"]) for verb in VERBS)
    assert wants_help(["x", "-h"]) and not wants_help(["--explain", "5", "--", "--help"])


def test_a_new_command_is_one_file(tmp_path, monkeypatch):
    """A copy of the package with a file more has the command, in both forms."""
    ignored = shutil.ignore_patterns("runs", ".git", "__pycache__", "docs")
    shutil.copytree(REPO, tmp_path / "copy", ignore=ignored)
    (tmp_path / "copy" / "scratchformer" / "commands" / "count.py").write_text(
        "from scratchformer.commands.arguments import CONFIG, Argument\n"
        "HELP, EXAMPLE = 'count words', 'count plus_last_even abc'\n"
        "FLAGS = (Argument('--count', 'a word', 'WORD'),)\n"
        "ARGUMENTS = (CONFIG, Argument('--twice', 'twice'))\n"
        "def run(args):\n"
        "    print(args.config, len(args.count) * (1 + args.twice))\n"
        "    return 0\n"
    )
    for words in (["count", "default", "abc", "--twice"], ["default", "--count", "abc", "--twice"]):
        done = subprocess.run(
            [sys.executable, tmp_path / "copy" / "run.py", *words], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (0, "default 6\n"), done.stderr


@pytest.mark.parametrize("words", ["--help", "--list", "explain --help", "plus_last_even --visualize"])
def test_what_needs_no_engine_does_not_load_it(words, tmp_path):
    code = ("import sys; from scratchformer.commands.main import main; main(sys.argv[1:]); "
            "print(*[name for name in ('numpy', 'numba', 'matplotlib') if name in sys.modules])")
    words = words.split()
    if "--visualize" in words:                      # up to the mistake
        words[0] = "plus_last_evn"
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=REPO, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "", done.stdout


def test_the_config_s_checks_load_nothing_of_the_engine():
    code = ("import sys, scratchformer.run.config, scratchformer.run.config_checks; "
            "print(*[name for name in sys.modules if name.startswith('scratchformer.engine')])")
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.stdout == "\n", done.stdout + done.stderr


@pytest.mark.slow
def test_a_verb_from_end_to_end(tmp_path):
    small = [f"--set=training.{entry}" for entry in ("steps=2", "eval_every=1", "checkpoint_every=1")]
    small += ["--set=data.num_sequences=20", "--out", tmp_path]
    verb = run_cli("explain", "plus_last_even", "5 8 3 +", *small)
    flag = run_cli("plus_last_even", *small, "--explain", "5 8 3 +")
    assert verb.returncode == flag.returncode == 0, verb.stderr
    assert verb.stdout == flag.stdout and "top prediction" in verb.stdout
    assert TRAINED and verb.stderr == ""
