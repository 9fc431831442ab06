"""Changes files of nets and checkpoints in every way, and sees that nothing but a FileFormatError comes of it.

python tests/support/fuzz_files.py NUMBER SEED       NUMBER random changes
python tests/support/fuzz_files.py --atheris NUMBER  changes that a fuzzer finds by what they reach
"""

import copy
import json
import os
import resource
import struct
import sys
import tempfile
import time
from pathlib import Path
from types import FunctionType

import numpy as np

import fastmlp
from fastmlp import FileFormatError
from fastmlp._io import nets as _files
from fastmlp._io import safetensors
from fastmlp.training import checkpoint as _checkpoints

X = np.random.default_rng(0).normal(size=(20, 3))
Y = (X[:, 0] > 0).astype(int)
NASTY = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63),
    10**30,
    0.5,
    -0.5,
    1e308,
    "",
    "x",
    "relu",
    "softmax",
    "adam",
    "checkpoint",
    "runs",
    "network",
    "F32",
    "I8",
    "F16",
    "\0",
    "é" * 100,
    [],
    [0],
    [-1],
    [2**40, 2**40],
    [1] * 9,
    [[]],
    [None],
    {},
    {"a": 1},
    {"loss": {}},
    [0, 0],
    [0, 4],
    [4, 0],
    ["relu"],
    [3, 4, 1],
    [3, 4, 4, 1],
    [1e3],
    [True, False],
]
NUMBERS = [np.nan, np.inf, -np.inf, -1.0, 0.0, -0.0, 1e300, 2.0**53, 5.0, 1e-320]
SECONDS = 1.0


def files(folder):
    """Whole files: nets, a network and a checkpoint."""
    arch = fastmlp.Architecture((3, 4, 1), hidden="leaky_relu", leaky_slope=np.linspace(0, 0.2, 6))
    settings = {"n_nets": 6, "epochs": 4, "batch_size": 8, "record_every": 1}
    runs = fastmlp.train(arch, X, Y, **settings, keep_state=True, validation=(X, Y))
    runs.save(folder / "runs")
    runs[1].save(folder / "network")
    fastmlp.train(
        arch,
        X,
        Y,
        **settings,
        l2=np.full(6, 0.1),
        patience=3,
        validation=(X, Y),
        checkpoint=folder / "job",
        callback=lambda _: True,
    )
    return [(folder / name).read_bytes() for name in ("runs", "network", "job")]


def split(content):
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["fastmlp"]), bytearray(content[8 + length :])


def joined(header, about, data, signed):
    """The file again; `signed` with the checksum that it now has, if that can be told."""
    if signed and "sha256" in about:
        about["sha256"] = safetensors.NO_CHECKSUM
    header["__metadata__"]["fastmlp"] = json.dumps(about)
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(data)
    if signed:
        try:
            return safetensors.signed(content)
        except ValueError:  # it has no place for a checksum any more
            pass
    return content


def changed(content, rng):
    """One of many kinds of changes, or several."""
    if rng.random() < 0.3:
        content = bytearray(content)
        header_length = struct.unpack("<Q", content[:8])[0]
        for _ in range(rng.integers(1, 5)):
            # mostly in the header, where it matters
            content[rng.integers(0, 8 + header_length if rng.random() < 0.9 else len(content))] = rng.integers(0, 256)
        return bytes(content[: rng.integers(0, len(content))] if rng.random() < 0.05 else content)
    header, about, data = split(content)
    tensors = [name for name in header if name != "__metadata__"]
    for _ in range(rng.integers(1, 4)):
        name, kind = tensors[rng.integers(len(tensors))], rng.integers(8)
        nasty = copy.deepcopy(NASTY[rng.integers(len(NASTY))])
        if kind == 0 and name in header:
            header[name][["dtype", "shape", "data_offsets"][rng.integers(3)]] = nasty
        elif kind == 1:
            header.pop(name, None)
        elif kind == 2 and name in header:
            header[["x", "loss", "settings.l2", "init.first"][rng.integers(4)]] = header.pop(name)
        elif kind == 3:
            about[list(about)[rng.integers(len(about))]] = nasty
        elif kind == 4 and isinstance(about.get("settings"), dict) and about["settings"]:
            settings = about["settings"]
            settings[list(settings)[rng.integers(len(settings))]] = nasty
        elif kind == 5:
            about.pop(list(about)[rng.integers(len(about))])
            if not about:
                break
        elif name in header and isinstance(header[name].get("data_offsets"), list):
            entry = header[name]
            dtype = np.dtype(safetensors.DTYPES.get(entry["dtype"] if isinstance(entry["dtype"], str) else "", "i1"))
            first, last = (*entry["data_offsets"], 0, 0)[:2]
            if isinstance(first, int) and isinstance(last, int) and first >= 0 and first + dtype.itemsize <= last:
                place = first + dtype.itemsize * int(rng.integers((last - first) // dtype.itemsize))
                with np.errstate(all="ignore"):
                    value = np.array(NUMBERS[rng.integers(len(NUMBERS))])
                    if dtype.kind != "f":
                        value = np.array(int(rng.integers(-(2**62), 2**62)))
                    data[place : place + dtype.itemsize] = value.astype(dtype).tobytes()
    return joined(header, about, data, signed=rng.random() < 0.8)


def try_to_load(path, content):
    """Read it as nets and as a job; returns whether one of them went well."""
    path.write_bytes(content)
    begun, well = time.perf_counter(), False
    for load in (fastmlp.load, _checkpoints.load_checkpoint):
        try:
            load(path)
            well = True
        except FileFormatError as error:
            if not str(error):
                raise AssertionError("a FileFormatError without a message") from None
        except BaseException as error:  # anything else is what this is after
            finding = Path(tempfile.gettempdir(), "fastmlp-finding")
            finding.write_bytes(content)
            raise AssertionError(f"{load.__name__}: {type(error).__name__}: {error}; see {finding}") from error
    if time.perf_counter() - begun > 2 * SECONDS:
        raise AssertionError("took over a second")
    return well


def limit_memory(size):
    """What the process has now, and twice the file and 64 MiB; more is a MemoryError."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    limit = pages * resource.getpagesize() + 2 * size + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def by_chance(number, seed):
    rng = np.random.default_rng(seed)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        whole = files(Path(folder))
        path = Path(folder) / "changed"
        assert all(try_to_load(path, content) for content in whole)
        limit_memory(max(map(len, whole)))
        well = sum(try_to_load(path, changed(whole[rng.integers(3)], rng)) for _ in range(number))
    print(json.dumps({"changes": number, "loaded": well}))


def by_atheris(runs):
    import atheris

    folder = Path(tempfile.mkdtemp())  # left to the caller that set TMPDIR: the fuzzer ends the process
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(files(folder)):
        (corpus / str(number)).write_bytes(content)
    # what reads files; instrumented whole, fastmlp's kernels would not compile
    for module in (safetensors, _files, _checkpoints):
        for name, function in vars(module).copy().items():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                setattr(module, name, atheris.instrument_func(function))
    options = [f"-runs={runs}", "-max_len=20000", "-seed=1", "-verbosity=0", "-print_final_stats=1", str(corpus)]
    atheris.Setup([sys.argv[0], *options], lambda data: try_to_load(folder / "changed", data))
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1] == "--atheris":
        by_atheris(sys.argv[2])
    else:
        by_chance(int(sys.argv[1]), int(sys.argv[2]))
