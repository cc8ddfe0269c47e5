// What happened, over a window of time, and what happens now.
import { get, type CallPage, type Group, type Stats, type Status, type Sums } from "./api";
import { CallTable } from "./calls";
import { Chart } from "./chart";
import { age, bytes, count, money, us } from "./text";
import { Copy, Empty, link, Problem, Row, Tile, useArrivals, useLoad, usePlace } from "./ui";

const EVERY_MS = 1000, AT_LEAST_MS = 15000;

// How far back, and how far apart its points are.
const WINDOWS: Record<string, {title: string; step: string; step_s: number; points: number; every_ms: number}> = {
    "1h": {title: "hour", step: "1m", step_s: 60, points: 60, every_ms: 5000},
    "1d": {title: "day", step: "15m", step_s: 900, points: 96, every_ms: 15000},
    "7d": {title: "7 days", step: "2h", step_s: 7200, points: 84, every_ms: 60000},
    "30d": {title: "30 days", step: "12h", step_s: 43200, points: 60, every_ms: 60000},
};

function FirstCall() {
    const curl = `curl ${location.origin}/v1/chat/completions -H "Authorization: Bearer $WEIR_KEY" -H "Content-Type: application/json" \\
  -d '{"model": "local/smollm2", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'`;
    return <Empty title="No call yet">
        <p>Point an app at <code>{location.origin}/v1</code> with a key of this Weir, or make the first call here:</p>
        <pre class="json">{curl}</pre>
        <p><Copy text={curl} label="Copy the command" /> or <a href={link("playground")}>open the playground</a>.</p>
    </Empty>;
}

// Minutes without a call have no point: they are zero for sums, and a gap for times.
function line(group: Group | undefined, xs: number[], pick: (s: Sums) => number | null | undefined, otherwise: number | null): (number | null)[] {
    const known = new Map(group?.points?.map(p => [p.time_s, pick(p) ?? otherwise]));
    return xs.map(x => known.get(x) ?? otherwise);
}

function Groups({title, groups, by}: {title: string; groups: Group[]; by: string}) {
    if (groups.length === 0) return null;
    return <><h2>{title}</h2><div class="scroll" tabIndex={0} role="region" aria-label={title}><table>
        <thead><tr><th>{by}</th><th class="n">calls</th><th class="n">errors</th><th class="n">tokens in</th><th class="n">out</th><th class="n">cost</th><th class="n">first token p50</th><th class="n">total p50</th><th class="n">p99</th></tr></thead>
        <tbody>{groups.slice(0, 20).map(g => <Row key={g.name} href={link("calls", "", {[by]: g.name})}>
            <td><a href={link("calls", "", {[by]: g.name})}>{g.name ?? "none"}</a></td>
            <td class="n">{count(g.calls)}</td><td class="n">{g.errors ? <span class="bad">{count(g.errors)}</span> : 0}</td>
            <td class="n">{count(g.input)}</td><td class="n">{count(g.output)}</td><td class="n">{money({amount: g.cost, currency: "USD"})}</td>
            <td class="n">{us(g.first_token_us?.p50)}</td><td class="n">{us(g.total_us?.p50)}</td><td class="n">{us(g.total_us?.p99)}</td>
        </Row>)}</tbody>
    </table></div></>;
}

