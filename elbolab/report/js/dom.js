// Elements. Text goes in as text, never as HTML.

export function element(tag, attributes = {}, ...children) {
  return filledIn(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filledIn(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filledIn(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export const find = (id) => document.getElementById(id);

export function replace(id, ...children) {
  find(id).replaceChildren(...children);
}

// Five digits that matter, in plain notation where that is short.
export function number(value, digits = 5) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "infinite" : "−infinite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value).replace("-", "−");
  if (size >= 1e6 || size < 1e-4) return value.toExponential(1).replaceAll("-", "−").replace("e+", "e");
  return String(Number(value.toPrecision(digits))).replace(/^-/, "−");
}

export function fixed(value, digits = 4) {
  return Number.isFinite(value) ? value.toFixed(digits).replace(/^-/, "−") : number(value);
}

export function options(select, names, chosen = 0) {
  select.replaceChildren(...names.map((name, i) => element("option", { value: i, selected: i === chosen }, String(name))));
}

// Runs f at most once a frame, however often it is asked for.
export function onFrame(f) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      f();
    });
  };
}

export function trouble(message) {
  const place = find("trouble");
  place.textContent = message;
  place.hidden = false;
}
