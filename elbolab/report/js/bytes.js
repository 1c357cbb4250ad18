// What a page holds as text: bytes, seven bits to a character, deflated; arrays as planes of bytes.
import { Tensor, count } from "./tensor.js";

// The last seven bits of every character; those that HTML would change come as others with the same bits.
export function bytesOf(text) {
  const bytes = new Uint8Array(Math.floor((text.length * 7) / 8));
  let buffer = 0;
  let bits = 0;
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    buffer = ((buffer << 7) | (text.charCodeAt(i) & 127)) & 0x7fff;
    bits += 7;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (buffer >> bits) & 255;
    }
  }
  return bytes;
}

export async function inflated(bytes) {
  if (typeof DecompressionStream === "undefined")
    throw new Error("this browser is older than DecompressionStream (2023): the model in this page cannot be unpacked");
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// One array: `planes` bytes a number, the lowest byte of all numbers first; floats, or whole numbers times a step.
function array({ shape, planes, step, at }, bytes) {
  const size = count(shape);
  const data = new Float64Array(size);
  const words = new Int32Array(size);
  const floats = new Float32Array(words.buffer);
  for (let plane = 0; plane < planes; plane++) {
    const from = at + plane * size;
    for (let i = 0; i < size; i++) words[i] |= bytes[from + i] << (8 * plane);
  }
  if (step === null) data.set(floats);
  else for (let i = 0; i < size; i++) data[i] = ((words[i] << (32 - 8 * planes)) >> (32 - 8 * planes)) * step;
  return new Tensor(shape, data);
}

function doubles({ shape, at }, bytes) {
  const size = count(shape);
  return new Tensor(shape, new Float64Array(bytes.slice(at, at + 8 * size).buffer));
}

export async function arraysOf(text, index) {
  const bytes = await inflated(bytesOf(text));
  return index.map((entry) => (entry.planes === 8 ? doubles(entry, bytes) : array(entry, bytes)));
}

// The plain values of the page.
export async function dataOf(text) {
  return JSON.parse(new TextDecoder().decode(await inflated(bytesOf(text))));
}
