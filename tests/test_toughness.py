"""What a tool that strangers use must survive, each case as a user meets it: `python run.py ...`."""

import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import kill9
import numpy as np
import pytest
from conftest import REPO, TINY, run_cli, run_name
from test_fuzz import call

from scratchformer.system.files import is_alive, remove_leftovers

SETTINGS = [part for override in TINY for part in ("--set", override)]
CONFIG, NAME = "plus_last_even", run_name(*TINY)         # NAME is also its run's folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """An output folder with a finished tiny run of one figure."""
    folder = tmp_path_factory.mktemp("tough")
    done = run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def copy(out, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(out / NAME, tmp_path / NAME)
    return tmp_path


def refused(done, message, code=2):
    """Assert that a command ended with that exit code and one line that holds the message."""
    assert done.returncode == code, done.stderr
    assert_one_line(done.stderr, message)


def assert_one_line(stderr, message):
    """Assert that one line was said, and that it holds the message."""
    lines = stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("run.py: "), stderr
    assert message in lines[0], stderr


def files(folder):
    """{path: bytes} of all files in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drive(tmp_path, before, *args):
    """`run.py` in a process in which some lines of Python were run before: the completed process."""
    driver = tmp_path / "driver" / "run.py"
    driver.parent.mkdir(exist_ok=True)
    driver.write_text(f"import sys\nsys.path.insert(0, {str(REPO)!r})\n{textwrap.dedent(before)}\n"
                      "from scratchformer.commands.main import main\nsys.exit(main())\n")
    return subprocess.run(
        [sys.executable, driver, *map(str, args)], cwd=REPO, capture_output=True, text=True, timeout=300
    )


# places that cannot be written


@pytest.mark.parametrize("place", ["file", "below", "checkpoints", "config"])
def test_an_output_folder_that_cannot_be_written(place, tmp_path):
    folder = tmp_path / "out"
    if place in ("file", "below"):
        folder.write_text("")
    else:
        (folder / NAME).mkdir(parents=True)
    if place == "checkpoints":
        (folder / NAME / "checkpoints").write_text("")
    if place == "config":
        (folder / NAME / "config.toml").mkdir()
    done = run_cli(CONFIG, *SETTINGS, "--out", folder / "a" / "b" if place == "below" else folder)
    refused(done, "([Errno 21] Is a directory: " if place == "config" else "cannot write: [Errno")
    assert str(folder) in done.stderr
    assert not list(tmp_path.rglob("*.tmp"))


FULL_DISK = """
    import errno
    from scratchformer.system import files
    left = {}
    write = files.put
    def put(file, content, durable):
        global left
        left -= len(content)
        if left < 0:
            write(file, content[: len(content) // 2], durable)
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, content, durable)
    files.put = put
"""


@pytest.mark.parametrize(
    ("space", "file"), [(0, "config.toml"), (3000, "step_000005.npy"), (60_000, "05_token_embeddings.png")]
)
def test_a_full_disk(space, file, tmp_path):
    left = FULL_DISK.replace("{}", str(space))
    out = tmp_path / "out"
    refused(drive(tmp_path, left, CONFIG, *SETTINGS, "--figure", "5", "--out", out),
            f"cannot write: [Errno 28] No space left on device: '{out}")
    missing = [path.name for path in out.rglob("*") if path.name.endswith(".tmp") or path.name == file]
    assert missing == []
    kill9.contents(out)                                 # what is there is whole


@pytest.mark.parametrize("what", ["quiz", pytest.param("draw", marks=pytest.mark.slow)])
def test_code_that_cannot_be_kept_is_compiled_anew(what, out, tmp_path):
    (tmp_path / "file").write_text("")
    drawing = [CONFIG, *SETTINGS, "--visualize", "--figure", "5", "--out", out]
    args = {"quiz": ["--quiz", "list"], "draw": drawing}[what]
    before = files(out / NAME / "plots")
    done = run_cli(*args, env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "cache")})
    assert done.returncode == 0
    assert done.stderr == ("scratchformer: no folder for compiled code can be written (see NUMBA_CACHE_DIR): "
                           "every start compiles anew\n")
    assert files(out / NAME / "plots") == before


def test_a_package_that_cannot_be_written_keeps_its_code_elsewhere(tmp_path):
    """Read-only for root as well: `__pycache__` is a file."""
    shutil.copytree(REPO / "scratchformer", tmp_path / "scratchformer", ignore=lambda *_: ["__pycache__"])
    (tmp_path / "scratchformer" / "engine" / "__pycache__").write_text("")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = "from scratchformer.engine import jit; print(jit.FOLDER is not None, jit.FOLDER)"
    for place, kept in ((temporary, True), (temporary / "missing", False)):
        driver = f"import sys, tempfile; tempfile.tempdir = {str(place)!r}; {code}"
        done = subprocess.run([sys.executable, "-c", driver], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{kept} {temporary if kept else ''}"), done.stdout
        assert done.stderr.count("\n") == (not kept)
    assert oct((temporary / f"scratchformer-{os.getuid()}").stat().st_mode)[-3:] == "700"


# files that are not what they should be


def saved(array):
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def archive(**arrays):
    """Arrays as the bytes of a .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


HEADER = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,)}"
HUGE = b"\x93NUMPY\x01\x00v\x00" + HEADER.ljust(117)
SNAPSHOTS = {
    "empty": (b"", "cannot be read"),
    "truncated": (saved(np.zeros(250))[:-8], "cannot be read"),
    "text": (b"nonsense", "cannot be read"),
    "pickle": (saved(np.array([{}], object)), "cannot be read"),
    "claims to be huge": (HUGE + b"\n", "cannot be read"),
    "other shape": (saved(np.zeros((3, 4))), "holds (3, 4) values, this config's model has 250"),
    "archive": (archive(a=np.zeros(250)), "holds (1,) values, this config's model has 250"),
    "other dtype": (saved(np.zeros(250, np.float32)), "holds float32, this config's model float64"),
    "texts": (saved(np.full(250, "a")), "holds <U1, this config's model float64"),
    "nan": (saved(np.full(250, np.nan)), "holds values that are not finite"),
}


