// Numbers and times for people.
export function us(value: number | null | undefined): string {
    if (value == null) return "–";
    if (value < 1000) return `${value} µs`;
    if (value < 1e6) return `${(value / 1000).toFixed(value < 1e4 ? 2 : value < 1e5 ? 1 : 0)} ms`;
    return `${(value / 1e6).toFixed(2)} s`;
}
export function count(value: number | null | undefined): string { return value == null ? "–" : value.toLocaleString("en-US"); }
export function bytes(value: number): string {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
    return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}
export function money(cost: {amount: string; currency: string} | null): string {
    if (!cost) return "–";
    return cost.currency === "USD" ? "$" + plain(Number(cost.amount)) : `${plain(Number(cost.amount))} ${cost.currency}`;
}
// Two digits that count, without an exponent.
function plain(value: number): string {
    return value === 0 ? "0" : value >= 0.01 ? value.toFixed(2) : value.toFixed(Math.min(15, 1 - Math.floor(Math.log10(value))));
}
export function clock(time: string | number): string {
    const t = new Date(time);
    const today = t.toDateString() === new Date().toDateString();
    return (today ? "" : t.toLocaleDateString("en-CA") + " ") + t.toLocaleTimeString("en-GB");
}
export function age(time: string | number): string {
    const s = Math.max(0, (Date.now() - new Date(time).getTime()) / 1000);
    return s < 60 ? `${Math.floor(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}
