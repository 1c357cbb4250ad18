// The loss of one datum, written out here and as Pyro's objectives, on the same noise.
import { COLOURS, Plot, bars, legend, range } from "./chart.js";
import { element, find, fixed, number, replace } from "./dom.js";
import { crossEntropy, kl, klTerms, logP, logQ } from "./handwritten.js";
import { PROMISED } from "./machine.js";

const MOST = 2000; // draws that are kept
const sum = (values) => values.reduce((total, value) => total + value, 0);

// All numbers of one draw; what cannot be computed is absent.
export function losses(machine, x, generator) {
  const { written, beta } = machine.data;
  const { z, logQ: captured, noise } = machine.draw(x, generator);
  const found = { z, logQ: captured, noise };
  const input = machine.x(x);
  const at = machine.z(z);
  if (written && machine.has("heads", "logits")) {
    const [m, s] = machine.run("heads", [input]);
    const logits = machine.run("logits", [at])[0];
    Object.assign(found, { m, s, logits, reconstruction: crossEntropy(logits, x), kl: kl(m, s), klTerms: klTerms(m, s), logQ: logQ(z, m, s), logP: logP(z) });
  } else {
    if (machine.has("distortion")) found.reconstruction = machine.run("distortion", [input, at])[0][0];
    if (machine.has("log_p")) found.logP = machine.run("log_p", [at])[0][0];
    if (machine.has("kl")) {
      const terms = machine.run("kl", [input])[0];
      found.kl = sum(terms);
      if (terms.length === machine.data.latent) found.klTerms = [...terms];
    }
  }
  const divergence = found.kl ?? found.logQ - found.logP;
  found.closed = found.kl !== undefined;
  found.analytic = found.reconstruction + beta * divergence;
  found.sampled = found.reconstruction + beta * (found.logQ - found.logP);
  for (const name of ["trace", "mean_field"]) if (machine.has(name)) found[name] = machine.run(name, [input], noise.rewind())[0][0];
  return found;
}

export class Numbers {
  constructor(machine, generator) {
    [this.machine, this.generator, this.history] = [machine, generator, []];
    this.able = machine.has("draw") && machine.has("distortion");
    const reasons = ["draw", "distortion", "log_p", "kl", "trace", "mean_field"].filter((name) => machine.why(name)).map((name) => element("li", {}, machine.why(name)));
    if (reasons.length) replace("numbers-refused", element("div", { class: "refused" }, element("p", {}, "What this page cannot compute of this run:"), element("ul", {}, ...new Map(reasons.map((li) => [li.textContent, li])).values())));
    find("again").disabled = find("again100").disabled = !this.able;
    find("again").addEventListener("click", () => this.again(1));
    find("again100").addEventListener("click", () => this.again(100));
  }

  // A new datum: what was drawn of the one before is forgotten.
  show(x) {
    this.x = x;
    this.history = [];
    if (this.able) this.again(1);
  }

  again(times) {
    for (let i = 0; i < times; i++) {
      this.last = losses(this.machine, this.x, this.generator);
      this.history.push([this.last.analytic, this.last.sampled]);
    }
    this.history.splice(0, this.history.length - MOST);
    this.table();
    this.drawn();
    const { klTerms: terms } = this.last;
    if (terms) bars(find("kl-datum"), { values: terms, labels: terms.map((_, j) => `latent ${j + 1}`), xLabel: "latent", yLabel: "nats", label: `KL of each of ${terms.length} latents for this datum, in all ${number(sum(terms))} nats`, colour: COLOURS[2] });
    else replace("kl-datum", element("p", { class: "note" }, "There is no sum over latents in closed form: " + (this.machine.why("kl") ?? "the latents are not independent") + "."));
  }

  table() {
    const { last, machine } = this;
    const beta = machine.data.beta === 1 ? "" : `${number(machine.data.beta, 3)} · `;
    const bce = machine.data.written ? "BCE" : "−log p(x|z)";
    const rows = [
      [`${bce}`, last.reconstruction],
      [last.closed ? "KL, in closed form" : "KL in closed form: there is none", last.kl],
      ["KL, from this z: log q(z|x) − log p(z)", last.logQ - last.logP],
      [`${bce} + ${beta}KL${last.closed ? "" : " (sampled)"}`, last.analytic, "TraceMeanField_ELBO", last.mean_field],
      [`${bce} + ${beta}(log q − log p)`, last.sampled, "Trace_ELBO", last.trace],
    ];
    const head = element("tr", {}, ...["written out here", "nats", "Pyro’s objective", "nats", "apart"].map((name, i) => element("th", { scope: "col", class: [1, 3, 4].includes(i) ? "number" : null }, name)));
    const body = rows.map(([name, value, other, pyro]) => {
      const off = Math.abs(value - pyro);
      const good = off <= PROMISED * Math.max(1, Math.abs(value) / 1e6);
      const right = other === undefined ? ["", "", ""] : pyro === undefined ? [other, "not here", ""] : [other, fixed(pyro), number(off, 2)];
      return element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, value === undefined ? "" : fixed(value)), element("td", {}, right[0]), element("td", { class: "number" }, right[1]), element("td", { class: `number ${pyro === undefined ? "" : good ? "holds" : "fails"}` }, right[2]));
    });
    const caption = find("numbers-table").querySelector("caption");
    replace("numbers-table", caption, element("thead", {}, head), element("tbody", {}, ...body));
  }

  drawn() {
    const names = ["with the KL in closed form (TraceMeanField_ELBO)", "with the KL from the drawn z (Trace_ELBO)"];
    const columns = [0, 1].map((k) => this.history.map((pair) => pair[k]).filter(Number.isFinite));
    const all = columns.flat();
    if (!all.length) return;
    const plot = new Plot({ height: 200, x: { ...range(all), label: "loss of this datum, nats" }, y: { low: -0.6, high: 1.6, label: "", bare: true }, label: "draws of both losses" });
    columns.forEach((values, k) => {
      const stride = Math.max(1, Math.floor(values.length / 400));
      values.forEach((value, i) => {
        if (i % stride === 0) plot.dot(value, 1 - k + 0.35 * Math.sin(i * 12.9898), COLOURS[k], { r: 2.2, opacity: 0.55 });
      });
      const mean = sum(values) / values.length;
      plot.add("line", { x1: plot.x(mean), x2: plot.x(mean), y1: plot.y(0.5 - k), y2: plot.y(1.5 - k), stroke: "var(--text)", "stroke-width": 2 });
    });
    find("draws").replaceChildren(plot.svg, legend(names));
    const said = columns.map((values, k) => {
      const mean = sum(values) / values.length;
      const variance = sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1);
      return `${k ? "sampled" : "closed form"} ${fixed(mean, 2)}${values.length > 1 ? ` ± ${fixed(Math.sqrt(variance / values.length), 2)}, variance ${number(variance, 2)}` : ""}`;
    });
    find("draws-note").textContent = `${this.history.length} ${this.history.length === 1 ? "draw" : "draws"}: mean ${said.join("; ")}`;
  }

  means() {
    return this.history;
  }
}
