// A trace: spans of other programs and Weir's own calls on one line of time; and what people said of a call.
import { useState } from "preact/hooks";
import { get, send, type Call, type Score, type Span, type Trace } from "./api";
import { count, us } from "./text";
import { Json, link, Problem, useLoad, usePlace } from "./ui";

// ---- The waterfall ----

interface Bar { id: string; parent?: string; name: string; what: string; from: number; us: number; bad: boolean; call?: string; record: Span | Call; inner: Bar[] }

function bars(trace: Trace): Bar[] {
    const all: Bar[] = [
        ...trace.spans.map(s => ({id: s.span_id, parent: s.parent_span_id, name: s.name, what: [s.service, s.gen_ai?.["gen_ai.operation.name"]].filter(Boolean).join(" · "),
            from: Number(BigInt(s.start_ns) / 1000n), us: s.duration_us, bad: s.status === "error", record: s, inner: []})),
        ...trace.calls.map(c => ({id: c.span_id, parent: c.parent_span_id, name: `${c.endpoint} ${c.model}`, what: `weir · ${c.target ?? "no target"}`, from: Date.parse(c.time) * 1000,
            us: c.timing.total_us, bad: c.outcome === "error", call: c.id, record: c, inner: []})),
    ];
    const by = new Map(all.map(b => [b.id, b]));
    const roots: Bar[] = [];
    // One that names itself, or a circle, is shown all the same.
    const under = (b: Bar, top?: string): boolean => { for (let seen = 0, at = b.parent; at && seen < 64; seen++, at = by.get(at)?.parent) if (at === top) return true; return false; };
    for (const b of all) {
        const parent = b.parent ? by.get(b.parent) : undefined;
        if (parent && parent !== b && !under(parent, b.id)) parent.inner.push(b); else roots.push(b);
    }
    const order = (list: Bar[]) => { list.sort((a, b) => a.from - b.from); list.forEach(b => order(b.inner)); };
    order(roots);
    return roots;
}

export function TraceWaterfall({trace, here}: {trace: Trace; here?: string}) {
    const [open, setOpen] = useState<string>();
    const roots = bars(trace);
    const flat: {bar: Bar; depth: number}[] = [];
    const walk = (list: Bar[], depth: number) => list.forEach(bar => { flat.push({bar, depth}); walk(bar.inner, depth + 1); });
    walk(roots, 0);
    const begin = Math.min(...flat.map(f => f.bar.from));
    const total = Math.max(1, ...flat.map(f => f.bar.from + f.bar.us - begin));
    const shown = flat.find(f => f.bar.id === open)?.bar;
    return <><div class="scroll" tabIndex={0} role="region" aria-label="Trace over time"><table class="waterfall"><tbody>{flat.map(({bar, depth}) =>
        <tr aria-current={bar.call && bar.call === here ? "true" : undefined}>
            <th scope="row" style={{paddingLeft: `${0.6 + Math.min(depth, 12)}rem`}}>
                {bar.call && bar.call !== here ? <a href={link("call", bar.call)}>{bar.name}</a> : <button type="button" class="plain" aria-expanded={open === bar.id} onClick={() => setOpen(open === bar.id ? undefined : bar.id)}>{bar.name}</button>}
                <small> {bar.what}</small>{bar.bad && <small class="bad"> error</small>}</th>
            <td class="track"><span class={`bar ${bar.bad ? "error" : bar.call ? "" : "wait"}`} style={{left: `${(bar.from - begin) / total * 100}%`, width: `${Math.max(0.3, bar.us / total * 100)}%`}} /></td>
            <td class="n">{us(bar.us)}</td>
        </tr>)}</tbody></table></div>
        {shown && <details open><summary>{shown.name}</summary><Json value={shown.record} /></details>}</>;
}

export function TraceView() {
    const {rest: id} = usePlace();
    const {data: t, error} = useLoad(signal => get<Trace>("traces/" + encodeURIComponent(id), {}, signal), [id]);
    if (!t) return <><h1>Trace</h1><Problem error={error} /></>;
    return <>
        <h1>Trace</h1>
        <p class="dim"><code>{t.trace_id}</code> · {count(t.spans.length)} spans, {count(t.calls.length)} calls</p>
        <TraceWaterfall trace={t} />
        <h2>Scores</h2>
        <ScoreTable scores={t.scores} />
    </>;
}

// ---- Scores ----

export function ScoreTable({scores}: {scores: Score[]}) {
    if (!scores.length) return <p class="note">Nobody has judged it yet.</p>;
    return <div class="scroll" tabIndex={0} role="region" aria-label="Scores"><table>
        <thead><tr><th>name</th><th>value</th><th>comment</th><th>source</th><th>key</th><th>time</th></tr></thead>
        <tbody>{scores.map(s => <tr key={s.id}><td>{s.name}</td><td>{String(s.value)}</td><td>{s.comment}</td><td>{s.source}</td><td>{s.key}</td><td class="dim">{new Date(s.time).toLocaleString()}</td></tr>)}</tbody>
    </table></div>;
}

// Thumbs and a comment: a score of its own for each call and key, changed by choosing again.
export function Thumbs({call, onScored}: {call: string; onScored?: (s: Score) => void}) {
    const [value, setValue] = useState<boolean>();
    const [comment, setComment] = useState("");
    const [told, setTold] = useState(false);
    const [error, setError] = useState<Error>();
    const say = async (helpful: boolean, words: string) => {
        setValue(helpful);
        setError(undefined);
        try {
            const score = await send<Score>("POST", "scores", {id: `page-${call}`, call, name: "helpful", value: helpful, source: "user", ...(words.trim() ? {comment: words.trim()} : {})});
            setTold(words.trim() !== "");
            onScored?.(score);
        } catch (e) { setError(e as Error); }
    };
    return <div class="thumbs" role="group" aria-label="Was this helpful?">
        <button type="button" class="quiet" aria-pressed={value === true} onClick={() => void say(true, comment)}>Helpful</button>
        <button type="button" class="quiet" aria-pressed={value === false} onClick={() => void say(false, comment)}>Not helpful</button>
        {value !== undefined && <form onSubmit={e => { e.preventDefault(); void say(value, comment); }}>
            <input aria-label="Comment" placeholder="Why? Enter keeps it" value={comment} onInput={e => { setComment(e.currentTarget.value); setTold(false); }} />
            {told && <small role="status"> kept</small>}</form>}
        <Problem error={error} />
    </div>;
}

// What belongs to a call: the rest of its trace, and its scores.
export function CallTrace({call}: {call: Call}) {
    const [turn, setTurn] = useState(0);
    const {data: t} = useLoad(signal => get<Trace>("traces/" + call.trace_id, {}, signal), [call.trace_id]);
    const {data: scores} = useLoad(signal => get<{scores: Score[]}>("scores", {call: call.id, limit: 100}, signal), [call.id, turn]);
    return <>
        {t && t.spans.length + t.calls.length > 1 && <><h2>Trace</h2><TraceWaterfall trace={t} here={call.id} /></>}
        <h2>Scores</h2>
        <Thumbs call={call.id} onScored={() => setTimeout(() => setTurn(n => n + 1), 600)} />
        {scores && <ScoreTable scores={scores.scores} />}
    </>;
}
