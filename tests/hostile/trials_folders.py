"""Folders and files that are not what they should be: links, pipes, damaged, crafted, of others."""

import io
import json

import numpy as np
from harness import TINY, Fifo, Folder, Link, Trial

DRAW = "tiny.toml --visualize --figure 5"
TRAIN = "tiny.toml --figure 5"
AGAIN = "tiny.toml --figure 5 --retrain"


def links(name, command, path, code=2, line="symbolic link", target="victim", **more):
    """A trial with a link in the run's folder that leads out of it; nothing behind it may be touched."""
    behind = {f"{target}/step_000000.npy": "mine", f"{target}/state.npz": "mine", f"{target}/a.png": "mine",
              f"{target}/.a.png.999999.tmp": "mine"} if target == "victim" else {target: "mine"}
    return Trial("links", name, command, code, line, run=more.pop("run", True),
                 files=behind | {path: Link(f"{{}}/{target}")} | more.pop("files", {}), keep=tuple(behind), **more)


LINKS = [
    links("the lock, drawing", DRAW, "out/tiny/.lock", target="victim.txt"),
    links("the lock, training", TRAIN, "out/tiny/.lock", target="victim.txt", run=False),
    links("the lock, again", AGAIN, "out/tiny/.lock", target="victim.txt"),
    links("the lock of a proof", "tiny.toml --visualize --prove", "out/tiny/.lock", target="victim.txt"),
    links("the lock to nowhere", DRAW, "out/tiny/.lock", target="victim.txt", files={"out/tiny/.lock": Link("gone")}),
    links("checkpoints, training again", AGAIN, "out/tiny/checkpoints"),
    links("checkpoints, of a new run", TRAIN, "out/tiny/checkpoints", run=False),
    links("plots, drawing", DRAW, "out/tiny/plots"),
    links("plots, training again", AGAIN, "out/tiny/plots"),
    links("a folder of plots", "tiny.toml --visualize", "out/tiny/plots/supplementary"),
    links("a folder of films", "tiny.toml --visualize --video-qkv", "out/tiny/plots/learning_dynamics"),
    links("a folder of causal figures", "tiny.toml --visualize --causal", "out/tiny/plots/causal"),
    links("the run", TRAIN, "out/tiny", run=False),
    links("the run, drawing", DRAW, "out/tiny", line="no run in"),
    links("the results of seeds", "tiny.toml --seeds 2", "out/tiny/seeds", run=False),
    links("the results' folder of seeds", "tiny.toml --seeds 2", "out/tiny/seeds/results", run=False),
    links("a picture is replaced, not what it leads to", DRAW, "out/tiny/plots/05_token_embeddings.png", 0, "figures",
          target="victim.txt"),
    links("a config is replaced, not what it leads to", AGAIN, "out/tiny/config.toml", 0, "rule",
          target="victim.txt"),
    links("a snapshot is replaced", AGAIN, "out/tiny/checkpoints/step_000005.npy", 0, "rule", target="victim.txt"),
    links("the state is replaced", AGAIN, "out/tiny/checkpoints/state.npz", 0, "rule", target="victim.txt"),
    links("a proof's failures", "tiny.toml --visualize --prove", "out/tiny/failures_step_000020.tsv", (0, 1), "",
          target="victim.txt"),
    links("the folder of runs may be one", TRAIN, "elsewhere", 0, "rule", run=False,
          files={"victim/tiny/.keep": "", "out": Link("victim")}, made=("victim/tiny.*", "out.*", "victim")),
]
LINKS = [trial for trial in LINKS if "may be one" not in trial.name]
CACHE = [
    Trial("the folder of compiled code", name, "--quiz list", 0, line, out=False, real=True, slow=True,
          files=files, env=env, keep=keep, made=made)
    for name, files, env, line, keep, made in [
        ("cannot be made", {"cache": "a file"}, {"NUMBA_CACHE_DIR": "{}/cache/x"}, "compiles anew", ("cache",), ()),
        ("is a pipe", {"cache": Fifo}, {"NUMBA_CACHE_DIR": "{}/cache"}, "compiles anew", (), ()),
        ("is named by nothing", {}, {"NUMBA_CACHE_DIR": ""}, "", (), ()),
        ("has a link to be swept", {"cache/scratchformer-0123456789abcdef": Link("{}/victim"), "victim/a": "mine"},
         {"NUMBA_CACHE_DIR": "{}/cache"}, "", ("victim/a",), ("cache.*",)),
    ]
]
PIPES = [
    Trial("pipes and devices", name, command, 2, line, run=run, files={path: content})
    for name, command, path, content, line, run in [
        ("a config", "a.toml", "a.toml", Fifo, "not a regular file", False),
        ("a config that is a folder", "a.toml", "a.toml", Folder, "cannot be read", False),
        ("a config that is a device", "a.toml", "a.toml", Link("/dev/zero"), "not a regular file", False),
        ("a config that is a terminal", "a.toml", "a.toml", Link("/dev/tty"), "cannot be read", False),
        ("the lock", DRAW, "out/tiny/.lock", Fifo, "not a regular file", True),
        ("the lock is a folder", DRAW, "out/tiny/.lock", Folder, "not a regular file", True),
        ("the run's config", DRAW, "out/tiny/config.toml", Fifo, "no run in|not a regular file", True),
        ("the run's config, training", TRAIN, "out/tiny/config.toml", Fifo, "config.toml", True),
        ("a snapshot", DRAW, "out/tiny/checkpoints/step_000020.npy", Fifo, "not a regular file", True),
        ("the state", "tiny.toml --visualize --figure 2", "out/tiny/checkpoints/state.npz", Fifo, "state.npz", True),
        ("the digest of the data", DRAW, "out/tiny/data.txt", Fifo, "data.txt", True),
        ("the digest of the engine", DRAW, "out/tiny/engine.txt", Fifo, "engine.txt", True),
        ("the plots", DRAW, "out/tiny/plots", Fifo, "cannot write", True),
        ("an extended config", "a.toml", "b.toml", Fifo, "no.* config|cannot be read|not", False),
    ]
]


