"""Ctrl-C, SIGTERM and SIGHUP at any moment: one line, the right code, no process and no file left, in two seconds."""

import signal
import sys
from dataclasses import replace

from harness import Trial

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
CODES = {INT: 130, TERM: 143, HUP: 129}
PLACES = {
    "as soon as it answers": ("plus_last_even", "caught"),
    "in the start-up": ("plus_last_even", 0.02),
    "a little later": ("plus_last_even", 0.1),
    "while it trains": ("long.toml", "out/long/checkpoints/state.npz"),
    "while it draws": ("plus_last_even --set training.steps=20 --set training.checkpoint_every=20 --set "
                       "data.num_sequences=40", "out/*/plots/0[1-4]*.png"),
    "while it films": ("tiny.toml --video --set training.checkpoint_every=1 --set training.steps=200",
                       "out/*/checkpoints/step_000200.npy"),
    "while it trains seeds": ("plus_last_even --seeds 40", "out/plus_last_even/seeds"),
    "while it proves": ("tiny.toml --visualize --prove", 0.3),
}
WAYS = {
    "Ctrl-C": (INT, 1, True), "Ctrl-C to one process": (INT, 1, False), "Ctrl-C twice": (INT, 2, True),
    "SIGTERM": (TERM, 1, False), "SIGTERM to the group": (TERM, 1, True), "SIGHUP": (HUP, 1, True),
}
STRIKES = [
    Trial("signals", f"{way} {place}", command, CODES[number], "interrupted", strike=(number, when, times, group),
          run="visualize" in command, slow=way in ("Ctrl-C to one process", "SIGTERM to the group", "SIGHUP")
          and place not in ("while it trains",))
    for place, (command, when) in PLACES.items() for way, (number, times, group) in WAYS.items()
]

COLD = [                                # the first compilation, in a folder of its own
    Trial("signals in the first compilation", f"{way} after {after:g} s", "tiny.toml --figure 5", CODES[number],
          "interrupted", strike=(number, after, times, group), real=True, slow=after != 2.5 or way != "Ctrl-C",
          env={"NUMBA_CACHE_DIR": "{}/out/cache"}, out=True)
    for after in (0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.5, 4.0) for way, (number, times, group) in WAYS.items()
    if way in ("Ctrl-C", "Ctrl-C twice", "SIGTERM", "SIGHUP")
]

LOOP = "def rule(history):\n    {body}\n"
STUCK = [
    Trial("signals in rules that hang", f"{way} in {name}", "mine.py", CODES[number], "interrupted",
          files={"mine.py": "open('ready', 'w').close()\ndef rule(history):\n" + body}, made=("ready",),
          strike=(number, "ready", times, True))
    for name, body in [
        ("a loop", "    while True: pass\n"),
        ("a sleep", "    import time\n    time.sleep(100)\n"),
        ("a loop that catches all", "    while True:\n        try:\n            while True: pass\n"
                                    "        except BaseException: pass\n"),
        ("C", "    sum(iter(int, 1))\n"),
        ("a process of its own", "    import subprocess\n    subprocess.run(['cat', '/dev/zero'], stdout=-3)\n"),
    ]
    for way, (number, times, group) in WAYS.items() if way in ("Ctrl-C", "Ctrl-C twice", "SIGTERM")
]

IGNORED = [
    Trial("signals that are ignored", name, "tiny.toml --figure 5", 0, "rule", before=f"import signal\n{before}",
          strike=(number, "out/tiny/config.toml", 1, False))
    for name, before, number in [
        ("nohup", "signal.signal(signal.SIGHUP, signal.SIG_IGN)", HUP),
        ("a background job", "signal.signal(signal.SIGINT, signal.SIG_IGN)", INT),
        ("a window that changes its size", "", signal.SIGWINCH),
    ]
]


