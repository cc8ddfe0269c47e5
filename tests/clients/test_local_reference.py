"""Weir beside llama.cpp's own server, both with the same build of llama.cpp: the same probabilities, and the same answers. Needs the entry
llama-peers of deps/table (deps/get llama-peers builds it in some minutes); without it these tests are skipped."""
import contextlib, math, os, pathlib, shutil, socket, subprocess, time

import httpx, pytest

import gateway, servers
from test_local_tasks import CAPITAL, MODELS

ROOT = pathlib.Path(__file__).parents[2]
PROMPTS = ["The capital of France is", "Once upon a time there was a", "def add(a, b):\n    return", "1, 2, 3, 4,", "Der Hund läuft in den"]
LONG = "A list of words: " + "apple pear plum fig " * 30 + "\nThe next word is"
# llama-server adds a vocabulary's probabilities up in single precision: all its logprobs of a token are off by the same ten-thousandth or so.
# Differences between them, which are differences of logits, are not.
CLOSE_LOGITS, CLOSE_LOGPROBS = 2e-5, 1e-3


def peers():
    paths = subprocess.run([ROOT / "deps/get", "--paths"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    folder = dict(path.split("=", 1) for path in paths).get("llama-peers")
    return folder and pathlib.Path(folder, "lib")


LIB = peers()
pytestmark = pytest.mark.skipif(not (LIB and LIB.exists()), reason="llama.cpp's own programs are not built: deps/get llama-peers")


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    """Weir with the libraries that llama-server has."""
    home = tmp_path_factory.mktemp("weir")
    shutil.copy(servers.WEIR, home / "weir")
    (home / "lib").mkdir()
    (home / "lib/llama").symlink_to(LIB)
    (home / "models").mkdir()
    os.symlink((MODELS / "smollm2.gguf").resolve(), home / "models/smollm2.gguf")
    ours, servers.WEIR = servers.WEIR, str(home / "weir")
    try:
        with gateway.serve({"local": {"dir": str(home / "models"), "parallel": 1, "threads": 1}}) as server:
            yield server
    finally:
        servers.WEIR = ours


@contextlib.contextmanager
def program(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([LIB / "llama-server", *arguments, "--host", "127.0.0.1", "--port", str(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=os.environ | {"LD_LIBRARY_PATH": str(LIB)})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(300):
                with contextlib.suppress(httpx.TransportError):
                    if client.get("/health").status_code == 200:
                        break
                assert process.poll() is None, "llama-server has ended"
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def reference():
    with program("-m", str((MODELS / "smollm2.gguf").resolve()), "-c", "4096", "-np", "1", "-t", "1", "-tb", "1", "-fa", "auto", "--no-cache-prompt") as client:
        yield client


def theirs(reference, prompt, count, **more):
    """[(token's text, {text of one of the likeliest: logprob})]"""
    body = {"prompt": prompt, "n_predict": count, "n_probs": 5, "temperature": 0, "cache_prompt": False} | more
    answer = reference.post("/completion", json=body).json()
    return [(one["token"], {top["token"]: top["logprob"] for top in one["top_logprobs"]}) for one in answer["completion_probabilities"]]


def shown(text):
    """Of a control token llama-server shows nothing, and nothing of a letter that is cut."""
    if text.startswith("bytes:"):
        return bytes.fromhex(text.removeprefix("bytes:").replace("\\x", "")).decode(errors="ignore")
    return "" if text.startswith("<|") else text


def ours(weir, prompt, count, **more):
    logprobs = weir.client().completions.create(**({"model": "local/smollm2", "prompt": prompt, "max_tokens": count, "temperature": 0, "logprobs": 5} | more)).choices[0].logprobs
    return [(shown(token), {shown(text): value for text, value in top.items()}) for token, top in zip(logprobs.tokens, logprobs.top_logprobs)]


def test_the_likeliest_tokens_have_llama_cpps_logits(weir, reference):
    worst, compared = 0, 0
    for prompt in PROMPTS:
        mine, other = ours(weir, prompt, 12), theirs(reference, prompt, 12)
        assert len(other) - len(mine) == (other[-1][0] == "")  # they count the token that ends an answer
        for (token, top), (their_token, their_top) in zip(mine, other):
            assert (token, set(top)) == (their_token, set(their_top)), prompt
            off = [top[text] - their_top[text] for text in top]
            assert max(map(abs, off)) < CLOSE_LOGPROBS
            worst = max(worst, max(off) - min(off))
            compared += len(top)
    assert compared > 200 and worst < CLOSE_LOGITS


def test_a_long_prompt_is_as_near_as_its_parts_allow(weir, reference):
    """Flash attention computes 64 rows and more in another precision, and the two cut a prompt into parts differently."""
    off = []
    for (token, top), (their_token, their_top) in zip(ours(weir, LONG, 12), theirs(reference, LONG, 12)):
        if token != their_token:
            break  # from here on they tell two stories
        off += [abs(top[text] - their_top[text]) for text in top.keys() & their_top.keys()]
    assert len(off) > 4 and max(off) < 0.2


def test_a_prompts_own_tokens_have_them_too(weir, reference):
    """What lm-eval's loglikelihood is made of (echo with logprobs); llama-server has no echo, so it is asked for the next token of each beginning."""
    text = "The capital of France is Paris. It is"
    scored = weir.client().completions.create(model="local/smollm2", prompt=text, max_tokens=0, echo=True, logprobs=5).choices[0].logprobs
    begin, checked = "", 0
    for token, logprob in zip(scored.tokens, scored.token_logprobs):
        if begin:
            likeliest = theirs(reference, begin, 1, n_probs=2000)[0][1]
            if token in likeliest:
                assert math.isclose(logprob, likeliest[token], abs_tol=CLOSE_LOGPROBS), (begin, token)
                checked += 1
        begin += token
    assert checked >= 6


def test_chats_are_answered_as_by_llama_server(weir, reference):
    """The model's own template, in both."""
    for messages in (CAPITAL, [{"role": "system", "content": "You are a helpful assistant."}, *CAPITAL]):
        body = {"model": "local/smollm2", "messages": messages, "temperature": 0, "max_tokens": 24}
        mine, other = weir.client().chat.completions.create(**body), reference.post("/v1/chat/completions", json=body).json()
        assert mine.choices[0].message.content == other["choices"][0]["message"]["content"]
        assert mine.usage.prompt_tokens == other["usage"]["prompt_tokens"]
