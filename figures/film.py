"""Films over training: one renderer for all, frames in parallel processes.

A film is a module of learning_dynamics/ with `SIZE` and `scene(fig, snapshots)`, which draws what stays
and returns the artists that move and a function that sets their data for the i-th snapshot. Each frame is
what stays, kept as pixels, and the moving artists drawn over it. Any figure can be filmed as well: it is
drawn anew for every frame. Under either runs the learning curve.
"""

import os
import time
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from scratchformer.analysis.snapshots import take_snapshots
from scratchformer.figures.catalogue import FILMS, figure_module, figure_names
from scratchformer.figures.encode import GIF_END, Mp4, choose_palette, gif_frame, gif_header, quantize
from scratchformer.figures.scenes import STRIP, learning_strip
from scratchformer.figures.style import (
    CORRECT, GREY, HELD_OUT, INK, PROBABILITY, SIGNED, WRONG, K, Q, V, own_look, token_colors,
)
from scratchformer.system import pool
from scratchformer.system.files import check_links, temporary_path, write_atomically

WIDTH = 1200                    # pixels
CHUNK = 12                      # frames that a process draws at a time
PALETTE_FRAMES = 8              # from which a film's colours are chosen
REST = 2.0                      # seconds for which the last frame stays


class Cost(NamedTuple):
    """What a film took: seconds of one core, and bytes."""

    data: float
    drawing: float
    encoding: float
    bytes: int


def film_names():
    """Names of the films, in order."""
    return [name.rpartition("/")[2] for name in figure_names(FILMS)]


def film_module(name):
    """The module of the film of that name, or None if it is a figure's."""
    return figure_module(f"{FILMS}/{name}") if name in film_names() else None


def left_out(run, name):
    """Why a run has no such film, or None."""
    return getattr(film_module(name), "left_out", lambda run: None)(run)


class Stage:
    """A figure of which only some artists change: the rest is kept as pixels."""

    def __init__(self, size, scene, snapshots):
        self.fig = Figure(figsize=size, dpi=WIDTH / size[0])
        self.canvas = FigureCanvasAgg(self.fig)
        artists, self.update = scene(self.fig, snapshots)
        for artist in artists:
            artist.set_animated(True)
        self.artists = sorted(artists, key=lambda artist: artist.zorder)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.fig.bbox)
        self.data_seconds = 0.0

    def pixels(self, i):
        """The picture of the i-th snapshot, until the next one: (height, WIDTH, 4) uint8."""
        self.canvas.restore_region(self.background)
        clock = time.process_time()
        self.update(i)
        self.data_seconds += time.process_time() - clock
        for artist in self.artists:
            artist.draw(self.canvas.renderer)
        return np.asarray(self.canvas.buffer_rgba())


class Redrawn:
    """A figure that is drawn anew for each snapshot, its planes' limits held over training."""

    looks = 12                  # snapshots from which the limits are taken
    data_seconds = 0.0          # reading data is part of drawing

    def __init__(self, name, snapshots):
        self.module, self.snapshots = figure_module(name), snapshots
        self.boxes = {}
        last = len(snapshots.steps) - 1
        for i in np.unique(np.linspace(0, last, self.looks).round().astype(int)):
            self.draw(i, self.widen)

    def draw(self, i, hold):
        """The figure of the i-th snapshot; `hold(n, low, high)` gives the limits of its n-th plane."""
        size = self.module.SIZE
        fig = Figure(figsize=size, dpi=WIDTH / size[0])
        planes = iter(range(1000))
        fig.hold_extent = lambda low, high: hold(next(planes), low, high)
        self.module.draw(fig, self.snapshots.run.at(self.snapshots.steps[i]))
        return fig

    def widen(self, plane, low, high):
        """Take note of a plane's limits."""
        before = self.boxes.get(plane, (low, high))
        self.boxes[plane] = np.minimum(before[0], low), np.maximum(before[1], high)
        return low, high

    def pixels(self, i):
        """The picture of the i-th snapshot: (height, WIDTH, 4) uint8."""
        canvas = FigureCanvasAgg(self.draw(i, lambda plane, low, high: self.boxes[plane]))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())


class Film:
    """The frames of one film."""

    def __init__(self, snapshots, name):
        with own_look():
            module = film_module(name)
            self.picture = (
                Stage(module.SIZE, module.scene, snapshots) if module else Redrawn(name, snapshots)
            )
            width = (module or self.picture.module).SIZE[0]
            self.strip = Stage((width, STRIP), learning_strip, snapshots)

    def frame(self, i):
        """Picture and learning curve of the i-th snapshot: (height, WIDTH, 3) uint8."""
        with own_look():
            whole = np.concatenate([self.picture.pixels(i), self.strip.pixels(i)])
        return np.asarray(Image.fromarray(whole).convert("RGB"))

    def frames(self, start, stop):
        """Frames start to stop - 1, and their Cost but for encoding."""
        data, clock = self.picture.data_seconds, time.process_time()
        frames = [self.frame(i) for i in range(start, stop)]
        seconds, data = time.process_time() - clock, self.picture.data_seconds - data
        return frames, Cost(data, seconds - data, 0.0, 0)


