// The ATen operations that a page can do. Each takes the arguments of PyTorch's schema; tensors are never changed.
import { Tensor, along, axisOf, broadcastShape, concatenate, count, expand, map, of, permute, reduce, reshape, scattered, slice, stretched, walk, where, zip } from "./tensor.js";
import { cholesky, convolution, matmul, solveTriangular } from "./linear.js";
import { digamma, erf, lgamma, roundHalfEven } from "./special.js";

const unary = (f) => (a) => map(of(a), f);
const binary = (f) => (a, b) => zip(of(a), of(b), f);
const scaled = (f) => (a, b, options = {}) => {
  const alpha = options.alpha ?? 1;
  return zip(of(a), of(b), (x, y) => f(x, alpha * y));
};
const compared = (f) => binary((x, y) => (f(x, y) ? 1 : 0));
const sum = (line) => line.reduce((total, value) => total + value, 0);
const largest = (line) => line.reduce((best, value) => (value > best || Number.isNaN(value) ? value : best), -Infinity);
const smallest = (line) => -largest(line.map((value) => -value));
const list = (axes) => (axes === null || axes === undefined ? null : Array.isArray(axes) ? axes : [axes]);
const filled = (shape, value) => new Tensor(shape, new Float64Array(count(shape)).fill(Number(value)));
const integer = /^(u?int|long|bool)/;

function converted(a, { dtype = null } = {}) {
  if (dtype === "float32") return map(a, Math.fround);
  if (dtype === "bool") return map(a, (x) => (x ? 1 : 0));
  return dtype && integer.test(dtype) ? map(a, Math.trunc) : a;
}

function extreme(a, axis, keep, better) {
  const index = reduce(a, [axis], keep, (line) => line.reduce((best, value, i) => (better(value, line[best]) ? i : best), 0));
  return [reduce(a, [axis], keep, (line) => line.reduce((best, value) => (better(value, best) ? value : best))), index];
}

function softmax(a, axis, log) {
  return along(a, axis, (line, out) => {
    const top = largest(line);
    const total = sum(line.map((value) => Math.exp(value - top)));
    for (let i = 0; i < line.length; i++) out[i] = log ? line[i] - top - Math.log(total) : Math.exp(line[i] - top) / total;
  });
}

function gather(a, axis, index) {
  const at = axisOf(axis, a.shape.length);
  const result = new Tensor(index.shape);
  const own = stretched(a, a.shape);
  const steps = own.map((stride, k) => (k === at ? 0 : stride));
  walk(index.shape, [steps], (flat, offset) => {
    result.data[flat] = a.data[offset[0] + own[at] * index.data[flat]];
  });
  return result;
}

// Tensors as indices, one for every leading axis: the positions in a that they name, in order.
function positions(a, indices) {
  if (indices.some((index) => index === null)) throw new Error("an index that skips an axis");
  const shape = indices.map((index) => index.shape).reduce(broadcastShape);
  const inner = a.shape.slice(indices.length);
  const size = count(inner);
  const found = [];
  walk(shape, indices.map((index) => stretched(index, shape)), (_, at) => {
    const flat = indices.reduce((offset, index, k) => {
      const i = index.data[at[k]];
      return offset * a.shape[k] + (i < 0 ? i + a.shape[k] : i);
    }, 0);
    for (let k = 0; k < size; k++) found.push(flat * size + k);
  });
  return { shape: [...shape, ...inner], found };
}

// An index that holds null leaves its axis alone: those axes are moved behind the others.
function ordered(a, indices) {
  const given = [...indices, ...new Array(a.shape.length - indices.length).fill(null)];
  const named = [...given.keys()].filter((k) => given[k] !== null);
  const rest = [...given.keys()].filter((k) => given[k] === null);
  return { named, rest, order: [...named, ...rest], tensors: named.map((k) => given[k]) };
}

