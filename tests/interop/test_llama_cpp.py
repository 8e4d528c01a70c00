"""llama.cpp, from the xllamacpp wheel, loads what bq-quantize writes and continues a sentence with it.

Every file is loaded in a process of its own, because a loader that dies takes its process along.
"""

import json
import subprocess
import sys
import unittest

from program import MODEL, InteropTest, bq_quantize, targets

TOKENS = 16

GENERATE = f"""
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 256, 1, 1
params.warmup, params.verbosity = False, 0
request = {{"prompt": "It is a truth universally acknowledged", "max_tokens": {TOKENS}, "temperature": 0, "logprobs": 1}}
print("answer", json.dumps(xllamacpp.Server(params).handle_completions(request)), flush=True)
"""


def generate(path):
    """(text, mean log-probability of its tokens)"""
    done = subprocess.run([sys.executable, "-c", GENERATE, path], capture_output=True, text=True, timeout=60)
    answers = [line for line in done.stdout.splitlines() if line.startswith("answer ")]
    if done.returncode or not answers:
        raise AssertionError(f"llama.cpp did not load {path.name}: exit {done.returncode}\n{done.stderr[-2000:]}")
    choice = json.loads(answers[0].removeprefix("answer "))["choices"][0]
    tokens = [t["logprob"] for t in choice["logprobs"]["content"]]
    if len(tokens) != TOKENS:
        raise AssertionError(f"{path.name}: {len(tokens)} tokens instead of {TOKENS}: {choice}")
    return choice["text"], sum(tokens) / len(tokens)


class LlamaCpp(InteropTest):
    @classmethod
    def setUpClass(cls):
        if subprocess.run([sys.executable, "-c", "import xllamacpp"], capture_output=True).returncode:
            raise unittest.SkipTest("xllamacpp is not installed")

    def check(self, path):
        text, probability = generate(path)
        self.assertTrue(text.strip())
        # A greedy continuation is likely by definition; wrongly decoded weights make every token nearly 1 in 4096 (-8.3).
        self.assertGreater(probability, -4, text)

    def test_every_type_and_mix(self):
        for name in targets():
            if name == "Q2_K_S":
                continue  # refused without an importance matrix
            with self.subTest(name):
                path = self.folder / f"{name}.gguf"
                bq_quantize(MODEL, path, name)
                self.check(path)
                path.unlink()

    def test_split_model(self):
        bq_quantize("--split-max-tensors", "20", MODEL, self.folder / "split", "Q4_K_M")
        self.check(sorted(self.folder.glob("split-00001-of-*.gguf"))[0])


if __name__ == "__main__":
    unittest.main()
