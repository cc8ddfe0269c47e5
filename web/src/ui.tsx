// What every view is built of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Failure, follow, type LogRecord } from "./api";

// ---- Where we are: #/view/rest?name=value, so that every state is a link ----

export interface Place { view: string; rest: string; query: URLSearchParams }

function place(): Place {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [view, ...rest] = path.split("/");
    return {view: view || "overview", rest: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query)};
}
export function link(view: string, rest = "", query: Record<string, string | number | undefined | null> = {}): string {
    const words = Object.entries(query).filter(([, v]) => v != null && v !== "").map(([k, v]) => `${k}=${encodeURIComponent(v!)}`);
    return `#/${view}${rest ? "/" + encodeURIComponent(rest) : ""}${words.length ? "?" + words.join("&") : ""}`;
}
export function usePlace(): Place {
    const [now, set] = useState(place);
    useEffect(() => {
        const on = () => set(place());
        addEventListener("hashchange", on);
        return () => removeEventListener("hashchange", on);
    }, []);
    return now;
}

// ---- Data ----

export interface Loaded<T> { data?: T; error?: Error }

// Loads when `deps` change, and every `everyMs` while the tab is in sight. Old data stays until new data is there.
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[], everyMs = 0): Loaded<T> {
    const [state, set] = useState<Loaded<T>>({});
    const [turn, setTurn] = useState(0);
    useEffect(() => {
        const stop = new AbortController();
        load(stop.signal).then(data => set({data}), error => {
            if (!stop.signal.aborted) set(old => ({...old, error}));
        });
        return () => stop.abort();
    }, [...deps, turn]);
    useEffect(() => {
        if (!everyMs) return;
        const timer = setInterval(() => { if (!document.hidden) setTurn(n => n + 1); }, everyMs);
        return () => clearInterval(timer);
    }, [everyMs]);
    return state;
}

// A number that grows when records arrive on a topic, at most once in everyMs: for `deps` of useLoad. The tab must be in sight.
export function useArrivals(topic: string, everyMs: number, on = true): number {
    const [turn, setTurn] = useState(0);
    useEffect(() => {
        if (!on) return;
        const stop = new AbortController();
        let timer = 0, last = 0;
        const arrived = () => {
            if (timer || document.hidden) return;
            timer = setTimeout(() => { timer = 0; last = Date.now(); setTurn(n => n + 1); }, Math.max(0, last + everyMs - Date.now()));
        };
        const seen = () => { if (!document.hidden) arrived(); };
        addEventListener("visibilitychange", seen);
        follow(topic, {bodies: 0, latest: 1}, arrived, stop.signal, arrived).catch(() => { /* not for this key: what was loaded stays */ });
        return () => { stop.abort(); clearTimeout(timer); removeEventListener("visibilitychange", seen); };
    }, [topic, everyMs, on]);
    return turn;
}

// The newest records of a topic, oldest first.
export function useTail(topic: string, query: Record<string, string | number>, kept: number, on: boolean): {records: LogRecord[]; skipped: number; error?: Error} {
    const [state, set] = useState<{records: LogRecord[]; skipped: number; error?: Error}>({records: [], skipped: 0});
    useEffect(() => {
        set({records: [], skipped: 0});
        if (!on) return;
        const stop = new AbortController();
        let waiting: LogRecord[] = [], skipped = 0, timer = 0;
        const show = () => {
            timer = 0;
            const more = waiting.splice(0), left = skipped;
            skipped = 0;
            set(old => ({records: [...old.records, ...more].slice(-kept), skipped: old.skipped + left}));
        };
        const soon = () => { timer ||= setTimeout(show, 100); };
        follow(topic, query, r => { waiting.push(r); soon(); }, stop.signal, n => { skipped += n; soon(); })
            .catch(error => set(old => ({...old, error})));
        return () => { stop.abort(); clearTimeout(timer); };
    }, [topic, JSON.stringify(query), on]);
    return state;
}

// Changes when the page's colours do.
export function useScheme(): string {
    const now = () => document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    const [scheme, set] = useState(now);
    useEffect(() => {
        const on = () => set(now());
        const media = matchMedia("(prefers-color-scheme: dark)");
        const watch = new MutationObserver(on);
        media.addEventListener("change", on);
        watch.observe(document.documentElement, {attributeFilter: ["data-theme"]});
        return () => { media.removeEventListener("change", on); watch.disconnect(); };
    }, []);
    return scheme;
}

// ---- Parts ----

export function Problem({error}: {error: Error | undefined}) {
    if (!error) return null;
    const denied = error instanceof Failure && error.status === 403;
    return <p class={denied ? "note" : "problem"} role="alert">{denied ? "This needs an admin key: " : ""}{error.message}</p>;
}

export function Empty({title, children}: {title: string; children?: ComponentChildren}) {
    return <div class="empty"><h2>{title}</h2>{children}</div>;
}

export function Tile({label, value, note, href}: {label: string; value: ComponentChildren; note?: ComponentChildren; href?: string}) {
    const inside = <><span class="label">{label}</span><strong>{value}</strong>{note && <small>{note}</small>}</>;
    return href ? <a class="tile" href={href}>{inside}</a> : <div class="tile">{inside}</div>;
}

export function Outcome({outcome, status}: {outcome: string; status: number}) {
    return <span class={`badge ${outcome}`} title={`HTTP ${status}`}>{outcome === "ok" ? "ok" : `${outcome} ${status}`}</span>;
}

export function Copy({text, label = "Copy"}: {text: string; label?: string}) {
    const [done, set] = useState(false);
    return <button class="quiet" onClick={() => navigator.clipboard.writeText(text).then(() => { set(true); setTimeout(() => set(false), 1500); })}>
        {done ? "Copied" : label}</button>;
}

export function Json({value}: {value: unknown}) {
    return <pre class="json" tabIndex={0}>{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>;
}

// A row that is opened by a click or by Enter; its first cell holds the real link.
export function Row({href, children}: {href: string; children: ComponentChildren}) {
    return <tr class="link" onClick={event => { if (!(event.target as Element).closest("a")) location.hash = href; }}>{children}</tr>;
}

// Scrolls along with what is added, unless its reader has scrolled away.
export function useFollow<T extends HTMLElement>(what: unknown) {
    const box = useRef<T>(null);
    const following = useRef(true);
    useEffect(() => { if (following.current && box.current) box.current.scrollTop = box.current.scrollHeight; }, [what]);
    const onScroll = () => {
        const b = box.current!;
        following.current = b.scrollHeight - b.scrollTop - b.clientHeight < 40;
    };
    return {ref: box, onScroll};
}
