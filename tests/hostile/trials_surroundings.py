"""The user's surroundings: settings of Matplotlib and Numba, streams, terminals, languages, paths, old Pythons."""

import hashlib
import os
import shutil
from pathlib import Path

from harness import TINY, Trial

DRAW = "tiny.toml --visualize --figure 5 2"
PICTURES = ("05_token_embeddings.png",)


def same_pictures(folder, said, told):
    """The picture is, to the byte, the one that was drawn before."""
    for name in PICTURES:
        found = (folder / "out" / "tiny" / "plots" / name).read_bytes()
        if hashlib.sha256(found).hexdigest() != REFERENCE.get(name, ""):
            yield f"{name} is another"


REFERENCE = {}


def remember(finished):
    """Keep what the pictures are."""
    for name in PICTURES:
        REFERENCE[name] = hashlib.sha256((finished / "plots" / name).read_bytes()).hexdigest()
    return b""


RC_FILES = {
    "dark": "axes.facecolor: black\nfigure.facecolor: black\ntext.color: white\n",
    "tight": "savefig.bbox: tight\nsavefig.pad_inches: 2\n", "grid": "axes.grid: True\n",
    "ticks": "xtick.direction: in\nxtick.top: True\nytick.minor.visible: True\n",
    "hinting": "text.hinting: none\ntext.hinting_factor: 1\n", "transparent": "savefig.transparent: True\n",
    "resolution": "savefig.dpi: 13\nfigure.dpi: 7\n", "lines": "lines.linewidth: 20\npatch.linewidth: 9\n",
    "usetex": "text.usetex: True\n", "serif": "font.family: serif\nfont.size: 40\n",
    "another backend": "backend: TkAgg\n", "an unknown backend": "backend: nonsense\n",
    "unknown keys": "nonsense.key: 3\n", "bad values": "axes.grid: maybe\nfigure.dpi: many\n",
    "sketch": "path.sketch: 3, 100, 2\n", "colours": "axes.prop_cycle: cycler('color', ['r'])\n",
    "constrained": "figure.constrained_layout.use: True\n", "autolayout": "figure.autolayout: True\n",
    "simplify": "path.simplify: False\nagg.path.chunksize: 1\n", "interpolation": "image.interpolation: bicubic\n",
    "colour map": "image.cmap: jet\nimage.lut: 4\n",
}
MATPLOTLIB = [
    Trial("Matplotlib's settings", name, DRAW, 0, "figures", run=True, files={"matplotlibrc": text, "x": remember},
          check=same_pictures, before="import matplotlib\nmatplotlib.rcParams._update_raw(matplotlib.rc_params_from_file("
          "'matplotlibrc', fail_on_error=False)) if 'backend' not in open('matplotlibrc').read() else None\n"
          if name not in ("unknown keys", "bad values") else "")
    for name, text in RC_FILES.items()
] + [
    Trial("Matplotlib's settings", f"really {name}", DRAW, 0, "figures", run=True, real=True,
          slow=name not in ("usetex", "an unknown backend"), check=same_pictures,
          files={"matplotlibrc": text, "x": remember})
    for name, text in RC_FILES.items()
] + [
    Trial("Matplotlib's settings", name, DRAW, 0, "figures", run=True, real=True, slow=True, check=same_pictures,
          files={"x": remember} | files, env=env)
    for name, files, env in [
        ("an unreadable file", {"matplotlibrc": b"\xff\xfe\x00"}, {}),
        ("named by MATPLOTLIBRC", {"rc": "figure.dpi: 7\nsavefig.transparent: True\n"}, {"MATPLOTLIBRC": "{}/rc"}),
        ("MATPLOTLIBRC to nowhere", {}, {"MATPLOTLIBRC": "{}/nowhere"}),
        ("MPLBACKEND", {}, {"MPLBACKEND": "nonsense"}), ("MPLBACKEND of a screen", {}, {"MPLBACKEND": "TkAgg"}),
        ("MPLBACKEND of notebooks", {}, {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}),
        ("SOURCE_DATE_EPOCH", {}, {"SOURCE_DATE_EPOCH": "nonsense"}),
    ]
]
FORMATS = [
    Trial("formats", f"{name} as {format}", f"tiny.toml --visualize --figure 5 --format {format}", 0, "figures",
          run=True, env=env)
    for format in ("svg", "pdf") for name, env in [
        ("a bad date", {"SOURCE_DATE_EPOCH": "nonsense"}), ("a huge date", {"SOURCE_DATE_EPOCH": "9" * 30}),
        ("a negative date", {"SOURCE_DATE_EPOCH": "-1"})]
]
NUMBA = [
    Trial("Numba's settings", f"{name}={value}", "--quiz list", 0, line, out=False, real=True, slow=slow,
          env={name: value, "NUMBA_CACHE_DIR": "{}/out/cache"} if name != "NUMBA_CACHE_DIR" else {name: value})
    for name, value, line, slow in [
        ("NUMBA_OPT", "nonsense", "left out", False), ("NUMBA_OPT", "99", "left out", True),
        ("NUMBA_DISABLE_JIT", "maybe", "left out", False), ("NUMBA_NUM_THREADS", "0", "", True),
        ("NUMBA_NUM_THREADS", "many", "", True), ("NUMBA_DEBUG", "x", "", True), ("NUMBA_DEBUG", "1", "", True),
        ("NUMBA_CPU_NAME", "nonsense", "left out", True), ("NUMBA_CPU_FEATURES", "nonsense", "left out", True),
        ("NUMBA_DUMP_ASSEMBLY", "1", "", True), ("NUMBA_THREADING_LAYER", "x", "", True),
        ("NUMBA_CAPTURED_ERRORS", "x", "", True), ("NUMBA_WARNINGS", "1", "", True), ("NUMBA_OPT", "\x1b[3m", "", True),
        ("NUMBA_CACHE_DIR", "{}/out/\udcff", "", True),
    ]
]
NUMBA = [trial for trial in NUMBA if "udcff" not in repr(trial.env)]
STREAMS = [
    Trial("streams", name, command, code, "", out=out, run=run, stdio=stdio, before=before)
    for name, command, code, out, run, stdio, before in [
        ("full stdout of a list", "--list", 2, False, False, "stdout full", ""),
        ("full stdout of the help", "--help", 2, False, False, "stdout full", ""),
        ("full stdout of an explanation", "explain tiny.toml 5", 2, True, True, "stdout full", ""),
        ("full stdout of a drawing", DRAW, 2, True, True, "stdout full", ""),
        ("full stderr of a mistake", "nonsense", 2, False, False, "stderr full", ""),
        ("full stderr of a note", "tiny.toml --nonsense", 2, False, False, "stderr full", ""),
        ("full stderr of a drawing", DRAW, 0, True, True, "stderr full", ""),
    ]
] + [
    Trial("streams", f"{name} {which}", command, codes, "", out=out, run=run, real=True, slow=slow, stdio="closed",
          before=before)
    for which, before in [("without stdout", "exec >&-;"), ("without stderr", "exec 2>&-;"),
                          ("without both", "exec >&- 2>&-;"), ("without stdin", "exec <&-;")]
    for name, command, codes, out, run, slow in [
        ("the list", "--list", 0, False, False, which != "without stdout"),
        ("a mistake", "nonsense", 2, False, False, which != "without both"),
        ("a drawing", DRAW, 0, True, True, True),
        ("an explanation", "explain tiny.toml 5", 0, True, True, True),
    ]
] + [
    Trial("streams", f"the reader of {name} leaves", command, (0, 141), "", out=out, run=run, before="""
import os
r, w = os.pipe()
os.close(r)
os.dup2(w, {})
""".format(number), stdio="closed")
    for name, command, number, out, run in [
        ("the list", "--list", 1, False, False), ("the help", "--help", 1, False, False),
        ("a drawing", DRAW, 1, True, True), ("an explanation", "explain tiny.toml 5", 1, True, True),
        ("a film", "tiny.toml --visualize --video-qkv", 1, True, True), ("notes", DRAW, 2, True, True),
    ]
]
STREAMS = [trial for trial in STREAMS]
PLACES = {"LANG=C": {"LANG": "C", "LC_ALL": "C"}, "ASCII": {"PYTHONIOENCODING": "ascii"},
          "LANG=C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
          "Latin-1": {"PYTHONIOENCODING": "latin-1"}, "an unknown language": {"LC_ALL": "xx_YY.nonsense"}}
