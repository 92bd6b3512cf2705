"""Frames into files: GIF by Pillow's encoder, MP4 by ffmpeg if it is there."""

import errno
import subprocess
import tempfile

import numpy as np
from PIL import GifImagePlugin, Image

from scratchformer.system.errors import RunError

COLORS = 128                    # of a film's palette: fewer make smaller files
SAME = 255                      # and one more index: as in the frame before
GIF_END = b";"


def choose_palette(frames, exact):
    """One palette for a film, from some of its frames and colours it must hold, (N, 3) in 0..1: a P image."""
    exact = np.round(255 * np.asarray(exact)).astype(np.uint8)
    montage = Image.fromarray(np.concatenate([frame[::2, ::2] for frame in frames]))
    chosen = montage.quantize(COLORS - len(exact), method=Image.Quantize.MEDIANCUT).getpalette()
    chosen = np.array(chosen, np.uint8).reshape(-1, 3)
    apart = np.abs(chosen[:, None].astype(int) - exact).max(axis=2).min(axis=1)
    colors = np.resize(np.concatenate([exact, chosen[apart > 8]]), (SAME, 3))
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([colors, colors[:1]]).tobytes())
    return palette


def quantize(frame, palette):
    """A frame (H, W, 3) as indices of the palette's colours, the nearest ones: (H, W) uint8 below 255."""
    indices = np.array(Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE))
    indices[indices == SAME] = 0                             # the same colour
    return indices


def gif_header(palette, shape):
    """The first bytes of a GIF that loops for ever; shape: (H, W) of its frames."""
    first = Image.new("P", shape[::-1])
    first.putpalette(palette.getpalette())
    parts, _ = GifImagePlugin.getheader(first, info={"loop": 0})
    return b"".join(parts)


def gif_frame(indices, before, milliseconds):
    """The bytes of a frame: what differs from the indices of the frame before (None for the first)."""
    left, top = 0, 0
    if before is not None:
        changed = indices != before
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        box = slice(0, 1), slice(0, 1)
        if len(rows):
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        left, top = box[1].start, box[0].start
        indices = np.where(changed[box], indices[box], SAME).astype(np.uint8)
    return b"".join(GifImagePlugin.getdata(
        Image.fromarray(indices), (int(left), int(top)),
        duration=milliseconds, disposal=1, transparency=SAME,
    ))


class Mp4:
    """An MP4 film as it is written: frames go to ffmpeg, whose end, and what it complains of, are looked at.

    Raises OSError where ffmpeg does not end well: the disk is full, or it was killed.
    """

    def __init__(self, path, fps):
        self.path, self.fps, self.process, self.complaints = path, fps, None, tempfile.TemporaryFile()

    def __enter__(self):
        return self

    def start(self, height, width):
        """Start ffmpeg for frames of that size. H.264 wants even sizes."""
        from imageio_ffmpeg import get_ffmpeg_exe

        even = [] if height % 2 == width % 2 == 0 else ["-vf", "scale=trunc(iw/2)*2:trunc(ih/2)*2"]
        self.process = subprocess.Popen(
            [get_ffmpeg_exe(), "-y", "-nostdin", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
             "-s", f"{width}x{height}", "-r", str(self.fps), "-i", "pipe:0", "-an", "-c:v", "libx264",
             "-pix_fmt", "yuv420p", "-crf", "25", *even, str(self.path)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self.complaints,
        )

    def add(self, frame):
        """Write a frame: (H, W, 3) uint8."""
        if self.process is None:
            self.start(*frame.shape[:2])
        try:
            self.process.stdin.write(np.ascontiguousarray(frame))
        except BrokenPipeError:
            self.finish()
            raise

    def __exit__(self, kind, error, trace):
        with self.complaints:
            if self.process is None:
                return
            if kind is None:
                self.finish()
            else:
                self.process.kill()
                self.process.wait()

    def finish(self):
        """Wait for ffmpeg's end; OSError with its last words unless it ended well."""
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        code = self.process.wait()
        if code:
            self.complaints.seek(0)
            lines = self.complaints.read().decode("utf-8", "replace").strip().splitlines()
            why = lines[-1] if lines else f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            raise OSError(errno.EIO, f"ffmpeg failed: {why}", str(self.path.with_name(self.name)))

    @property
    def name(self):
        """The name that the film is to have."""
        return self.path.name.split(".")[1] + ".mp4"


def require_ffmpeg():
    """RunError unless MP4 films can be written."""
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise RunError(
            'mp4 films need ffmpeg: python -m pip install -e ".[video]" brings it (or leave out --format mp4)'
        ) from None
