// Runs programs that were exported from Python: lists of operations on tensors.
import { DRAWS, OPERATIONS } from "./operations.js";

const plain = { inf: Infinity, "-inf": -Infinity, nan: NaN };

function read(argument, values, constants) {
  if (argument === null || typeof argument !== "object") return argument;
  if (Array.isArray(argument)) return argument.map((part) => read(part, values, constants));
  if ("n" in argument) return values[argument.n];
  if ("c" in argument) return constants[argument.c];
  return plain[argument.f];
}

export class Program {
  constructor({ inputs, nodes, outputs }, constants) {
    this.inputs = inputs;
    this.nodes = nodes;
    this.outputs = outputs;
    this.constants = constants;
  }

  // Tensors in, tensors out; `random` gives the numbers that the program draws.
  run(tensors, random = null) {
    const values = [...tensors];
    for (const [name, positional, keywords] of this.nodes) {
      const given = positional.map((argument) => read(argument, values, this.constants));
      if (keywords) given.push(Object.fromEntries(Object.entries(keywords).map(([key, value]) => [key, read(value, values, this.constants)])));
      values.push(name in DRAWS ? DRAWS[name](random, ...given) : OPERATIONS[name](...given));
    }
    return this.outputs.map((output) => read(output, values, this.constants));
  }
}