def saved(array):
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def state(**changes):
    """Makes a state.npz like that of a finished run, but for some arrays."""
    def make(finished):
        with np.load(finished / "checkpoints" / "state.npz") as file:
            arrays = dict(file)
        for name, change in changes.items():
            arrays[name] = change(arrays[name]) if callable(change) else change
        buffer = io.BytesIO()
        np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
        return buffer.getvalue()
    return make


def flipped(path, where):
    """Makes a file of the finished run with one byte changed, at a share of its length."""
    def make(finished):
        content = bytearray((finished / path).read_bytes())
        content[int(where * (len(content) - 1))] ^= 0x10
        return bytes(content)
    return make


def cut(path, share):
    """Makes a file of the finished run that ends early."""
    return lambda finished: (finished / path).read_bytes()[: int(share * len((finished / path).read_bytes()))]


def put(array, index, value):
    """An array with one entry changed."""
    array = array.copy()
    array[index] = value
    return array


def bad_rng(**changes):
    """The state of a generator with something else in it."""
    return lambda rng: json.dumps(json.loads(str(rng)) | changes)


STATE = "out/tiny/checkpoints/state.npz"
STATES = [
    Trial("crafted states", name, "tiny.toml --visualize --figure 2", 2, "state.npz", run=True, files={STATE: content})
    for name, content in [
        ("no history", state(history=np.zeros((0, 5)))), ("a short history", state(history=np.zeros((2, 3)))),
        ("a history of no dims", state(history=np.zeros(()))), ("a flat history", state(history=np.zeros(5))),
        ("a history of texts", state(history=np.full((2, 5), "a"))),
        ("a history that is not finite", state(history=lambda h: put(h, (0, 1), np.nan))),
        ("an infinite history", state(history=lambda h: put(h, (0, 1), np.inf))),
        ("an absurd history", state(history=lambda h: put(h, (0, 1), 1e308))),
        ("rule errors above 1", state(history=lambda h: put(h, (0, 3), 7.0))),
        ("negative rule errors", state(history=lambda h: put(h, (0, 4), -1.0))),
        ("steps that are no steps", state(history=lambda h: put(h, (0, 0), 1e300))),
        ("steps in disorder", state(history=lambda h: h[::-1])),
        ("steps after the last", state(history=lambda h: put(h, (-1, 0), 10**6))),
        ("complex numbers", state(history=lambda h: h + 1j)),
        ("parameters short", state(theta=lambda a: a[:-1])), ("parameters long", state(theta=np.zeros(10**5))),
        ("parameters not finite", state(theta=lambda a: put(a, 0, np.nan))),
        ("moments not finite", state(m=lambda a: put(a, 0, np.inf))),
        ("negative squares", state(v=lambda a: put(a, 0, -1.0))),
        ("another dtype", state(theta=lambda a: a.astype(np.float32))), ("no moments", state(m=None)),
        ("a step too far", state(step=10**9)), ("a negative step", state(step=-3)), ("a step of text", state(step="x")),
        ("a step between", state(step=7)),
        ("a generator of text", state(rng="{}")), ("a generator of another kind", state(rng=bad_rng(
            bit_generator="MT19937"))),
        ("a generator without state", state(rng=bad_rng(state={}))), ("deep JSON", state(rng="[" * 10000)),
        ("a pickle", saved(np.array([{}], object))), ("nothing", b""), ("text", b"nonsense"),
        ("cut", cut("checkpoints/state.npz", 0.7)), ("cut early", cut("checkpoints/state.npz", 0.1)),
        ("a flipped bit", flipped("checkpoints/state.npz", 0.3)),
        ("a flipped bit late", flipped("checkpoints/state.npz", 0.6)),
    ]
]
SNAPSHOT = "out/tiny/checkpoints/step_000020.npy"
SNAPSHOTS = [
    Trial("crafted snapshots", name, command, 2, "step_000020.npy|snapshot", run=True, files={SNAPSHOT: content})
    for name, content, command in [
        ("absurd values", lambda finished: saved(np.full(250, 1e308)), "tiny.toml --visualize --figure 5 6"),
        ("a folder", Folder, DRAW), ("a link to itself", Link("step_000020.npy"), DRAW),
        ("header of nonsense", b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535, DRAW),
        ("zeros of no dtype", saved(np.zeros(250, "V8")), DRAW), ("times", saved(np.zeros(250, "M8[s]")), DRAW),
        ("complex", saved(np.zeros(250, complex)), DRAW), ("big end first", saved(np.zeros(250, ">f8")), DRAW),
    ]
]
SNAPSHOTS[0] = Trial("crafted snapshots", "absurd values", "tiny.toml --visualize --figure 5", (0, 2), "", run=True,
                     files={SNAPSHOT: saved(np.full(250, 1e308))})
