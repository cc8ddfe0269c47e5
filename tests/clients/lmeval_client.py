"""Runs lm-eval on a server with the two tasks of tests/data/lm_eval: lmeval_client.py COMPLETIONS_URL KEY MODEL TOKENIZER_URL TASK…
Prints one JSON object: {task: {"score": …, "samples": [[answers, the item], …]}}. Started in an environment of its own."""
import json, os, sys

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
url, key, model, tokenizer, *tasks = sys.argv[1:]
os.environ["OPENAI_API_KEY"] = key

import lm_eval, requests
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager


class Completions(LocalCompletionsAPI):
    """local-completions; the model's own tokens come from Weir instead of from Hugging Face."""

    def tok_encode(self, string, **_):
        def tokens(text):
            answer = requests.post(tokenizer, json={"model": "local/smollm2", "content": text}, headers={"authorization": "Bearer " + key})
            return answer.json()["tokens"]
        return tokens(string) if isinstance(string, str) else [tokens(text) for text in string]

    @property
    def eot_token_id(self):
        return 2


lm = Completions(base_url=url, model=model, tokenizer_backend="none", num_concurrent=1, batch_size=4, max_length=2048)
lm.tokenizer, lm.tokenized_requests = tokenizer, True  # it thinks that there is none
found = lm_eval.simple_evaluate(lm, tasks=tasks, task_manager=TaskManager(include_path="tests/data/lm_eval", include_defaults=False), bootstrap_iters=0)
results = {}
for task in tasks:
    score = next(value for name, value in found["results"][task].items() if name.split(",")[0] in ("acc", "exact_match"))
    results[task] = {"score": score, "samples": [[sample["filtered_resps"], sample["doc"]] for sample in found["samples"][task]]}
print(json.dumps(results, default=str))