function Window({since, arrivals}: {since: string; arrivals: number}) {
    const turn = Math.floor(arrivals / 5);
    const window = WINDOWS[since];
    const all = useLoad(signal => get<Stats>("stats", {since, step: window.step}, signal), [since, turn], window.every_ms);
    const models = useLoad(signal => get<Stats>("stats", {since, by: "model"}, signal), [since, turn], window.every_ms);
    const keys = useLoad(signal => get<Stats>("stats", {since, by: "key"}, signal), [since, turn], window.every_ms);
    const group = all.data?.groups[0];
    const last = Math.floor(Date.now() / 1000 / window.step_s) * window.step_s;
    const xs = Array.from({length: window.points + 1}, (_, i) => last - (window.points - i) * window.step_s);
    const perMinute = (pick: (s: Sums) => number) => line(group, xs, s => pick(s) / window.step_s * 60, 0);
    const ms = (pick: (s: Sums) => number | undefined) => line(group, xs, s => { const v = pick(s); return v == null ? null : v / 1000; }, null);
    const rate = (v: number) => `${v.toFixed(1)}/min`, time = (v: number) => us(v * 1000);
    const behind = all.data ? all.data.end - all.data.folded : 0;
    return <>
        <Problem error={all.error} />
        {group && <section class="tiles" aria-label={`Of the last ${window.title}`}>
            <Tile label="calls" value={count(group.calls)} href={link("calls", "", {since})} note={behind > 0 ? `${count(behind)} are not counted yet` : undefined} />
            <Tile label="errors" value={`${(group.errors / group.calls * 100).toFixed(group.errors ? 2 : 0)} %`} note={count(group.errors)} href={link("calls", "", {since, status: "error"})} />
            <Tile label="cost" value={money({amount: group.cost, currency: "USD"})} />
            <Tile label="tokens" value={count(group.input + group.output)} note={`${count(group.input)} in (${count(group.cached_input)} cached), ${count(group.output)} out`} />
            <Tile label="total, p50" value={us(group.total_us?.p50)} note={`p99 ${us(group.total_us?.p99)}`} />
            <Tile label="first token, p50" value={us(group.first_token_us?.p50)} note={`p99 ${us(group.first_token_us?.p99)}`} />
            <Tile label="added by Weir, p50" value={us(group.overhead_us?.p50)} note={`p99 ${us(group.overhead_us?.p99)}`} />
        </section>}
        {group && <section class="charts">
            <Chart key={since + "calls"} title="Calls a minute" xs={xs} ys={[perMinute(s => s.calls), perMinute(s => s.errors)]}
                lines={[{label: "calls", colour: "--accent", show: rate}, {label: "errors", colour: "--bad", show: rate}]} />
            <Chart key={since + "time"} title="Time, ms" xs={xs} ys={[ms(s => s.first_token_us?.p50), ms(s => s.total_us?.p50), ms(s => s.total_us?.p99)]}
                lines={[{label: "first token p50", colour: "--accent2", show: time}, {label: "total p50", colour: "--accent", show: time}, {label: "p99", colour: "--warn", show: time}]} />
            <Chart key={since + "tokens"} title="Tokens a minute" xs={xs} ys={[perMinute(s => s.input), perMinute(s => s.output)]}
                lines={[{label: "input", colour: "--accent2", show: rate}, {label: "output", colour: "--accent", show: rate}]} />
            <Chart key={since + "cost"} title="Cost a minute, $" xs={xs} ys={[perMinute(s => Number(s.cost))]}
                lines={[{label: "cost", colour: "--good", show: v => money({amount: String(v), currency: "USD"})}]} />
        </section>}
        {all.data && !group && <p class="note">No call in the last {window.title}.</p>}
        <Groups title="By model" groups={models.data?.groups ?? []} by="model" />
        <Groups title="By key" groups={keys.data?.groups ?? []} by="key" />
    </>;
}

function Now({status: s}: {status: Status}) {
    return <section class="tiles" aria-label="Now">
        <Tile label="under way" value={count(s.calls.open_calls)} note={`up for ${age(s.started)}`} />
        <Tile label="attempts failed" value={count(s.calls.attempts_failed)} note={`of ${count(s.calls.attempts)} since the start`} />
        <Tile label="refused at the door" value={count(s.calls.unauthorized)} note="no valid key" />
        <Tile label="log" value={bytes(s.log.used_bytes)} note={s.log.quota_bytes ? `of ${bytes(s.log.quota_bytes)}` : "no quota"} href={link("topics")} />
    </section>;
}

export function Overview() {
    const since = usePlace().query.get("since") ?? "";
    const chosen = since in WINDOWS ? since : "1h";
    const arrivals = useArrivals("weir.calls", EVERY_MS);
    const status = useLoad(signal => get<Status>("status", {}, signal), [arrivals], AT_LEAST_MS);
    const recent = useLoad(signal => get<CallPage>("calls", {limit: 15}, signal), [arrivals], AT_LEAST_MS);
    const calls = recent.data?.calls;
    if (calls?.length === 0) return <><h1>Overview</h1>{status.data && <Now status={status.data} />}<FirstCall /></>;
    return <>
        <h1>Overview</h1>
        <p role="group" aria-label="Window">{Object.keys(WINDOWS).map(w => <a class="button" aria-current={w === chosen ? "true" : undefined} href={link("overview", "", {since: w})}>{w}</a>)}</p>
        {status.data ? <Now status={status.data} /> : <Problem error={status.error} />}
        {calls && <Window since={chosen} arrivals={arrivals} />}
        <Problem error={recent.error} />
        {calls && <>
            <h2>Newest calls</h2>
            <CallTable calls={calls} />
            <p><a href={link("calls")}>All calls</a></p>
        </>}
    </>;
}
