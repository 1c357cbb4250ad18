// A plane through the latent space: the test data, the prior, q(z|x), and the point z that is dragged.
import { COLOURS, legend, ticks } from "./chart.js";
import { find, options, svg } from "./dom.js";

const SIZE = 320;
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

// Half axes and angle of the ellipse of one standard deviation.
export function ellipse([xx, xy, yy]) {
  const [middle, half] = [(xx + yy) / 2, Math.hypot((xx - yy) / 2, xy)];
  return { long: Math.sqrt(Math.max(0, middle + half)), wide: Math.sqrt(Math.max(0, middle - half)), angle: Math.atan2(xy, (xx - yy) / 2) / 2 };
}

// z with its coordinates along a and b moved to u and v, and nothing else.
export function moved(z, [a, b], [u, v]) {
  const c = dot(a, b);
  const [du, dv] = [u - dot(a, z), v - dot(b, z)];
  const [alpha, beta] = [(du - c * dv) / (1 - c * c), (dv - c * du) / (1 - c * c)];
  return Float64Array.from(z, (value, i) => value + alpha * a[i] + beta * b[i]);
}

export class Pad {
  constructor(machine, { changed, standard }) {
    [this.machine, this.changed, this.standard] = [machine, changed, standard];
    const { latent } = machine.data;
    const directions = machine.array("directions").data;
    const shown = Math.min(directions.length / latent, latent, 10);
    this.names = [...Array.from({ length: shown }, (_, i) => `principal direction ${i + 1}`), ...Array.from({ length: latent }, (_, i) => `latent ${i + 1}`)];
    this.vectors = this.names.map((_, i) => (i < shown ? directions.slice(i * latent, (i + 1) * latent) : Float64Array.from({ length: latent }, (__, j) => (j === i - shown ? 1 : 0))));
    this.axes = [0, 1];
    this.svg = svg("svg", { class: "pad", viewBox: `0 0 ${SIZE} ${SIZE}`, tabindex: 0, role: "application", "aria-label": "the plane of two latents; arrow keys move z" });
    this.back = svg("g");
    this.ellipses = svg("g");
    this.cloud = svg("g");
    this.handle = svg("circle", { class: "handle", r: 8 });
    this.svg.append(this.cloud, this.ellipses, this.handle);
    // What stands still is a picture of its own, which is not painted again while the point above it moves.
    const under = svg("svg", { class: "under", viewBox: `0 0 ${SIZE} ${SIZE}`, "aria-hidden": "true" }, this.back);
    find("pad").replaceChildren(under, this.svg);
    ["across", "up"].forEach((id, k) => {
      options(find(id), this.names, this.axes[k]);
      find(id).addEventListener("change", () => this.turn(k, Number(find(id).value)));
    });
    this.svg.addEventListener("pointerdown", (event) => {
      this.svg.setPointerCapture(event.pointerId);
      this.drag(event);
    });
    this.svg.addEventListener("pointermove", (event) => event.buttons && this.drag(event));
    this.svg.addEventListener("keydown", (event) => this.key(event));
    this.z = new Float64Array(latent);
    this.draw();
  }

  turn(k, axis) {
    if (this.axes[1 - k] === axis) {
      this.axes[1 - k] = this.axes[k];
      find(k ? "across" : "up").value = this.axes[1 - k];
    }
    this.axes[k] = axis;
    this.draw();
    this.show(this.z);
    if (this.posterior) this.showPosterior(this.posterior);
  }

  plane() {
    return this.axes.map((axis) => this.vectors[axis]);
  }

  project(z) {
    return this.plane().map((vector) => dot(vector, z));
  }

  px(u) {
    return SIZE / 2 + ((u - this.middle[0]) / this.reach) * (SIZE / 2);
  }

  py(v) {
    return SIZE / 2 - ((v - this.middle[1]) / this.reach) * (SIZE / 2);
  }

