"""HTTP itself, against the real binary, by raw sockets: what is wrong is refused, what is slow is bounded, nobody else suffers."""
import json, os, re, socket, time

import httpx, pytest

import gateway, servers
from gateway import ADMIN, mock_stats, provider

BODY = json.dumps({"model": "mock/m", "messages": gateway.SAY}).encode()
HEAD = (b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nAuthorization: Bearer "
        + ADMIN.encode() + b"\r\n")


@pytest.fixture(scope="module")
def mock():
    with servers.start("mock", "--tokens", "4") as server:
        yield server


@pytest.fixture(scope="module")
def weir(mock):
    limits = {"header_time": "1s", "idle": "2s", "headers": "8KiB", "body": "64KiB"}
    with gateway.serve({"providers": {"mock": provider(mock.url)}, "limits": limits}) as server:
        yield server


def dial(weir):
    return socket.create_connection((weir.host, weir.port), timeout=10)


def read_all(sock):
    """Until the server closes; a reset counts as closing when something came before."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def read_response(sock):
    """One response with a Content-Length: status, head, body."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
    while len(body) < length:
        body += sock.recv(65536)
    assert len(body) == length
    return int(head.split()[1]), head, body


def ask(weir, request):
    with dial(weir) as sock:
        sock.sendall(request)
        return read_all(sock)


SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + ADMIN.encode() + b"\r\n"
WRONG = {
    "length and coding": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "space before colon": HEAD + b"Content-Length : 4\r\n\r\nabcd",
    "line feeds alone": HEAD.replace(b"\r\n", b"\n") + b"\n",
    "folded field": HEAD + b"X: a\r\n b\r\n\r\n",
    "NUL in a field": HEAD + b"X: a\0b\r\n\r\n",
    "two hosts": HEAD + b"Host: other\r\nContent-Length: 0\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "chunk size with 0x": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
    "coding in HTTP/1.0": HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "nonsense": os.urandom(64).replace(b"\r", b"x").replace(b"\n", b"y") + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_refused_and_nothing_after_it_served(weir, mock, name):
    before = mock_stats(mock)["requests"]
    answer = ask(weir, WRONG[name])
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
    error = json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]
    assert error["type"] == "invalid_request_error" and error["message"]
    assert mock_stats(mock)["requests"] == before


@pytest.mark.parametrize("request_bytes, status, code", [
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "transfer_encoding"),
    (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "http_version"),
    (b"CONNECT example.com:443 HTTP/1.1\r\nHost: h\r\n\r\n", 405, "method_not_allowed"),
    (HEAD + b"X: " + b"x" * 9000 + b"\r\n\r\n", 431, "headers_too_large"),
    (HEAD + b"Content-Length: 65537\r\n\r\n", 413, "body_too_large"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n10001\r\n" + b" " * 65537 + b"\r\n0\r\n\r\n", 413, "body_too_large"),
])
def test_limits_have_their_status(weir, request_bytes, status, code):
    answer = ask(weir, request_bytes)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == code


def test_a_stranger_is_refused_before_the_body(weir):
    with dial(weir) as sock:
        sock.sendall(HEAD.replace(ADMIN.encode(), b"wrong") + b"Expect: 100-continue\r\nContent-Length: 60000\r\n\r\n")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 401 ") and b"100 Continue" not in answer


def test_continue_is_said_when_the_body_is_wanted(weir):
    with dial(weir) as sock:
        sock.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(BODY)
        status, _, body = read_response(sock)
    assert status == 200 and json.loads(body)["choices"]


def test_requests_sent_ahead_are_answered_in_order(weir):
    with dial(weir) as sock:
        call = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        sock.sendall(call + b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n" + call)
        data, deadline = b"", time.monotonic() + 10
        while data.count(b'"choices"') < 2 and time.monotonic() < deadline:
            data += sock.recv(65536)
    first, second = [m.start() for m in re.finditer(rb'"choices"', data)]
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data[first:second].count(b"HTTP/1.1 200 OK") == 2  # health, then the second call


def test_a_body_may_come_in_chunks_of_any_size(weir):
    body = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (BODY[i:i + 5] for i in range(0, len(BODY), 5)))
    with dial(weir) as sock:
        sock.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for byte in body + b"0\r\nTrailer: ignored\r\n\r\n":
            sock.sendall(bytes([byte]))
        status, _, answer = read_response(sock)
    assert status == 200 and json.loads(answer)["choices"]


def test_old_clients_are_served(weir):
    answer = ask(weir, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"Connection: close\r\n" in answer
    stream = json.dumps({"model": "mock/m", "stream": True, "messages": gateway.SAY}).encode()
    answer = ask(weir, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Content-Length: %d\r\n\r\n" % len(stream) + stream)
    assert b"Transfer-Encoding" not in answer and answer.endswith(b"data: [DONE]\n\n")


def test_heads_that_drip_are_cut_and_hinder_nobody(weir):
    begin = time.monotonic()
    socks = [dial(weir) for _ in range(200)]
    for i, sock in enumerate(socks):
        sock.sendall(HEAD[:10 + i % 40])
    asked = time.monotonic()
    assert weir.post(BODY).status_code == 200
    assert time.monotonic() - asked < 1
    for sock in socks:
        answer = read_all(sock)
        assert answer.startswith(b"HTTP/1.1 408 ")
        sock.close()
    assert time.monotonic() - begin < 8


def test_idle_connections_are_closed_and_used_ones_kept(weir):
    with dial(weir) as idle, httpx.Client(base_url=weir.url) as client:
        begin = time.monotonic()
        local = None
        while time.monotonic() - begin < 3:
            response = client.get("/health")
            stream = response.extensions["network_stream"].get_extra_info("client_addr")
            assert local in (None, stream)
            local = stream
            time.sleep(0.3)
        assert idle.recv(1) == b""