SNAPSHOTS = [trial for trial in SNAPSHOTS if trial.name != "big end first"]

RESULT = "out/tiny/seeds/results/seed_000001.npz"


def result(change):
    """Makes a result of a seed that someone has changed."""
    def make(finished):
        theta = np.zeros(250)
        arrays = {"config": (finished / "config.toml").read_text().replace("seed = 14", "seed = 1"), "seed": 1,
                  "theta": theta, "history": np.zeros((3, 5)), "wrong": 0, "constrained": 9, "loss": 2.0,
                  "seconds": 1.0, "note": ""} | change
        buffer = io.BytesIO()
        np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
        return buffer.getvalue()
    return make


RESULTS = [
    Trial("crafted results of seeds", name, "tiny.toml --seeds 2", 0, "of 2 seeds learned", files={RESULT: content})
    for name, content in [
        ("no history", result({"history": np.zeros((0, 5))})), ("a flat history", result({"history": np.zeros(5)})),
        ("a history that is not finite", result({"history": np.full((3, 5), np.nan)})),
        ("parameters short", result({"theta": np.zeros(3)})), ("no parameters", result({"theta": np.zeros(0)})),
        ("parameters not finite", result({"theta": np.full(250, np.inf)})),
        ("texts", result({"theta": np.full(250, "a")})), ("another seed", result({"seed": 7})),
        ("more wrong than there are", result({"wrong": 10})), ("negative", result({"constrained": -3})),
        ("a note that steers", result({"note": "\x1b[31mred"})), ("no loss", result({"loss": None})),
        ("a loss of text", result({"loss": "x"})), ("a list of losses", result({"loss": [1.0, 2.0]})),
        ("empty", b""), ("nonsense", b"PK\x03\x04" + b"x" * 100), ("a pipe", Fifo),
    ]
] + [
    Trial("crafted results of seeds", "a folder", "tiny.toml --seeds 2", 2, "cannot write", files={RESULT: Folder}),
] + [
    Trial("crafted results of seeds", f"a flipped bit at {where:.0%}", "tiny.toml --seeds 2", 0, "of 2 seeds learned",
          files={RESULT: lambda finished, where=where: flip(result({})(finished), where)})
    for where in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)
]


