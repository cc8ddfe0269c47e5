"""What the models inside do beside chats: embeddings, completions, logprobs, choices, tokens, ranking."""
import base64, concurrent.futures, json, math, os, pathlib, struct, sys

import httpx, openai, pytest

import gateway, gguf
from gateway import ADMIN

ROOT = pathlib.Path(__file__).parents[2]
MODELS = pathlib.Path(os.environ.get("WEIR_MODELS") or ROOT / "models")
# Vectors of sentence-transformers' model, computed from its weights in double precision (numpy), kept as half floats.
REFERENCE = json.loads((ROOT / "tests/data/minilm.json").read_text())
CAPITAL = [{"role": "user", "content": "What is the capital of France?"}]


def rank_model(path):
    """MiniLM with a head that gives a score: weights of no use, but known ones (the first number of the vector)."""
    sys.path.insert(0, str(ROOT / "deps"))
    sys.dont_write_bytecode = True
    import bert_gguf
    pairs, tensors = gguf.read(MODELS / "minilm.gguf")
    pairs["bert.pooling_type"] = bert_gguf.pair("bert.pooling_type", bert_gguf.U32, 4)
    tensors += [("cls.output.weight", [1, 384], 0, struct.pack("<384f", 1.0, *[0.0] * 383)), ("cls.output.bias", [1], 0, struct.pack("<f", 0.5))]
    bert_gguf.write(path, list(pairs.values()), tensors)


@pytest.fixture(scope="module")
def weir(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    for name in ("smollm2", "minilm"):
        os.symlink((MODELS / f"{name}.gguf").resolve(), models / f"{name}.gguf")
    rank_model(models / "ranker.gguf")
    with gateway.serve({"local": {"dir": str(models), "parallel": 4, "queue": 16}}) as server:
        yield server


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def vector_of(entry):
    raw = base64.b64decode(entry["vector"])
    return struct.unpack(f"<{len(raw) // 2}e", raw)


def embed(weir, **more):
    return weir.client().embeddings.create(**({"model": "local/minilm"} | more))


# ---- Embeddings ----

def test_vectors_are_those_of_sentence_transformers(weir):
    answer = embed(weir, input=[entry["text"] for entry in REFERENCE])
    for got, want in zip(answer.data, REFERENCE):
        assert cosine(got.embedding, vector_of(want)) > 0.9999
        assert abs(sum(x * x for x in got.embedding) - 1) < 1e-5
    assert answer.usage.prompt_tokens == sum(entry["tokens"] for entry in REFERENCE)
    record = weir.last(model="local/minilm")
    assert (record["endpoint"], record["outcome"], record["usage"]["input"]) == ("embeddings", "ok", answer.usage.prompt_tokens)


def test_forms_of_input_and_output_agree(weir):
    text, ids = REFERENCE[0]["text"], REFERENCE[0]["ids"]
    plain = embed(weir, input=text, encoding_format="float").data[0].embedding
    packed = embed(weir, input=[text], encoding_format="base64").data[0].embedding
    raw = base64.b64decode(packed) if isinstance(packed, str) else struct.pack("<384f", *packed)
    assert struct.unpack("<384f", raw) == pytest.approx(plain, abs=1e-6)
    for tokens in (ids, [ids]):
        assert embed(weir, input=tokens).data[0].embedding == pytest.approx(plain, abs=1e-6)


def test_dimensions_cut_and_normalise(weir):
    whole, cut = (embed(weir, input="a cat", **more).data[0].embedding for more in ({}, {"dimensions": 16}))
    assert len(cut) == 16 and abs(sum(x * x for x in cut) - 1) < 1e-5 and cosine(cut, whole[:16]) > 0.99999
    with pytest.raises(openai.BadRequestError, match="384"):
        embed(weir, input="a cat", dimensions=385)


def test_many_requests_at_once_get_their_own_vectors(weir):
    texts = [f"number {n} of a row" for n in range(40)]
    alone = [embed(weir, input=text).data[0].embedding for text in texts[:4]]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: embed(weir, input=text).data[0].embedding, texts))
    assert all(cosine(a, b) > 0.99999 for a, b in zip(alone, together))
    listed = [d.embedding for d in embed(weir, input=texts).data]
    assert all(cosine(a, b) > 0.99999 for a, b in zip(together, listed))


