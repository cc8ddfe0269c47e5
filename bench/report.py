"""What bench/run measured, as Markdown: absolute figures beside ratios, and which bars are met."""
import datetime, os, pathlib, platform, re

BEGIN, END = "<!-- written by bench/run -->", "<!-- end of bench/run -->"
MIB = 2**20


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) / 2**20
    return (f"{os.cpu_count()} × {model.group(1).strip() if model else platform.machine()}, {memory:.0f} GiB, "
            f"Linux {platform.release().split('-')[0]}")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def ms(us):
    return f"{us / 1000:.2f}" if abs(us) < 10_000 else f"{us / 1000:.1f}" if abs(us) < 1e6 else f"{us / 1000:,.0f}"


def mib(bytes_):
    return f"{bytes_ / MIB:.1f}"


def failures(cell):
    return f"{cell['failed']:,.0f} failed" if cell["failed"] else ""


def beside(value, base, text):
    """A figure with its ratio to nginx's, where there is one."""
    return text if not base else f"{text} ({value / base:.2f} ×)"


def cpu_table(names, figures):
    nginx = figures.get("nginx")
    rows = []
    for name in names:
        row = [name]
        for cell in ("c8", "prompt"):
            one = figures[name][cell]
            cpu = one["process"]["cpu_us_per_request"] if one.get("process") else None
            base = nginx[cell]["process"]["cpu_us_per_request"] if nginx else None
            row += ["–" if cpu is None else beside(cpu, base, f"{cpu:,.1f}"), f"{one['requests_per_s']:,.0f}"]
        row.append(failures(figures[name]["c8"]) or failures(figures[name]["prompt"]) or "0")
        rows.append(row)
    return table(["", "CPU µs/request", "requests/s", "300 KB: CPU µs/request", "300 KB: requests/s", "failures"], rows)


def latency_table(names, figures, connections):
    rows = []
    for name in names:
        row = [name]
        for c in connections:
            one, direct = figures[name][f"c{c}"], figures["direct"][f"c{c}"]
            p50, p99 = one["latency_us"]["p50"], one["latency_us"]["p99"]
            if not one["ok"]:
                row += [failures(one) or "–", "0"]
                continue
            if name != "direct":
                p50, p99 = p50 - direct["latency_us"]["p50"], p99 - direct["latency_us"]["p99"]
            row.append(f"{ms(p50)} / {ms(p99)}" + (f", {failures(one)}" if one["failed"] else ""))
            row.append(f"{one['requests_per_s']:,.0f}")
        rows.append(row)
    head = [""] + [text for c in connections for text in (f"{c}: p50 / p99", "requests/s")]
    return table(head, rows)


def percentiles(times, *names):
    """"p50 / p99" in ms, or a dash where nothing came."""
    return " / ".join(ms(times[name]) for name in names) if times["count"] else "–"


def cpu_per_frame(cell):
    return cell["process"]["cpu_us"] / max(cell["frames"]["got"], 1)


def stream_table(names, figures):
    rows = []
    nginx = figures.get("nginx")
    streams = [(name, figures[name]["stream"]) for name in names]
    streams += [(f"{name}, from Anthropic", figures[name]["translated"]) for name in names if "translated" in figures[name]]
    for name, one in streams:
        frames = one["frames"]
        cpu = cpu_per_frame(one) if one.get("process") else None
        base = cpu_per_frame(nginx["stream"]) if nginx else None
        rows.append([name, percentiles(one["ttft_us"], "p50", "p99"), percentiles(one["gap_us"], "p50", "p99", "max"),
                     f"{frames['got']:,.0f}", f"{frames['lost'] + frames['doubled'] + frames['damaged']:,.0f}", failures(one) or "0",
                     "–" if cpu is None else beside(cpu, base, f"{cpu:.1f}")])
    return table(["", "first token p50 / p99 ms", "gap p50 / p99 / max ms", "frames", "lost or wrong", "failures", "CPU µs/frame"], rows)


def peak_bytes(figures):
    return max(cell["process"]["rss_peak_bytes"] for cell in figures.values() if isinstance(cell, dict))


def memory_table(names, figures):
    rows = []
    for name in names:
        one = figures[name]
        if "start_ms" not in one:
            continue
        after = f"{mib(one['rss_before_calls'])} → {mib(one['rss_after_calls'])}" if "rss_after_calls" in one else "–"
        rows.append([name, f"{one['start_ms']:,.0f}", mib(one["rss_idle"]), mib(one["rss_steady"]), mib(peak_bytes(one)), after])
    return table(["", "exec to first answer, ms", "idle MiB", "steady MiB", "peak MiB", "over the long run, MiB"], rows)


