"""A sentence-transformers BERT (safetensors, vocab.txt, config.json) as a GGUF file that llama.cpp reads.

Python's standard library only. Every tensor comes out byte for byte as llama.cpp's own converter writes it: matrices as
half floats, vectors and the two small tables as floats. Layouts: ggml's docs/gguf.md; safetensors' README.
"""
import json, math, pathlib, struct

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPE_F32, TYPE_F16 = 0, 1
ALIGN = 32
CONTROL, NORMAL = 3, 1
NAMES = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
         "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm"}
LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}


def read_safetensors(path):
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + size])
    for name, info in header.items():
        if name != "__metadata__":
            begin, end = info["data_offsets"]
            yield name, info["dtype"], info["shape"], data[8 + size + begin:8 + size + end]


def gguf_name(name):
    base, _, part = name.rpartition(".")
    if base in NAMES:
        return f"{NAMES[base]}.{part}"
    if base.startswith("encoder.layer."):
        number, _, rest = base.removeprefix("encoder.layer.").partition(".")
        return f"blk.{number}.{LAYER[rest]}.{part}"
    return None  # the pooler, which embeddings do not use; position_ids, which are 0, 1, 2, …


def tensors_of(path):
    for name, dtype, shape, data in read_safetensors(path):
        to = gguf_name(name)
        if to is None:
            continue
        if dtype != "F32":
            raise ValueError(f"{name} is {dtype}, not F32")
        half = len(shape) == 2 and not to.startswith(("position_embd", "token_types"))
        if half:
            count = math.prod(shape)
            data = struct.pack(f"<{count}e", *struct.unpack(f"<{count}f", data))
        yield to, shape, TYPE_F16 if half else TYPE_F32, data


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_of(kind, value):
    if kind == STRING:
        return text(value)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], value)


def pair(key, kind, value, inner=None):
    head = text(key) + struct.pack("<I", kind)
    if kind != ARRAY:
        return head + value_of(kind, value)
    return head + struct.pack("<IQ", inner, len(value)) + b"".join(value_of(inner, v) for v in value)


def vocabulary(path):
    tokens = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    spelled = [t if t in special else t[2:] if t.startswith("##") else "\u2581" + t for t in tokens]
    return tokens, spelled, [CONTROL if t in special else NORMAL for t in tokens]


def pairs_of(folder, name):
    config = json.loads((folder / "config.json").read_text())
    tokens, spelled, types = vocabulary(folder / "vocab.txt")
    number = {token: i for i, token in enumerate(tokens)}
    yield pair("general.architecture", STRING, "bert")
    yield pair("general.name", STRING, name)
    yield pair("general.file_type", U32, 1)
    for key, field in (("block_count", "num_hidden_layers"), ("context_length", "max_position_embeddings"),
                       ("embedding_length", "hidden_size"), ("feed_forward_length", "intermediate_size"),
                       ("attention.head_count", "num_attention_heads")):
        yield pair("bert." + key, U32, config[field])
    yield pair("bert.attention.layer_norm_epsilon", F32, config["layer_norm_eps"])
    yield pair("bert.attention.causal", BOOL, False)
    yield pair("bert.pooling_type", U32, 1)
    yield pair("tokenizer.ggml.model", STRING, "bert")
    yield pair("tokenizer.ggml.tokens", ARRAY, spelled, STRING)
    yield pair("tokenizer.ggml.token_type", ARRAY, types, I32)
    yield pair("tokenizer.ggml.token_type_count", U32, config["type_vocab_size"])
    yield pair("tokenizer.ggml.normalizer.lowercase", BOOL, True)
    for key, token in (("unknown", "[UNK]"), ("seperator", "[SEP]"), ("padding", "[PAD]"), ("cls", "[CLS]"), ("mask", "[MASK]"),
                       ("bos", "[CLS]")):
        yield pair(f"tokenizer.ggml.{key}_token_id", U32, number[token])


def write(path, pairs, tensors):
    """tensors: (name, shape as in safetensors, type, bytes)"""
    infos, offset = [], 0
    for name, shape, kind, data in tensors:
        dimensions = b"".join(struct.pack("<Q", n) for n in reversed(shape))
        infos.append(text(name) + struct.pack("<I", len(shape)) + dimensions + struct.pack("<IQ", kind, offset))
        offset += -(-len(data) // ALIGN) * ALIGN
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs) + b"".join(infos)
    with open(path, "wb") as out:
        out.write(head + b"\0" * (-len(head) % ALIGN))
        for _, _, _, data in tensors:
            out.write(data + b"\0" * (-len(data) % ALIGN))


def convert(folder, path, name):
    folder = pathlib.Path(folder)
    write(path, list(pairs_of(folder, name)), list(tensors_of(folder / "model.safetensors")))
