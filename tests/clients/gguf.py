"""Reads a GGUF file into its parts, so that a test can write another (deps/bert_gguf.py writes)."""
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY = 8, 9
ELEMENT = {0: 4, 1: 2}  # F32, F16


def read(path):
    """({key: the pair's bytes}, [(name, shape, type, bytes)])"""
    data, at = path.read_bytes(), 24
    _, _, tensor_count, pair_count = struct.unpack_from("<4sIQQ", data)

    def number(form):
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))[0]

    def text():
        nonlocal at
        size = number("<Q")
        at += size
        return data[at - size:at].decode()

    def skip(kind):
        nonlocal at
        if kind == STRING:
            text()
        elif kind == ARRAY:
            inner, count = number("<I"), number("<Q")
            for _ in range(count):
                skip(inner)
        else:
            at += SIZES[kind]

    pairs, infos = {}, []
    for _ in range(pair_count):
        begin = at
        key = text()
        skip(number("<I"))
        pairs[key] = data[begin:at]
    for _ in range(tensor_count):
        name = text()
        shape = [number("<Q") for _ in range(number("<I"))][::-1]
        infos.append((name, shape, number("<I"), number("<Q")))
    start, tensors = -(-at // 32) * 32, []
    for name, shape, kind, offset in infos:
        size = ELEMENT[kind]
        for n in shape:
            size *= n
        tensors.append((name, shape, kind, data[start + offset:start + offset + size]))
    return pairs, tensors