def test_a_text_that_is_too_long_is_refused_with_numbers(weir):
    with pytest.raises(openai.BadRequestError, match="602.*512"):
        embed(weir, input="word " * 600)
    with pytest.raises(openai.BadRequestError, match="makes no embeddings"):
        embed(weir, model="local/smollm2", input="a")
    with pytest.raises(openai.BadRequestError, match="writes no text"):
        weir.client().chat.completions.create(model="local/minilm", messages=CAPITAL)


# ---- Ranking ----

def test_rerank(weir):
    documents = ["Paris is a city.", {"text": "The stock market fell."}, "A cat sat on the mat.", "Paris"]
    def rank(**more):
        answer = httpx.post(weir.url + "/v1/rerank", headers={"authorization": "Bearer " + ADMIN},
                            json={"model": "local/ranker", "query": "Where is Paris?", "documents": documents} | more)
        assert answer.status_code == 200, answer.text
        return answer.json()
    all_of_them = rank()["results"]
    assert sorted(r["index"] for r in all_of_them) == [0, 1, 2, 3]
    scores = [r["relevance_score"] for r in all_of_them]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) == 4
    top = rank(top_n=2, return_documents=True)["results"]
    assert [r["index"] for r in top] == [r["index"] for r in all_of_them[:2]]
    first = documents[top[0]["index"]]
    assert top[0]["document"]["text"] == (first if isinstance(first, str) else first["text"])


# ---- Completions, as lm-eval asks them ----

def complete(weir, **more):
    return weir.client().completions.create(**({"model": "local/smollm2", "temperature": 0} | more))


def tokens_of(weir, **body):
    answer = httpx.post(weir.url + "/api/v1/tokenize", json={"model": "local/smollm2"} | body, headers={"authorization": "Bearer " + ADMIN})
    assert answer.status_code == 200, answer.text
    return answer.json()["tokens"]


def loglikelihood(weir, contexts, continuation):
    """Like lm-eval's local-completions: token prompts in one request, echo, and the continuation's part of the logprobs."""
    prompts = [tokens_of(weir, content=context) + tokens_of(weir, content=continuation) for context in contexts]
    sums = []
    for choice, context in zip(complete(weir, prompt=prompts, max_tokens=1, logprobs=1, echo=True).choices, contexts):
        begin = len(tokens_of(weir, content=context))
        values = choice.logprobs.token_logprobs[begin:-1]
        greedy = all(max(top.values()) == top[token] for token, top in zip(choice.logprobs.tokens[begin:-1], choice.logprobs.top_logprobs[begin:-1]))
        sums.append((sum(values), greedy))
    return sums


def test_loglikelihood(weir):
    right, wrong = loglikelihood(weir, ["The capital of France is", "The capital of Spain is"], " Paris")
    assert right[0] > wrong[0] + 2 and right[1] and not wrong[1]


def test_echo_scores_what_generation_scored(weir):
    """A token's logprob is the same whether it was generated or stood in the prompt."""
    made = complete(weir, prompt="The capital of France is", max_tokens=8, logprobs=0).choices[0]
    told = complete(weir, prompt="The capital of France is" + made.text, max_tokens=0, logprobs=0, echo=True).choices[0]
    assert told.text == "The capital of France is" + made.text and told.finish_reason == "length"
    assert told.logprobs.tokens[5:] == made.logprobs.tokens and told.logprobs.token_logprobs[0] is None
    assert told.logprobs.token_logprobs[5:] == pytest.approx(made.logprobs.token_logprobs, abs=0.2)  # ggml multiplies one row in another way than several
    assert told.logprobs.text_offset[:3] == [0, 3, 11]


def test_a_long_prompt_is_scored_whole(weir):
    text = "One two three four five six seven eight nine ten. " * 12
    scored = complete(weir, prompt=text, max_tokens=0, logprobs=0, echo=True)
    assert len(scored.choices[0].logprobs.tokens) == scored.usage.prompt_tokens > 100
    assert sum(scored.choices[0].logprobs.token_logprobs[60:]) / (scored.usage.prompt_tokens - 60) > -0.5  # it repeats itself


