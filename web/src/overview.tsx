// Live traffic, and the newest calls.
import { useEffect, useState } from "preact/hooks";
import { get, type CallPage, type Status } from "./api";
import { CallTable } from "./calls";
import { Chart } from "./chart";
import { age, bytes, count, money, percentile, us } from "./text";
import { Copy, Empty, link, Problem, Tile, useLoad } from "./ui";

const EVERY_MS = 2000, KEPT = 300;

interface Sample { at: number; calls: number; errors: number; input: number; output: number; open: number }

function sample(status: Status): Sample {
    const c = status.calls;
    return {at: Date.now() / 1000, calls: (c.calls_ok ?? 0) + (c.calls_error ?? 0) + (c.calls_cancelled ?? 0) + (c.calls_refused ?? 0) + (c.calls_cached ?? 0),
            errors: c.calls_error ?? 0, input: c.tokens_input ?? 0, output: c.tokens_output ?? 0, open: c.open_calls ?? 0};
}

// Kept while the page is open, also while another view is looked at.
let samples: Sample[] = [];

function rates(pick: (s: Sample) => number): number[] {
    return samples.slice(1).map((s, i) => Math.max(0, (pick(s) - pick(samples[i])) / (s.at - samples[i].at)));
}

function FirstCall() {
    const curl = `curl ${location.origin}/v1/chat/completions -H "Authorization: Bearer $WEIR_KEY" -H "Content-Type: application/json" \\
  -d '{"model": "local/smollm2", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'`;
    return <Empty title="No call yet">
        <p>Point an app at <code>{location.origin}/v1</code> with a key of this Weir, or make the first call here:</p>
        <pre class="json">{curl}</pre>
        <p><Copy text={curl} label="Copy the command" /> or <a href={link("playground")}>open the playground</a>.</p>
    </Empty>;
}

export function Overview() {
    const status = useLoad(signal => get<Status>("status", {}, signal), [], EVERY_MS);
    const recent = useLoad(signal => get<CallPage>("calls", {limit: 100}, signal), [], EVERY_MS * 2);
    const [, redraw] = useState(0);
    useEffect(() => {
        if (!status.data) return;
        samples = [...samples, sample(status.data)].slice(-KEPT);
        redraw(n => n + 1);
    }, [status.data]);

    const s = status.data;
    const calls = recent.data?.calls ?? [];
    const served = calls.filter(c => c.outcome === "ok" || c.outcome === "cached");
    const total = served.map(c => c.timing.total_us).sort((a, b) => a - b);
    const added = served.map(c => c.timing.overhead_us).filter((v): v is number => v != null).sort((a, b) => a - b);
    const cost = calls.reduce((sum, c) => sum + Number(c.cost?.amount ?? 0), 0);
    const xs = samples.slice(1).map(x => x.at);
    const perSecond = (v: number) => v.toFixed(1) + "/s";
    return <>
        <h1>Overview</h1>
        <Problem error={status.error ?? recent.error} />
        {s && <section class="tiles" aria-label="Since the start">
            <Tile label="calls" value={count(sample(s).calls)} note={`since the start ${age(s.started)} ago`} href={link("calls")} />
            <Tile label="under way" value={count(s.calls.open_calls)} />
            <Tile label="errors" value={count(s.calls.calls_error)} note={`${count(s.calls.attempts_failed)} attempts failed`} />
            <Tile label="tokens" value={count(s.calls.tokens_input + s.calls.tokens_output)} note={`${count(s.calls.tokens_input)} in, ${count(s.calls.tokens_output)} out`} />
            <Tile label="log" value={bytes(s.log.used_bytes)} note={s.log.quota_bytes ? `of ${bytes(s.log.quota_bytes)}` : "no quota"} href={link("topics")} />
        </section>}
        {calls.length > 0 && <section class="tiles" aria-label="Of the newest calls">
            <Tile label={`p50 of the last ${total.length}`} value={us(percentile(total, 0.5))} />
            <Tile label="p99" value={us(percentile(total, 0.99))} />
            <Tile label="added by Weir, p50" value={us(percentile(added, 0.5))} note={`p99 ${us(percentile(added, 0.99))}`} />
            <Tile label={`cost of the last ${calls.length}`} value={money({amount: String(cost), currency: "USD"})} />
        </section>}
        {s && <section class="charts">
            <Chart title="Calls a second" xs={xs} ys={[rates(x => x.calls), rates(x => x.errors)]}
                lines={[{label: "calls", colour: "--accent", show: perSecond}, {label: "errors", colour: "--bad", show: perSecond}]} />
            <Chart title="Tokens a second" xs={xs} ys={[rates(x => x.input), rates(x => x.output)]}
                lines={[{label: "input", colour: "--accent2", show: perSecond}, {label: "output", colour: "--accent", show: perSecond}]} />
        </section>}
        {recent.data && calls.length === 0 ? <FirstCall /> : calls.length > 0 && <>
            <h2>Newest calls</h2>
            <CallTable calls={calls.slice(0, 15)} />
            <p><a href={link("calls")}>All calls</a></p>
        </>}
    </>;
}