def killing(function, signal=9):
    """Lines that have a worker killed at its first call of a function of figures.draw, or at each."""
    return f"""
import os, scratchformer.figures.draw as draw
here, made = os.getpid(), draw.{function}
def {function}(*args, **options):
    if os.path.exists('killed') is False or 'always' in '{function}':
        open('killed', 'w').close()
        os.kill(os.getpid(), {signal})
    return made(*args, **options)
draw.{function} = {function}
"""


SEED = """
import os
from scratchformer.tools.seeds import sweep
def train_seed(config, seed, made=sweep.train_seed):
    if seed == 1 and ({when}):
        open('killed', 'w').close()
        {how}
    return made(config, seed)
sweep.train_seed = train_seed
"""
LOST = [
    Trial("processes that are lost", name, "tiny.toml --seeds 3", code, line, made=("killed",),
          before=SEED.format(when=when, how=how))
    for name, when, how, code, line in [
        ("a seed's, once", "not os.path.exists('killed')", "os.kill(os.getpid(), 9)", 0, "of 3 seeds learned"),
        ("a seed's, always", "True", "os.kill(os.getpid(), 9)", 1, "seed 1: not learned: WorkerLost"),
        ("a seed's, by os._exit", "True", "os._exit(0)", 1, "seed 1: not learned: WorkerLost"),
        ("a seed's, by a crash", "True", "os.abort()", 1, "seed 1: not learned: WorkerLost"),
        ("a seed's memory", "True", "raise MemoryError('no room')", 1, "seed 1: not learned: MemoryError: no room"),
        ("a seed's exit", "True", "raise SystemExit(3)", 1, "seed 1: not learned: SystemExit"),
    ]
] + [
    Trial("processes that are lost", f"one that draws, {name}", "tiny.toml --visualize --figure 5 6", code, line,
          run=True, made=("killed",), before=killing("draw_figure", number))
    for name, number, code, line in [("killed once", 9, 0, "figures: "), ("crashed once", 6, 0, "figures: "),
                                     ("hung up once", 15, 0, "figures: ")]
] + [
    Trial("processes that are lost", f"none can be started for {name}", command, 0, line, run=True, before="""
import multiprocessing.context
def start(self): raise BlockingIOError(11, 'Resource temporarily unavailable')
multiprocessing.context.ForkProcess.start = start
""")
    for name, command, line in [
        ("drawing", "tiny.toml --visualize --figure 5 6", "figures: "),
        ("films", "tiny.toml --visualize --video-qkv", "films: "),
        ("seeds", "tiny.toml --seeds 2", "of 2 seeds learned"),
    ]
] + [
    Trial("processes that are lost", "the one that compiles", "tiny.toml --figure 5", 0, "rule", real=True, slow=True,
          env={"NUMBA_CACHE_DIR": "{}/out/cache"}, before=""),
    Trial("processes that are lost", "no fork at the start", "--list", 0, "plus_last_even", out=False,
          before="import os\ndef fork(): raise BlockingIOError(11, 'no')\nos.fork = fork"),
    Trial("processes that are lost", "the program itself, while it trains", "long.toml", 1, "ended by signal 9", before="""
import os, threading, time
from scratchformer.run import train
made = train.check_finite
def check_finite(state):
    if state.step: os.kill(os.getpid(), 9)
    made(state)
train.check_finite = check_finite
"""),
]

KILLED = [
    Trial("the watching process is killed", place, command, -9, "", strike=(signal.SIGKILL, when, 1, False), run=run)
    for place, (command, when), run in [
        ("while it trains", PLACES["while it trains"], False), ("while it draws", PLACES["while it draws"], False),
        ("while it trains seeds", PLACES["while it trains seeds"], False),
        ("while a rule hangs", ("mine.py", "ready"), False),
    ]
]
KILLED[-1] = replace(KILLED[-1], made=("ready",), files={
    "mine.py": "open('ready', 'w').close()\ndef rule(history):\n    while True: pass\n"})

assert sys.platform.startswith("linux")
TRIALS = [*KILLED, *STRIKES, *COLD, *STUCK, *IGNORED, *LOST]
