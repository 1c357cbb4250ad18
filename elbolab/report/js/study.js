// The page of a study of gradient estimators.
import { arraysOf, dataOf } from "./bytes.js";
import { COLOURS, Plot, legend, range } from "./chart.js";
import { element, find, number, replace, svg, trouble } from "./dom.js";

const COLUMNS = [
  ["family", "estimator"],
  ["particles", "K"],
  ["bound", "bound"],
  ["unbiased", "unbiased"],
  ["bias_z", "bias, max |z|"],
  ["variance_model", "variance, model"],
  ["variance_guide", "variance, guide"],
  ["snr_model", "SNR, model"],
  ["snr_guide", "SNR, guide"],
  ["evaluations", "evaluations"],
  ["milliseconds", "ms"],
  ["variance_evaluations", "variance × evaluations"],
  ["variance_milliseconds", "variance × ms"],
];
const WORDS = new Set(["family", "bound", "unbiased"]);

const state = { point: 0, particles: 0, sort: "variance_evaluations", down: false };
let data, arrays, families, counts;

const results = () => data.points[state.point].results;
const chosen = () => results().filter((r) => r.particles === counts[state.particles]);
const colour = (r) => COLOURS[families.indexOf(r.family) % COLOURS.length];

// Missing numbers come last, whichever way the others go.
export function sorted(rows, key, down) {
  return [...rows].sort((a, b) => {
    const [x, y] = [a[key], b[key]];
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "string" ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  });
}

function table() {
  const head = element("tr", {}, ...COLUMNS.map(([key, name]) => {
    const active = state.sort === key;
    const button = element("button", { type: "button", class: "sort", click: () => {
      Object.assign(state, { sort: key, down: active && !state.down });
      table();
      find("table").querySelector(`th[data-key="${key}"] button`).focus();
    } }, name + (active ? (state.down ? " ▼" : " ▲") : ""));
    return element("th", { scope: "col", "data-key": key, class: WORDS.has(key) ? null : "number", "aria-sort": active ? (state.down ? "descending" : "ascending") : "none" }, button);
  }));
  const body = sorted(results(), state.sort, state.down).map((r) =>
    element("tr", {}, ...COLUMNS.map(([key]) => {
      const value = r[key];
      const text = value === null ? "–" : key === "unbiased" ? (value ? "yes" : "no") : typeof value === "number" ? number(value, 3) : value;
      const said = key === "bias_z" && r.biased ? `${text} biased` : text;
      return element(key === "family" ? "th" : "td", { scope: key === "family" ? "row" : null, class: (WORDS.has(key) ? "plain" : "number") + (key === "bias_z" && r.biased ? " fails" : "") }, said);
    })),
  );
  replace("table", element("thead", {}, head), element("tbody", {}, ...body));
}

function points(r) {
  const { draws, middle } = r.cloud;
  const values = arrays[draws].data;
  return Array.from({ length: values.length / 2 }, (_, i) => [middle[0] + values[2 * i], middle[1] + values[2 * i + 1]]);
}

// Wide enough for most of the draws of most estimators: the noisiest would squeeze the others into a point.
function window(rows, k) {
  const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.round(share * (values.length - 1))];
  const along = rows.map((r) => points(r).map((p) => p[k]));
  const middle = quantile(along.map((values) => quantile(values, 0.5)), 0.5);
  const spreads = along.map((values) => quantile(values.map((value) => Math.abs(value - middle)), 0.97));
  const marks = rows.flatMap((r) => (r.cloud.mark.length ? [Math.abs(r.cloud.mark[k] - middle)] : []));
  const reach = Math.max(quantile(spreads, 0.7), ...marks, 1e-12);
  return { low: middle - reach, high: middle + reach };
}

