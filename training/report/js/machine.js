// The run's model and guide in the page: functions of plain arrays, and what is refused, by name.
import { Program } from "./program.js";
import { Recorded, given } from "./random.js";
import { Tensor } from "./tensor.js";

export const PROMISED = 1e-4; // nats between a number here and Python's

// The number that Python computed of an output: it changes with every entry.
const checksum = (tensor) => tensor.data.reduce((sum, value, i) => sum + value * Math.cos(i), 0);

export class Machine {
  constructor(data, arrays) {
    this.data = data;
    this.refused = { ...data.refused };
    this.programs = Object.fromEntries(Object.entries(data.programs).map(([name, program]) => [name, new Program(program, arrays)]));
    this.array = (name) => arrays[data.arrays[name]];
    this.size = data.shape.reduce((product, size) => product * size, 1);
  }

  has(...names) {
    return names.every((name) => name in this.programs);
  }

  why(name) {
    return this.refused[name];
  }

  x(values) {
    return new Tensor([1, ...this.data.shape], Float64Array.from(values));
  }

  z(values) {
    return new Tensor([1, this.data.latent], Float64Array.from(values));
  }

  datum(i) {
    return this.array("data").data.slice(i * this.size, (i + 1) * this.size);
  }

  run(name, inputs, random = null) {
    return this.programs[name].run(inputs, random).map((tensor) => tensor.data);
  }

  // Runs every program on what Python ran it on; one that does not agree is refused.
  selfCheck() {
    let compared = 0;
    for (const { program, z, noise, sums } of this.data.checks) {
      const inputs = { x: this.x(this.datum(0)), z: this.z(z) };
      let reason = null;
      try {
        const found = this.programs[program].run(this.programs[program].inputs.map((name) => inputs[name]), given(noise)).map(checksum);
        const off = sums.findIndex((sum, i) => !(Math.abs(found[i] - sum) <= 1e-6 * (1 + Math.abs(sum))));
        if (off >= 0) reason = `this browser computes ${found[off]} where Python computed ${sums[off]}`;
        compared += sums.length;
      } catch (error) {
        reason = error.message;
      }
      if (reason) {
        delete this.programs[program];
        this.refused[program] = reason;
      }
    }
    return compared;
  }

  // The largest difference from what Pyro itself said in Python, of the run's own weights.
  againstPyro() {
    let [worst, many] = [0, 0];
    for (const { datum, noise, losses } of this.data.references) {
      const x = this.x(this.datum(datum));
      for (const [name, loss] of Object.entries(losses)) {
        if (!this.has(name)) continue;
        const off = Math.abs(this.run(name, [x], given(noise))[0][0] - loss);
        worst = Math.max(worst, Number.isNaN(off) ? Infinity : off);
        many++;
      }
    }
    return { worst, many };
  }

  // z ~ q(z|x), log q there, and the noise, to be used again.
  draw(x, generator) {
    const noise = new Recorded(generator);
    const [z, logQ] = this.run("draw", [this.x(x)], noise);
    return { z, logQ: logQ[0], noise };
  }
}