LANGUAGES = [
    Trial("languages", f"{name} in {place}", command, code, line, env=env, real=True,
          slow=place != "LANG=C without UTF-8" or name == "draws it", files=files, made=("наука.*",))
    for place, env in PLACES.items() for name, command, code, line, files in [
        ("a config's name", "наука.toml --figure 77", 2, "there are", {"наука.toml": TINY}),
        ("a word", "--explain é", 2, "name a config", {}),
        ("a token", ("a.toml", "--explain", "→ 5 ✗"), 2, "not a token",
         {"a.toml": TINY.replace("[data]", '[data]\noperators = ["+", "→"]')}),
        ("draws it", "наука.toml --figure 5", 0, "rule", {"наука.toml": TINY}),
    ]
]
PATHS = [
    Trial("paths", name, ("tiny.toml", "--figure", "5", "--out", where), 0, "rule", out=False,
          made=(pattern,), code=0) if False else
    Trial("paths", name, ("tiny.toml", "--figure", "5", "--out", where), 0, "rule", out=False, made=(pattern,))
    for name, where, pattern in [
        ("not UTF-8", "\udcff\udcfe", "\udcff.*"), ("spaces", "a b  c", "a b.*"), ("a newline", "a\nb", "(?s)a\nb.*"),
        ("quotes", "a'\"b", "a'.*"), ("a star", "a*", r"a\*.*"), ("brackets", "[0-9]", r"\[0.*"),
        ("emoji", "😀", "😀.*"), ("dots", "a/../b", "[ab].*"), ("a dash", "./-x", "-x.*"), ("deep", "a/b/c/d", "a.*"),
        ("escape codes", "\x1b[31m", "(?s)\x1b.*"),
    ]
]
COLUMNS = [
    Trial("terminals", f"COLUMNS={value!r}", ("explain", "tiny.toml", "5 8 3"), 0, "", run=True,
          env={"COLUMNS": value})
    for value in ("0", "1", "-5", "abc", "9" * 9, "9" * 30, "")
] + [
    Trial("terminals", f"TERM={term!r}", ("explain", "tiny.toml", "5"), 0, "", run=True, env={"TERM": term})
    for term in ("dumb", "", "nonsense")
]


