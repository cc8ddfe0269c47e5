import { get, type Model, type Status } from "./api";
import { bytes, count } from "./text";
import { Empty, link, Problem, useLoad } from "./ui";

export function Models() {
    const models = useLoad(signal => get<{models: Model[]}>("models", {}, signal), [], 3000);
    const status = useLoad(signal => get<Status>("status", {}, signal), []);
    const all = models.data?.models ?? [];
    const local = all.filter(m => m.kind === "local"), aliases = all.filter(m => m.kind === "alias");
    return <>
        <h1>Models</h1>
        <Problem error={models.error} />
        <h2>Inside Weir</h2>
        {models.data && local.length === 0 && <Empty title="No model inside"><p>Put a GGUF file into the models folder; it appears here under its name.</p></Empty>}
        {local.length > 0 && <div class="scroll" tabIndex={0} role="region" aria-label="Local models"><table>
            <thead><tr><th>model</th><th>state</th><th class="n">size</th><th class="n">context</th><th class="n">under way</th><th class="n">loaded in</th><td /></tr></thead>
            <tbody>{local.map(m => <tr key={m.id}>
                <td>{m.id}</td><td><span class={`badge ${m.state}`}>{m.state}</span>{m.reason && <small class="bad"> {m.reason}</small>}</td>
                <td class="n">{bytes(m.size_bytes ?? 0)}</td><td class="n">{m.context_tokens ? `${count(m.context_tokens)} tokens` : "–"}</td>
                <td class="n">{count(m.uses)}</td><td class="n">{m.load_ms ? `${count(m.load_ms)} ms` : "–"}</td>
                <td><a href={link("playground", "", {model: m.id})}>try</a></td>
            </tr>)}</tbody>
        </table></div>}
        {aliases.length > 0 && <><h2>Aliases</h2><div class="scroll" tabIndex={0} role="region" aria-label="Aliases"><table>
            <thead><tr><th>name</th><th>goes to</th><td /></tr></thead>
            <tbody>{aliases.map(m => <tr key={m.id}><td>{m.id}</td><td>{m.targets?.join(" → ")}</td><td><a href={link("playground", "", {model: m.id})}>try</a></td></tr>)}</tbody>
        </table></div></>}
        {status.data && status.data.providers.length > 0 && <><h2>Providers</h2><div class="scroll" tabIndex={0} role="region" aria-label="Providers"><table>
            <thead><tr><th>name</th><th>speaks</th><th>address</th><td /></tr></thead>
            <tbody>{status.data.providers.map(p => <tr key={p.name}><td>{p.name}</td><td>{p.api}</td><td class="dim">{p.url}</td><td>{p.left_out ? <span class="bad">left out: {p.left_out}</span> : <span class="badge ok">in use</span>}</td></tr>)}</tbody>
        </table></div></>}
    </>;
}
