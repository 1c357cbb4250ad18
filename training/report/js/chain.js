// From BCE + KL to the ELBO, link by link, with the reader's own datum in it.
import { element, find, fixed, number, replace } from "./dom.js";
import { entropy, kl, klOfLogDeviation, klOfSoftplus, priorCrossEntropy } from "./handwritten.js";

const HOLDS = 1e-4;

// Rows: what is said, its value, what it is said to equal, that value; `other`: a mistake, whose price is shown.
function links(machine, x, found) {
  const { beta, latent } = machine.data;
  const pixels = x.length;
  const [t, h] = [found.s.map((s) => s / 2), found.s.map((s) => Math.log(Math.expm1(Math.exp(s / 2))))];
  const bernoulli = machine.has("distortion") ? machine.run("distortion", [machine.x(x), machine.z(found.z)])[0][0] : undefined;
  const pyroKl = machine.has("kl") ? machine.run("kl", [machine.x(x)])[0].reduce((a, b) => a + b, 0) : undefined;
  const elbo = found.reconstruction + beta * found.kl;
  const b = beta === 1 ? "" : `${number(beta, 3)} · `;
  return [
    ["Cross-entropy is the likelihood: each pixel is a coin whose probability the decoder gives.", [["BCE(logits, x), summed over pixels", found.reconstruction, "−log Bernoulli(x; logits), PyTorch’s", bernoulli]]],
    [
      "The second term is a KL divergence: a cross-entropy less an entropy.",
      [
        ["−½ Σ(1 + s − m² − eˢ)", found.kl, "KL(q ‖ p), PyTorch’s", pyroKl],
        ["−½ Σ(1 + s − m² − eˢ)", found.kl, "cross-entropy(q, p) − entropy(q)", priorCrossEntropy(found.m, found.s) - entropy(found.s)],
      ],
    ],
    ["Their sum is Pyro’s objective with the KL in closed form.", [[`BCE + ${b}KL`, elbo, "TraceMeanField_ELBO", found.mean_field]]],
    ["With the KL from the same z instead, it is Pyro’s other one. Equal on average: draw again above.", [[`BCE + ${b}(log q − log p)`, found.sampled, "Trace_ELBO", found.trace]]],
    [
      "What keeps the scale positive is a matter of taste, if the KL knows of it.",
      [
        ["KL of a head t = log σ", klOfLogDeviation(found.m, t), "KL of the head s = log σ²", found.kl],
        ["KL of a softplus head", klOfSoftplus(found.m, h), "KL of the head s = log σ²", found.kl],
      ],
    ],
    [
      "Common mistakes, and what they cost here.",
      [
        ["BCE averaged over pixels", found.reconstruction / pixels + found.kl, `a β-VAE with β = ${number(pixels, 4)}`, elbo, true],
        ["KL averaged over latents", found.reconstruction + found.kl / latent, `a β-VAE with β = 1/${latent}`, elbo, true],
        ["the KL’s sign turned", found.reconstruction - found.kl, "β = −1: no bound", elbo, true],
        ["log-variance read as log σ", found.reconstruction + klOfLogDeviation(found.m, found.s), "no ELBO of this encoder", elbo, true],
        ["a log σ read as log-variance", found.reconstruction + kl(found.m, t), "no ELBO of this encoder", elbo, true],
      ],
    ],
  ];
}

function unwritten(machine, found) {
  const { prior, likelihood, guide } = machine.data.parts;
  const b = machine.data.beta === 1 ? "" : `${number(machine.data.beta, 3)} · `;
  find("answer-intro").textContent = `Nobody writes a loss by hand for the prior ${prior}, the likelihood ${likelihood} and the guide ${guide}: what is left of the chain is its sampled form, spelt out from their densities.`;
  const rows = [[`−log p(x|z) + ${b}(log q − log p)`, found.sampled, "Trace_ELBO", found.trace]];
  if (found.closed && found.mean_field !== undefined) rows.push([`−log p(x|z) + ${b}KL`, found.analytic, "TraceMeanField_ELBO", found.mean_field]);
  return [["The loss is the sampled bound, term by term, at the drawn z.", rows]];
}

export function chain(machine, x, found) {
  const steps = machine.data.written && found.m ? links(machine, x, found) : unwritten(machine, found);
  const body = [];
  steps.forEach(([title, rows], i) => {
    body.push(element("tr", {}, element("th", { scope: "colgroup", colspan: 5, style: "padding-top:0.9rem" }, `${i + 1}. ${title}`)));
    for (const [left, value, right, other, mistake] of rows) {
      const off = value - other;
      const good = Math.abs(off) <= HOLDS * Math.max(1, Math.abs(other) / 1e6);
      const verdict = mistake ? `${off > 0 ? "+" : ""}${number(off, 3)} nats` : other === undefined ? "not here" : good ? "holds" : `off by ${number(off, 3)}`;
      body.push(element("tr", {}, element("td", {}, left), element("td", { class: "number" }, fixed(value)), element("td", {}, right), element("td", { class: "number" }, other === undefined ? "" : fixed(other)), element("td", { class: mistake ? "number" : good ? "holds" : "fails" }, verdict)));
    }
  });
  replace("chain", element("tbody", {}, ...body));
}
