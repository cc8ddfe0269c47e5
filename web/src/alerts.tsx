// Alerts: what fires, silence, a test of who is told, and what was told.
import { useState } from "preact/hooks";
import { get, send, type Alert, type Alerts as All, type LogRecord } from "./api";
import { age, clock, count } from "./text";
import { Empty, link, Problem, useArrivals, useLoad } from "./ui";

const EXAMPLE = `notify:
  ops: {webhook: "https://hooks.slack.com/services/…", form: slack}
alerts:
  errors: {when: "error_rate > 5%", over: 5m, by: model, min_calls: 20, to: [ops]}
  spend:  {when: "cost > 10", over: 1d, by: user, to: [ops]}`;

interface Told { recorded: boolean; results: {to: string; ok: boolean; error: string | null; ms: number}[] }

function span(ms: number): string {
    return ms % 86400000 === 0 ? `${ms / 86400000} d` : ms % 3600000 === 0 ? `${ms / 3600000} h` : ms % 60000 === 0 ? `${ms / 60000} min` : `${ms / 1000} s`;
}

// The calls that an alert's group is about.
function callsOf(a: Alert, group: string): string {
    return link("calls", "", {...a.where, ...(a.by ? {[a.by]: group} : {}), since: a.over_ms % 60000 ? `${a.over_ms / 1000}s` : `${a.over_ms / 60000}m`});
}

function Card({alert: a, changed}: {alert: Alert; changed: () => void}) {
    const [busy, setBusy] = useState(false);
    const [error, setError] = useState<Error>();
    const [told, setTold] = useState<Told>();
    const path = "alerts/" + encodeURIComponent(a.name);
    const act = async (what: () => Promise<unknown>) => {
        setBusy(true);
        setError(undefined);
        try { await what(); } catch (e) { setError(e as Error); }
        setBusy(false);
        changed();
    };
    const firing = a.groups.filter(g => g.firing), calm = a.groups.filter(g => !g.firing && a.by);
    const where = Object.entries(a.where).map(([k, v]) => `${k} ${v}`).join(", ");
    return <section class={`alert ${firing.length ? "firing" : ""}`} aria-label={a.name}>
        <header>
            <h2>{a.name} <span class={`badge ${a.silenced_until ? "" : firing.length ? "error" : "ok"}`}>{a.silenced_until ? "silenced" : firing.length ? "firing" : "ok"}</span></h2>
            <p><code>{a.when}</code> <span class="dim">over {span(a.over_ms)}{a.by && `, by ${a.by}`}{where && `, where ${where}`}; tells {a.to.length ? a.to.join(", ") : "nobody, it is shown here and on weir.alerts"}</span></p>
        </header>
        {firing.length > 0 && <ul class="groups">{firing.map(g => <li key={g.group}>
            <strong>{g.shown}</strong> {a.by && <a href={callsOf(a, g.group)}>{g.group}</a>} <span class="dim">for {age(g.since!)}{g.told ? "" : ", nobody was told"}</span></li>)}</ul>}
        {calm.length > 0 && <details><summary>{count(a.group_count - firing.length)} that are well</summary>
            <ul class="groups">{calm.slice(0, 50).map(g => <li key={g.group}><a href={callsOf(a, g.group)}>{g.group}</a> <span class="dim">{g.shown}</span></li>)}</ul></details>}
        <Problem error={error} />
        {told && <div role="status"><ul class="groups">{told.results.map(r => <li key={r.to}>{r.to}: {r.ok ? <span class="badge ok">told in {r.ms} ms</span> : <span class="bad">{r.error}</span>}</li>)}
            {told.results.length === 0 && <li class="dim">It tells nobody; the test is on weir.alerts.</li>}</ul></div>}
        <p class="acts">
            <button class="quiet" disabled={busy} onClick={() => act(async () => setTold(await send<Told>("POST", path + "/test")))}>Send a test</button>{" "}
            {a.silenced_until
                ? <><button class="quiet" disabled={busy} onClick={() => act(() => send("DELETE", path + "/silence"))}>Speak again</button> <span class="dim">quiet until {clock(a.silenced_until)}</span></>
                : ["1h", "1d"].map(s => <><button class="quiet" disabled={busy} onClick={() => act(() => send("POST", `${path}/silence?for=${s}`))}>Silence for {s}</button>{" "}</>)}
        </p>
    </section>;
}

interface Event { kind: string; alert: string; state?: string; time: string; summary?: string; silenced?: boolean; to?: string; error?: string; until?: string | null; actor?: string }

function What({e}: {e: Event}) {
    if (e.kind === "failure") return <><span class="badge error">not told</span> {e.to}: {e.error}</>;
    if (e.kind === "silence") return <><span class="badge">silence</span> {e.until ? `until ${clock(e.until)}` : "ended"}{e.actor && <span class="dim"> by {e.actor}</span>}</>;
    return <><span class={`badge ${e.state === "firing" ? "error" : e.state === "resolved" ? "ok" : ""}`}>{e.state}</span> {e.summary}{e.silenced && <span class="dim"> (silenced)</span>}</>;
}

function History({turn}: {turn: number}) {
    const {data} = useLoad(async signal => {
        const {partitions: [p]} = await get<{partitions: {start_offset: number; end_offset: number}[]}>("topics/weir.alerts", {}, signal);
        return get<{records: LogRecord[]}>("topics/weir.alerts/records", {from: Math.max(p.start_offset, p.end_offset - 50), limit: 50}, signal);
    }, [turn]);
    const events = (data?.records ?? []).slice().reverse();
    if (events.length === 0) return null;
    return <><h2>What happened</h2><div class="scroll" tabIndex={0} role="region" aria-label="What happened"><table>
        <thead><tr><th>time</th><th>alert</th><th>what</th></tr></thead>
        <tbody>{events.map(r => { const e = r.value as Event; return <tr key={r.offset}><td>{clock(e.time)}</td><td>{e.alert}</td><td><What e={e} /></td></tr>; })}</tbody>
    </table></div><p><a href={link("topics", "weir.alerts")}>The topic weir.alerts</a></p></>;
}

export function Alerts() {
    const events = useArrivals("weir.alerts", 300);
    const [turn, setTurn] = useState(0);
    const {data, error} = useLoad(signal => get<All>("alerts", {}, signal), [events, turn], 5000);
    const alerts = (data?.alerts ?? []).slice().sort((a, b) => Number(b.firing) - Number(a.firing));
    return <>
        <h1>Alerts</h1>
        <Problem error={error} />
        {data && alerts.length === 0 && <Empty title="No alert yet">
            <p>Say in <code>weir.yaml</code> what should not happen, and whom to tell; then <code>kill -HUP</code> Weir.</p>
            <pre class="json">{EXAMPLE}</pre>
        </Empty>}
        <div class="alerts">{alerts.map(a => <Card key={a.name} alert={a} changed={() => setTurn(n => n + 1)} />)}</div>
        {data && <History turn={events + turn} />}
    </>;
}