function index(a, indices) {
  const { named, rest, order, tensors } = ordered(a, indices);
  const moved = permute(a, order);
  const { shape, found } = positions(moved, tensors);
  const picked = new Tensor(shape, Float64Array.from(found, (i) => moved.data[i]));
  const lead = shape.length - rest.length;
  const adjacent = named.every((k, i) => k === named[0] + i);
  if (!adjacent || named[0] === 0) return picked;
  const before = rest.filter((k) => k < named[0]).length;
  const axes = [...Array(shape.length).keys()];
  return permute(picked, [...axes.slice(lead, lead + before), ...axes.slice(0, lead), ...axes.slice(lead + before)]);
}

function indexPut(a, indices, values, accumulate = false) {
  const { rest, order, tensors } = ordered(a, indices);
  const moved = permute(a, order);
  const { shape, found } = positions(moved, tensors);
  if (rest.length && values.data.length !== 1) {
    // The values come with the axes that are left alone in front.
    const lead = shape.length - rest.length;
    const natural = [...shape.slice(lead), ...shape.slice(0, lead)];
    const whole = expand(values, natural);
    values = permute(whole, [...Array(lead).keys()].map((k) => k + rest.length).concat([...rest.keys()]));
  } else values = expand(values, shape);
  found.forEach((at, i) => {
    moved.data[at] = accumulate ? moved.data[at] + values.data[i] : values.data[i];
  });
  const back = new Array(order.length);
  order.forEach((k, i) => (back[k] = i));
  return permute(new Tensor(moved.shape, moved.data), back);
}

function sliced(a, axis = 0, start = 0, end = null, step = 1) {
  const size = a.shape[axisOf(axis, a.shape.length)];
  const bound = (value) => Math.min(size, Math.max(0, value < 0 ? value + size : value));
  const [first, last] = [bound(start ?? 0), bound(end ?? size)];
  return slice(a, axis, first, Math.max(0, Math.ceil((last - first) / step)), step);
}

function split(a, sizes, axis = 0) {
  let start = 0;
  return sizes.map((size) => {
    start += size;
    return slice(a, axis, start - size, size);
  });
}

function without(a, axes) {
  const chosen = axes.map((axis) => axisOf(axis, a.shape.length));
  return reshape(a, a.shape.filter((size, axis) => !(chosen.includes(axis) && size === 1)));
}

function inserted(a, axis) {
  const at = axisOf(axis, a.shape.length + 1);
  return reshape(a, [...a.shape.slice(0, at), 1, ...a.shape.slice(at)]);
}

function select(a, axis, at) {
  const k = axisOf(axis, a.shape.length);
  const part = slice(a, k, at < 0 ? at + a.shape[k] : at, 1);
  return reshape(part, a.shape.filter((_, other) => other !== k));
}

function diagonal(a, offset = 0, first = 0, second = 1) {
  const [i, j] = [axisOf(first, a.shape.length), axisOf(second, a.shape.length)];
  const rest = [...a.shape.keys()].filter((k) => k !== i && k !== j);
  const moved = permute(a, [...rest, i, j]);
  const [rows, columns] = [a.shape[i], a.shape[j]];
  const length = Math.max(0, Math.min(rows + Math.min(offset, 0), columns - Math.max(offset, 0)));
  const result = new Tensor([...rest.map((k) => a.shape[k]), length]);
  for (let flat = 0; flat < result.data.length; flat++) {
    const [block, k] = [Math.floor(flat / length), flat % length];
    result.data[flat] = moved.data[block * rows * columns + (k - Math.min(offset, 0)) * columns + k + Math.max(offset, 0)];
  }
  return result;
}

function repeat(a, times) {
  const padded = reshape(a, [...new Array(times.length - a.shape.length).fill(1), ...a.shape]);
  return times.reduce((whole, n, axis) => (n === 1 ? whole : concatenate(new Array(n).fill(whole), axis)), padded);
}

function arange(start, end, step = 1) {
  return new Tensor([Math.ceil((end - start) / step)], Float64Array.from({ length: Math.ceil((end - start) / step) }, (_, i) => start + i * step));
}

