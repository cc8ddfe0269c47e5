"""The page in Chromium: every view with real calls behind it, signed in as a user would be, held against axe-core's rules.

Screenshots of every view stay in build/test/page.
"""
import hashlib, pathlib, shutil, time

import httpx, pytest
from playwright.sync_api import expect, sync_playwright

import gateway, servers
from gateway import ADMIN, SAY, provider
from test_alerts import hook

HERE = pathlib.Path(__file__).resolve().parent
SHOTS = HERE.parents[1] / "build/test/page"
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
         "--disable-sync").split()
USER = "user-key-000000000000000000"


@pytest.fixture(scope="module")
def weir():
    with servers.start("mock", "--tokens", "8") as mock, hook() as hooked:
        config = {"notify": {"ops": {"webhook": hooked.url, "internal": True}},
                  "alerts": {"errors": {"when": "errors > 1", "by": "model", "to": ["ops"]}, "calm": {"when": "cost > 1000", "over": "1d"}},
                  "providers": {"mock": provider(mock.url), "dead": provider("http://127.0.0.1:1")},
                  "models": {"smart": {"targets": ["dead/gpt-5", "mock/gpt-5-mini"]}},
                  "keys": [{"name": "user", "hash": "sha256:" + hashlib.sha256(USER.encode()).hexdigest()}]}
        with gateway.serve(config) as server:
            server.hooked = hooked
            yield server


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(weir, browser):
    """A signed-in tab; whatever goes wrong in it fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    wrong = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: message.type == "error" and "server responded with" not in message.text and wrong.append(message.text))
    tab.on("request", lambda request: request.url.startswith((weir.url, "data:")) or wrong.append("fetched " + request.url))
    sign_in(tab, weir, ADMIN)
    yield tab
    context.close()
    assert wrong == []


def sign_in(tab, weir, key):
    tab.goto(weir.url)
    tab.get_by_label("Key", exact=True).fill(key)
    tab.get_by_role("button", name="Sign in").click()


def show(tab, weir, place, heading):
    tab.goto(f"{weir.url}/#/{place}")
    expect(tab.get_by_role("heading", level=1)).to_contain_text(heading)


def check(tab, name):
    """No violation of axe-core's rules in either colours, nothing wider than a small phone; and a picture."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    tab.evaluate("window.axe ? null : 1") and tab.evaluate((HERE / "node_modules/axe-core/axe.min.js").read_text())
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        found = tab.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        assert not found, [(v["id"], [n["target"] for n in v["nodes"]]) for v in found]
    tab.screenshot(path=SHOTS / f"{name}.png", full_page=True)
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.screenshot(path=SHOTS / f"{name}-360.png")
    tab.set_viewport_size({"width": 1280, "height": 800})


def test_a_stranger_sees_nothing(weir, browser):
    tab = browser.new_page()
    sign_in(tab, weir, "not-a-key")
    expect(tab.get_by_role("alert")).to_contain_text("not valid")
    expect(tab.get_by_role("navigation")).to_have_count(0)
    tab.evaluate((HERE / "node_modules/axe-core/axe.min.js").read_text())
    assert tab.evaluate("axe.run()")["violations"] == []
    tab.close()


def test_an_empty_weir_says_what_to_do(weir, tab):
    """Runs first: there is no call yet."""
    assert weir.calls() == []
    expect(tab.get_by_role("heading", name="No call yet")).to_be_visible()
    expect(tab.locator("pre")).to_contain_text(f"curl {weir.url}/v1/chat/completions")
    check(tab, "empty")