MADE = {}                       # films of this process, by name


def film_of(name):
    """The Film of that name of the snapshots that the processes share, made at its first use."""
    if name not in MADE:
        MADE[name] = Film(pool.SHARED, name)
    return MADE[name]


def make_palette(name):
    """The palette of a film, from frames spread over it."""
    film = film_of(name)
    looks = np.linspace(0, len(pool.SHARED.steps) - 1, PALETTE_FRAMES).round().astype(int)
    named = [to_rgb(color) for color in ("white", INK, GREY, Q, K, V, HELD_OUT, WRONG, CORRECT)]
    shades = [colormaps[name](np.linspace(0, 1, n))[:, :3] for name, n in ((PROBABILITY, 10), (SIGNED, 31))]
    exact = np.concatenate([named, *shades, token_colors(pool.SHARED.run.vocabulary)[:24]])
    return choose_palette([film.frame(i) for i in np.unique(looks)], exact)


def gif_part(name, start, stop, palette, milliseconds):
    """Frames start to stop - 1 of a film as a piece of a GIF: (bytes, Cost)."""
    frames, cost = film_of(name).frames(max(start - 1, 0), stop)
    clock = time.process_time()
    indices = [quantize(frame, palette) for frame in frames]
    content = b"" if start else gif_header(palette, indices[0].shape)
    for i in range(start, stop):
        now = indices[i - stop]
        content += gif_frame(now, indices[i - stop - 1] if i else None, milliseconds[i])
    return content, cost._replace(encoding=time.process_time() - clock, bytes=len(content))


def rgb_part(name, start, stop):
    """Frames start to stop - 1 of a film as they are: (list of arrays, Cost)."""
    return film_of(name).frames(start, stop)


def draw_films(run, steps, names, folder, format="gif", fps=20, progress=lambda text: None):
    """Write films of saved steps into a folder, one frame a step: {name: Cost}.

    format: gif, which plays each frame for whole hundredths of a second, or mp4; fps: frames a second,
    1 to 50; progress: is told what is being done.
    """
    MADE.clear()                       # of an earlier call that was broken off
    snapshots = take_snapshots(run, steps)
    starts = range(0, len(steps), CHUNK)
    chunks = [(name, start, min(start + CHUNK, len(steps))) for name in names for start in starts]
    costs = {}
    with pool.fork_pool(snapshots, len(chunks)) as workers:
        if format == "gif":
            progress("choosing colours")
            found = pool.in_order(workers, make_palette, [(name,) for name in names], len(names))
            palettes = dict(zip(names, found, strict=True))
            milliseconds = [10 * round(100 / fps)] * len(steps)
            milliseconds[-1] = round(1000 * REST)
            jobs = [(*chunk, palettes[chunk[0]], milliseconds) for chunk in chunks]
            parts = pool.in_order(workers, gif_part, jobs, len(jobs))
        else:
            parts = pool.in_order(workers, rgb_part, chunks)
        for name in names:
            path = Path(folder) / f"{name}.{format}"
            path.parent.mkdir(parents=True, exist_ok=True)
            own = told(progress, path.name, islice(parts, len(starts)), len(starts))
            costs[name] = write_gif(path, own) if format == "gif" else write_mp4(path, own, fps)
    MADE.clear()
    return costs


def told(progress, name, parts, count):
    """The same parts; progress is told of each."""
    for done, part in enumerate(parts):
        progress(f"film {name}: {done / count:4.0%}")
        yield part


def write_gif(path, parts):
    """Write the pieces of a GIF, whole or not at all: the film's Cost."""
    contents, costs = zip(*parts, strict=True)
    write_atomically(path, b"".join(contents) + GIF_END)
    return Cost(*map(sum, zip(*costs, strict=True)))


def write_mp4(path, parts, fps):
    """Write frames through ffmpeg, whole or not at all: the film's Cost."""
    check_links(path)
    temporary = temporary_path(path)
    costs = []
    try:
        with Mp4(temporary, fps) as film:
            for frames, cost in parts:
                clock = time.process_time()
                for frame in frames:
                    film.add(frame)
                costs.append(cost._replace(encoding=time.process_time() - clock))
            for _ in range(round(REST * fps)):
                film.add(frames[-1])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return Cost(*map(sum, zip(*costs, strict=True)))._replace(bytes=path.stat().st_size)
