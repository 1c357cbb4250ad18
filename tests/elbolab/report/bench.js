// Opens the page's own modules to a test.
import { arraysOf, bytesOf, dataOf } from "./bytes.js";
import { element, find, number } from "./dom.js";
import { ticks } from "./chart.js";
import { OPERATIONS } from "./operations.js";
import { Program } from "./program.js";
import { Generator, given } from "./random.js";
import { digamma, lgamma, roundHalfEven, softplus } from "./special.js";
import { Tensor } from "./tensor.js";

const plain = (value) => (Number.isFinite(value) ? value : String(value));

async function start() {
  const data = await dataOf(find("data").textContent);
  const arrays = await arraysOf(find("constants").textContent, data.constants ?? []);
  const programs = Object.fromEntries(Object.entries(data.programs ?? {}).map(([name, one]) => [name, new Program(one, arrays)]));
  const tensor = ({ shape, values }) => new Tensor(shape, Float64Array.from(values));
  globalThis.bench = {
    arrays: arrays.map((array) => Array.from(array.data, plain)),
    run: (name, inputs, noise) => programs[name].run(inputs.map(tensor), given(noise)).map((found) => ({ shape: found.shape, values: Array.from(found.data, plain) })),
    operation: (name, inputs, more) => {
      const found = OPERATIONS[name](...inputs.map(tensor), ...more);
      return { shape: found.shape, values: Array.from(found.data, plain) };
    },
    normals: (seed, many) => {
      const generator = new Generator(seed);
      return Array.from({ length: many }, () => generator.normal());
    },
    special: { digamma, lgamma, roundHalfEven, softplus },
    bytes: (text) => Array.from(bytesOf(text)),
    number,
    ticks,
    text: (value) => element("p", {}, value).innerHTML,
  };
  document.body.dataset.ready = "yes";
}

start();
