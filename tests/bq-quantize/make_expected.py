#!/usr/bin/env python3
"""Makes expected/*.txt: the type that llama-quantize gives every tensor of every model in models/*.txt.

usage: make_expected.py LLAMA_QUANTIZE [MODEL...]        expected/ from models/
       make_expected.py --facts FILE.gguf > models/X.txt  (needs the package gguf)

A model is described by lines "meta KEY TYPE VALUE" and "tensor NAME TYPE COLSxROWS.. [LAYERS]", where * in NAME stands for
each of LAYERS ("0-3,7", in this order). It is written as a GGUF file whose data is a hole, and given to llama-quantize
--dry-run once per line "run ARGUMENTS". The answers are stored in the same spirit: NAME TYPE [LAYERS] [TYPE LAYERS]...,
once for all runs that agree; tensors that keep their type are left out. "refused" is where llama-quantize fails.
"""
import pathlib, re, struct, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).parent
TARGETS = """Q4_0 Q4_1 MXFP4_MOE Q5_0 Q5_1 TQ1_0 TQ2_0 Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L IQ4_NL IQ4_XS Q4_K_S Q4_K_M Q5_K_S
Q5_K_M Q6_K Q8_0 F16 BF16 F32 COPY""".split()
# type: (id, weights per block, bytes per block)
TYPES = {"f32": (0, 1, 4), "f16": (1, 1, 2), "bf16": (30, 1, 2), "i32": (26, 1, 4), "q4_0": (2, 32, 18),
         "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24), "q8_0": (8, 32, 34), "q4_K": (12, 256, 144),
         "q5_K": (13, 256, 176), "q6_K": (14, 256, 210)}
SCALARS = {"u8": (0, "B"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q")}


def expand(layers):
    for part in layers.split(","):
        first, _, last = part.partition("-")
        step = 1 if int(last or first) >= int(first) else -1
        yield from range(int(first), int(last or first) + step, step)


def compress(layers):
    parts = []
    for n in layers:
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def scalar(kind, text):
    code = SCALARS[kind][1]
    value = text == "true" if kind == "bool" else float(text) if kind == "f32" else int(text)
    return struct.pack("<" + code, value)


def meta_value(kind, text):
    if kind == "str":
        return struct.pack("<I", 8) + string(text)
    if kind.startswith("arr:"):
        kind = kind[4:]
        items = text.split(",")
        return struct.pack("<IIQ", 9, SCALARS[kind][0], len(items)) + b"".join(scalar(kind, i) for i in items)
    return struct.pack("<I", SCALARS[kind][0]) + scalar(kind, text)


class Model:
    def __init__(self, path):
        self.meta, self.tensors, self.runs = [], [], []
        for line in path.read_text().splitlines():
            word, _, rest = line.partition(" ")
            if word == "meta":
                self.meta.append(rest.split(" ", 2))
            elif word == "tensor":
                name, kind, dims, *layers = rest.split()
                dims = [int(d) for d in dims.split("x")]
                for n in expand(layers[0]) if layers else [None]:
                    self.tensors.append((name if n is None else name.replace("*", str(n)), kind, dims))
            elif word == "run":
                self.runs.append(rest)
            elif word == "each":
                self.runs += [t + " " + rest if rest else t for t in TARGETS]

    def write(self, path):
        header = struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(self.meta))
        for key, kind, text in self.meta:
            header += string(key) + meta_value(kind, text)
        offset = 0
        for name, kind, dims in self.tensors:
            id, block, size = TYPES[kind]
            header += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
            header += struct.pack("<IQ", id, offset)
            count = 1
            for d in dims:
                count *= d
            offset += (count // block * size + 31) // 32 * 32
        with open(path, "wb") as file:
            file.write(header)
            file.truncate((len(header) + 31) // 32 * 32 + offset)


def ask(program, model, importance, arguments):
    target, *options = arguments.split()
    options = [importance if o == "@" else o for o in options]
    result = subprocess.run([program, "--dry-run", *options, model, target], capture_output=True, text=True)
    if result.returncode != 0:
        return None, re.search("failed to quantize: (.*)|$", result.stdout + result.stderr).group(1)
    line = re.compile(r"^\[ *\d+/ *\d+\] +(\S+) +- \[.*\], type = +\S+, size = .*?(?:\((\S+)\))?$")
    found = [m.groups() for m in map(line.match, (result.stdout + result.stderr).splitlines()) if m]
    return [(name, new) for name, new in found if new], ""


def summary(types):
    rows = {}
    for name, kind in types:
        m = re.search(r"blk\.(\d+)\.", name)
        row = name[:m.start(1)] + "*" + name[m.end(1):] if m else name
        rows.setdefault(row, {}).setdefault(kind, []).append(int(m.group(1)) if m else None)
    for row, kinds in rows.items():
        yield row + "".join(f" {k}" + (f" {compress(sorted(n))}" if n[0] is not None else "") for k, n in kinds.items())


def make(program, path, scratch):
    model = Model(path)
    file, importance = str(scratch / "model.gguf"), str(scratch / "imatrix.dat")
    model.write(file)
    pathlib.Path(importance).write_bytes(struct.pack("<ii1siif", 1, 1, b"x", 1, 1, 1.0))
    answers = {}
    for run in model.runs:
        types, why = ask(program, file, importance, run)
        if types is None:
            print(f"{path.stem}: {run}: {why}", file=sys.stderr)
        table = "refused" if types is None else "\n".join(summary(types))
        answers.setdefault(table, []).append(f"run {run}")
    (HERE / "expected" / path.name).write_text(
        "\n\n".join("\n".join([*runs, table]) for table, runs in answers.items()) + "\n")


def facts(path):
    import gguf
    reader = gguf.GGUFReader(path)
    names = {gguf.GGUFValueType.UINT32: "u32", gguf.GGUFValueType.INT32: "i32", gguf.GGUFValueType.FLOAT32: "f32",
             gguf.GGUFValueType.BOOL: "bool", gguf.GGUFValueType.STRING: "str", gguf.GGUFValueType.UINT64: "u64"}
    architecture = reader.fields["general.architecture"].contents()
    for key, field in reader.fields.items():
        if key == "general.architecture" or key.startswith(architecture + "."):
            value = field.contents()
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if isinstance(value, list):
                print("meta", key, "arr:" + names[field.types[1]], ",".join(str(v).lower() for v in value))
            else:
                print("meta", key, names[field.types[0]], text)
    rows = {}
    for t in reader.tensors:
        m = re.match(r"blk\.(\d+)\.", t.name)
        name = t.name[:m.start(1)] + "*" + t.name[m.end(1):] if m else t.name
        kind = {v[0]: k for k, v in TYPES.items()}[int(t.tensor_type)]
        rows.setdefault((name, kind, "x".join(str(d) for d in t.shape)), []).append(int(m.group(1)) if m else None)
    for row, layers in rows.items():
        print("tensor", *row, *([compress(sorted(layers))] if layers[0] is not None else []))


if __name__ == "__main__":
    if sys.argv[1] == "--facts":
        facts(sys.argv[2])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            for path in sorted((HERE / "models").glob("*.txt")):
                if len(sys.argv) == 2 or path.stem in sys.argv[2:]:
                    make(sys.argv[1], path, pathlib.Path(scratch))
