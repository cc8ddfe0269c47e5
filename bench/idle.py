"""Streams that are open and say nothing: what each costs in memory."""
import contextlib, json, resource, selectors, socket, time


def possible(wanted):
    """A gateway needs two descriptors a stream; the hard limit may allow fewer streams than wanted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, (hard - 512) // 2)


def request(host, port, path, model, key):
    body = json.dumps({"model": model, "stream": True, "max_tokens": 2, "messages": [{"role": "user", "content": "Tell me. " * 25}]})
    head = (f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n")
    return (head + body).encode()


@contextlib.contextmanager
def streams(url, model, key, count, timeout=60):
    """Open `count` streams, wait for the first token of each, and hold them; yields how many came so far."""
    host, _, rest = url.removeprefix("http://").partition(":")
    port, _, base = rest.partition("/")
    asked = request(host, int(port), f"/{base}/chat/completions", model, key)
    waiting = selectors.DefaultSelector()
    held, begun, end = [], 0, time.monotonic() + timeout
    try:
        while begun < count and time.monotonic() < end:
            for _ in range(min(200, count - len(held))):  # a burst at a time: the listen queue is bounded
                s = socket.create_connection((host, int(port)))
                s.sendall(asked)
                held.append(s)
                waiting.register(s, selectors.EVENT_READ, bytearray())
            for key_, _ in waiting.select(0.5):
                key_.data.extend(key_.fileobj.recv(65536))
                if b"alpha0" in key_.data:
                    waiting.unregister(key_.fileobj)
                    begun += 1
        yield begun
    finally:
        waiting.close()
        for s in held:
            s.close()