@pytest.mark.parametrize("case", SNAPSHOTS)
def test_a_damaged_snapshot(case, copy):
    content, message = SNAPSHOTS[case]
    path = copy / NAME / "checkpoints" / "step_000020.npy"
    path.write_bytes(content)
    code, _, stderr = call(CONFIG, *SETTINGS, "--visualize", "--figure", "5", "--out", copy)
    assert code == 2
    assert_one_line(stderr, f"{path}: {message}")


STATES = {
    "text": b"nonsense",
    "an array": saved(np.zeros(3)),
    "other names": archive(a=np.zeros(3)),
    "no history": archive(
        step=20, theta=np.zeros(250), m=np.zeros(250), v=np.zeros(250), history=np.zeros((0, 5)), rng="{}"
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_a_damaged_state(case, copy):
    path = copy / NAME / "checkpoints" / "state.npz"
    path.write_bytes(STATES[case])
    code, _, stderr = call(CONFIG, *SETTINGS, "--figure", "2", "--out", copy)
    assert code == 2
    assert_one_line(stderr, f"{path}: cannot be read")


def test_missing_snapshots(copy):
    for path in (copy / NAME / "checkpoints").glob("step_*.npy"):
        path.unlink()
    done = run_cli(CONFIG, *SETTINGS, "--figure", "2", "--out", copy)
    refused(done, "step_000020.npy is missing; --retrain trains again")
    refused(run_cli(CONFIG, *SETTINGS, "--visualize", "--figure", "2", "--out", copy), "no snapshot in")


def test_a_snapshot_of_another_config(copy):
    path = copy / NAME / "config.toml"
    path.write_text(path.read_text().replace("n_embd = 2", "n_embd = 3"))
    shutil.move(copy / NAME, copy / CONFIG)
    done = run_cli(CONFIG, "--visualize", "--figure", "5", "--out", copy)
    refused(done, "values, this config's model has")


def test_a_config_of_the_run_that_cannot_be_read(copy):
    (copy / NAME / "config.toml").write_bytes(b"\xff")
    done = run_cli(CONFIG, *SETTINGS, "--visualize", "--figure", "5", "--out", copy)
    refused(done, "config.toml: cannot be read")
    refused(run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", copy), "holds a run that cannot be read")
    done = run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", copy, "--retrain")
    assert done.returncode == 0 and "20 steps in" in done.stdout


def test_a_step_that_is_not_saved(out):
    refused(run_cli(CONFIG, *SETTINGS, "--visualize", "--step", "7", "--out", out), "no snapshot of step 7")
    done = run_cli(CONFIG, *SETTINGS, "--step", "7", "--out", out)
    refused(done, "--step 7: snapshots exist every 5 steps, 0 to 20")


# two at a time, and ends before the end


LONGER = ("training.steps=10000000", "training.checkpoint_every=100000")
LONG = [*SETTINGS, *(part for override in LONGER for part in ("--set", override))]
LONG_NAME = run_name(*TINY, *LONGER)


def start(*args):
    """`run.py` in a process of its own group, its stderr readable."""
    return subprocess.Popen(
        [sys.executable, REPO / "run.py", *map(str, args)], cwd=REPO, start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )


def wait_for(process, path, pattern="*"):
    """Wait until a folder holds such a file."""
    while not list(path.glob(pattern)) and process.poll() is None:
        time.sleep(0.005)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_two_trainings_in_one_folder_and_a_lock_that_a_kill_opens(tmp_path):
    first = start(CONFIG, *LONG, "--out", tmp_path)
    try:
        wait_for(first, tmp_path / LONG_NAME / "checkpoints", "state.npz")
        config = (tmp_path / LONG_NAME / "config.toml").read_bytes()
        same = run_cli(CONFIG, *LONG, "--out", tmp_path)
        refused(same, f"another process is using {tmp_path / LONG_NAME}: wait for it")
        looking = run_cli(CONFIG, *LONG, "--visualize", "--step", "0", "--figure", "5", "--out", tmp_path)
        refused(looking, f"another process is training in {tmp_path / LONG_NAME}: wait for it")
        assert (tmp_path / LONG_NAME / "config.toml").read_bytes() == config
        other = run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", tmp_path)
        assert other.returncode == 0 and (tmp_path / NAME / "plots").is_dir(), other.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    looking = run_cli(CONFIG, *LONG, "--explain", "5 +", "--out", tmp_path)
    assert looking.returncode == 0 and "is unfinished, at step" in looking.stderr, looking.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_no_training_into_a_folder_that_is_being_drawn(out):
    with open(out / NAME / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", out).returncode == 0
        again = run_cli(CONFIG, *SETTINGS, "--retrain", "--figure", "5", "--out", out)
        refused(again, "another process is using")


def test_a_finished_run_is_not_replaced(copy):
    """A run of other settings in the folder: a config of the same name from elsewhere."""
    before = files(copy / NAME)
    config = copy / f"{NAME}.toml"
    config.write_text('extends = "plus_last_even"\n[training]\nsteps = 10\nseed = 9\n')
    done = run_cli(config, "--out", copy, "--figure", "5")
    refused(done, "holds a run of other settings (data.num_sequences")
    assert files(copy / NAME) == before
    done = run_cli(config, "--out", copy, "--figure", "6", "--retrain")
    assert done.returncode == 0, done.stderr
    plots = sorted(path.name for path in (copy / NAME / "plots").iterdir())
    assert plots == ["06_embedding_scatter.png"]                # nothing of the run before is left beside it


def test_data_that_cannot_be_drawn_again_are_told(tmp_path):
    rule = tmp_path / "fickle.py"
    rule.write_text(
        "import os\ndef fickle(history):\n    return {hash('x') % 11} if history[-1] == '+' else None\n"
    )
    settings = [*SETTINGS, "--set", "training.warmup_steps=1"]
    command = [rule, *settings, "--figure", "5", "--out", tmp_path / "runs"]
    done = run_cli(*command, env=os.environ | {"PYTHONHASHSEED": "1"})
    assert done.returncode == 0, done.stderr
    refused(run_cli(*command, env=os.environ | {"PYTHONHASHSEED": "2"}), "the data come out different")
    assert run_cli(*command, env=os.environ | {"PYTHONHASHSEED": "1"}).returncode == 0
    done = run_cli(*command, "--retrain", env=os.environ | {"PYTHONHASHSEED": "2"})
    assert done.returncode == 0, done.stderr


def test_docstrings_do_not_make_another_run(copy):
    command = [CONFIG, *SETTINGS, "--figure", "5", "--out", copy]
    done = run_cli(*command, env=os.environ | {"PYTHONOPTIMIZE": "2"})
    assert done.returncode == 0 and "training: already done" in done.stdout, done.stderr


def test_divergence_keeps_the_last_good_snapshot(tmp_path):
    done = run_cli(
        CONFIG, *SETTINGS, "--set", "training.learning_rate=1e3", "--set", "training.steps=2000",
        "--set", "training.checkpoint_every=1", "--out", tmp_path,
    )
    refused(done, "training diverged ", 1)
    (folder,) = tmp_path.glob(f"{CONFIG}.*")
    step, quantity = re.search(r"(\d+): not finite any more: (\w+)", done.stderr).groups()
    assert quantity in ("m", "v") or quantity.startswith(("W_", "b_"))
    steps = sorted(path.name for path in (folder / "checkpoints").glob("step_*.npy"))
    assert steps[-1] == f"step_{int(step) - 1:06d}.npy" and len(steps) == int(step)
    shutil.move(folder, tmp_path / CONFIG)
    drawn = run_cli(CONFIG, "--visualize", "--figure", "5", "--out", tmp_path)
    assert drawn.returncode == 0, drawn.stderr


def test_a_loss_that_is_not_finite_is_not_kept(tmp_path):
    """All parameters are finite, but products of them are not."""
    done = run_cli(
        CONFIG, *SETTINGS, "--set", "training.learning_rate=1e100", "--set", "training.weight_decay=0",
        "--set", "training.steps=1", "--out", tmp_path,
    )
    refused(done, "training diverged by step 1: not finite any more: train_loss, held_out_loss", 1)
    assert [path.name for path in tmp_path.glob("*/checkpoints/*.npy")] == ["step_000000.npy"]


@pytest.mark.parametrize("at", ["training", "drawing", "filming"])
def test_ctrl_c(at, copy):
    plots = copy / NAME / "plots"
    before = files(copy / NAME)
    if at == "training":
        process = start(CONFIG, *LONG, "--out", copy)
        wait_for(process, copy / LONG_NAME / "checkpoints", "state.npz")
    elif at == "drawing":
        process = start(CONFIG, *SETTINGS, "--visualize", "--out", copy)
        wait_for(process, plots, "0[1-4]*.png")
    else:
        process = start(CONFIG, *SETTINGS, "--visualize", "--video", "--out", copy)
        wait_for(process, plots / "learning_dynamics", "*.gif")
    os.killpg(process.pid, signal.SIGINT)               # as a terminal does: to the workers as well
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130, stderr
    more = "; the same command continues the training" if at == "training" else ""
    assert stderr == f"run.py: interrupted{more}\n"
    assert kill9.contents(copy) and not kill9.leftovers(copy)
    now = files(copy / NAME)
    assert all(now[path] == content for path, content in before.items() if path.suffix != ".png")


@pytest.mark.parametrize(("module", "function", "args", "advice"), [
    ("tools.prove.prove", "prove", [*SETTINGS, "--visualize", "--prove"], ""),
    ("tools.seeds.sweep", "sweep", ["--seeds", "2"], "; the same command continues: finished seeds are kept"),
    ("run.train", "prepare", [*SETTINGS, "--retrain"], ""),         # before there is anything to resume
])
def test_what_ctrl_c_advises(module, function, args, advice, copy, tmp_path):
    before = f"""
        import scratchformer.{module} as module
        def interrupted(*args, **options):
            raise KeyboardInterrupt
        module.{function} = interrupted
    """
    done = drive(tmp_path, before, CONFIG, *args, "--out", copy)
    refused(done, "interrupted", 130)
    assert done.stderr == f"run.py: interrupted{advice}\n"


def test_ctrl_c_in_the_first_moment(tmp_path):
    before = """
        import builtins
        load = builtins.__import__
        def interrupted(name, *args):
            if name == "scratchformer.run.config":
                raise KeyboardInterrupt
            return load(name, *args)
        builtins.__import__ = interrupted
    """
    refused(drive(tmp_path, before, CONFIG, "--out", tmp_path), "interrupted", 130)


def test_a_worker_that_is_killed_and_memory_that_is_too_small(copy, tmp_path):
    before = """
        import os
        import scratchformer.figures.draw
        here = os.getpid()
        def draw_figure(*args):
            if os.getpid() == here:
                raise MemoryError("Unable to allocate")
            os.kill(os.getpid(), 9)
        scratchformer.figures.draw.draw_figure = draw_figure
    """
    args = [CONFIG, *SETTINGS, "--visualize", "--out", copy, "--figure"]
    refused(drive(tmp_path, before, *args, "5"), "not enough memory: Unable to allocate", 1)
    if len(os.sched_getaffinity(0)) > 1:
        refused(drive(tmp_path, before, *args, "5", "6"), "a process was killed (out of memory?)", 1)


@pytest.mark.slow
def test_kill_9(tmp_path):
    settings = (*TINY, "training.steps=400", "training.checkpoint_every=4", "training.eval_every=40")
    names = ("training", "drawing", "filming")
    counts = kill9.torture(tmp_path, 3, settings, ("5", "6"), every=50, seed=1, names=names)
    assert counts.total() == 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_hundred_other_signals_a_command(number, tmp_path):
    assert kill9.torture(tmp_path, 600, number=number).total() == 600       # 100 of each command


@pytest.mark.slow
def test_kill_9_two_hundred_times(tmp_path):
    assert kill9.torture(tmp_path, 200).total() == 200


def test_what_the_dead_left_is_swept(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    child.stdout.read()                         # to its end
    child.stdout.close()
    until = time.monotonic() + 5
    while is_alive(child.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert is_alive(os.getpid()) and not is_alive(child.pid)        # though nobody has asked how it ended
    child.wait()
    assert not is_alive(child.pid)
    (tmp_path / "plots").mkdir()
    names = [f".a.png.{child.pid}.tmp", f".b.{child.pid}.tmp.mp4", f".a.png.{os.getpid()}.tmp", ".x.tmp",
             "a.png", ".lock", f".a.{10**30}.tmp"]
    for name in names:
        (tmp_path / "plots" / name).write_text("")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(names[2:])


def test_a_command_that_only_looks_sweeps_as_well(copy, tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (run,) = copy.glob("plus_last_even*")
    left = run / "plots" / f".02_learning_curve.png.{child.pid}.tmp"
    left.parent.mkdir(exist_ok=True)
    left.write_text("")
    done = run_cli(CONFIG, *SETTINGS, "--visualize", "--figure", "2", "--out", copy)
    assert done.returncode == 0 and not left.exists(), done.stderr


# the same every time, and somewhere to say so


def test_two_runs_have_the_same_bytes(out, tmp_path):
    done = run_cli(CONFIG, *SETTINGS, "--figure", "5", "--out", tmp_path)
    assert done.returncode == 0
    one, other = kill9.contents(out), kill9.contents(tmp_path)
    del one[f"{NAME}/checkpoints/state.npz"], other[f"{NAME}/checkpoints/state.npz"]   # a zip file has a date
    assert one == other and len(one) == 10


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_cannot_be_written():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, REPO / "run.py", "--list"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    refused(done, "cannot write: [Errno 28]")


def test_a_terminal_that_cannot_show_every_sign(out):
    args = [CONFIG, *SETTINGS, "--visualize", "--explain", "5 8 3 +", "--out", out]
    done = run_cli(*args, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == "" and done.stdout.isascii()
