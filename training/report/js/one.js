// One latent: sliders for m and s, and what they cost.
import { COLOURS, Plot, legend } from "./chart.js";
import { element, find, fixed, replace } from "./dom.js";
import { entropy, klOfLogDeviation, klOfSoftplus, kl, priorCrossEntropy } from "./handwritten.js";
import { softplus } from "./special.js";

const grid = (low, high, many) => Array.from({ length: many + 1 }, (_, i) => low + ((high - low) * i) / many);
const normal = (x, m, sigma) => Math.exp(-0.5 * ((x - m) / sigma) ** 2) / (sigma * Math.sqrt(2 * Math.PI));

export function one() {
  const [m, s] = ["one-m", "one-s"].map((id) => Number(find(id).value));
  const sigma = Math.exp(s / 2);
  const h = Math.log(Math.expm1(sigma));
  find("one-m-value").textContent = fixed(m, 2);
  find("one-s-value").textContent = fixed(s, 2);
  const rows = [
    ["cross-entropy −E log p(z) = ½(log 2π + m² + eˢ)", priorCrossEntropy([m], [s])],
    ["entropy of q = ½(1 + log 2π + s)", entropy([s])],
    ["KL = their difference = −½(1 + s − m² − eˢ)", kl([m], [s])],
    ["variance eˢ", Math.exp(s)],
    ["standard deviation e^(s/2)", sigma],
    ["the same σ as softplus(h): h =", h],
    ["KL written for log σ", klOfLogDeviation([m], [s / 2])],
    ["KL written for softplus(h)", klOfSoftplus([m], [h])],
  ];
  replace("one-table", element("tbody", {}, ...rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", { class: "number" }, fixed(value))))));
  const x = grid(-6, 6, 240);
  const top = Math.max(0.45, Math.min(3, 1 / (sigma * Math.sqrt(2 * Math.PI))));
  const densities = new Plot({ x: { low: -6, high: 6, label: "z" }, y: { low: 0, high: top, label: "density" }, label: `q is normal with mean ${m} and standard deviation ${fixed(sigma, 2)}; the prior is standard normal` });
  densities.line(x, x.map((z) => normal(z, 0, 1)), COLOURS[0]);
  densities.line(x, x.map((z) => Math.min(top, normal(z, m, sigma))), COLOURS[1]);
  find("one-densities").replaceChildren(densities.svg, legend(["prior p(z) = N(0, 1)", "q(z|x) = N(m, eˢ)"]));
  const heads = new Plot({ x: { low: -6, high: 3, label: "the encoder’s output" }, y: { low: 0, high: 8, label: "scale" }, label: "e to the s against softplus" });
  const outputs = grid(-6, 3, 120);
  heads.line(outputs, outputs.map((v) => (Math.exp(v) <= 8 ? Math.exp(v) : NaN)), COLOURS[0]);
  heads.line(outputs, outputs.map(softplus), COLOURS[1]);
  if (Math.exp(s) <= 8) heads.dot(s, Math.exp(s), COLOURS[0], { r: 6 });
  if (h >= -6 && h <= 3) heads.dot(h, sigma, COLOURS[1], { r: 6 });
  find("one-heads").replaceChildren(heads.svg, legend(["eˢ, a variance", "softplus(h), a standard deviation"]));
}
