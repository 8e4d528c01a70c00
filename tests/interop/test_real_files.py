"""Model files that other people made, with other programs: accepted, intact, and decoded to the gguf package's values.

Rows of 576 and 640 weights: the K-quants of these files fell back to other types in places.
"""

import unittest

from program import RealModelTest, bq_quantize


class RealFiles(RealModelTest):
    def check(self, path):
        bq_quantize("inspect", path)
        bq_quantize("verify", path)
        return self.assert_decodes_alike(path)

    def test_smollm2(self):
        self.assertIn("Q4_1", self.check(self.smollm2()))

    def test_gemma3(self):
        self.assertLessEqual({"Q4_K", "Q6_K"}, self.check(self.gemma3()))


if __name__ == "__main__":
    unittest.main()