function clouds() {
  const rows = chosen();
  if (!rows.length) {
    replace("cloud-panels", element("p", { class: "note" }, "No estimator was studied here."));
    return;
  }
  const [x, y] = rows[0].cloud.coordinates;
  const [across, up] = [window(rows, 0), window(rows, 1)];
  const panels = rows.map((r) => {
    const plot = new Plot({ width: 320, height: 260, x: { ...across, label: "" }, y: { ...up, label: "" }, label: `cloud of gradients of ${r.label}` });
    const inside = points(r).filter(([u, v]) => u >= plot.axes.x.low && u <= plot.axes.x.high && v >= plot.axes.y.low && v <= plot.axes.y.high);
    const path = inside.map(([u, v]) => `M${plot.x(u).toFixed(1)} ${plot.y(v).toFixed(1)}h0`).join("");
    if (path) plot.add("path", { d: path, stroke: colour(r), "stroke-width": 3, "stroke-linecap": "round", opacity: 0.5, fill: "none" });
    const all = arrays[r.cloud.draws].data.length / 2;
    if (r.cloud.mark.length && r.cloud.mark.every(Number.isFinite)) {
      const [u, v] = [plot.x(r.cloud.mark[0]), plot.y(r.cloud.mark[1])];
      plot.add("path", { d: `M${u - 9} ${v}H${u + 9}M${u} ${v - 9}V${v + 9}`, stroke: "var(--text)", "stroke-width": 2.5 });
    }
    const outside = all - inside.length;
    const note = `${r.bound}${r.unbiased ? "" : ", not unbiased"}; variance ${number(r.variance, 3)}${outside ? `; ${outside} of ${all} draws lie outside` : ""}`;
    return element("figure", { class: "panel" }, element("h3", {}, r.label), plot.svg, element("figcaption", {}, note));
  });
  const { exact, mark } = rows[0].cloud;
  const cross = mark.length ? (exact ? "The cross is the exact gradient." : "The cross is the mean of the least noisy other estimator that is unbiased for the same bound.") : "There is nothing to hold the means against.";
  find("clouds-text").textContent = `One dot is one gradient, in the two coordinates that vary most: ${x} across, ${y} up (nats per datum). ${cross}` + (data.every > 1 ? ` One draw of ${data.every} is shown.` : "");
  replace("cloud-panels", ...panels);
}

const tip = element("div", { class: "tip", role: "status", hidden: true });

function tell(target, text) {
  const show = () => {
    const box = target.getBoundingClientRect();
    tip.textContent = text;
    tip.hidden = false;
    tip.style.left = `${Math.max(4, Math.min(box.x + 14, document.documentElement.clientWidth - tip.offsetWidth - 6))}px`;
    tip.style.top = `${box.y + 16}px`;
  };
  for (const name of ["pointerenter", "focus"]) target.addEventListener(name, show);
  for (const name of ["pointerleave", "blur"]) target.addEventListener(name, () => (tip.hidden = true));
}

function cost() {
  const kind = find("cost-kind").value;
  const rows = results().filter((r) => r.variance > 0 && r[kind] > 0);
  if (!rows.length) return replace("cost-plot", element("p", { class: "note" }, "No estimator varies here."));
  const plot = new Plot({ width: 680, height: 420, x: { ...range(rows.map((r) => r[kind])), log: true, label: kind === "evaluations" ? "decoder evaluations" : "milliseconds" }, y: { ...range(rows.map((r) => r.variance)), log: true, label: "variance, all parameters (nats²)" }, label: "variance against cost, logarithmic axes" });
  const { x, y } = plot.axes;
  for (let power = Math.floor(Math.log10(x.low * y.low)); power <= Math.ceil(Math.log10(x.high * y.high)); power++) {
    const [left, right] = [Math.max(x.low, 10 ** power / y.high), Math.min(x.high, 10 ** power / y.low)];
    if (left < right) plot.line([left, right], [10 ** power / left, 10 ** power / right], "var(--quiet)", { "stroke-width": 0.7, "stroke-dasharray": "2 4" });
  }
  for (const name of families) {
    const own = rows.filter((r) => r.family === name).sort((a, b) => a.particles - b.particles);
    if (own.length > 1) plot.line(own.map((r) => r[kind]), own.map((r) => r.variance), colour(own[0]), { "stroke-width": 1 });
    for (const r of own) {
      const text = `${r.label}\n${r.bound}${r.unbiased ? "" : ", not unbiased"}\nvariance ${number(r.variance, 3)}, ${number(r[kind], 3)} ${kind}\nproduct ${number(r.variance * r[kind], 3)}`;
      const dot = plot.dot(r[kind], r.variance, colour(r), { r: 4.5 + counts.indexOf(r.particles), tabindex: 0, role: "img", "aria-label": text.replaceAll("\n", "; "), "fill-opacity": r.unbiased ? 1 : 0.35, stroke: colour(r) });
      tell(dot, text);
    }
  }
  return replace("cost-plot", plot.svg, legend(families), element("p", { class: "note" }, "Larger dots have more particles; pale ones are not unbiased for their bound."));
}