def flip(content, where):
    """Bytes with one bit changed."""
    content = bytearray(content)
    content[int(where * len(content))] ^= 4
    return bytes(content)


CONFIGS = [
    Trial("names of configs", name, (word, "--figure", "5"), 2, line, files={word: TINY})
    for name, word, line in [
        ("two dots", "...toml", "needs a name"), ("one dot", "..toml", "needs a name"), ("none", ".toml", "name|TOML"),
        ("dots below", "a/...toml", "needs a name"), ("many dots", "......toml", "needs a name"),
    ]
] + [
    Trial("names of configs", f"a rule of {name}", (word, "--figure", "5"), 2, line,
          files={word: "def r(history): return {1}\n"})
    for name, word, line in [("two dots", "...py", "needs a name"), ("one dot", "..py", "needs a name")]
]
PLACES = [
    Trial("places to write", name, ("tiny.toml", "--figure", "5", "--out", where), code, line, out=False, files=files,
          before=before, made=made)
    for name, where, code, line, files, before, made in [
        ("a file", "taken", 2, "cannot write", {"taken": ""}, "", ()),
        ("below a file", "taken/x", 2, "cannot write", {"taken": ""}, "", ()),
        ("a pipe", "taken", 2, "cannot write", {"taken": Fifo}, "", ()),
        ("nothing", "", (0, 2), "", {}, "", ("tiny.*",)),
        ("a null byte", "a\0b", 2, "null|cannot write", {}, "", ()),
        ("a long name", "x" * 300, 2, "cannot write", {}, "", ()),
        ("the device", "/dev/null/x", 2, "cannot write", {}, "", ()),
        ("the home", "~/runs", 0, "rule", {}, "", ("home/runs.*",)),
        ("nobody's home", "~nobody_of_that_name/runs", 2, "no such home", {}, "", ()),
        ("a full disk", "out", 2, "No space left", {}, """
import errno
from scratchformer.system import files
def put(file, content, durable): raise OSError(errno.ENOSPC, 'No space left on device')
files.put = put
""", ()),
        ("a file that may not grow", "out", (2,), "cannot write", {}, """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
""", ()),
        ("no more open files", "out", (2,), "", {}, """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9))
""", ()),
        ("a disk that is only read", "/proc/x", 2, "cannot write", {}, "", ()),
    ]
] + [
    Trial("places to write", f"~ after the sign of equality, {name}", f"tiny.toml {flags} --out=~/x", 0, line,
          out=False, made=("home/x.*",))
    for name, flags, line in [("drawing", "--figure 5", "rule"), ("seeds", "--seeds 2", "seeds"),
                              ("a proof", "--explain 5", "attention")]
]


def reported(folder, said, told):
    """The report of a proof is printed, whatever becomes of its files."""
    if "contexts" not in said:
        yield "the report is not printed"


PROOFS = [
    Trial("proofs that cannot be written", name, "tiny.toml --visualize --prove", (2,), "cannot write", run=True,
          check=reported, files=files, before=before)
    for name, files, before in [
        ("a folder in the way", {"out/tiny/failures_step_000020.tsv": Folder}, ""),
        ("a folder in the way of the certificate", {"out/tiny/certificate_step_000020.json": Folder}, ""),
        ("a full disk", {}, """
import errno
from scratchformer.system import files
def put(file, content, durable): raise OSError(errno.ENOSPC, 'No space left on device')
files.put = put
"""),
    ]
]

TRIALS = [*PROOFS, *LINKS, *CACHE, *PIPES, *STATES, *SNAPSHOTS, *RESULTS, *CONFIGS, *PLACES]
