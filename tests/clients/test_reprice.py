"""Prices as clients meet them: tiers, what contradicts itself, and `weir reprice` over history."""
import decimal, json, os

import gateway, servers

PRICES = {"up/m": {"input": 1, "output": 2, "cached_input": 0.1}, "up/p": {"input": 3, "output": 4, "request": 0.5}}
WEB = "sk-web-key-0123456789"


def ask(weir, model, key=gateway.ADMIN, **more):
    answer = weir.post({"model": model, "messages": gateway.SAY} | more, key=key)
    assert answer.status_code == 200, answer.text
    return weir.record_of(answer)


def rows(*arguments, env=None):
    done = servers.run("reprice", "--json", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_history_is_counted_anew(tmp_path):
    keys = [gateway.key_entry("web", WEB)]
    with servers.start("mock") as mock, gateway.serve({
            "providers": {"up": gateway.provider(mock.url)}, "prices": PRICES, "keys": keys,
            "models": {"a": {"targets": ["up/m"], "cache": {"ttl": "1h"}}, "b": "up/unknown"}}) as weir:
        paid, free = ask(weir, "a"), ask(weir, "a")
        web, other = ask(weir, "a", WEB), ask(weir, "b", WEB)
        assert free["outcome"] == "cached" and other["cost"] is None
        (tmp_path / "dearer.yaml").write_text("prices: {up/m: {input: 2, output: 4}, up/unknown: {input: 1, output: 1}}\n")
        server = ("--url", weir.url, "--key", gateway.ADMIN)
        found = rows("--prices", str(tmp_path / "dearer.yaml"), *server)
        by_group = {(row["model"], row["key"]): row for row in found[:-1]}
        cost = decimal.Decimal(paid["cost"]["amount"])
        admin = by_group["a", paid["key"]]
        assert admin["calls"] == admin["priced_calls"] == admin["recorded_calls"] == 2
        assert decimal.Decimal(admin["recorded"]) == cost and decimal.Decimal(admin["priced"]) == 2 * cost
        assert decimal.Decimal(admin["difference"]) == cost
        assert decimal.Decimal(by_group["a", "web"]["recorded"]) == decimal.Decimal(web["cost"]["amount"])
        news = by_group["b", "web"]
        assert news["recorded_calls"] == 0 and news["priced_calls"] == 1
        used = other["usage"]["input"] + other["usage"]["output"]
        assert decimal.Decimal(news["difference"]) == decimal.Decimal(used) / 1000000
        total = found[-1]
        assert total["total"] and total["calls"] == 4
        assert decimal.Decimal(total["difference"]) == sum(decimal.Decimal(row["difference"]) for row in found[:-1])

        folder = ("--data", str(weir.data))
        assert rows("--prices", str(tmp_path / "dearer.yaml"), *folder) == found
        assert [row["model"] for row in rows("--model", "b", *folder)[:-1]] == ["b"]
        assert rows("--key-name", "web", *folder)[-1]["calls"] == 2
        assert rows("--since", "2100-01-01T00:00:00Z", *folder)[-1]["calls"] == 0
        assert rows("--prices", str(weir.config_path), *folder)[-1]["difference"] == "0"  # what was in force
        table = servers.run("reprice", "--prices", str(tmp_path / "dearer.yaml"), *folder)
        assert table.returncode == 0 and "TOTAL" in table.stdout and "+" in table.stdout

        table = servers.run("reprice", "--since", "2100-01-01T00:00:00Z", *folder).stdout
        assert "no calls since then" in table

        (tmp_path / "list.tsv").write_text("2026-01-02.mine\nup/m\tinput=10\toutput=20\n")
        whole = rows("--prices", str(tmp_path / "list.tsv"), *folder)[-1]
        assert whole["prices"] == "2026-01-02.mine" and whole["priced_calls"] == 3
        assert decimal.Decimal(whole["priced"]) == 10 * (cost + decimal.Decimal(web["cost"]["amount"]))


def test_what_is_wrong_is_said(tmp_path):
    (tmp_path / "bad.tsv").write_text("2026-01-02.mine\nup/m\tinput=10\n")
    (tmp_path / "bad.yaml").write_text("prices: {a: {inptu: 1}}\n")
    for name, said in (("bad.tsv", "bad.tsv:2"), ("bad.yaml", "did you mean 'input'"), ("none.tsv", "none.tsv")):
        done = servers.run("reprice", "--prices", str(tmp_path / name), "--data", str(tmp_path))
        assert done.returncode == 2 and said in done.stderr and not done.stdout
    done = servers.run("reprice", "--data", str(tmp_path / "nowhere"))
    assert done.returncode in (1, 3) and done.stderr
    assert servers.run("reprice", "rest").returncode == 2


def test_a_request_has_a_price_and_parts_are_parts():
    with servers.start("mock", "--fault", "usage-details") as mock, gateway.serve({
            "providers": {"up": gateway.provider(mock.url)}, "prices": PRICES, "models": {"a": "up/m", "p": "up/p"}}) as weir:
        a, p = ask(weir, "a"), ask(weir, "p")
        usage = a["usage"]
        assert usage["cached_input"] > 0 and "suspect" not in usage and "tier" not in usage
        plain = usage["input"] - usage["cached_input"]
        wanted = decimal.Decimal(plain * 1 + usage["output"] * 2) + usage["cached_input"] * decimal.Decimal("0.1")
        assert decimal.Decimal(a["cost"]["amount"]) == wanted / 1000000
        assert decimal.Decimal(p["cost"]["amount"]) > decimal.Decimal("0.5")


def test_a_table_of_zeros_says_why():
    with servers.start("mock") as mock, gateway.serve({"providers": {"up": gateway.provider(mock.url)}}) as weir:
        ask(weir, "up/unknown")
        table = servers.run("reprice", "--url", weir.url, "--key", gateway.ADMIN)
        assert table.returncode == 0 and "none of these 1 calls has a price" in table.stdout and "weir.yaml" in table.stdout
