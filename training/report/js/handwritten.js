// The loss as people write it, in nats: the witness that Pyro's objectives are held against.
import { softplus } from "./special.js";

const LOG_2_PI = Math.log(2 * Math.PI);

function total(many, f) {
  let sum = 0;
  for (let j = 0; j < many.length; j++) sum += f(many[j], j);
  return sum;
}

// -sum_i [x_i log y_i + (1 - x_i) log(1 - y_i)], y = sigmoid(logits).
export const crossEntropy = (logits, x) => total(logits, (l, i) => softplus(l) - x[i] * l);

// KL(N(m, e^s) || N(0, 1)), latent by latent.
export const klTerms = (m, s) => Array.from(m, (_, j) => -0.5 * (1 + s[j] - m[j] ** 2 - Math.exp(s[j])));

export const kl = (m, s) => total(klTerms(m, s), (term) => term);

export const logQ = (z, m, s) => total(z, (_, j) => -0.5 * (LOG_2_PI + s[j] + (z[j] - m[j]) ** 2 / Math.exp(s[j])));

export const logP = (z) => total(z, (value) => -0.5 * (LOG_2_PI + value ** 2));

// -E_q[log p(z)], and -E_q[log q(z|x)].
export const priorCrossEntropy = (m, s) => total(m, (_, j) => 0.5 * (LOG_2_PI + m[j] ** 2 + Math.exp(s[j])));

export const entropy = (s) => total(s, (value) => 0.5 * (1 + LOG_2_PI + value));

// The same KL for a head t = log sigma, and for a head h with sigma = softplus(h).
export const klOfLogDeviation = (m, t) => total(m, (_, j) => 0.5 * (m[j] ** 2 + Math.exp(2 * t[j]) - 1) - t[j]);

export const klOfSoftplus = (m, h) =>
  total(m, (_, j) => {
    const sigma = softplus(h[j]);
    return 0.5 * (m[j] ** 2 + sigma ** 2 - 1) - Math.log(sigma);
  });
