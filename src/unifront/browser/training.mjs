// Trains in the page: of a batch and the state, step.onnx makes what is logged and the next state.
import { KINDS, by, element, feeds, ort, plain } from "./tensors.mjs";

const SHOWN = 10; // steps after which the outputs are shown again
const ALIGNED = 8; // bytes at which each array of a file begins

async function arrays(file, abouts) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file}: ${response.status}`);
  const bytes = await response.arrayBuffer();
  let at = 0;
  return abouts.map(({ dtype, shape }) => {
    const found = new KINDS[dtype](bytes, at, shape.reduce((a, b) => a * b, 1));
    at += Math.ceil(found.byteLength / ALIGNED) * ALIGNED;
    return found;
  });
}

export async function trainer({ inputs, examples, batch, logs, state, weights }) {
  const session = await ort.InferenceSession.create("step.onnx");
  const first = await arrays("state.bin", state);
  const data = await arrays("examples.bin", inputs.map(({ dtype }, i) => ({ dtype, shape: examples[i] })));
  const count = examples[0][0];
  const taken = session.inputNames.slice(inputs.length);
  const next = session.outputNames.slice(logs.length);
  const carried = state.flatMap((one, i) => (one.next ? [i] : []));
  let values = [];
  let order = [];
  let last = Promise.resolve();

  function begin() {
    values = state.map(({ dtype, shape }, i) => new ort.Tensor(dtype, first[i].slice(), shape));
    order = [];
  }
  begin();

  async function step(given) {
    const now = Object.fromEntries(values.map((value, i) => [taken[i], value]));
    const found = await session.run({ ...feeds(inputs, given, session.inputNames), ...now });
    carried.forEach((place, i) => {
      values[place] = found[next[i]];
    });
    return Object.fromEntries(
      logs.map((name, i) => {
        const { data: numbers, shape } = plain(found[session.outputNames[i]]);
        return [name, shape.length ? numbers : numbers[0]];
      }),
    );
  }

  // A step on `given`, after those that were asked for before; what it logs.
  function train(given) {
    const done = last.then(() => step(given));
    last = done.catch(() => {});
    return done;
  }

  // The state as it was at first, after the steps that were asked for before.
  const reset = () => (last = last.then(begin));

  // The examples of these numbers, as a batch.
  function chosen(numbers) {
    return Object.fromEntries(
      inputs.map(({ name }, i) => {
        const size = data[i].length / count;
        const parts = numbers.map((number) => Array.from(data[i].subarray(number * size, (number + 1) * size)));
        return [name, { data: parts.flat(), shape: [numbers.length, ...examples[i].slice(1)] }];
      }),
    );
  }

  // The next batch of the examples, in an order that changes from pass to pass.
  function drawn() {
    if (order.length < batch) {
      order = Array.from({ length: count }, (_, i) => i);
      for (let i = count - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        [order[i], order[j]] = [order[j], order[i]];
      }
    }
    return chosen(order.splice(0, batch));
  }

  const current = () => weights.map((name) => values[state.findIndex((one) => one.name === name)]);
  const read = () => Object.fromEntries(state.map(({ name }, i) => [name, plain(values[i])]));
  return { train, examples: chosen, batch: drawn, reset, weights: current, state: read, count };
}

// A button that trains, and how the first log goes.
export function panel(trainer, section, update) {
  const [button, again] = [element("button", "Train", { type: "button" }), element("button", "Reset", { type: "button" })];
  const text = element("p", `${trainer.count} examples`, { id: "logs" });
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  picture.setAttribute("viewBox", "0 0 100 40");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.append(line);
  section.append(element("h2", "Training"), button, again, text, picture);
  let running = false;
  let seen = [];
  let loops = Promise.resolve(); // never two at a time

  function show(logs) {
    const named = Object.entries(logs).map(([name, value]) => `${name} ${[value].flat().map((n) => n.toPrecision(4)).join(" ")}`);
    text.textContent = `Step ${seen.length}: ${named.join(", ")}`;
    const most = Math.max(...seen) || 1;
    const points = seen.map((value, i) => `${(100 * i) / Math.max(1, seen.length - 1)},${40 - (38 * value) / most}`);
    line.setAttribute("points", points.join(" "));
  }

  async function loop() {
    try {
      while (running) {
        const logs = await trainer.train(trainer.batch());
        seen.push([Object.values(logs)[0]].flat()[0]);
        show(logs);
        if (seen.length % SHOWN === 0) await update();
        await new Promise((go) => setTimeout(go)); // the page stays alive
      }
      await update();
    } catch (error) {
      stop();
      by("error").textContent = error.message;
    }
  }

  function stop() {
    running = false;
    button.textContent = "Train";
  }

  button.addEventListener("click", () => {
    if (running) return stop();
    running = true;
    button.textContent = "Stop";
    loops = loops.then(loop);
  });
  again.addEventListener("click", async () => {
    stop();
    await loops;
    await trainer.reset();
    seen = [];
    line.setAttribute("points", "");
    text.textContent = `${trainer.count} examples`;
    await update();
  });
}
