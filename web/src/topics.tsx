// Topics of the log: what there is, its records, and what arrives.
import { useEffect, useState } from "preact/hooks";
import { get, type Lag, type LogRecord, type Topic } from "./api";
import { bytes, clock, count } from "./text";
import { Empty, Json, link, Problem, Row, useFollow, useLoad, usePlace, useTail } from "./ui";

const KEPT = 500;

interface Page { records: LogRecord[]; next: number; end: number }

export function Topics() {
    const {rest} = usePlace();
    return rest ? <TopicView name={rest} /> : <TopicList />;
}

function TopicList() {
    const {data, error} = useLoad(signal => get<{topics: Topic[]}>("topics", {}, signal), [], 3000);
    const sum = (t: Topic, f: (p: Topic["partitions"][number]) => number) => t.partitions.reduce((n, p) => n + f(p), 0);
    return <>
        <h1>Topics</h1>
        <Problem error={error} />
        {data && <div class="scroll" tabIndex={0} role="region" aria-label="Topics"><table>
            <thead><tr><th>topic</th><th class="n">partitions</th><th class="n">records</th><th class="n">bytes</th><th>newest</th><th>durability</th><th>compression</th></tr></thead>
            <tbody>{data.topics.map(t => <Row key={t.name} href={link("topics", t.name)}>
                <td><a href={link("topics", t.name)}>{t.name}</a></td>
                <td class="n">{t.partitions.length}</td>
                <td class="n">{count(sum(t, p => p.end_offset - p.start_offset))}</td>
                <td class="n">{bytes(sum(t, p => p.bytes))}</td>
                <td>{Math.max(...t.partitions.map(p => p.newest_ms)) > 0 ? clock(Math.max(...t.partitions.map(p => p.newest_ms))) : "–"}</td>
                <td>{t.durability}</td><td>{t.compression}</td>
            </Row>)}</tbody>
        </table></div>}
        <Groups />
    </>;
}

// How far consumer groups are behind; of one topic, or of all.
function Groups({topic}: {topic?: string}) {
    const {data} = useLoad(signal => get<{groups: Lag[]}>("groups", {}, signal), [topic], 3000);
    const lags = (data?.groups ?? []).filter(g => !topic || g.topic === topic);
    if (lags.length === 0) return null;
    return <><h2>Consumer groups</h2><div class="scroll" tabIndex={0} role="region" aria-label="Consumer groups"><table>
        <thead><tr><th>group</th>{!topic && <th>topic</th>}<th class="n">partition</th><th class="n">committed</th><th class="n">behind</th></tr></thead>
        <tbody>{lags.map(g => <tr key={g.group + g.topic + g.partition}>
            <td>{g.group}</td>{!topic && <td><a href={link("topics", g.topic)}>{g.topic}</a></td>}
            <td class="n">{g.partition}</td><td class="n">{count(g.committed)}</td><td class="n">{g.behind > 0 ? count(g.behind) : "level"}</td>
        </tr>)}</tbody>
    </table></div></>;
}

function TopicView({name}: {name: string}) {
    const {query} = usePlace();
    const partition = Number(query.get("partition") ?? 0);
    const from = query.get("from");
    const tail = query.get("tail") === "1";
    const topic = useLoad(signal => get<Topic>("topics/" + encodeURIComponent(name), {}, signal), [name], 3000);
    const part = topic.data?.partitions[partition];
    const [page, setRecords] = useState<LogRecord[]>([]);
    const arriving = useTail(name, {partition, latest: KEPT}, KEPT, tail);
    const records = tail ? arriving.records : page;
    const [error, setError] = useState<Error>();
    const [open, setOpen] = useState<number>();
    const follow = useFollow<HTMLDivElement>(tail ? records : null);
    const start = part && !tail ? from ?? String(Math.max(part.start_offset, part.end_offset - 50)) : undefined;

    useEffect(() => {
        if (start === undefined) return;
        const stop = new AbortController();
        setRecords([]);
        setError(undefined);
        get<Page>(`topics/${encodeURIComponent(name)}/records`, {partition, from: start, limit: 50}, stop.signal)
            .then(got => setRecords(got.records), e => { if (!stop.signal.aborted) setError(e); });
        return () => stop.abort();
    }, [name, partition, from, tail, part !== undefined]);

    const at = (change: Record<string, string | number | undefined>) => link("topics", name, {partition: partition || undefined, from: from ?? undefined, tail: tail ? 1 : undefined, ...change});
    return <>
        <h1>{name}</h1>
        <form class="filters" onSubmit={e => e.preventDefault()}>
            {topic.data && topic.data.partitions.length > 1 && <label>Partition <select value={String(partition)} onChange={e => { location.hash = at({partition: e.currentTarget.value, from: undefined}); }}>
                {topic.data.partitions.map(p => <option value={String(p.partition)}>{p.partition}</option>)}</select></label>}
            <label>From <input id="filter" placeholder="offset, time or age (10m)" value={from ?? ""} onChange={e => { location.hash = at({from: e.currentTarget.value, tail: undefined}); }} /></label>
            <label class="check"><input type="checkbox" checked={tail} onChange={e => { location.hash = at({tail: e.currentTarget.checked ? 1 : undefined, from: undefined}); }} /> follow what arrives</label>
            {part && !tail && records.length > 0 && <>
                <a class="button" href={at({from: Math.max(part.start_offset, records[0].offset - 50)})}>Older</a>
                <a class="button" href={at({from: Math.min(part.end_offset, records[records.length - 1].offset + 1)})}>Newer</a></>}
            {part && <span class="dim">offsets {count(part.start_offset)} to {count(part.end_offset)}, {bytes(part.bytes)} in {part.segments} segments</span>}
        </form>
        <Problem error={topic.error ?? error ?? arriving.error} />
        {tail && arriving.skipped > 0 && <p class="note">{count(arriving.skipped)} records came faster than they can be shown, and were left out here.</p>}
        {part && records.length === 0 && (tail ? <p class="note">Waiting for records…</p>
            : <Empty title="No record here"><p>{part.end_offset > part.start_offset ? <a href={at({from: undefined})}>Show the newest</a> : <>Write one: <code>echo hello | weir topic write {name}</code></>}</p></Empty>)}
        {records.length > 0 && <div class="scroll records" tabIndex={0} role="region" aria-label="Records" {...follow}><table>
            <thead><tr><th class="n">offset</th><th>time</th><th>key</th><th>value</th></tr></thead>
            <tbody>{records.map(r => <>
                <tr class="link" key={r.offset} onClick={() => setOpen(open === r.offset ? undefined : r.offset)}>
                    <td class="n"><button class="plain" aria-expanded={open === r.offset}>{r.offset}</button></td>
                    <td>{clock(r.timestamp_ms)}</td><td class="dim short">{r.key}</td>
                    <td class="short">{typeof r.value === "string" ? r.value.slice(0, 300) : JSON.stringify(r.value)?.slice(0, 300)}</td>
                </tr>
                {open === r.offset && <tr><td colSpan={4}><Json value={{headers: r.headers, value: r.value}} /></td></tr>}
            </>)}</tbody>
        </table></div>}
        <Groups topic={name} />
    </>;
}
