// One datum: an image on a canvas that can be drawn on, or bars of its largest columns.
import { element, number } from "./dom.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function rgb(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

// Values from low to top: shades from the panel's colour to the ink's, or the colours themselves where there are three.
export class Picture {
  constructor(shape, { low, top, label }) {
    const [height, width] = shape.slice(-2);
    this.channels = shape.length === 3 ? shape[0] : 1;
    [this.height, this.width, this.low, this.top] = [height, width, low, top];
    this.canvas = element("canvas", { class: "datum", width, height, role: "img", "aria-label": label });
    this.canvas.style.aspectRatio = `${width} / ${height}`;
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(width, height);
    this.colours();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours();
      if (this.values) this.show(this.values);
    });
  }

  colours() {
    [this.ink, this.paper] = [rgb(style("--ink")), rgb(style("--panel"))];
  }

  show(values) {
    this.values = values;
    const data = this.pixels.data;
    const area = this.width * this.height;
    const share = (value) => Math.min(1, Math.max(0, Number.isFinite(value) ? (value - this.low) / (this.top - this.low) : 0));
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) data[4 * i + c] = this.channels === 3 ? 255 * share(values[c * area + i]) : this.paper[c] + share(values[i]) * (this.ink[c] - this.paper[c]);
      data[4 * i + 3] = 255;
    }
    this.context.putImageData(this.pixels, 0, 0);
  }
}

// Lets a person draw on a picture, with a pointer or with arrow keys and the space bar.
export class Paint {
  constructor(picture, { top, changed }) {
    [this.picture, this.top, this.changed, this.erasing] = [picture, top, changed, false];
    this.cursor = [Math.floor(picture.height / 2), Math.floor(picture.width / 2)];
    this.brush = Math.max(0.5, picture.width / 24);
    const canvas = picture.canvas;
    canvas.classList.add("paintable");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.last = null;
      this.stroke(event);
    });
    canvas.addEventListener("pointermove", (event) => event.buttons && this.stroke(event));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  stroke(event) {
    const box = this.picture.canvas.getBoundingClientRect();
    const at = [((event.clientY - box.top) / box.height) * this.picture.height - 0.5, ((event.clientX - box.left) / box.width) * this.picture.width - 0.5];
    const from = this.last ?? at;
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(at[0] - from[0], at[1] - from[1])));
    for (let i = 1; i <= steps; i++) this.stamp([0, 1].map((k) => from[k] + ((at[k] - from[k]) * i) / steps));
    this.last = at;
    this.changed();
  }

  stamp([y, x]) {
    const { height, width } = this.picture;
    for (let i = Math.max(0, Math.floor(y - this.brush)); i <= Math.min(height - 1, Math.ceil(y + this.brush)); i++)
      for (let j = Math.max(0, Math.floor(x - this.brush)); j <= Math.min(width - 1, Math.ceil(x + this.brush)); j++)
        if (Math.hypot(i - y, j - x) <= this.brush) this.set(i * width + j, this.erasing ? 0 : this.top);
  }

  set(at, value) {
    const { values, channels, height, width } = this.picture;
    for (let c = 0; c < channels; c++) values[c * height * width + at] = value;
  }

  key(event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    const { height, width, values } = this.picture;
    if (step) {
      this.cursor = [(this.cursor[0] + step[0] + height) % height, (this.cursor[1] + step[1] + width) % width];
    } else if (event.key === " ") {
      const at = this.cursor[0] * width + this.cursor[1];
      this.set(at, values[at] ? 0 : this.top);
      this.changed();
    } else return;
    event.preventDefault();
    this.picture.canvas.setAttribute("aria-label", `row ${this.cursor[0] + 1}, column ${this.cursor[1] + 1}: ${values[this.cursor[0] * width + this.cursor[1]] ? "ink" : "empty"}; arrow keys move, space draws`);
  }
}

// Where the largest values are, the largest first; by insertion, which a sort of thousands of columns would not match.
function largest(values, many) {
  const found = [];
  for (let i = 0; i < values.length; i++) {
    const size = Math.abs(values[i]);
    if (found.length === many && !(size > Math.abs(values[found[many - 1]]))) continue;
    let at = found.length;
    while (at > 0 && size > Math.abs(values[found[at - 1]])) at--;
    found.splice(at, 0, i);
    found.length = Math.min(many, found.length);
  }
  return found;
}

// The largest columns of a vector, by name.
export class Columns {
  constructor({ names, label, many = 15 }) {
    [this.names, this.many] = [names, many];
    this.body = element("tbody");
    this.canvas = element("table", { "aria-label": label, style: "width:100%" }, this.body);
  }

  show(values) {
    this.values = values;
    const order = largest(values, this.many);
    const top = Math.abs(values[order[0]]) || 1;
    const rows = order.map((i) => {
      const share = Math.max(0, Math.min(100, (100 * Math.abs(values[i])) / top));
      const bar = element("div", { style: `height:0.7rem;margin-top:0.35rem;background:var(--accent);width:${share || 0}%` });
      return element("tr", {}, element("th", { scope: "row" }, this.names ? this.names[i] : `column ${i + 1}`), element("td", { style: "width:45%" }, bar), element("td", { class: "number" }, number(values[i], 3)));
    });
    this.body.replaceChildren(...rows);
  }
}
