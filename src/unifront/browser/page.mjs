// Runs model.onnx with ONNX Runtime Web: what model.json says of it becomes fields to fill, and its outputs bars.
import { by, element, feeds, ort, plain } from "./tensors.mjs";

const MOST = 20; // bars that are shown of one output

// Numbers of nested lists, and their shape.
function flat(nested) {
  const shape = [];
  let level = nested;
  while (Array.isArray(level)) {
    shape.push(level.length);
    level = level[0];
  }
  return { data: [nested].flat(Infinity), shape };
}

function drawing(about, section, changed, scale) {
  const [, height, width, channels] = about.shape;
  const canvas = element("canvas", "", { width: 280, height: Math.round((280 * height) / width), id: "drawing" });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const small = element("canvas", "", { width, height }).getContext("2d", { willReadFrequently: true });
  Object.assign(pen, { lineWidth: Math.max(20, (1.4 * 280) / width), lineCap: "round", lineJoin: "round", strokeStyle: "#fff", fillStyle: "#000" });
  const clear = () => pen.fillRect(0, 0, canvas.width, canvas.height);
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const ratio = canvas.width / box.width;
    return [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  };
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = at(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    const next = at(event);
    pen.beginPath();
    pen.moveTo(...last);
    pen.lineTo(...next);
    pen.stroke();
    last = next;
  });
  for (const end of ["pointerup", "pointerleave"]) {
    canvas.addEventListener(end, () => {
      if (last) changed();
      last = null;
    });
  }
  const button = element("button", "Clear", { type: "button" });
  button.addEventListener("click", () => {
    clear();
    changed();
  });
  clear();
  section.append(canvas, button);
  return () => {
    small.imageSmoothingQuality = "high";
    small.drawImage(canvas, 0, 0, width, height);
    const pixels = small.getImageData(0, 0, width, height).data;
    const data = [];
    for (let i = 0; i < pixels.length; i += 4) {
      for (let c = 0; c < channels; c++) data.push((pixels[i + c] / 255) * scale);
    }
    return { data, shape: [1, height, width, channels] };
  };
}

function typed(about, section, changed) {
  const shape = about.shape.map((n) => n ?? 1);
  const zeros = shape.reduceRight((inner, n) => Array(n).fill(inner), 0);
  const field = element("textarea", "", { value: JSON.stringify(zeros), ariaLabel: about.name });
  field.addEventListener("change", changed);
  section.append(field);
  return () => {
    try {
      return flat(JSON.parse(field.value));
    } catch (error) {
      throw new Error(`${about.name} is no list of numbers in JSON: ${error.message}`);
    }
  };
}

function show(about, found, labels) {
  const section = element("div");
  section.append(element("h2", about.name));
  const { data, shape } = found;
  const rows = shape.length === 2 && shape[0] === 1 ? data : null;
  if (!rows) {
    section.append(element("pre", `[${shape.join(", ")}]\n${Array.from(data.slice(0, 200)).join(" ")}`));
    return section;
  }
  const order = Array.from(rows.keys());
  const best = order.reduce((a, b) => (rows[b] > rows[a] ? b : a), 0);
  const shown = order.length > MOST ? order.sort((a, b) => Number(rows[b]) - Number(rows[a])).slice(0, MOST) : order;
  const [low, high] = [Math.min(0, ...shown.map((i) => Number(rows[i]))), Math.max(...shown.map((i) => Number(rows[i])))];
  for (const i of shown) {
    const bar = element("div", "", { className: i === best ? "bar most" : "bar" });
    const length = element("i");
    length.style.width = `${(100 * (Number(rows[i]) - low)) / (high - low || 1)}%`;
    bar.append(element("span", labels?.[i] ?? String(i)), length, element("b", Number(rows[i]).toPrecision(5)));
    section.append(bar);
  }
  return section;
}

async function start() {
  const about = await (await fetch("model.json")).json();
  document.title = about.name;
  by("name").textContent = about.name;
  const session = await ort.InferenceSession.create("model.onnx");
  const training = about.training ? await import("./training.mjs") : null;
  const trainer = training ? await training.trainer(about.training) : null;

  async function run(given) {
    const weights = (trainer?.weights() ?? []).map((one, i) => [session.inputNames[about.inputs.length + i], one]);
    const found = await session.run({ ...feeds(about.inputs, given, session.inputNames), ...Object.fromEntries(weights) });
    return Object.fromEntries(
      about.outputs.map(({ name }, i) => {
        return [name, plain(found[session.outputNames[i]])];
      }),
    );
  }

  const readers = {};
  const read = () => Object.fromEntries(Object.entries(readers).map(([name, reader]) => [name, reader()]));
  async function update() {
    try {
      const found = await run(read());
      by("outputs").replaceChildren(...about.outputs.map((one) => show(one, found[one.name], about.labels)));
      by("error").textContent = "";
    } catch (error) {
      by("error").textContent = error.message;
    }
  }
  for (const one of about.inputs) {
    const section = by("inputs");
    section.append(element("h2", one.name));
    const [, height, width, channels] = one.shape;
    const isImage = one.shape.length === 4 && height && width && [1, 3].includes(channels) && one.dtype.startsWith("float");
    readers[one.name] = isImage ? drawing(one, section, update, about.scale) : typed(one, section, update);
  }
  if (training) training.panel(trainer, by("training"), update);
  window.unifront = { about, run, read, update, trainer };
  await update();
  by("state").remove();
  document.querySelector("main").hidden = false;
}

window.unifrontReady = start().catch((error) => {
  by("state").textContent = "";
  by("error").textContent = `The model cannot be loaded: ${error.message}`;
  throw error;
});