def test_a_stream_of_several_prompts(weir):
    texts = {0: "", 1: ""}
    for event in complete(weir, prompt=["1 2 3 4", "a b c d"], max_tokens=4, stream=True):
        texts[event.choices[0].index] += event.choices[0].text
    assert texts[0].strip().startswith("5") and texts[1].strip().startswith("e")


# ---- Chats ----

def chat(weir, **more):
    return weir.client().chat.completions.create(**({"model": "local/smollm2", "messages": CAPITAL, "max_tokens": 6} | more))


def test_choices_have_seeds_of_their_own_and_share_the_prompt(weir):
    answer = chat(weir, n=3, seed=5, temperature=1.5)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert len({c.message.content for c in answer.choices}) > 1
    assert [c.message.content for c in chat(weir, n=3, seed=5, temperature=1.5).choices] == [c.message.content for c in answer.choices]
    assert answer.choices[1].message.content == chat(weir, seed=6, temperature=1.5).choices[0].message.content
    assert answer.usage.prompt_tokens == 37 and answer.usage.completion_tokens <= 18
    assert chat(weir).usage.prompt_tokens_details.cached_tokens > 0


def test_logprobs_of_a_chat(weir):
    whole = chat(weir, temperature=0, logprobs=True, top_logprobs=3).choices[0]
    entries = whole.logprobs.content
    assert "".join(e.token for e in entries) == whole.message.content
    assert all(e.logprob == e.top_logprobs[0].logprob and len(e.top_logprobs) == 3 for e in entries)
    assert all(sum(math.exp(t.logprob) for t in e.top_logprobs) < 1.0001 for e in entries)
    events = [c.choices[0] for c in chat(weir, temperature=0, logprobs=True, stream=True)]
    assert [e.logprob for c in events if c.logprobs for e in c.logprobs.content] == [e.logprob for e in entries]


def test_what_a_prompt_shares_does_not_change_the_answer(weir):
    story = [{"role": "user", "content": "Here is a list of words: " + "apple pear plum fig " * 40 + "Say something."}]
    def one(seed):
        answer = chat(weir, messages=story, seed=seed, temperature=1, max_tokens=10)
        return answer.choices[0].message.content, answer.usage.prompt_tokens_details.cached_tokens
    first, again = one(1), one(1)
    assert again[1] > 100 > first[1] and first[0] == again[0]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {text for text, _ in pool.map(one, [1] * 6)} == {first[0]}


def test_how_long_prompts_are_cut_does_not_change_the_answer(weir):
    """Alone, beside others, and with a part of the prompt that was there already: the same logprobs to the last digit."""
    def one(words):
        messages = [{"role": "user", "content": "".join(f"{i % 7} and " for i in range(words)) + f"then {words}?"}]
        answer = chat(weir, messages=messages, seed=words, temperature=1, max_tokens=8, logprobs=True, top_logprobs=2)
        return [(t.token, t.logprob, [top.logprob for top in t.top_logprobs]) for t in answer.choices[0].logprobs.content]
    lengths = [9, 14, 15, 31, 47, 90, 150]
    alone = [one(n) for n in lengths]
    for order in (lengths, lengths[::-1], lengths):
        with concurrent.futures.ThreadPoolExecutor(len(lengths)) as pool:
            beside = dict(zip(order, pool.map(one, order)))
        assert [beside[n] for n in lengths] == alone


def test_tokenize(weir):
    pieces = tokens_of(weir, content="hello w\u00f6rld <|im_end|>", with_pieces=True)
    assert "".join(p["piece"] for p in pieces) == "hello w\u00f6rld <|im_end|>" and len(pieces) > 6
    assert len(tokens_of(weir, content="<|im_end|>", parse_special=True)) == 1
    assert len(tokens_of(weir, messages=CAPITAL)) == 37
    assert tokens_of(weir, model="local/minilm", content="a cat", add_special=True) == REFERENCE[0]["ids"]