  // What stands still while z moves.
  draw() {
    const { latent, dotLabels } = this.machine.data;
    const dots = this.machine.array("dots").data.map((value) => value / this.machine.data.perUnit);
    const points = Array.from({ length: dots.length / latent }, (_, i) => this.project(dots.slice(i * latent, (i + 1) * latent)));
    this.middle = this.standard ? [0, 0] : [0, 1].map((k) => points.reduce((sum, point) => sum + point[k], 0) / points.length);
    const far = points.map((point) => Math.max(...point.map((value, k) => Math.abs(value - this.middle[k])))).sort((a, b) => a - b);
    this.reach = 1.15 * Math.max(this.standard ? 3 : 0.5, far[Math.floor(0.99 * (far.length - 1))]);
    this.back.replaceChildren();
    const labels = dotLabels ? [...new Set(dotLabels)].sort((a, b) => a - b) : [];
    for (const value of ticks(this.middle[0] - this.reach, this.middle[0] + this.reach, 4)) this.back.append(svg("text", { x: this.px(value), y: SIZE - 4, "text-anchor": "middle" }, String(Number(value.toPrecision(3)))));
    for (const value of ticks(this.middle[1] - this.reach, this.middle[1] + this.reach, 4)) this.back.append(svg("text", { x: 3, y: this.py(value) + 4 }, String(Number(value.toPrecision(3)))));
    if (this.standard) for (const radius of [1, 2]) this.back.append(svg("circle", { cx: this.px(0), cy: this.py(0), r: (radius / this.reach) * (SIZE / 2), fill: "none", stroke: "var(--quiet)", "stroke-dasharray": "4 4" }));
    points.forEach(([u, v], i) => this.back.append(svg("circle", { cx: this.px(u).toFixed(1), cy: this.py(v).toFixed(1), r: 2.2, fill: dotLabels ? COLOURS[labels.indexOf(dotLabels[i]) % COLOURS.length] : "var(--quiet)", opacity: 0.65 })));
    find("pad-legend").replaceChildren(...(labels.length > 1 && labels.length <= 20 ? legend(labels.map((label) => `label ${label}`)).childNodes : []));
  }

  show(z) {
    this.z = z;
    const [u, v] = this.project(z);
    this.handle.setAttribute("cx", Math.min(SIZE, Math.max(0, this.px(u))));
    this.handle.setAttribute("cy", Math.min(SIZE, Math.max(0, this.py(v))));
  }

  // Mean and covariance of q(z|x), or draws of it.
  showPosterior(posterior) {
    this.posterior = posterior;
    this.ellipses.replaceChildren();
    this.cloud.replaceChildren();
    const [a, b] = this.plane();
    if (posterior.mean && !posterior.mean.every(Number.isFinite)) return;
    if (posterior.covariance) {
      const { mean, covariance } = posterior;
      const n = mean.length;
      const form = (p, q) => p.reduce((sum, value, i) => sum + (value ? value * q.reduce((inner, other, j) => inner + other * covariance[i * n + j], 0) : 0), 0);
      const { long, wide, angle } = ellipse([form(a, a), form(a, b), form(b, b)]);
      const [x, y] = [this.px(dot(a, mean)), this.py(dot(b, mean))];
      const unit = SIZE / 2 / this.reach;
      for (const k of [1, 2]) this.ellipses.append(svg("ellipse", { cx: x, cy: y, rx: Math.max(1, k * long * unit), ry: Math.max(1, k * wide * unit), transform: `rotate(${(-angle * 180) / Math.PI} ${x} ${y})`, fill: "var(--wrong)", "fill-opacity": 0.12, stroke: "var(--wrong)" }));
    }
    for (const z of posterior.draws ?? []) {
      const [u, v] = this.project(z);
      this.cloud.append(svg("circle", { cx: this.px(u), cy: this.py(v), r: 2, fill: "var(--wrong)", opacity: 0.6 }));
    }
  }

  drag(event) {
    const box = this.svg.getBoundingClientRect();
    const u = this.middle[0] + (((event.clientX - box.left) / box.width) * 2 - 1) * this.reach;
    const v = this.middle[1] - (((event.clientY - box.top) / box.height) * 2 - 1) * this.reach;
    this.changed(moved(this.z, this.plane(), [u, v]));
  }

  key(event) {
    const step = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = this.project(this.z);
    this.changed(moved(this.z, this.plane(), at.map((value, k) => value + step[k] * 0.05 * this.reach)));
  }
}
