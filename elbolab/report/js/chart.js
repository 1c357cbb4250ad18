// Small charts as SVG: lines, bars, points; linear or logarithmic axes.
import { element, number, svg } from "./dom.js";

export const COLOURS = ["var(--accent)", "var(--second)", "var(--third)", "#8e5bb5", "#c2185b", "#00838f", "#8d6e63", "#9e9d24", "#5c6bc0", "#e07b00"];

const short = (value) => {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return value.toExponential(0).replace("e+", "e").replace("-", "−").replace("e−", "e−");
  return String(Number(value.toPrecision(3))).replace("-", "−");
};

// Round numbers between two ends, about `many` of them; powers of ten on a logarithmic axis.
export function ticks(low, high, many = 5, log = false) {
  if (log) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const factor of high / low < 100 ? [1, 2, 5] : [1]) found.push(factor * 10 ** power);
    const inside = found.filter((value) => value >= low * 0.999 && value <= high * 1.001);
    const every = Math.ceil(inside.length / many);
    return inside.filter((_, i) => i % every === 0);
  }
  const raw = (high - low) / many || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return found;
}

export class Plot {
  // A frame with axes; `x` and `y` are {low, high, label, log}.
  constructor({ width = 420, height = 260, x, y, label }) {
    const left = 56;
    this.box = { left, right: width - 12, top: 10, bottom: height - 40 };
    this.axes = { x: this.widened(x), y: this.widened(y) };
    this.svg = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    const { right, top, bottom } = this.box;
    const across = ticks(this.axes.x.low, this.axes.x.high, 5, x.log);
    for (const value of x.whole ? across.filter(Number.isInteger) : across) {
      const at = this.x(value);
      this.add("line", { x1: at, x2: at, y1: top, y2: bottom, class: "grid" });
      this.text(short(value), at, bottom + 15, "middle");
    }
    for (const value of y.bare ? [] : ticks(this.axes.y.low, this.axes.y.high, 5, y.log)) {
      const at = this.y(value);
      this.add("line", { x1: left, x2: right, y1: at, y2: at, class: "grid" });
      this.text(short(value), left - 6, at + 4, "end");
    }
    this.add("path", { d: `M${left} ${top}V${bottom}H${right}`, class: "axis" });
    this.text(x.label, (left + right) / 2, height - 6, "middle", "title");
    const name = this.text(y.label, 12, (top + bottom) / 2, "middle", "title");
    name.setAttribute("transform", `rotate(-90 12 ${(top + bottom) / 2})`);
  }

  widened({ low, high, log = false }) {
    if (!(high > low)) return log ? { low: low / 2, high: low * 2, log } : { low: low - 1, high: low + 1, log };
    const room = 0.04;
    if (log) return { low: low * (low / high) ** room, high: high * (high / low) ** room, log };
    return { low: low - room * (high - low), high: high + room * (high - low), log };
  }

  place(value, { low, high, log }) {
    return log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  }

  x(value) {
    return this.box.left + this.place(value, this.axes.x) * (this.box.right - this.box.left);
  }

  y(value) {
    return this.box.bottom - this.place(value, this.axes.y) * (this.box.bottom - this.box.top);
  }

  add(tag, attributes, ...children) {
    const node = svg(tag, attributes, ...children);
    this.svg.append(node);
    return node;
  }

  text(content, x, y, anchor = "start", kind = null) {
    return this.add("text", { x, y, "text-anchor": anchor, class: kind }, content);
  }

  line(xs, ys, colour, attributes = {}) {
    let open = false;
    let path = "";
    xs.forEach((x, i) => {
      if (ys[i] === null || !Number.isFinite(ys[i])) open = false;
      else {
        path += `${open ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(ys[i]).toFixed(1)}`;
        open = true;
      }
    });
    if (path) this.add("path", { d: path, fill: "none", stroke: colour, "stroke-width": 2, ...attributes });
    if (xs.length === 1 && path) this.dot(xs[0], ys[0], colour);
  }

  dot(x, y, colour, attributes = {}, ...children) {
    return this.add("circle", { cx: this.x(x).toFixed(1), cy: this.y(y).toFixed(1), r: 3.5, fill: colour, ...attributes }, ...children);
  }
}

export function legend(names, colours = COLOURS) {
  return element("ul", { class: "legend" }, ...names.map((name, i) => element("li", {}, element("span", { class: "key", style: `background:${colours[i % colours.length]}` }), name)));
}

export function range(values) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  return known.length ? { low: Math.min(...known), high: Math.max(...known) } : { low: 0, high: 1 };
}

export function lines(host, { x, xLabel, yLabel, series, label }) {
  const y = range(series.flatMap((one) => one.values));
  const plot = new Plot({ x: { ...range(x), label: xLabel, whole: true }, y: { ...y, label: yLabel }, label });
  series.forEach((one, i) => plot.line(x, one.values, COLOURS[i], one.dashed ? { "stroke-dasharray": "5 4" } : {}));
  host.replaceChildren(plot.svg, legend(series.map((one) => one.name)));
}

export function bars(host, { values, labels, xLabel, yLabel, label, colour = COLOURS[0] }) {
  const top = Math.max(...values.filter(Number.isFinite), 1e-9);
  const plot = new Plot({ x: { low: 0.5, high: values.length + 0.5, label: xLabel, whole: true }, y: { low: Math.min(0, ...values), high: top, label: yLabel }, label });
  const width = Math.max(1, (0.8 * (plot.box.right - plot.box.left)) / values.length);
  values.forEach((value, i) => {
    if (!Number.isFinite(value)) return;
    const [a, b] = [plot.y(Math.max(value, 0)), plot.y(Math.min(value, 0))];
    plot.add("rect", { x: plot.x(i + 1) - width / 2, y: a, width, height: Math.max(0, b - a), fill: colour }, svg("title", {}, `${labels ? labels[i] : i + 1}: ${number(value)}`));
  });
  host.replaceChildren(plot.svg);
}
