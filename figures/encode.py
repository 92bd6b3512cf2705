"""Frames into files: GIF by Pillow's encoder, MP4 by ffmpeg if it is there."""

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


def require_ffmpeg():
    """RunError unless MP4 films can be written."""
    try:
        import imageio_ffmpeg  # noqa: F401
    except ImportError:
        raise RunError(
            'mp4 films need ffmpeg: python -m pip install -e ".[video]" brings it (or leave out --format mp4)'
        ) from None