def bars(figures, calls):
    """(name, wanted, measured, met)."""
    weir, direct = figures["weir"], figures["direct"]
    cpu = weir["c8"]["process"]["cpu_us_per_request"]
    if "nginx" in figures:
        ratio = cpu / figures["nginx"]["c8"]["process"]["cpu_us_per_request"]
        yield "CPU per request, 8 connections", "≤ 2.2 × nginx (goal 1.7)", f"{ratio:.2f} × ({cpu:.1f} µs)", ratio <= 2.2
        rates = [figures[name]["prompt"]["requests_per_s"] for name in ("weir", "nginx")]
        yield "bytes/s of 300 KB prompts", "≥ 0.9 of nginx's", f"{rates[0] / rates[1]:.2f} ({rates[0] * 0.3:,.0f} MB/s)", rates[0] >= 0.9 * rates[1]
    added = weir["c1"]["latency_us"]["p99"] - direct["c1"]["latency_us"]["p99"]
    yield "added p99 at one connection", "≤ 1 ms", f"{ms(added)} ms", added <= 1000
    peak = peak_bytes(weir)
    yield "memory without a model, all cells", "≤ 30 MiB", f"{mib(peak)} MiB", peak <= 30 * MIB
    if "rss_after_calls" in weir:
        grown = weir["rss_after_calls"] - weir["rss_before_calls"]
        yield f"memory over {calls:,} calls", "steady (≤ 1 MiB more)", f"{grown / MIB:+.1f} MiB", grown <= MIB
    if "idle_streams" in weir:
        each = (weir["rss_idle_streams"] - weir["rss_before_idle"]) / max(weir["idle_streams"], 1)
        total = weir["rss_before_idle"] + each * 10_000
        yield ("memory with 10,000 idle streams", "≤ 200 MB", f"{total / 1e6:.0f} MB ({each / 1000:.1f} KB each of {weir['idle_streams']:,})",
               total <= 200e6)
    yield "exec to first answer", "≤ 100 ms", f"{weir['start_ms']:.0f} ms", weir["start_ms"] <= 100
    ratio = cpu_per_frame(weir["translated"]) / cpu_per_frame(weir["stream"])
    yield "CPU of a translated stream", "≤ 1.5 × passed through", f"{ratio:.2f} ×", ratio <= 1.5
    frames = [weir[name]["frames"] for name in ("stream", "translated")]
    lost = sum(f["lost"] + f["doubled"] + f["damaged"] for f in frames)
    yield "frames lost, doubled or damaged", "0", f"{lost:.0f} of {sum(f['got'] for f in frames):,.0f}", lost == 0
    failed = sum(cell["failed"] for cell in weir.values() if isinstance(cell, dict))
    yield "requests failed", "0", f"{failed:.0f}", failed == 0
    missing = weir["sent"] - weir["recorded"]
    yield "calls answered and not on the log", "0", f"{missing:.0f} of {weir['sent']:,.0f}", missing == 0


HOW = """Each gateway alone on one core (its whole process tree), mock and load on another; {rounds} round(s) in turn, {seconds:g} s a
cell, medians. The mock answers at once with 16 tokens; prompts have 200 bytes and differ. Weir runs with a key and its
limits, prices and the durable log on; nginx checks and logs nothing. "From Anthropic" is OpenAI's client at a target that speaks
Anthropic's language. CPU is user and system time of the process tree.
Load: `weir bench`, closed loop. What the figures mean: [docs/bench.md](../docs/bench.md).
"""


def write(options, chosen, figures, others):
    """Returns the report and whether a bar is missed."""
    names = ["direct", *chosen]
    if options.realtime:
        quiet = (" What was measured ran with real-time priority, which the kernel takes away for up to 50 ms a second: the maxima\n"
                 "mean little.")
    else:
        quiet = "" if others <= 0.1 else " **The machine was not quiet: times are worth little, CPU figures are a little high.**"
    parts = [BEGIN, "## Gateways\n", f"{datetime.date.today()}, {machine()}. Other programs took {others:.0%} of it meanwhile.{quiet}\n",
             HOW.format(rounds=options.rounds, seconds=options.seconds)]
    parts.append("\n".join(f"* **{name}**: {gateway.title}, {gateway.version()}" for name, gateway in chosen.items()) + "\n")
    missed = False
    if "weir" in figures:
        met = list(bars(figures, options.calls))
        missed = not all(bar[3] for bar in met)
        parts += ["### Bars\n", table(["", "wanted", "measured", ""], [[*bar[:3], "met" if bar[3] else "**missed**"] for bar in met])]
    parts += ["### CPU and throughput, 8 connections\n", cpu_table(names, figures)]
    parts += ["### Latency added to the mock's own, ms\n", latency_table(names, figures, [1, 8, 64, 256])]
    parts += ["### 64 streams, a token every 20 ms\n", stream_table(names, figures)]
    parts += ["### Start and memory\n", memory_table(names, figures), END]
    return "\n".join(parts) + "\n", missed


def place(path, text, begin=BEGIN, end=END):
    """Into the file between the marks, so that what others measured stays; a new file gets a title."""
    old = path.read_text() if path.exists() else f"# Measured\n\n{begin}{end}\n"
    start, stop = old.find(begin), old.find(end)
    if start < 0:
        path.write_text(old.rstrip("\n") + "\n\n" + text)
    else:
        path.write_text(old[:start] + text.rstrip("\n") + old[stop + len(end):])
