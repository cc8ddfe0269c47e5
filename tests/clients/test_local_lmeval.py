"""lm-eval gives the same numbers through Weir as through llama.cpp's own server of the same build, on two small tasks of our own. Needs lm-eval
(tools/test-env --lm-eval) and llama.cpp's programs (deps/get llama-peers); without them it is skipped."""
import json, math, subprocess

import pytest

from gateway import ADMIN
from test_local_reference import CLOSE_LOGPROBS, LIB, ROOT, reference, theirs, weir  # noqa: F401

PYTHON = ROOT / "build/venv-lmeval/bin/python"
pytestmark = [pytest.mark.skipif(not (LIB and LIB.exists()), reason="llama.cpp's own programs are not built: deps/get llama-peers"),
              pytest.mark.skipif(not PYTHON.exists(), reason="lm-eval is not installed: tools/test-env --lm-eval"), pytest.mark.timeout(300)]


def evaluate(url, weir, *tasks):
    done = subprocess.run([PYTHON, "tests/clients/lmeval_client.py", url + "/v1/completions", ADMIN, "local/smollm2", weir.url + "/api/v1/tokenize", *tasks],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_both_say_the_same(weir, reference):
    mine = evaluate(weir.url, weir, "weir_capitals", "weir_capitals_said")
    other = evaluate(str(reference.base_url).rstrip("/"), weir, "weir_capitals_said")
    assert mine["weir_capitals_said"] == other["weir_capitals_said"] and mine["weir_capitals_said"]["score"] > 0.5
    assert mine["weir_capitals"]["score"] > 0.5
    # llama-server has no echo, so no loglikelihood through lm-eval: it is asked for the likeliest next tokens instead.
    compared = 0
    for answers, item in mine["weir_capitals"]["samples"]:
        likeliest = theirs(reference, f"The capital of {item['country']} is", 1, n_probs=3000)[0][1]
        for (logprob, greedy), choice in zip(answers, item["choices"], strict=True):
            if " " + choice in likeliest:
                assert math.isclose(float(logprob), likeliest[" " + choice], abs_tol=CLOSE_LOGPROBS), (item["country"], choice)
                compared += 1
    assert compared > 30
