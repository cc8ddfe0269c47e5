"""Kafka's bytes by hand, for what no client sends: record batches and Produce in version 7."""
import socket, struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(n):
    n, out = n << 1 ^ n >> 63, b""
    while n >= 128:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def batch(values, attributes=0, producer=-1, epoch=-1, sequence=-1, key=None):
    records = b""
    for i, value in enumerate(values):
        at = b"\0\0" + varint(i) + (varint(-1) if key is None else varint(len(key)) + key) + varint(len(value)) + value + b"\0"
        records += varint(len(at)) + at
    body = struct.pack(">hiqqqhii", attributes, len(values) - 1, 1000, 1000, producer, epoch, sequence, len(values)) + records
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


class Wire:
    """A connection that sends what it is told."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, key, version, body):
        self.correlation += 1
        frame = struct.pack(">hhih", key, version, self.correlation, -1) + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def read(self, n):
        data = b""
        while len(data) < n:
            got = self.socket.recv(n - len(data))
            if not got:
                raise ConnectionError("closed")
            data += got
        return data

    def receive(self):
        (length,) = struct.unpack(">i", self.read(4))
        return self.read(length)[4:]

    def ask(self, key, version, body):
        self.send(key, version, body)
        return self.receive()

    def produce(self, topic, partition, records, transactional_id=None, acks=-1):
        """The partition's error code."""
        body = string(transactional_id) + struct.pack(">hii", acks, 5000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(records)) + records
        answer = self.ask(0, 7, body)
        return struct.unpack_from(">h", answer, 4 + 2 + len(topic) + 4 + 4)[0]


def string(text):
    return struct.pack(">h", -1) if text is None else struct.pack(">h", len(text)) + text.encode()
