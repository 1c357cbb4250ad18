// Products, factors and convolutions.
import { Tensor, permute } from "./tensor.js";

// a (..., n, k) times b (..., k, m), with the same leading axes.
export function matmul(a, b) {
  const [n, k, m] = [a.shape.at(-2), a.shape.at(-1), b.shape.at(-1)];
  const result = new Tensor([...a.shape.slice(0, -1), m]);
  const [left, right, out] = [a.data, b.data, result.data];
  const blocks = left.length / Math.max(1, n * k);
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < n; i++) {
      const row = (block * n + i) * m;
      for (let l = 0; l < k; l++) {
        const factor = left[(block * n + i) * k + l];
        if (factor === 0) continue; // a black pixel
        const from = (block * k + l) * m;
        for (let j = 0; j < m; j++) out[row + j] += factor * right[from + j];
      }
    }
  }
  return result;
}

// A lower factor L of a = L L^T, for every matrix in the last two axes.
export function cholesky(a) {
  const n = a.shape.at(-1);
  const result = new Tensor(a.shape);
  for (let start = 0; start < a.data.length; start += n * n) {
    const [from, to] = [a.data.subarray(start, start + n * n), result.data.subarray(start, start + n * n)];
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        let left = from[i * n + j];
        for (let k = 0; k < j; k++) left -= to[i * n + k] * to[j * n + k];
        to[i * n + j] = i === j ? Math.sqrt(left) : left / to[j * n + j];
      }
    }
  }
  return result;
}

const transposed = (a) => permute(a, [...Array(a.shape.length - 2).keys(), a.shape.length - 1, a.shape.length - 2]);

// X with a X = b, or with X a = b.
export function solveTriangular(a, b, upper, left, unitriangular) {
  if (!left) return transposed(solveTriangular(transposed(a), transposed(b), !upper, true, unitriangular));
  const [n, m] = [a.shape.at(-1), b.shape.at(-1)];
  const result = new Tensor(b.shape);
  const blocks = b.data.length / (n * m);
  const many = a.data.length / (n * n);
  for (let block = 0; block < blocks; block++) {
    const matrix = (block % many) * n * n;
    const start = block * n * m;
    for (let step = 0; step < n; step++) {
      const i = upper ? n - 1 - step : step;
      for (let j = 0; j < m; j++) {
        let rest = b.data[start + i * m + j];
        for (let k = upper ? i + 1 : 0; k < (upper ? n : i); k++) rest -= a.data[matrix + i * n + k] * result.data[start + k * m + j];
        result.data[start + i * m + j] = unitriangular ? rest : rest / a.data[matrix + i * n + i];
      }
    }
  }
  return result;
}

// Two-dimensional, plain or transposed, in the arguments of aten::convolution.
export function convolution(x, weight, bias, stride, padding, dilation, transposedOne, outputPadding, groups) {
  if (groups !== 1 || x.shape.length !== 4) throw new Error("a convolution with groups, or not of images");
  const [batch, , height, width] = x.shape;
  const [kh, kw] = weight.shape.slice(2);
  const channels = transposedOne ? weight.shape[1] : weight.shape[0];
  const size = (length, kernel, k) =>
    transposedOne
      ? (length - 1) * stride[k] - 2 * padding[k] + dilation[k] * (kernel - 1) + outputPadding[k] + 1
      : Math.floor((length + 2 * padding[k] - dilation[k] * (kernel - 1) - 1) / stride[k]) + 1;
  const [outHeight, outWidth] = [size(height, kh, 0), size(width, kw, 1)];
  const result = new Tensor([batch, channels, outHeight, outWidth]);
  if (bias) {
    for (let i = 0; i < result.data.length; i++) result.data[i] = bias.data[Math.floor(i / (outHeight * outWidth)) % channels];
  }
  // From the smaller image to the larger one and back is the same walk: (i, j) lies under (i s + a d - p, ...).
  const [rows, columns] = transposedOne ? [height, width] : [outHeight, outWidth];
  const [tall, wide] = transposedOne ? [outHeight, outWidth] : [height, width];
  const inputs = x.shape[1];
  for (let n = 0; n < batch; n++)
    for (let c = 0; c < inputs; c++)
      for (let o = 0; o < channels; o++) {
        const from = (n * inputs + c) * height * width;
        const to = (n * channels + o) * outHeight * outWidth;
        const kernel = (transposedOne ? c * channels + o : o * inputs + c) * kh * kw;
        for (let a = 0; a < kh; a++)
          for (let b = 0; b < kw; b++) {
            const w = weight.data[kernel + a * kw + b];
            for (let i = 0; i < rows; i++) {
              const y = i * stride[0] + a * dilation[0] - padding[0];
              if (y < 0 || y >= tall) continue;
              for (let j = 0; j < columns; j++) {
                const z = j * stride[1] + b * dilation[1] - padding[1];
                if (z < 0 || z >= wide) continue;
                if (transposedOne) result.data[to + y * wide + z] += w * x.data[from + i * columns + j];
                else result.data[to + i * columns + j] += w * x.data[from + y * wide + z];
              }
            }
          }
      }
  return result;
}