function padded(a, pad, value = 0) {
  const shape = a.shape.map((size, axis) => {
    const k = 2 * (a.shape.length - 1 - axis);
    return size + (pad[k] ?? 0) + (pad[k + 1] ?? 0);
  });
  const result = filled(shape, value);
  const own = stretched(result, shape);
  const start = a.shape.reduce((offset, _, axis) => offset + own[axis] * (pad[2 * (a.shape.length - 1 - axis)] ?? 0), 0);
  walk(a.shape, [own], (flat, at) => {
    result.data[start + at[0]] = a.data[flat];
  });
  return result;
}

function cumulative(f) {
  return (a, axis) =>
    along(a, axis, (line, out) => line.reduce((before, value, i) => (out[i] = i ? f(before, value) : value), 0));
}

function drawn(shape, one) {
  return new Tensor(shape, Float64Array.from({ length: count(shape) }, one));
}

function multinomial(random, weights, samples) {
  const rows = weights.shape.length > 1 ? weights.shape[0] : 1;
  const size = weights.data.length / rows;
  const result = new Tensor([...weights.shape.slice(0, -1), samples]);
  for (let i = 0; i < result.data.length; i++) {
    const line = weights.data.subarray(Math.floor(i / samples) * size, (Math.floor(i / samples) + 1) * size);
    let left = random.uniform() * sum(line);
    let k = 0;
    while (k < size - 1 && (left -= line[k]) > 0) k++;
    result.data[i] = k;
  }
  return result;
}

// Blocks of a flat tensor brought to mean 0 and variance 1; what is returned beside them nobody here asks for.
function normalized(a, size, eps) {
  const result = new Tensor(a.shape);
  for (let start = 0; start < a.data.length; start += size) {
    const block = a.data.subarray(start, start + size);
    const mean = sum(block) / size;
    const rate = 1 / Math.sqrt(sum(block.map((value) => (value - mean) ** 2)) / size + eps);
    for (let i = 0; i < size; i++) result.data[start + i] = (block[i] - mean) * rate;
  }
  return result;
}

function layerNorm(a, shape, weight, bias, eps) {
  let result = normalized(a, count(shape), eps);
  if (weight) result = zip(result, weight, (x, y) => x * y);
  return [bias ? zip(result, bias, (x, y) => x + y) : result];
}

function groupNorm(a, weight, bias, batch, channels, area, groups, eps) {
  const result = normalized(a, (channels / groups) * area, eps);
  for (let i = 0; i < result.data.length; i++) {
    const channel = Math.floor(i / area) % channels;
    result.data[i] = result.data[i] * (weight ? weight.data[channel] : 1) + (bias ? bias.data[channel] : 0);
  }
  return [result];
}

function clamp(a, low = null, high = null) {
  let result = a;
  if (low !== null) result = zip(result, of(low), (x, y) => (x < y ? y : x));
  if (high !== null) result = zip(result, of(high), (x, y) => (x > y ? y : x));
  return result;
}

const copy = (a) => a;

// What is drawn takes the source of random numbers first.
export const DRAWS = {
  "randn": (random, shape) => drawn(shape, () => random.normal()),
  "rand": (random, shape) => drawn(shape, () => random.uniform()),
  "randn_like": (random, a) => drawn(a.shape, () => random.normal()),
  "rand_like": (random, a) => drawn(a.shape, () => random.uniform()),
  "normal": (random, mean, deviation) => zip(of(mean), of(deviation), (m, s) => m + s * random.normal()),
  "normal_functional": (random, a, mean = 0, deviation = 1) => drawn(a.shape, () => mean + deviation * random.normal()),
  "uniform": (random, a, low = 0, high = 1) => drawn(a.shape, () => low + (high - low) * random.uniform()),
  "bernoulli": (random, a) => map(a, (p) => (random.uniform() < p ? 1 : 0)),
  "multinomial": multinomial,
};

