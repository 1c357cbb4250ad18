// The model, moving: a datum, the latents, what the decoder makes of them.
import { element, find, fixed, onFrame, options } from "./dom.js";
import { Columns, Paint, Picture } from "./datum.js";
import { Pad } from "./pad.js";
import { Switches } from "./switches.js";

const CLOUD = 150;

export class Workbench {
  constructor(machine, generator, { datumChanged }) {
    [this.machine, this.generator, this.datumChanged] = [machine, generator, datumChanged];
    const { data } = machine;
    this.picture = this.shown("datum", "the datum x");
    this.decoded = this.shown("decoded", "mean of p(x|z)");
    const standard = data.parts.prior === "StandardNormal";
    const changed = (z) => this.move(z);
    this.plane = data.kind === "real" && data.latent > 1 ? new Pad(machine, { changed, standard }) : data.kind === "real" ? null : new Switches(machine, { changed });
    if (!this.plane) find("axes").hidden = true;
    this.redraw = onFrame(() => this.draw());
    this.reencode = onFrame(() => this.encoded());
    this.sliders();
    this.controls();
    this.z = new Float64Array(data.latent);
    this.choose(0);
  }

  shown(id, label) {
    const { shape, image, low, top, names } = this.machine.data;
    const view = image ? new Picture(shape, { low, top, label }) : new Columns({ names, label });
    find(id).replaceChildren(view.canvas);
    return view;
  }

  controls() {
    const { data } = this.machine;
    const label = (i) => `${data.places[i]}${data.labels ? `, label ${data.labels[i]}` : ""}`;
    const all = data.places.map((_, i) => label(i));
    options(find("pick"), all);
    options(find("walk-to"), all.map((name) => `test datum ${name}`), 1 % all.length);
    find("pick").addEventListener("change", () => this.choose(Number(find("pick").value)));
    const turn = (step) => this.choose((this.index + step + all.length) % all.length);
    find("previous").addEventListener("click", () => turn(-1));
    find("next").addEventListener("click", () => turn(1));
    find("walk-slider").addEventListener("input", () => this.walk());
    find("walk-to").addEventListener("change", () => this.walk());
    if (data.image) this.paint();
    else find("paint-controls").hidden = true;
    this.button("from-prior", "prior", () => this.move(this.machine.run("prior", [], this.generator)[0]));
    this.button("from-posterior", "draw", () => this.move(this.machine.draw(this.x, this.generator).z));
    this.button("to-mean", "encode", () => this.move(this.machine.run("encode", [this.machine.x(this.x)])[0]));
    if (data.kind !== "real") find("to-mean").hidden = find("walk").hidden = true;
    if (!this.machine.has("encode")) find("walk").hidden = true;
  }

  // A button that is off, and says why, where the page lacks what it needs.
  button(id, program, act) {
    const button = find(id);
    button.disabled = !this.machine.has(program);
    if (button.disabled) button.title = this.machine.why(program) ?? "";
    button.addEventListener("click", act);
  }

  paint() {
    const { machine } = this;
    const able = machine.has("encode") || machine.has("draw");
    for (const id of ["clear", "erase"]) find(id).disabled = !able;
    if (!able) return;
    this.brush = new Paint(this.picture, { top: machine.data.top, changed: () => this.painted() });
    find("clear").addEventListener("click", () => {
      this.picture.values.fill(0);
      this.painted();
    });
    find("erase").addEventListener("click", () => {
      this.brush.erasing = !this.brush.erasing;
      find("erase").setAttribute("aria-pressed", String(this.brush.erasing));
    });
    find("datum-note").textContent = "Draw on it with a finger, a pen or the mouse; or focus it, move with the arrow keys and draw with the space bar.";
  }

  painted() {
    this.own = true;
    this.x = this.picture.values;
    find("datum-title").textContent = "The datum x: your own";
    this.picture.show(this.x);
    this.reencode();
  }

  choose(index) {
    [this.index, this.own] = [index, false];
    find("pick").value = index;
    find("datum-title").textContent = "The datum x";
    this.x = this.machine.datum(index).slice();
    this.picture.show(this.x);
    this.encoded();
  }

  encoded() {
    const { machine } = this;
    find("walk-from").textContent = this.own ? "your datum" : `test datum ${machine.data.places[this.index]}`;
    find("walk-slider").value = 0;
    let z = null;
    if (machine.has("encode")) {
      const [mean, covariance] = machine.run("encode", [machine.x(this.x)]);
      this.plane?.showPosterior({ mean, covariance });
      z = machine.data.kind === "real" ? mean : null;
    } else if (machine.has("draw")) {
      const draws = Array.from({ length: CLOUD }, () => machine.draw(this.x, this.generator).z);
      this.plane?.showPosterior({ draws });
      z = draws[0];
    } else if (machine.data.kind === "real") {
      const codes = machine.array("codes").data;
      z = codes.slice(this.index * machine.data.latent, (this.index + 1) * machine.data.latent);
    }
    if (!z && machine.has("draw")) z = machine.draw(this.x, this.generator).z;
    if (z) this.move(z);
    this.datumChanged(this.x);
  }

  walk() {
    const { machine } = this;
    const t = Number(find("walk-slider").value);
    const mean = (x) => machine.run("encode", [machine.x(x)])[0];
    const [from, to] = [mean(this.x), mean(machine.datum(Number(find("walk-to").value)))];
    this.move(from.map((value, j) => value + t * (to[j] - value)));
  }

  // A z that is no point is left alone.
  move(z) {
    if (!z.every(Number.isFinite)) return;
    this.z = z;
    this.redraw();
  }

  draw() {
    const { machine, z } = this;
    this.plane?.show(z);
    if (find("all-latents").open) this.slide();
    if (machine.has("decode")) this.decoded.show(this.likeDatum(machine.run("decode", [machine.z(z)])[0]));
    const here = find("here");
    if (!machine.has("distortion")) here.textContent = "";
    else {
      const nats = machine.run("distortion", [machine.x(this.x), machine.z(z)])[0][0];
      here.textContent = `−log p(x|z) of the datum at this z: ${fixed(nats, 2)} nats`;
    }
  }

  // A bag of words has a length that is given, not modelled: the datum's own.
  likeDatum(mean) {
    if (this.machine.data.parts.likelihood !== "Multinomial") return mean;
    const total = (values) => values.reduce((sum, value) => sum + value, 0);
    const factor = total(this.x) / total(mean);
    return mean.map((value) => factor * value);
  }

  slide() {
    this.inputs.forEach((input, j) => {
      input.value = this.z[j];
      input.setAttribute("aria-valuetext", fixed(this.z[j], 2));
    });
  }

  sliders() {
    const { latent, kind } = this.machine.data;
    this.inputs = [];
    if (kind !== "real") {
      find("all-latents").hidden = true;
      return;
    }
    for (let j = 0; j < latent; j++) {
      const input = element("input", { type: "range", min: -4, max: 4, step: 0.01, id: `latent-${j}` });
      input.addEventListener("input", () => {
        const z = Float64Array.from(this.z);
        z[j] = Number(input.value);
        this.move(z);
      });
      this.inputs.push(input);
      find("sliders").append(element("div", {}, element("label", { for: `latent-${j}` }, `latent ${j + 1}`), input));
    }
    find("all-latents").addEventListener("toggle", () => this.slide());
    if (latent === 1) find("all-latents").open = true;
  }
}
