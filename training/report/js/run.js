// The page of a run.
import { bars, lines } from "./chart.js";
import { arraysOf, dataOf } from "./bytes.js";
import { element, find, number, onFrame, replace, trouble } from "./dom.js";
import { Generator, given } from "./random.js";
import { Machine, PROMISED } from "./machine.js";
import { Numbers, losses } from "./numbers.js";
import { Workbench } from "./workbench.js";
import { chain } from "./chain.js";
import { one } from "./one.js";

function curves({ history, klPerLatent }) {
  const { split, epoch, loss, judged_loss, judged_distortion, judged_rate } = history;
  if (epoch.length) {
    find("curve-parts-title").textContent = `Rate and distortion of the ${split} set`;
    lines(find("curve-loss"), { x: epoch, xLabel: "epoch", yLabel: "nats per datum", label: `training loss and ${split} −ELBO against epochs`, series: [{ name: "training loss", values: loss }, { name: `${split} −ELBO`, values: judged_loss }] });
    lines(find("curve-parts"), { x: epoch, xLabel: "epoch", yLabel: "nats per datum", label: "distortion and rate against epochs", series: [{ name: "distortion", values: judged_distortion }, { name: "rate", values: judged_rate }] });
  } else for (const id of ["curve-loss", "curve-parts"]) replace(id, element("p", { class: "note" }, "The run has no history (metrics.jsonl)."));
  if (klPerLatent) bars(find("curve-kl"), { values: klPerLatent, labels: klPerLatent.map((_, j) => `latent ${j + 1}`), xLabel: "latent", yLabel: "nats, mean of test data", label: `mean KL of each of ${klPerLatent.length} latents` });
  else replace("curve-kl", element("p", { class: "note" }, "The KL of this prior and guide is no sum over latents in closed form."));
}

function told(machine, compared) {
  const { precision } = machine.data;
  const { worst, many } = machine.againstPyro();
  const weights = precision.bits === null ? "The weights in this page are the run’s own, in float32." : `The weights in this page are whole numbers of steps, a step being about 2^−${number(precision.bits, 3)} of an array’s root mean square, so that the file stays small.`;
  const off = precision.bits === null ? "" : precision.exact ? ` Losses, densities and KLs then differ from the run’s by at most ${number(precision.apart, 2)} nats (measured in Python on ${precision.data} test data).` : ` p(x|z) is then off by at most ${number(100 * precision.apart, 2)} % of its largest value (measured in Python on ${precision.data} draws).`;
  find("precision").textContent = weights + off;
  if (machine.data.parts.likelihood === "Multinomial") find("decoded-title").textContent = "Mean of p(x|z), of as many words as x has";
  find("checked").textContent = `When it was opened, this page computed ${compared} outputs of its programs again and compared them with Python’s.` + (many ? ` ${many} losses that Pyro itself gave in Python, on the run’s own weights, came out here with a difference of at most ${number(worst, 2)} nats.` : "");
  if (worst > PROMISED) trouble(`Do not trust the losses in this page: they differ from Pyro’s by up to ${number(worst, 2)} nats in this browser.`);
  const reasons = [...new Set(Object.values(machine.refused))];
  replace("refused-list", ...reasons.map((reason) => element("li", {}, `Not computed here: ${reason}`)));
  if (!machine.has("decode")) replace("model-refused", element("p", { class: "refused" }, `There is no decoder in this page. ${machine.why("decode")}.`));
  else if (!machine.has("draw")) replace("model-refused", element("p", { class: "refused" }, `There is no encoder in this page. ${machine.why("draw")}. Test data start at the posterior means that Python computed.`));
}

async function start() {
  const data = await dataOf(find("data").textContent);
  curves(data);
  for (const id of ["one-m", "one-s"]) find(id).addEventListener("input", onFrame(one));
  one();
  const machine = new Machine(data, await arraysOf(find("constants").textContent, data.constants));
  told(machine, machine.selfCheck());
  const generator = new Generator(Date.now());
  const numbers = new Numbers(machine, generator);
  const linked = () => numbers.last && chain(machine, numbers.x, numbers.last);
  for (const id of ["again", "again100"]) find(id).addEventListener("click", linked);
  const workbench = new Workbench(machine, generator, {
    datumChanged: (x) => {
      numbers.show(x);
      linked();
    },
  });
  document.body.dataset.ready = "yes";
  return { machine, numbers, workbench, losses, given };
}

const page = start();
page.catch((error) => trouble(`The model in this page cannot be used: ${error.message}`));
globalThis.elbolab = { page };
