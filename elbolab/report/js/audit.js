// The page of an audit: the weights of both terms at the reader's sizes.
import { dataOf } from "./bytes.js";
import { COLOURS, Plot, legend, range } from "./chart.js";
import { find, number, trouble } from "./dom.js";

// A monomial such as "2 * data^2 / (batch * latent)" at given sizes; NaN for any other text.
export function monomial(text, sizes) {
  const sides = text.split(" / ");
  if (sides.length > 2) return NaN;
  const side = (product) =>
    product
      .replace(/^\((.*)\)$/, "$1")
      .split(" * ")
      .map((factor) => {
        const [base, power = "1"] = factor.split("^");
        const value = base in sizes ? sizes[base] : base.trim() === "" ? NaN : Number(base);
        return value ** Number(power);
      })
      .reduce((a, b) => a * b, 1);
  return sides.length === 2 ? side(sides[0]) / side(sides[1]) : side(sides[0]);
}

const AXES = ["batch", "data", "latent"];

function weights({ beta, scale }, sizes) {
  const reconstruction = monomial(scale, sizes);
  return [reconstruction, reconstruction * monomial(beta, sizes)];
}

function show(formulas) {
  const sizes = Object.fromEntries(AXES.map((axis) => [axis, Math.floor(Number(find(`size-${axis}`).value))]));
  if (!AXES.every((axis) => sizes[axis] >= 1)) {
    find("weights-said").textContent = "Sizes are whole numbers from 1 on.";
    return;
  }
  const [a, b] = weights(formulas, sizes);
  find("weights-said").textContent = `The reconstruction, summed over everything, counts ${number(a, 4)} times, the KL ${number(b, 4)} times: β = ${number(b / a, 4)}.`;
  const axis = find("against").value;
  const xs = Array.from({ length: 60 }, (_, i) => 10 ** ((4 * i) / 59));
  const series = [0, 1].map((k) => xs.map((x) => Math.abs(weights(formulas, { ...sizes, [axis]: x })[k])));
  const plot = new Plot({ width: 560, x: { low: 1, high: 1e4, log: true, label: find("against").selectedOptions[0].textContent }, y: { ...range(series.flat().filter((value) => value > 0)), log: true, label: "weight" }, label: "weights of both terms against a size, logarithmic axes" });
  series.forEach((values, k) => plot.line(xs, values, COLOURS[k], k ? { "stroke-dasharray": "7 5" } : {}));
  find("weights-plot").replaceChildren(plot.svg, legend(["reconstruction", "KL"]));
}

async function start() {
  const { formulas } = await dataOf(find("data").textContent);
  if (formulas.beta && formulas.scale) {
    find("weights").hidden = false;
    for (const id of [...AXES.map((axis) => `size-${axis}`), "against"]) find(id).addEventListener("input", () => show(formulas));
    show(formulas);
  }
  document.body.dataset.ready = "yes";
}

start().catch((error) => trouble(`The weights in this page cannot be drawn: ${error.message}`));