def test_the_files_are_safe_to_keep(weir):
    page = httpx.get(weir.url + "/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    for path in ("/", "/page.js", "/page.css"):
        answer = httpx.get(weir.url + path)
        assert answer.status_code == 200 and answer.headers["x-content-type-options"] == "nosniff"
        again = httpx.get(weir.url + path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_calls_are_found_and_shown(weir, tab):
    made = weir.client().chat.completions.with_raw_response.create(model="smart", messages=SAY, user="ada")
    refused = weir.post({"model": "nothing", "messages": SAY})
    assert refused.status_code == 404
    show(tab, weir, "calls", "Calls")
    expect(tab.locator("tbody tr")).to_have_count(2)
    check(tab, "calls")
    tab.get_by_label("Model").fill("smart")
    tab.keyboard.press("Tab")
    expect(tab.locator("tbody tr")).to_have_count(1)
    assert "model=smart" in tab.url, "a filter is a link"
    tab.get_by_label("Said").fill("no such words")
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("heading", name="No call matches")).to_be_visible()
    tab.get_by_label("Said").fill(SAY[0]["content"])
    tab.keyboard.press("Tab")
    tab.locator("tbody tr a").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("smart")
    assert tab.url.endswith(made.headers["x-weir-call-id"])
    route = tab.locator("table.waterfall")
    expect(route).to_contain_text("dead/gpt-5")
    expect(route).to_contain_text("mock/gpt-5-mini 200")
    expect(tab.locator(".message.user")).to_contain_text(SAY[0]["content"])
    expect(tab.locator(".message.assistant")).to_contain_text(made.parse().choices[0].message.content)
    expect(tab.locator("dl")).to_contain_text("ada")
    check(tab, "call")
    tab.get_by_role("link", name="Open in playground").click()
    expect(tab.get_by_label("User")).to_have_value(SAY[0]["content"])


def test_calls_arrive_live(weir, tab):
    show(tab, weir, "calls?live=1", "Calls")
    weir.post({"model": "mock/live-one", "messages": SAY})
    expect(tab.locator("tbody")).to_contain_text("mock/live-one", timeout=5000)


def test_the_overview_counts(weir, tab):
    weir.post({"model": "smart", "messages": SAY})
    show(tab, weir, "overview", "Overview")
    expect(tab.locator(".chart canvas")).to_have_count(4)
    expect(tab.get_by_role("region", name="By model")).to_contain_text("smart")
    tab.get_by_role("link", name="7d").click()
    expect(tab.get_by_role("region", name="By key")).to_contain_text("cli")
    expect(tab.get_by_role("region", name="Calls").locator("tbody tr").first).to_contain_text("smart")
    check(tab, "overview")


def test_models_answer_side_by_side(weir, tab):
    show(tab, weir, "playground", "Playground")
    tab.get_by_label("User").fill("Say something")
    tab.get_by_role("button", name="Add a model").click()
    tab.get_by_label("Model 1").fill("smart")
    tab.get_by_label("Model 2").fill("nowhere/at-all")
    tab.get_by_role("button", name="Run").click()
    first, second = tab.locator(".column").all()
    expect(first.locator(".answer")).to_contain_text("omega7")
    expect(first).to_contain_text("$0.000")
    expect(second.get_by_role("alert")).to_contain_text("unknown")
    check(tab, "playground")
    first.get_by_role("link", name="the call").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text("smart")


def test_a_conversation(weir, tab):
    show(tab, weir, "chat", "Chat")
    tab.get_by_label("Model").fill("mock/m")
    for turn in range(2):
        tab.get_by_label("Message").fill(f"Turn {turn}")
        tab.keyboard.press("Enter")
        expect(tab.locator(".message.assistant").nth(turn)).to_contain_text("omega7")
        expect(tab.locator(".message.assistant").nth(turn).get_by_role("link")).to_be_visible()
    assert [m["role"] for m in weir.last()["request"]["messages"]] == ["user", "assistant", "user"]
    session = weir.last()["session"]
    listed = tab.get_by_role("complementary", name="Conversations").get_by_role("link")
    expect(listed).to_contain_text("2 turns", timeout=8000)
    check(tab, "chat")
    tab.get_by_role("button", name="New conversation").click()
    expect(tab.locator(".message")).to_have_count(0)
    listed.click()
    expect(tab.locator(".message")).to_have_count(4)
    assert session in tab.url, "a conversation is a link"
    tab.get_by_label("Message").fill("Turn 2")
    tab.keyboard.press("Enter")
    expect(tab.locator(".message.assistant").nth(2)).to_contain_text("omega7")
    assert len(weir.last()["request"]["messages"]) == 5 and weir.last()["session"] == session


def test_a_trace_and_what_people_say(weir, tab):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    now = time.time_ns()
    spans = [{"traceId": trace, "spanId": f"{n:016x}", "name": name, "startTimeUnixNano": str(now), "endTimeUnixNano": str(now + 900_000_000)} | more
             for n, name, more in ((1, "answer a question", {}), (2, "search", {"parentSpanId": f"{1:016x}", "status": {"code": 2}}))]
    assert weir.post_to("/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).status_code == 200
    made = weir.post({"model": "mock/m", "messages": SAY}, headers={"traceparent": f"00-{trace}-{1:016x}-01"})
    assert gateway.until(lambda: len(weir.get(f"/api/v1/traces/{trace}").json().get("calls", [])) == 1)
    show(tab, weir, "call/" + made.headers["x-weir-call-id"], "mock/m")
    waterfall = tab.get_by_role("region", name="Trace over time")
    expect(waterfall.locator("tr")).to_have_count(3)
    expect(waterfall).to_contain_text("answer a question")
    waterfall.get_by_role("button", name="search").click()
    expect(tab.locator("pre.json").first).to_contain_text("span_id")
    tab.get_by_role("button", name="Helpful", exact=True).click()
    tab.get_by_label("Comment").fill("just right")
    tab.get_by_label("Comment").press("Enter")
    expect(tab.get_by_role("region", name="Scores")).to_contain_text("just right")
    check(tab, "call-trace")
    tab.get_by_role("link", name=trace).click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Trace")
    expect(tab.get_by_text("2 spans, 1 calls")).to_be_visible()
    check(tab, "trace")
    show(tab, weir, "chat", "Chat")
    tab.get_by_label("Model").fill("mock/m")
    tab.get_by_label("Message").fill("Is this good?")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Not helpful").click()
    expect(tab.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    assert gateway.until(lambda: [s["value"] for s in weir.get("/api/v1/scores", name="helpful").json()["scores"]] == [False, True])
    check(tab, "chat-thumbs")


def test_models_and_topics(weir, tab):
    show(tab, weir, "models", "Models")
    expect(tab.get_by_role("region", name="Aliases")).to_contain_text("dead/gpt-5 → mock/gpt-5-mini")
    check(tab, "models")
    show(tab, weir, "topics", "Topics")
    tab.get_by_role("link", name="weir.calls").click()
    expect(tab.locator("tbody tr").first).to_be_visible()
    check(tab, "topic")
    tab.get_by_label("follow what arrives").check()
    expect(tab.get_by_text("Waiting for records")).to_be_visible()
    weir.post({"model": "mock/arrives", "messages": SAY})
    expect(tab.locator("tbody")).to_contain_text("mock/arrives")


def test_alerts_fire_and_are_silenced(weir, tab):
    show(tab, weir, "alerts", "Alerts")
    card = tab.get_by_role("region", name="errors")
    expect(card).to_contain_text("errors > 1")
    for _ in range(3):
        weir.post({"model": "mock/fault-500", "messages": SAY})
    expect(card.locator(".groups").first).to_contain_text("mock/fault-500", timeout=8000)
    expect(card.get_by_role("heading")).to_contain_text("firing")
    card.get_by_role("button", name="Send a test").click()
    expect(card.get_by_role("status")).to_contain_text("ops: told in")
    card.get_by_role("button", name="Silence for 1h").click()
    expect(card.get_by_role("heading")).to_contain_text("silenced")
    expect(tab.get_by_role("region", name="What happened").locator("tbody tr").first).to_contain_text("silence")
    check(tab, "alerts")
    card.get_by_role("button", name="Speak again").click()
    expect(card.get_by_role("heading")).to_contain_text("firing")
    card.get_by_role("link", name="mock/fault-500").first.click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Calls")
    expect(tab.locator("tbody tr")).to_have_count(3)


def test_charts_change_with_the_colours(weir, tab):
    weir.post({"model": "smart", "messages": SAY})
    show(tab, weir, "overview", "Overview")
    canvas = tab.locator(".chart canvas").first
    expect(canvas).to_be_visible()
    pictures = {}
    for name in ("Dark", "Light"):
        while tab.get_by_title("Colours: as the system, dark, light").inner_text() != name:
            tab.get_by_title("Colours: as the system, dark, light").click()
        tab.wait_for_timeout(300)
        pictures[name] = canvas.evaluate("c => { const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const seen = {}; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen[[d[i], d[i+1], d[i+2]]] = 1; return Object.keys(seen) }")
    assert set(pictures["Dark"]) != set(pictures["Light"])


def test_tools_in_the_playground(weir, tab):
    show(tab, weir, "playground", "Playground")
    tab.get_by_label("Model").fill("mock/m")
    tab.get_by_text("Tools", exact=True).click()
    tab.get_by_label("Tools as JSON").fill("[{")
    expect(tab.get_by_role("status")).to_contain_text("no JSON")
    tab.get_by_label("Tools as JSON").fill("")
    tab.get_by_role("button", name="An example").click()
    tab.get_by_label("User").fill("What is the weather in Paris?")
    tab.get_by_role("button", name="Run").click()
    expect(tab.locator(".column pre")).to_contain_text("get_weather", timeout=8000)
    assert weir.last()["request"]["tools"][0]["function"]["name"] == "get_weather"


def test_the_first_paint_is_quick(weir, browser):
    """A folder with many calls, the newest of which are shown."""
    for n in range(200):
        weir.post({"model": f"mock/paint-{n % 7}", "messages": SAY})
    context = browser.new_context()
    tab = context.new_page()
    sign_in(tab, weir, ADMIN)
    expect(tab.locator("tbody tr").first).to_be_visible()
    tab.reload()
    expect(tab.locator("tbody tr").first).to_be_visible()
    paint = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 1000, paint
    context.close()


def test_the_keyboard_goes_everywhere(weir, tab):
    tab.locator("h1").wait_for()
    for letter, heading in {"c": "Calls", "t": "Topics", "m": "Models", "a": "Alerts", "p": "Playground"}.items():
        tab.keyboard.press("g")
        tab.keyboard.press(letter)
        expect(tab.get_by_role("heading", level=1)).to_have_text(heading)
    tab.keyboard.press("/")
    tab.keyboard.type("typed")
    expect(tab.get_by_label("User")).to_have_value("typed")


def test_a_key_without_admin_sees_its_own(weir, browser):
    tab = browser.new_page()
    weir.post({"model": "mock/mine", "messages": SAY}, key=USER)
    sign_in(tab, weir, USER)
    show(tab, weir, "calls", "Calls")
    expect(tab.locator("tbody tr")).to_have_count(1)
    show(tab, weir, "topics", "Topics")
    expect(tab.get_by_role("alert")).to_contain_text("needs an admin key")
    tab.close()
