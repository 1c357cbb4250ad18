// Dense tensors: {shape, data}, row-major, 64-bit floats; booleans are 0 and 1.

export class Tensor {
  constructor(shape, data) {
    this.shape = shape;
    this.data = data || new Float64Array(count(shape));
  }
}

export const count = (shape) => shape.reduce((product, size) => product * size, 1);

export const scalar = (value) => new Tensor([], Float64Array.of(value));

export const of = (value) => (value instanceof Tensor ? value : scalar(Number(value)));

export const axisOf = (axis, rank) => (axis < 0 ? axis + rank : axis);

export function strides(shape) {
  const found = new Array(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    found[axis] = step;
    step *= shape[axis];
  }
  return found;
}

export function broadcastShape(a, b) {
  const rank = Math.max(a.length, b.length);
  const shape = new Array(rank);
  for (let i = 1; i <= rank; i++) {
    const left = a[a.length - i] ?? 1;
    const right = b[b.length - i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) throw new Error(`shapes ${a} and ${b} do not fit`);
    shape[rank - i] = left === 1 ? right : left;
  }
  return shape;
}

// Calls visit(flat index of the result, offsets into each source) for every element of `shape`.
export function walk(shape, steps, visit) {
  const rank = shape.length;
  const total = count(shape);
  const index = new Array(rank).fill(0);
  const offsets = new Array(steps.length).fill(0);
  for (let flat = 0; flat < total; flat++) {
    visit(flat, offsets);
    for (let axis = rank - 1; axis >= 0; axis--) {
      index[axis]++;
      for (let k = 0; k < steps.length; k++) offsets[k] += steps[k][axis];
      if (index[axis] < shape[axis]) break;
      for (let k = 0; k < steps.length; k++) offsets[k] -= steps[k][axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

// Strides with which a tensor is read as if it had `shape`.
export function stretched(tensor, shape) {
  const own = strides(tensor.shape);
  const shift = shape.length - tensor.shape.length;
  return shape.map((_, axis) => (axis < shift || tensor.shape[axis - shift] === 1 ? 0 : own[axis - shift]));
}

const same = (a, b) => a.length === b.length && a.every((size, axis) => size === b[axis]);

export function map(a, f) {
  const source = a.data;
  const result = new Tensor(a.shape);
  for (let i = 0; i < source.length; i++) result.data[i] = f(source[i]);
  return result;
}

export function zip(a, b, f) {
  if (same(a.shape, b.shape)) {
    const result = new Tensor(a.shape);
    for (let i = 0; i < result.data.length; i++) result.data[i] = f(a.data[i], b.data[i]);
    return result;
  }
  if (b.data.length === 1 && b.shape.length <= a.shape.length) {
    const value = b.data[0];
    return map(a, (x) => f(x, value));
  }
  const shape = broadcastShape(a.shape, b.shape);
  const result = new Tensor(shape);
  walk(shape, [stretched(a, shape), stretched(b, shape)], (flat, at) => {
    result.data[flat] = f(a.data[at[0]], b.data[at[1]]);
  });
  return result;
}

export function where(condition, a, b) {
  const shape = broadcastShape(condition.shape, broadcastShape(a.shape, b.shape));
  const result = new Tensor(shape);
  const steps = [condition, a, b].map((part) => stretched(part, shape));
  walk(shape, steps, (flat, at) => {
    result.data[flat] = condition.data[at[0]] ? a.data[at[1]] : b.data[at[2]];
  });
  return result;
}

export function expand(a, shape) {
  const shift = shape.length - a.shape.length;
  const whole = shape.map((size, axis) => (size === -1 ? a.shape[axis - shift] : size));
  const result = new Tensor(whole);
  walk(whole, [stretched(a, whole)], (flat, at) => {
    result.data[flat] = a.data[at[0]];
  });
  return result;
}

export function permute(a, axes) {
  const own = strides(a.shape);
  const order = axes.map((axis) => axisOf(axis, a.shape.length));
  const result = new Tensor(order.map((axis) => a.shape[axis]));
  walk(result.shape, [order.map((axis) => own[axis])], (flat, at) => {
    result.data[flat] = a.data[at[0]];
  });
  return result;
}

export function reshape(a, shape) {
  const known = shape.reduce((product, size) => (size === -1 ? product : product * size), 1);
  return new Tensor(shape.map((size) => (size === -1 ? a.data.length / known : size)), a.data);
}

// The part of an axis from start in steps, of the given length.
export function slice(a, axis, start, length, step = 1) {
  const own = strides(a.shape);
  const at = axisOf(axis, a.shape.length);
  const shape = a.shape.map((size, k) => (k === at ? length : size));
  const result = new Tensor(shape);
  const first = start * own[at];
  walk(shape, [own.map((stride, k) => (k === at ? stride * step : stride))], (flat, offset) => {
    result.data[flat] = a.data[first + offset[0]];
  });
  return result;
}

// A copy of `a` in which such a part is replaced.
export function scattered(a, part, axis, start, step = 1) {
  const own = strides(a.shape);
  const at = axisOf(axis, a.shape.length);
  const result = new Tensor(a.shape, a.data.slice());
  walk(part.shape, [own.map((stride, k) => (k === at ? stride * step : stride))], (flat, offset) => {
    result.data[start * own[at] + offset[0]] = part.data[flat];
  });
  return result;
}

export function concatenate(parts, axis) {
  const some = parts.filter((part) => !(part.shape.length === 1 && part.shape[0] === 0));
  const at = axisOf(axis, some[0].shape.length);
  const total = some.reduce((sum, part) => sum + part.shape[at], 0);
  let result = new Tensor(some[0].shape.map((size, k) => (k === at ? total : size)));
  let start = 0;
  for (const part of some) {
    result = scattered(result, part, at, start);
    start += part.shape[at];
  }
  return result;
}

// Reduces axes (all of them if there are none): f(values) -> number for every group.
export function reduce(a, axes, keep, f) {
  const rank = a.shape.length;
  const chosen = axes && axes.length ? axes.map((axis) => axisOf(axis, rank)) : a.shape.map((_, axis) => axis);
  const kept = a.shape.map((_, axis) => axis).filter((axis) => !chosen.includes(axis));
  const moved = permute(a, [...kept, ...chosen]);
  const size = count(chosen.map((axis) => a.shape[axis]));
  const shape = keep
    ? a.shape.map((length, axis) => (chosen.includes(axis) ? 1 : length))
    : kept.map((axis) => a.shape[axis]);
  const result = new Tensor(shape);
  for (let i = 0; i < result.data.length; i++) result.data[i] = f(moved.data.subarray(i * size, (i + 1) * size));
  return result;
}

// Runs f(line in, line out) along one axis.
export function along(a, axis, f) {
  if (!a.shape.length) {
    const result = new Tensor([]);
    f(a.data, result.data);
    return result;
  }
  const rank = a.shape.length;
  const at = axisOf(axis, rank);
  const order = [...a.shape.keys()].filter((k) => k !== at).concat(at);
  const moved = permute(a, order);
  const size = a.shape[at];
  const out = new Tensor(moved.shape);
  for (let i = 0; i < moved.data.length; i += size) f(moved.data.subarray(i, i + size), out.data.subarray(i, i + size));
  const back = new Array(rank);
  order.forEach((k, i) => (back[k] = i));
  return permute(out, back);
}