export const OPERATIONS = {
  "add": scaled((x, y) => x + y),
  "sub": scaled((x, y) => x - y),
  "rsub": scaled((x, y) => y - x),
  "mul": binary((x, y) => x * y),
  "div": binary((x, y) => x / y),
  "neg": unary((x) => -x),
  "abs": unary(Math.abs),
  "exp": unary(Math.exp),
  "log": unary(Math.log),
  "log1p": unary(Math.log1p),
  "expm1": unary(Math.expm1),
  "sqrt": unary(Math.sqrt),
  "rsqrt": unary((x) => 1 / Math.sqrt(x)),
  "reciprocal": unary((x) => 1 / x),
  "tanh": unary(Math.tanh),
  "sin": unary(Math.sin),
  "cos": unary(Math.cos),
  "atan": unary(Math.atan),
  "sigmoid": unary((x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)))),
  "relu": unary((x) => (x < 0 ? 0 : x)),
  "erf": unary(erf),
  "gelu": (a, { approximate = "none" } = {}) => map(a, (x) => (approximate === "none" ? 0.5 * x * (1 + erf(x * Math.SQRT1_2)) : 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))))),
  "leaky_relu": (a, slope = 0.01) => map(a, (x) => (x > 0 ? x : slope * x)),
  "elu": (a, alpha = 1, scale = 1, input = 1) => map(a, (x) => scale * (x > 0 ? x : alpha * Math.expm1(input * x))),
  "hardtanh": (a, low = -1, high = 1) => clamp(a, of(low), of(high)),
  "sign": unary(Math.sign),
  "round": unary(roundHalfEven),
  "floor": unary(Math.floor),
  "ceil": unary(Math.ceil),
  "trunc": unary(Math.trunc),
  "lgamma": unary(lgamma),
  "digamma": unary(digamma),
  "isnan": unary((x) => (Number.isNaN(x) ? 1 : 0)),
  "isinf": unary((x) => (Math.abs(x) === Infinity ? 1 : 0)),
  "logical_not": unary((x) => (x ? 0 : 1)),
  "bitwise_not": unary((x) => (x ? 0 : 1)),
  "pow": binary((x, y) => (y === 2 ? x * x : x ** y)),
  "eq": compared((x, y) => x === y),
  "ne": compared((x, y) => x !== y),
  "lt": compared((x, y) => x < y),
  "le": compared((x, y) => x <= y),
  "gt": compared((x, y) => x > y),
  "ge": compared((x, y) => x >= y),
  "logical_and": compared((x, y) => x && y),
  "logical_or": compared((x, y) => x || y),
  "bitwise_and": compared((x, y) => x && y),
  "bitwise_or": compared((x, y) => x || y),
  "minimum": binary(Math.min),
  "maximum": binary(Math.max),
  "clamp": clamp,
  "clamp_min": (a, low) => clamp(a, low),
  "where": (condition, a, b) => where(of(condition), of(a), of(b)),
  "sum": (a, axes = null, keep = false) => reduce(a, list(axes), keep, sum),
  "mean": (a, axes = null, keep = false) => reduce(a, list(axes), keep, (line) => sum(line) / line.length),
  "prod": (a, axis = null, keep = false) => reduce(a, list(axis), keep, (line) => line.reduce((x, y) => x * y, 1)),
  "amax": (a, axes = [], keep = false) => reduce(a, axes, keep, largest),
  "amin": (a, axes = [], keep = false) => reduce(a, axes, keep, smallest),
  "any": (a, axis = null, keep = false) => reduce(a, list(axis), keep, (line) => (line.some(Boolean) ? 1 : 0)),
  "max": (a, axis, keep = false) => extreme(a, axis, keep, (x, y) => x > y),
  "min": (a, axis, keep = false) => extreme(a, axis, keep, (x, y) => x < y),
  "argmax": (a, axis, keep = false) => extreme(a, axis, keep, (x, y) => x > y)[1],
  "cumsum": cumulative((x, y) => x + y),
  "cumprod": cumulative((x, y) => x * y),
  "_softmax": (a, axis) => softmax(a, axis, false),
  "_log_softmax": (a, axis) => softmax(a, axis, true),
  "view": reshape,
  "reshape": reshape,
  "_unsafe_view": reshape,
  "permute": permute,
  "t": (a) => (a.shape.length < 2 ? a : permute(a, [1, 0])),
  "transpose": (a, i, j) => {
    const order = [...a.shape.keys()];
    const [first, second] = [axisOf(i, order.length), axisOf(j, order.length)];
    [order[first], order[second]] = [second, first];
    return permute(a, order);
  },
  "expand": expand,
  "repeat": repeat,
  "unsqueeze": inserted,
  "squeeze": (a, axes = null) => without(a, list(axes) ?? [...a.shape.keys()]),
  "slice": sliced,
  "select": select,
  "split_with_sizes": split,
  "split": (a, size, axis = 0) => {
    const whole = a.shape[axisOf(axis, a.shape.length)];
    return split(a, Array.from({ length: Math.ceil(whole / size) }, (_, i) => Math.min(size, whole - i * size)), axis);
  },
  "unbind": (a, axis = 0) => Array.from({ length: a.shape[axisOf(axis, a.shape.length)] }, (_, i) => select(a, axis, i)),
  "cat": (parts, axis = 0) => concatenate(parts, axis),
  "stack": (parts, axis = 0) => concatenate(parts.map((part) => inserted(part, axis < 0 ? axis + part.shape.length + 1 : axis)), axis),
  "gather": gather,
  "index": index,
  "index_put": indexPut,
  "index_select": (a, axis, at) => concatenate(Array.from(at.data, (i) => slice(a, axis, i, 1)), axis),
  "index_copy": (a, axis, at, source) => Array.from(at.data).reduce((whole, to, i) => scattered(whole, slice(source, axis, i, 1), axis, to), a),
  "slice_scatter": (a, part, axis = 0, start = 0, end = null, step = 1) => {
    const size = a.shape[axisOf(axis, a.shape.length)];
    return scattered(a, part, axis, (start ?? 0) < 0 ? start + size : start ?? 0, step);
  },
  "select_scatter": (a, part, axis, at) => scattered(a, inserted(part, axisOf(axis, a.shape.length)), axis, at < 0 ? at + a.shape[axisOf(axis, a.shape.length)] : at),
  "constant_pad_nd": padded,
  "diagonal": diagonal,
  "flip": (a, axes) => axes.reduce((whole, axis) => along(whole, axis, (line, out) => out.set(line.slice().reverse())), a),
  "mm": matmul,
  "bmm": matmul,
  "addmm": (bias, a, b) => zip(matmul(a, b), bias, (x, y) => x + y),
  "convolution": convolution,
  "native_layer_norm": layerNorm,
  "native_group_norm": groupNorm,
  "linalg_cholesky_ex": (a) => [cholesky(a), filled(a.shape.slice(0, -2), 0)],
  "linalg_solve_triangular": (a, b, { upper, left = true, unitriangular = false }) => solveTriangular(a, b, upper, left, unitriangular),
  "_linalg_check_errors": () => null,
  "full": filled,
  "full_like": (a, value) => filled(a.shape, value),
  "zeros_like": (a) => filled(a.shape, 0),
  "ones_like": (a) => filled(a.shape, 1),
  "zeros": (shape) => filled(shape, 0),
  "ones": (shape) => filled(shape, 1),
  "empty": (shape) => filled(shape, 0),
  "empty_like": (a) => filled(a.shape, 0),
  "scalar_tensor": (value) => of(Number(value)),
  "arange": (start, end, step) => (end === undefined ? arange(0, start) : arange(start, end, step)),
  "getitem": (parts, at) => parts[at],
  "clone": copy,
  "alias": copy,
  "detach": copy,
  "lift_fresh_copy": copy,
  "_to_copy": converted,
};
