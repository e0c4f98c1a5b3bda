"use strict";
// The page: what is chosen, and the views of it.

const METRICS = ["efficacy", "generalization", "specificity"];
const byId = id => document.getElementById(id);
const capital = word => word[0].toUpperCase() + word.slice(1);

const chosen = {model: "", dataset: "", method: "", trial: "", k: "", mean: true, kind: "accuracy", view: "cases", show: "all", search: "", case: ""};
const KEPT = ["model", "dataset", "method", "trial", "k", "view", "show", "search", "case"]; // in the page's address
const hidden = new Set(); // methods not drawn

let overview; // of all methods
let now; // the method, trial, k, sample and run that are chosen
let tables; // measures, cases, prompts, one case's prompts
let turn = 0; // counts choices, so that a late one is dropped

addEventListener("unhandledrejection", ({reason}) => complain(reason));
start();

function complain(error) {
  Object.assign(byId("status"), {textContent: `This page could not be drawn: ${error.message}`, className: "problem", hidden: false});
}

async function start() {
  if (!window.DecompressionStream) throw new Error("this browser has no DecompressionStream; a newer one has");
  overview = await part("overview");
  if (overview.methods.length === 0) throw new Error("the experiment has no runs");
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const name of KEPT) if (asked.has(name)) chosen[name] = asked.get(name);
  tables = {measures: measureTable(), cases: caseTable(), prompts: promptTable(), one: null};
  for (const id of ["model", "dataset", "method", "trial", "k", "kind", "view", "show"])
    byId(id).addEventListener("change", event => choose({[id]: event.target.value}));
  byId("search").addEventListener("input", event => choose({search: event.target.value}));
  byId("mean").addEventListener("change", event => choose({mean: event.target.checked}));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawMethods(); drawCurves(); });
  document.querySelector("main").hidden = false;
  await choose({});
  byId("status").hidden = true;
  await drawCurves();
}

/** Take over what was chosen, mend what does not go together, and draw what depends on it. */
async function choose(changes) {
  const mine = ++turn;
  const before = {...chosen};
  Object.assign(chosen, changes);
  const method = settle();
  const trial = method.trials.find(({trial}) => String(trial) === chosen.trial);
  const differ = (...names) => !now || names.some(name => before[name] !== chosen[name]);
  if (differ("model", "dataset", "method", "trial", "k", "mean")) drawMeasures(method);
  if (differ("model", "dataset")) drawMethods();
  if (now && differ("model", "dataset", "method", "trial", "k", "mean", "kind")) drawCurves();
  const [sample, run] = await Promise.all([part(trial.sample), part(trial.run)]);
  if (mine !== turn) return;
  if (differ("model", "dataset", "method", "trial", "k")) now = reading(method, sample, run, Number(chosen.k));
  drawCases(before);
  remember();
}

/** Values for the controls that exist together; returns the method. */
function settle() {
  let methods = overview.methods;
  for (const part of ["model", "dataset", "method"]) {
    const options = [...new Map(methods.map(method => [method[part].name, method[part].label]))];
    chosen[part] = fill(part, options, chosen[part], options[0][0]);
    methods = methods.filter(method => method[part].name === chosen[part]);
  }
  const [method] = methods;
  const trials = method.trials.map(({trial}) => [String(trial), String(trial)]);
  chosen.trial = fill("trial", trials, chosen.trial, trials[0][0]);
  const {course, shown} = method.trials.find(({trial}) => String(trial) === chosen.trial);
  const ks = course.k.slice(1).map((k, i) => [String(k), `k = ${k}${kWords(course, i + 1)}`]);
  chosen.k = fill("k", ks.length ? ks : [["0", "k = 0, unedited"]], chosen.k, String(shown));
  for (const id of ["view", "show"]) byId(id).value = chosen[id];
  for (const [id, usual] of [["view", "cases"], ["show", "all"]]) if (!byId(id).value) chosen[id] = byId(id).value = usual;
  if (byId("search").value !== chosen.search) byId("search").value = chosen.search;
  return method;
}

/** A select with these options and the wished one, or else the usual one; returns which. */
function fill(id, options, wished, usual) {
  const select = byId(id);
  select.replaceChildren(...options.map(([value, label]) => make("option", {value}, label)));
  select.value = options.some(([value]) => value === wished) ? wished : usual;
  select.disabled = options.length < 2;
  return select.value;
}

/** Keep what is chosen in the page's address, so that it can be passed on. */
function remember() {
  const kept = KEPT.filter(name => chosen[name] !== "").map(name => [name, chosen[name]]);
  try {
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  } catch { /* inside another page, which may not allow it */ }
}

/** Why a line of a course is shown, and whether its model has collapsed, in brackets. */
function kWords({role, collapsed}, at) {
  const words = [{selected: "selected", last: "last, criterion not met", unjudged: "last"}[role[at]]];
  if (collapsed[at]) words.push("collapsed");
  const said = words.filter(Boolean).join(", ");
  return said && ` (${said})`;
}