function along() {
  const k = counts[state.particles];
  const series = families.map((name) => data.points.map((point) => point.results.find((r) => r.family === name && r.particles === k)?.variance ?? null));
  const positive = series.flat().filter((value) => value > 0);
  if (positive.length) {
    const plot = new Plot({ x: { low: 0, high: Math.max(1, data.points.length - 1), label: "point of training (first to last)" }, y: { ...range(positive), log: true, label: "variance (nats²)" }, label: `variance at ${data.points.length} points of training` });
    series.forEach((values, i) => {
      const kept = values.map((value) => (value > 0 ? value : null));
      plot.line(kept.map((_, j) => j), kept, COLOURS[i % COLOURS.length]);
      kept.forEach((value, j) => value && plot.dot(j, value, COLOURS[i % COLOURS.length], { r: 3 }, svg("title", {}, `${families[i]}, ${data.points[j].name}: ${number(value, 3)}`)));
    });
    replace("along", plot.svg, legend(families));
  }
  const own = families.map((name) => counts.map((count) => results().find((r) => r.family === name && r.particles === count)?.snr_guide ?? null));
  const ratios = own.flat().filter((value) => value > 0);
  if (!ratios.length) return replace("snr", element("p", { class: "note" }, "There is no ratio here."));
  const plot = new Plot({ x: { ...range(counts), log: true, label: "particles K" }, y: { ...range(ratios), log: true, label: "SNR" }, label: "signal-to-noise ratio against particles" });
  own.forEach((values, i) => {
    plot.line(counts, values.map((value) => (value > 0 ? value : null)), COLOURS[i % COLOURS.length]);
    values.forEach((value, j) => value > 0 && plot.dot(counts[j], value, COLOURS[i % COLOURS.length], { r: 3 }, svg("title", {}, `${families[i]}, K = ${counts[j]}: ${number(value, 3)}`)));
  });
  return replace("snr", plot.svg, legend(families));
}

function all() {
  find("point-name").textContent = data.points[state.point].name;
  find("particles-name").textContent = `K = ${counts[state.particles]}`;
  for (const part of [table, clouds, cost, along]) part();
}

async function start() {
  data = await dataOf(find("data").textContent);
  arrays = await arraysOf(find("constants").textContent, data.constants);
  const every = data.points.flatMap((point) => point.results);
  families = [...new Set(every.map((r) => r.family))];
  counts = [...new Set(every.map((r) => r.particles))].sort((a, b) => a - b);
  document.body.append(tip);
  for (const [id, last, key] of [["point", data.points.length - 1, "point"], ["particles", counts.length - 1, "particles"]]) {
    Object.assign(find(id), { max: last, value: last, disabled: last === 0 });
    state[key] = last;
    find(id).addEventListener("input", () => {
      state[key] = Number(find(id).value);
      all();
    });
  }
  find("cost-kind").addEventListener("change", cost);
  all();
  document.body.dataset.ready = "yes";
}

start().catch((error) => trouble(`The study in this page cannot be shown: ${error.message}`));
