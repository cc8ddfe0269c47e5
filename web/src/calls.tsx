// The explorer: filters, pages, live.
import { useEffect, useState } from "preact/hooks";
import { get, type Call, type CallPage } from "./api";
import { clock, count, money, us } from "./text";
import { Empty, link, Outcome, Problem, Row, useArrivals, useLoad, usePlace } from "./ui";

export function CallTable({calls}: {calls: Call[]}) {
    return <div class="scroll" tabIndex={0} role="region" aria-label="Calls"><table>
        <thead><tr><th>time</th><th>model</th><th>target</th><th>outcome</th><th class="n">tokens</th><th class="n">first token</th><th class="n">total</th><th class="n">cost</th><th>key</th></tr></thead>
        <tbody>{calls.map(c => <Row key={c.id} href={link("call", c.id)}>
            <td><a href={link("call", c.id)}>{clock(c.time)}</a></td>
            <td>{c.model}{c.endpoint !== "chat" && <small> {c.endpoint}</small>}</td>
            <td class="dim">{c.target && c.target !== c.model ? c.target : ""}{c.attempts.length > 1 && <small> {c.attempts.length} attempts</small>}</td>
            <td><Outcome outcome={c.outcome} status={c.status} /></td>
            <td class="n">{c.usage ? `${count(c.usage.input)} + ${count(c.usage.output)}` : "–"}</td>
            <td class="n">{us(c.timing.first_token_us)}</td>
            <td class="n">{us(c.timing.total_us)}</td>
            <td class="n">{money(c.cost)}</td>
            <td>{c.key}</td>
        </Row>)}</tbody>
    </table></div>;
}

const SAVED = "weir-filters";
const FIELDS = ["q", "model", "target", "status", "key", "user", "min_ms", "since"] as const;
type Filter = Partial<Record<typeof FIELDS[number], string>>;

function saved(): Record<string, string> {
    try { return JSON.parse(localStorage.getItem(SAVED) ?? "{}"); } catch { return {}; }
}

function Filters({filter, live}: {filter: Filter; live: boolean}) {
    const [names, setNames] = useState(saved);
    const go = (change: Record<string, string | undefined>) => { location.hash = link("calls", "", {...filter, live: live ? 1 : undefined, ...change}); };
    const save = () => {
        const name = prompt("A name for this filter");
        if (!name) return;
        const all = {...saved(), [name]: location.hash};
        localStorage.setItem(SAVED, JSON.stringify(all));
        setNames(all);
    };
    return <form class="filters" onSubmit={e => e.preventDefault()} role="search">
        <label>Said <input id="filter" type="search" name="q" value={filter.q ?? ""} placeholder="words in it" onChange={e => go({q: e.currentTarget.value})} /></label>
        <label>Model <input name="model" value={filter.model ?? ""} placeholder="any" onChange={e => go({model: e.currentTarget.value})} /></label>
        <label>Status <input name="status" value={filter.status ?? ""} placeholder="200, 4xx, error …" size={12} onChange={e => go({status: e.currentTarget.value})} /></label>
        <label>Key <input name="key" value={filter.key ?? ""} placeholder="any" size={10} onChange={e => go({key: e.currentTarget.value})} /></label>
        <label>Slower than <input name="min_ms" type="number" min="0" value={filter.min_ms ?? ""} placeholder="ms" onChange={e => go({min_ms: e.currentTarget.value})} /></label>
        <label>Since <select name="since" value={filter.since ?? ""} onChange={e => go({since: e.currentTarget.value})}>
            <option value="">the beginning</option><option value="10m">10 minutes</option><option value="1h">1 hour</option>
            <option value="1d">1 day</option><option value="7d">7 days</option>
        </select></label>
        <label class="check"><input type="checkbox" checked={live} onChange={e => go({live: e.currentTarget.checked ? "1" : undefined})} /> live</label>
        <button type="button" class="quiet" onClick={save}>Save filter</button>
        {Object.keys(names).length > 0 && <label>Saved <select value="" onChange={e => { location.hash = names[e.currentTarget.value]; }}>
            <option value="">choose…</option>{Object.keys(names).map(n => <option>{n}</option>)}
        </select></label>}
    </form>;
}

export function Calls() {
    const {query} = usePlace();
    const filter: Filter = {};
    for (const f of FIELDS) if (query.get(f)) filter[f] = query.get(f)!;
    const live = query.get("live") === "1";
    const arrivals = useArrivals("weir.calls", 500, live);
    const page = useLoad(signal => get<CallPage>("calls", {...filter, limit: 50}, signal), [JSON.stringify(filter), arrivals]);
    const [older, setOlder] = useState<CallPage>();
    const [error, setError] = useState<Error>();
    useEffect(() => setOlder(undefined), [JSON.stringify(filter), live]);
    const next = older ? older.next : page.data?.next;
    const more = () => get<CallPage>("calls", {...filter, limit: 50, cursor: next!}).then(
        p => setOlder({calls: [...(older?.calls ?? []), ...p.calls], next: p.next}), setError);
    const calls = [...(page.data?.calls ?? []), ...(older?.calls ?? [])];
    return <>
        <h1>Calls</h1>
        <Filters filter={filter} live={live} />
        <Problem error={page.error ?? error} />
        {page.data && calls.length === 0
            ? <Empty title="No call matches"><p>{Object.keys(filter).length ? <a href={link("calls")}>Show all calls</a> : <a href={link("playground")}>Make one in the playground</a>}</p></Empty>
            : <CallTable calls={calls} />}
        {next && !live && calls.length > 0 && <p><button onClick={more}>Older calls</button></p>}
    </>;
}
