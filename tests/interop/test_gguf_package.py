"""Files of bq-quantize read by the gguf package, and files of the gguf package read by bq-quantize."""

import json
import subprocess
import sys
import unittest

import gguf
import numpy as np

from program import MODEL, InteropTest, bq_quantize, decoded, inspect, targets, tensors

Type = gguf.GGMLQuantizationType
RANDOM = np.random.default_rng(6)


def tensor_of_every_type():
    """name -> (data, type or None for numpy's own): all that the package can make."""
    weights = RANDOM.standard_normal((8, 512), np.float32)
    out = {f"plain.{kind}.weight": (weights.astype(kind), None) for kind in ("float32", "float16", "float64")}
    for kind in ("int8", "int16", "int32", "int64"):
        out[f"plain.{kind}.weight"] = (RANDOM.integers(-100, 100, (4, 32)).astype(kind), None)
    for qtype in Type:
        try:
            out[f"blocks.{qtype.name}.weight"] = (gguf.quantize(weights, qtype), qtype)
        except NotImplementedError:
            pass  # the package only decodes it
    return out


def write(path, contents, **options):
    writer = gguf.GGUFWriter(path, "llama", **options)
    for bits in (8, 16, 32, 64):
        getattr(writer, f"add_uint{bits}")(f"test.u{bits}", 2**bits - 1)
        getattr(writer, f"add_int{bits}")(f"test.i{bits}", -(2 ** (bits - 1)))
    writer.add_float32("test.f32", 0.5)
    writer.add_float64("test.f64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "blocks of 32")
    writer.add_array("test.strings", ["one", "", "three"])
    writer.add_array("test.numbers", [1, -2, 3])
    for name, (data, qtype) in contents.items():
        writer.add_tensor(name, data, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class OurFiles(InteropTest):
    def test_every_type_decodes_to_our_values(self):
        for name in sorted(set(targets().values())):
            with self.subTest(name):
                path = self.folder / f"{name}.gguf"
                report = self.folder / "report.json"
                bq_quantize("--pure", "--report", report, MODEL, path, name)
                self.assertIn(name.upper(), self.assert_decodes_alike(path))
                self.assert_errors_right(path, json.loads(report.read_text()))
                bq_quantize("verify", path)

    def assert_errors_right(self, path, report):
        """The report's relative RMS errors are those of the values that the gguf package decodes."""
        before, after = tensors(MODEL), tensors(path)
        error2 = weight2 = 0.0
        for tensor in report["tensors"]:
            if "rms" not in tensor:
                continue
            x, y = (decoded(t[tensor["name"]]).astype(np.float64) for t in (before, after))
            self.assertAlmostEqual(tensor["rms"], np.sqrt(np.sum((y - x) ** 2) / np.sum(x**2)), places=6)
            self.assertAlmostEqual(tensor["max_error"], np.max(np.abs(y - x)), places=6)
            error2, weight2 = error2 + np.sum((y - x) ** 2), weight2 + np.sum(x**2)
        if weight2:
            self.assertAlmostEqual(report["rms"], np.sqrt(error2 / weight2), places=6)

    def test_every_part_of_a_split_model(self):
        whole = self.folder / "whole.gguf"
        bq_quantize(MODEL, whole, "Q4_K_M")
        bq_quantize("--split-max-tensors", "20", MODEL, self.folder / "split", "Q4_K_M")
        parts = sorted(self.folder.glob("split-*-of-*.gguf"))
        self.assertGreater(len(parts), 1)
        joined = {}
        for number, part in enumerate(parts):
            reader = gguf.GGUFReader(part)
            self.assertEqual(reader.get_field("split.no").contents(), number)
            self.assertEqual(reader.get_field("split.count").contents(), len(parts))
            joined |= {t.name: t for t in reader.tensors}
        for name, tensor in tensors(whole).items():
            self.assertEqual(tensor.tensor_type, joined[name].tensor_type)
            self.assertTrue(np.array_equal(tensor.data, joined[name].data), name)

    def test_metadata_survives(self):
        path = self.folder / "q8_0.gguf"
        bq_quantize(MODEL, path, "Q8_0")
        before, after = gguf.GGUFReader(MODEL).fields, gguf.GGUFReader(path).fields
        for key in before:
            if key.startswith("GGUF.") or key in ("general.file_type", "general.quantization_version"):
                continue
            self.assertEqual(before[key].contents(), after[key].contents(), key)
        self.assertEqual(after["general.file_type"].contents(), int(gguf.LlamaFileType.MOSTLY_Q8_0))
        self.assertEqual(after["general.quantization_version"].contents(), gguf.GGML_QUANT_VERSION)


class TheirFiles(InteropTest):
    def check_listing(self, path, contents):
        listing = inspect(path)
        listed = {t["name"]: t for t in listing["tensors"]}
        self.assertEqual(list(listed), list(contents))
        for name, (data, qtype) in contents.items():
            kind = qtype.name if qtype else name.split(".")[1]
            spelled = {"float32": "F32", "float16": "F16", "float64": "F64", "int8": "I8", "int16": "I16", "int32": "I32",
                       "int64": "I64"}.get(kind, kind)
            self.assertEqual(listed[name]["type"].upper(), spelled)
            self.assertEqual(listed[name]["bytes"], data.nbytes)
        values = {key: entry["value"] for key, entry in listing["metadata"].items()}
        for bits in (8, 16, 32, 64):
            self.assertEqual(values[f"test.u{bits}"], 2**bits - 1)
            self.assertEqual(values[f"test.i{bits}"], -(2 ** (bits - 1)))
        self.assertEqual(values["test.f32"], 0.5)
        self.assertEqual(values["test.f64"], 0.1)
        self.assertIs(values["test.bool"], True)
        self.assertEqual(values["test.string"], "blocks of 32")
        self.assertEqual(values["test.strings"], ["one", "", "three"])
        self.assertEqual(values["test.numbers"], [1, -2, 3])
        bq_quantize("verify", path)

    def test_little_endian(self):
        path, contents = self.folder / "little.gguf", tensor_of_every_type()
        write(path, contents)
        self.check_listing(path, contents)

    def test_big_endian(self):
        path = self.folder / "big.gguf"
        contents = {k: v for k, v in tensor_of_every_type().items() if v[1] is None}  # it does not swap blocks
        write(path, contents, endianess=gguf.GGUFEndian.BIG)
        self.assertEqual(inspect(path)["files"][0]["byte_order"], "big")
        self.check_listing(path, contents)

    def test_split(self):
        path, contents = self.folder / "split.gguf", tensor_of_every_type()
        write(path, contents, split_max_tensors=4)
        self.check_listing(sorted(self.folder.glob("split-*.gguf"))[0], contents)

    def test_their_blocks_decode_alike(self):
        path, contents = self.folder / "blocks.gguf", tensor_of_every_type()
        write(path, {k: v for k, v in contents.items() if k.startswith("blocks.")})
        self.assertGreater(len(self.assert_decodes_alike(path)), 5)

    def test_files_turned_to_big_endian_hold_the_same_weights(self):
        for name in ("BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K", "MXFP4"):
            with self.subTest(name):
                little, big = self.folder / "little.gguf", self.folder / "big.gguf"
                bq_quantize("--pure", MODEL, little, name)
                big.write_bytes(little.read_bytes())
                subprocess.run([sys.executable, "-m", "gguf.scripts.gguf_convert_endian", big, "big"], input="YES\n", text=True,
                               check=True, capture_output=True)
                for path in (little, big):
                    bq_quantize("--allow-requantize", path, path.with_suffix(".f32"), "F32")
                ours, turned = tensors(little.with_suffix(".f32")), tensors(big.with_suffix(".f32"))
                self.assertEqual(list(ours), list(turned))
                for tensor in ours:
                    self.assertTrue(np.array_equal(ours[tensor].data, turned[tensor].data), tensor)


if __name__ == "__main__":
    unittest.main()
