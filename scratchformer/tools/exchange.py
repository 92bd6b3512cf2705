"""Models out to other tools and back in: arrays by name, in four formats, under TransformerLens's names too.

    .npz            NumPy's own; load with numpy.load
    .safetensors    8 bytes with the length of a JSON header, the header (dtype, shape, place), the bytes
    .json           {"parameters": {name: nested lists}, "activations": ..., "gradients": ...}
    .csv            one long table: a row a number, with its array and its indices

Names are those of engine/names.py: parameters as they are, `activations.q`, `gradients.W_q`, `gradients.q`.
TransformerLens's parameters go along as `transformer_lens.blocks.0.attn.W_Q` and so on, in its shapes.
"""

import csv
import io
import json

import numpy as np

from scratchformer.engine.model import backward, parameter_shapes
from scratchformer.engine.names import ACTIVATION_NAMES, PARAMETER_NAMES, TABLE, Params
from scratchformer.run.config import to_toml
from scratchformer.system.errors import RunError, close, shown
from scratchformer.system.files import read_file, write_atomically

FORMATS = ("npz", "safetensors", "json", "csv")
LENS = "transformer_lens."
DTYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64}            # of safetensors, as they are used
MODULES = {                             # of a HookedTransformer of one layer, and the parameters in each
    "embed": ("W_token",), "pos_embed": ("W_pos",), "blocks.0.attn": ("W_q", "W_k", "W_v", "W_o"),
    "blocks.0.mlp": ("W_in", "b_in", "W_out", "b_out"), "unembed": ("W_unembed", "b_unembed"),
}
LENS_NAMES = {
    name: f"{module}.{TABLE[name].transformer_lens}" for module, names in MODULES.items() for name in names
}
HEADS_FIRST = ("W_q", "W_k", "W_v")     # (C, H, D) here, (H, C, D) there


# out


def gather_arrays(model, tokens=None, targets=None):
    """{name: array} of a model: parameters; with tokens, (T,) ids, its activations on them; with targets,
    (T,) ids or -1, the gradients of the loss as well."""
    found = dict(zip(PARAMETER_NAMES, model.params, strict=True))
    found |= {LENS + name: array for name, array in lens_parameters(model.params).items()}
    if tokens is not None:
        cache = model.forward(tokens[None], None if targets is None else targets[None])
        found["tokens"] = cache.tokens
        found |= {f"activations.{name}": getattr(cache, name) for name in ACTIVATION_NAMES}
        if targets is not None:
            dparams, dcache = backward(model.params, cache)
            found["targets"] = cache.targets
            found |= {f"gradients.{name}": array for name, array in dparams._asdict().items()}
            found |= {f"gradients.{name}": getattr(dcache, name) for name in ACTIVATION_NAMES[:-1]}
    return {name: np.asarray(array) for name, array in found.items()}


def lens_parameters(params):
    """The parameters under TransformerLens's names, in its shapes; W_O is the identity if there is none."""
    arrays = params._asdict()
    C, H, D = params.W_q.shape
    if not params.W_o.size:
        arrays["W_o"] = np.eye(C, dtype=params.W_q.dtype).reshape(H, D, C)
    return {
        LENS_NAMES[name]: arrays[name].transpose(1, 0, 2) if name in HEADS_FIRST else arrays[name]
        for name in PARAMETER_NAMES
    }


def write_arrays(path, arrays, config, vocabulary):
    """Write {name: array} to a file whose suffix gives the format, whole or not at all.

    config, vocabulary: what the numbers belong to, kept with them. Raises RunError for another suffix.
    """
    about = {"config": to_toml(config), "vocabulary": json.dumps(list(vocabulary))}
    format = path.suffix.removeprefix(".")
    if format not in FORMATS:
        raise RunError(f"{path}: the format must be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    encode = {"npz": npz_bytes, "safetensors": safetensors_bytes, "json": json_bytes, "csv": csv_bytes}
    write_atomically(path, encode[format](arrays, about))


def npz_bytes(arrays, about):
    """The bytes of an .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **about)
    return buffer.getvalue()


def safetensors_bytes(arrays, about):
    """The bytes of a .safetensors."""
    header, start = {"__metadata__": about}, 0
    names = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    for name, array in arrays.items():
        stop = start + array.nbytes
        header[name] = {
            "dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [start, stop],
        }
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    content = (np.ascontiguousarray(array).tobytes() for array in arrays.values())
    return len(text).to_bytes(8, "little") + text + b"".join(content)


def json_bytes(arrays, about):
    """The bytes of a .json; what is not finite is null."""
    found = dict(about) | {"parameters": {}, "activations": {}, "gradients": {}, "transformer_lens": {}}
    for name, array in arrays.items():
        part, _, own = name.partition(".")
        place = found[part] if own else found if name in ("tokens", "targets") else found["parameters"]
        place[own or name] = np.where(np.isfinite(array), array, None).tolist()
    return json.dumps(found).encode()


def csv_bytes(arrays, _):
    """The bytes of a .csv: array, its indices with spaces between, value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("array", "index", "value"))
    for name, array in arrays.items():
        for at in np.ndindex(array.shape):
            writer.writerow((name, " ".join(map(str, at)), repr(array[at].item())))
    return buffer.getvalue().encode()


# in


def read_arrays(path):
    """{name: array} of a .safetensors or .npz file; RunError if it cannot be read."""
    try:
        content = read_file(path)
        if path.suffix == ".safetensors":
            return safetensors_arrays(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files if file[name].dtype.kind == "f"}
    except Exception as error:          # a damaged or foreign file can raise nearly anything
        raise RunError(f"{path}: cannot be read as weights: {error}") from error


def safetensors_arrays(content):
    """The arrays of a .safetensors file that hold numbers of a known kind."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    data, arrays = content[8 + length :], {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in DTYPES:
            start, stop = entry["data_offsets"]
            values = np.frombuffer(data[start:stop], DTYPES[entry["dtype"]])
            arrays[name] = values.reshape(entry["shape"])
    return arrays


def find_parameters(path, arrays, config):
    """Params for a config from arrays by name, ours or TransformerLens's; arrays of other names are left out.

    Raises RunError, one line, where one is missing, of another shape, or not finite.
    """
    shapes = parameter_shapes(config.model, config.data.numbers + len(config.data.operators))
    found = {}
    for name, shape in shapes.items():
        array = own_array(arrays, name, shape)
        if array is None:
            others = [other for other in arrays if other not in PARAMETER_NAMES]
            near = close(name, others) or close(LENS_NAMES[name], others)
            raise RunError(f"{path}: has no {name} (or {LENS_NAMES[name]}){near}")
        if array.shape != shape:
            raise RunError(f"{path}: {name} is {shown(array.shape)}, the config's model asks for {shape}")
        if not np.isfinite(array).all():
            raise RunError(f"{path}: {name} holds values that are not finite")
        found[name] = np.array(array, config.training.dtype, order="C")
    return Params(**found)


def own_array(arrays, name, shape):
    """The array of one of our parameters, in our layout; None if there is none."""
    if name in arrays:
        return arrays[name]
    array = arrays.get(LENS + LENS_NAMES[name], arrays.get(LENS_NAMES[name]))
    if name == "W_o" and shape == (0, 0, 0):
        rows = None if array is None else array.reshape(-1, array.shape[-1])
        return np.zeros(shape) if rows is None or np.array_equal(rows, np.eye(*rows.shape)) else array
    if array is not None and name in HEADS_FIRST and array.ndim == 3:
        return array.transpose(1, 0, 2)
    return array
