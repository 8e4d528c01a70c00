#!/usr/bin/env python3
"""Makes expected/prose-6m.txt: the ids that llama.cpp gives multilingual.txt with the embedded model's vocabulary, first
with special tokens parsed, then as plain text; no bos.

usage: make_expected.py LLAMA_TOKENIZE MODEL.gguf
"""
import pathlib, subprocess, sys

HERE = pathlib.Path(__file__).parent
program, model = sys.argv[1:]
lines = []
for flags in [], ["--no-parse-special"]:
    command = [program, "-m", model, "-f", HERE / "multilingual.txt", "--ids", "--no-bos", "--log-disable", "--no-escape", *flags]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines.append(out.strip().strip("[]").replace(",", ""))
(HERE / "expected").mkdir(exist_ok=True)
(HERE / "expected" / "prose-6m.txt").write_text("\n".join(lines) + "\n")
