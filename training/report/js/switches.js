// Latents that are no point of a plane: bits, a category, numbers between 0 and 1; beside what q(z|x) says of each.
import { element, find, fixed } from "./dom.js";

export class Switches {
  constructor(machine, { changed }) {
    const { latent, kind } = machine.data;
    [this.kind, this.z] = [kind, new Float64Array(latent)];
    this.rows = Array.from({ length: latent }, (_, j) => {
      const set = (value) => {
        const z = kind === "category" ? new Float64Array(latent) : Float64Array.from(this.z);
        z[j] = value;
        changed(z);
      };
      const control =
        kind === "unit"
          ? element("input", { type: "range", min: 0.01, max: 0.99, step: 0.01, "aria-label": `latent ${j + 1}`, input: (event) => set(Number(event.target.value)) })
          : element("button", { type: "button", "aria-pressed": "false", "aria-label": `latent ${j + 1}`, disabled: kind === "simplex", click: () => set(kind === "category" ? 1 : 1 - this.z[j]) }, "0");
      const bar = element("div", { style: "height:0.7rem;background:var(--wrong);width:0" });
      const share = element("td", { class: "number" });
      return { control, bar, share, row: element("tr", {}, element("th", { scope: "row" }, `z${j + 1}`), element("td", {}, control), element("td", { style: "width:40%" }, bar), share) };
    });
    const body = element("tbody", {}, ...this.rows.map(({ row }) => row));
    const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "latent"), element("th", { scope: "col" }, "value"), element("th", { scope: "col", colspan: 2 }, "mean of q(z|x)")));
    find("pad").replaceChildren(element("div", { class: "scroll", style: "max-height:24rem;overflow-y:auto", tabindex: 0, role: "group", "aria-label": "latents" }, element("table", { style: "width:100%" }, head, body)));
    find("axes").hidden = true;
    find("pad-note").textContent = { bits: "Latents are bits: press one to turn it.", category: "One latent is 1, the others are 0.", unit: "Latents lie between 0 and 1.", simplex: "Latents are shares of 1: draw them." }[kind];
  }

  show(z) {
    this.z = z;
    this.rows.forEach(({ control }, j) => {
      if (control.tagName === "INPUT") control.value = z[j];
      else {
        control.textContent = this.kind === "simplex" ? fixed(z[j], 3) : String(z[j]);
        control.setAttribute("aria-pressed", String(z[j] === 1));
      }
    });
  }

  showPosterior({ mean, draws }) {
    const found = mean ?? this.rows.map((_, j) => draws.reduce((sum, z) => sum + z[j], 0) / draws.length);
    this.rows.forEach(({ bar, share }, j) => {
      bar.style.width = `${100 * Math.min(1, Math.max(0, found[j] || 0))}%`;
      share.textContent = fixed(found[j], 2);
    });
  }
}