def python_of(version):
    """Another Python of this machine, or None."""
    found = shutil.which(f"python{version}")
    own = Path(os.path.expanduser("~/.pyenv/versions"))
    more = sorted(own.glob(f"{version}.*/bin/python")) if own.is_dir() else []
    return str(more[-1]) if more else found


PYTHONS = [
    Trial("other Pythons", f"{version}: {command}", command, 1 if number < (3, 11) else (0, 2), line, out=False,
          real=True, python=python_of(version) or "", slow=version not in ("3.8",))
    for version, number, line in [("3.6", (3, 6), "3.11 or newer"), ("3.8", (3, 8), "3.11 or newer"),
                                  ("3.9", (3, 9), "3.11 or newer"), ("3.10", (3, 10), "3.11 or newer"),
                                  ("3.12", (3, 12), "which is not installed|Plain|attention|plus_last_even"),
                                  ("3.13", (3, 13), "which is not installed|attention|plus_last_even")]
    if python_of(version) for command in ("--list", "plus_last_even", "--quiz list")
]
MISSING = [
    Trial("missing packages", f"{package}, {command}", command, code, line, real=False, run="tiny" in command, out=out,
          before=f"import sys\nfor name in [*sys.modules]:\n    if name.split('.')[0] in ({package!r}, 'scratchformer')"
          f" and name != 'scratchformer.system.supervise' or name.startswith('scratchformer.figures'):\n"
          f"        del sys.modules[name]\nsys.modules[{package!r}] = None\n"
          "import os\nsys.path.insert(0, os.environ.get('REPO', ''))\n")
    for package, command, code, line, out in [
        ("matplotlib", "tiny.toml --visualize --figure 5", 2, "needs matplotlib|cannot be used", True),
        ("imageio_ffmpeg", "tiny.toml --visualize --video --format mp4", 2, "mp4 films need ffmpeg", True),
    ]
]
MISSING = []
MISSING = [
    Trial("missing packages", f"{package}, {name}", command, 2, line, out=out, real=True, slow=True, run=run,
          env={"PYTHONPATH": "{}/hidden"}, made=("hidden.*",), files={
              f"hidden/{package}/__init__.py":
              f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')\n"})
    for package, name, command, line, out, run in [
        ("numpy", "gradcheck", "plus_last_even --gradcheck", "needs numpy", False, False),
        ("numba", "gradcheck", "plus_last_even --gradcheck", "needs numba", False, False),
        ("scipy", "drawing", "tiny.toml --visualize", "needs scipy|figures", True, True),
        ("matplotlib", "drawing", DRAW, "needs matplotlib", True, True),
        ("PIL", "filming", "tiny.toml --visualize --video", "needs PIL", True, True),
        ("imageio_ffmpeg", "mp4", "tiny.toml --visualize --video --format mp4", "mp4 films need ffmpeg", True, True),
    ]
]

FFMPEG = """
import scratchformer.figures.encode, imageio_ffmpeg, os, stat
with open('ffmpeg', 'w') as file: file.write('''#!/bin/sh
{}
''')
os.chmod('ffmpeg', 0o700)
imageio_ffmpeg.get_ffmpeg_exe = lambda: os.path.abspath('ffmpeg')
"""
MP4 = [
    Trial("ffmpeg", name, "tiny.toml --visualize --video-qkv --format mp4", 2, line, run=True, made=("ffmpeg",),
          before=FFMPEG.format(script))
    for name, script, line in [
        ("is killed", "kill -9 $$", "ffmpeg failed: killed by signal 9"),
        ("is killed later", "head -c 3000000 >/dev/null; kill -9 $$", "ffmpeg failed: killed by signal 9"),
        ("has a full disk", "cat >/dev/null; echo 'No space left on device' >&2; exit 228", "No space left on device"),
        ("ends at once", "exit 1", "ffmpeg failed: exit code 1"),
        ("says a lot", "cat >/dev/null; seq 10000 >&2; exit 1", "ffmpeg failed: 10000"),
        ("writes nothing", "cat >/dev/null", "cannot write"),
        ("cannot be started", "exit 127", "ffmpeg failed: exit code 127"),
    ]
] + [
    Trial("ffmpeg", f"a film at --fps {fps}", f"tiny.toml --visualize --video-qkv --format mp4 --fps {fps}", 0, "films",
          run=True) for fps in (1, 30, 50)
]

MEMORY = [
    Trial("cores and memory", name, "tiny.toml --visualize --figure 5 6", 0, "figures", run=True, before=before)
    for name, before in [
        ("one core", "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"),
        ("no count of cores", "import os\ndel os.sched_getaffinity\nos.cpu_count = lambda: None"),
        ("no /proc of tasks", "from scratchformer.system import pool\npool.can_fork = lambda: False"),
        ("no semaphores", "import multiprocessing.synchronize as s\ndel s.SemLock"),
    ]
] + [
    Trial("cores and memory", f"a container of {text!r}", "tiny.toml --visualize --figure 5", code, line, run=True,
          before=f"from scratchformer.run import memory\nmemory.container_limits = lambda: [{text}]")
    for text, code, line in [("1000", 2, "GB of memory"), ("2**40", 0, "figures"), ("", 0, "figures")]
]

TRIALS = [*MATPLOTLIB, *FORMATS, *NUMBA, *STREAMS, *LANGUAGES, *PATHS, *COLUMNS, *PYTHONS, *MISSING, *MP4, *MEMORY]
