// Tensors of ONNX Runtime Web, as model.json describes them.
import * as ort from "./ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more of them want headers that few web servers send

export { ort };
export const KINDS = {
  float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array, int8: Int8Array,
  uint8: Uint8Array, bool: Uint8Array,
};
export const by = (id) => document.getElementById(id);

export function element(kind, text = "", attributes = {}) {
  const made = Object.assign(document.createElement(kind), attributes);
  made.textContent = text;
  return made;
}

function tensor(about, { data, shape }) {
  const size = shape.reduce((a, b) => a * b, 1);
  const fits = shape.length === about.shape.length && about.shape.every((n, i) => n === null || n === shape[i]);
  if (!fits || data.length !== size) {
    const wanted = about.shape.map((n) => n ?? "any").join(", ");
    throw new Error(`${about.name} is [${wanted}]; ${data.length} numbers of the shape [${shape.join(", ")}] were given.`);
  }
  const kind = KINDS[about.dtype];
  return new ort.Tensor(about.dtype, kind.from(data, about.dtype === "int64" ? BigInt : Number), shape);
}

// What a session is fed of `given`, by the names it has for the inputs that `abouts` describes.
export function feeds(abouts, given, names) {
  const missing = abouts.find(({ name }) => !(name in given));
  if (missing) throw new Error(`The input ${missing.name} is missing.`);
  return Object.fromEntries(abouts.map((one, i) => [names[i], tensor(one, given[one.name])]));
}

export const plain = ({ data, dims }) => ({ data: Array.from(data, Number), shape: Array.from(dims) });
