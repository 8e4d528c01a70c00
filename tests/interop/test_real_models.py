"""bq-run on models that other people trained: they answer and continue texts, and their tokens are llama.cpp's."""

import hashlib
import json
import unittest

from program import RealModelTest, run

# Scripts, emoji, combining marks, white space, control characters, and text that looks like special tokens.
TEXT = """Hello, world! It's 12345 o'clock; na\u00efve caf\u00e9 \u2014 \u00ab\u043f\u0440\u0438\u0432\u0435\u0442\u00bb \u4f60\u597d\u4e16\u754c
def f(x):\treturn x ** 2  # \U0001f600\U0001f469\u200d\U0001f467 <|im_end|> <s> </s> <start_of_turn>

   e\u0301 zero\u200bwidth \u0645\u0631\u062d\u0628\u0627 \u0928\u092e\u0938\u094d\u0924\u0947 \uc548\ub155\r\n\x01\x7f"""


class RealModels(RealModelTest):
    def generate(self, *arguments):
        return json.loads(run("bq-run", "--json", "--greedy", *arguments))

    def assert_tokens(self, path, digest):
        """That the ids are those llama-tokenize gave for the text, by their digest, and that they spell it."""
        text = self.folder / "text"
        text.write_bytes(TEXT.encode())
        ids = json.loads(run("bq-run", "tokenize", "-m", path, "-f", text, "--json"))
        found = hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]
        self.assertEqual(found, digest, ids)

    def test_smollm2_chats(self):
        path = self.smollm2()
        # With activations of 8 bits these weights answer something else, here and in llama.cpp.
        answer = self.generate(
            "-m", path, "--chat", "-p", "What is the capital of France?", "-n", 64, "--tier", "precise")
        self.assertIn("Paris", answer["text"])
        self.assertEqual(answer["stop"], "end")
        self.assert_tokens(path, "fbf3ca1ead55ca2e")

    def test_gemma3_continues(self):
        path = self.gemma3()
        prompt = "Monday, Tuesday, Wednesday,"
        answer = self.generate("-m", path, "-p", prompt, "-n", 8)
        self.assertIn("Thursday", answer["text"])
        quantised = self.generate("-m", path, "-p", prompt, "-n", 8, "--cache-type-k", "q8_0", "--cache-type-v", "q8_0")
        self.assertIn("Thursday", quantised["text"])
        self.assert_tokens(path, "de733282cec1b496")


if __name__ == "__main__":
    unittest.main()
