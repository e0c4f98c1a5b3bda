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
  const ks = Object.keys(method.roles).map(k => [k, `k = ${k}${kWords(method, Number(k))}`]);
  chosen.k = fill("k", ks.length ? ks : [["0", "k = 0, unedited"]], chosen.k, String(method.shown));
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

function kWords(method, k) {
  const words = [{selected: "selected", last: "last, criterion not met", unjudged: "last"}[method.roles[k]]];
  if (method.collapsed.includes(k)) words.push("collapsed");
  const said = words.filter(Boolean).join(", ");
  return said && ` (${said})`;
}

// -- measures -----------------------------------------------------------------------------------------------

const members = () => overview.methods.filter(({model, dataset}) => model.name === chosen.model && dataset.name === chosen.dataset);

/** A method's measures: means over its trials, or those of the chosen trial. */
function courseOf(method) {
  const trial = method.trials.find(({trial}) => String(trial) === chosen.trial);
  return chosen.mean || !trial ? method.mean : trial.course;
}

function measureTable() {
  const measured = (measure, column) => ({...column, number: true, value: ({course, at}) => number(course[measure][at])});
  const percents = [...METRICS, "score"].flatMap(metric => ["accuracy", "success"].map(kind => {
    const measure = `${metric}_${kind}`;
    const shown = ({course, at}) => percent(course[measure][at]);
    return measured(measure, {head: kind, group: capital(metric), cell: shown});
  }));
  const perplexities = ["me_ppl", "ppl_target", "ppl_edited", "delta_p"].map(measure => measured(measure, {
    head: overview.heads[measure],
    cell: ({course, at, collapsed}) => {
      const tag = measure === "me_ppl" && collapsed ? make("span", {className: "tag"}, "collapsed") : null;
      return make("span", {}, perplexity(course[measure][at]), ...(tag ? [tag] : []));
    },
    css: ({collapsed}) => measure === "me_ppl" && collapsed ? "collapsed" : "",
  }));
  const columns = [
    {head: "Method", value: ({name}) => name, cell: ({name, k}) => k ? make("button", {type: "button"}, name) : name, css: () => "short"},
    {head: "k", number: true, value: ({k}) => k, cell: ({k, mark}) => k + mark, css: ({mark}) => mark === "*" ? "selected" : ""},
    ...percents, ...perplexities,
  ];
  return new SortedTable(byId("measures-table"), columns, {
    name: "Measures of every method and iteration",
    page: 60,
    open: ({method, k}) => k && choose({method: method.method.name, k: String(k)}),
    current: ({method, k}) => method.method.name === chosen.method && String(k) === chosen.k,
  });
}

function drawMeasures(chosenMethod) {
  const block = blockOf(chosenMethod);
  const protocols = new Set(members().map(({protocol}) => protocol));
  const rows = block.lines.map(([place, k]) => {
    const method = overview.methods[place];
    const course = courseOf(method);
    const unedited = protocols.size > 1 ? `Unedited (${method.protocol})` : "Unedited";
    const mark = {selected: "*", last: "†"}[method.roles[k]] ?? "";
    return {method, k, mark, course, at: course.k.indexOf(k), name: k ? method.method.label : unedited, collapsed: method.collapsed.includes(k)};
  });
  tables.measures.show(rows.filter(({at}) => at >= 0));
  const trials = Math.max(...members().map(({trials}) => trials.length));
  byId("averaged").hidden = trials < 2;
  byId("averaged").lastElementChild.textContent = `mean over the trials (${trials}), not the chosen one; * and † always tell of the mean`;
  const cells = rows.flatMap(({course, at}) => ["me_ppl", "ppl_target", "ppl_edited", "delta_p"].map(name => course[name][at]));
  const present = {
    selected: rows.some(({mark}) => mark === "*"),
    dagger: rows.some(({mark}) => mark === "†"),
    unedited: rows.some(({k}) => k === 0),
    start: rows.some(({k, course, at}) => k === 0 && (course.ppl_edited[at] ?? null) !== null),
    infinite: cells.some(value => typeof value === "string"),
  };
  const said = Object.keys(present).filter(name => present[name]).map(name => overview.legend[name]);
  byId("legend").replaceChildren(...said.map(line => make("li", {}, line)));
  byId("notes").replaceChildren(...block.notes.map(line => make("li", {}, line)));
}

const blockOf = method => overview.blocks.find(({lines, methods}) => methods.includes(overview.methods.indexOf(method)));

// -- curves -------------------------------------------------------------------------------------------------

/** The number that a method's name has among all of the experiment, as in the figures of the PDF. */
function numberOf(method) {
  const names = [...new Set(overview.methods.map(({method}) => method.name))];
  return names.indexOf(method.method.name);
}

function drawMethods() {
  byId("methods").replaceChildren(...members().map(method => {
    const name = method.method.name;
    const pressed = String(!hidden.has(name));
    const toggle = event => {
      if (!hidden.delete(name)) hidden.add(name);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(name)));
      drawCurves();
    };
    return make("button", {type: "button", "aria-pressed": pressed, onclick: toggle}, swatch(numberOf(method)), method.method.label);
  }));
}

async function drawCurves() {
  const percents = [...METRICS, "score"].map(metric => ({head: `${capital(metric)}, ${chosen.kind} (%)`, measure: `${metric}_${chosen.kind}`, print: percent}));
  const perplexities = [["delta_p", ", perplexity"], ["ppl_edited", ", perplexity"], ["ppl_target", ", perplexity"], ["me_ppl", ""]]
    .map(([measure, unit]) => ({head: `${overview.heads[measure]}${unit}, logarithmic`, measure, log: true, print: perplexity}));
  const lines = members().filter(({method}) => !hidden.has(method.name)).map(method => {
    const course = courseOf(method);
    const marks = Object.fromEntries(course.k.map(k => [k, kWords(method, k).replace(/^ \(|\)$/g, "")]));
    return {name: method.method.label, number: numberOf(method), course, marks};
  });
  await drawPanels(byId("panels"), [...percents, ...perplexities], lines);
}

// -- cases --------------------------------------------------------------------------------------------------

/** What the chosen run says at k: {sample, columns and places} and a row a case; rows of prompts are made when needed. */
function reading(method, sample, run, k) {
  const at = run.prompts.k.indexOf(k);
  const here = {method, sample, run, k, at, rows: [], prompts: null};
  const atCase = run.cases.k.indexOf(k);
  const measured = name => place => atCase < 0 ? null : number(run.cases[name][atCase][place]);
  const values = {};
  for (const name of Object.keys(run.cases)) if (name !== "k") values[name] = measured(name);
  here.rows = sample.case_id.map((id, place) => ({
    id, place, values, prompts: [], tallies: METRICS.map(() => ({wrong: 0, known: 0, all: 0})),
  }));
  const wrong = at < 0 ? null : run.prompts.wrong[at];
  sample.prompts.case.forEach((place, i) => {
    const row = here.rows[place];
    row.prompts.push(i);
    const tally = row.tallies[sample.prompts.metric[i]];
    tally.all += 1;
    if (wrong && wrong[i] !== null) {
      tally.known += 1;
      tally.wrong += wrong[i];
    }
  });
  return here;
}

/** One prompt before and after. */
function promptRow(i) {
  const {sample, run, at} = now;
  const {prompts} = run;
  const place = sample.prompts.case[i];
  const value = (name, k) => k < 0 ? null : number(prompts[name][k][i]);
  const says = k => {
    const word = k < 0 ? null : prompts.predicted[k][i];
    return word === null ? null : prompts.words[word];
  };
  return {
    place,
    metric: sample.prompts.metric[i],
    subject: sample.subject[place],
    prompt: sample.prompts.prompt[i],
    object: sample.prompts.object[i],
    before: says(0),
    after: says(at),
    accuracy: value("accuracy", at),
    news: [value("logp_new", 0), value("logp_new", at)],
    olds: [value("logp_true", 0), value("logp_true", at)],
    wrong: value("wrong", at),
    exact: value("exact_match", at),
    success: value("success", at),
  };
}

const promptRows = () => now.prompts ??= now.sample.prompts.case.map((_, i) => promptRow(i));

/** [css class, words] of a prompt after the edit. */
function verdict({metric, wrong, exact, success}) {
  if (wrong === null) return ["", ""];
  if (metric === 2) return wrong ? ["bad", "✗ broken"] : success === 0 ? ["partly", "~ overtaken"] : ["good", "✓ kept"];
  return wrong ? ["bad", "✗ failed"] : exact ? ["good", "✓ holds"] : ["partly", "~ partly"];
}

function statusCell(row) {
  const [className, words] = verdict(row);
  return make("span", {className}, words);
}

const change = ([before, after]) => before === null || after === null ? null : after - before;
const arrow = (values) => values.every(value => value === null) ? "" : `${logp(values[0])} → ${logp(values[1])}`;

/** What the model says, empty where it was not asked; of white space alone nothing would be seen. */
function said(words, changed) {
  if (words === "") return make("span", {className: "blank"}, "white space");
  return make("span", {className: changed ? "changed" : ""}, words ?? "");
}

function promptColumns(subject) {
  const kinds = METRICS.map(capital);
  return [
    ...(subject ? [{head: "Subject", value: row => row.subject, cell: row => make("button", {type: "button"}, row.subject), css: () => "short"}] : []),
    {head: "Type", value: row => row.metric, cell: row => kinds[row.metric]},
    {head: "Prompt", value: row => row.prompt, cell: row => row.prompt, css: () => "text"},
    {head: "Says before", title: "of the unedited model, k = 0", value: row => row.before, cell: row => said(row.before, false), css: () => "short"},
    {head: "Says after", title: "at the chosen k", value: row => row.after, css: () => "short",
      cell: row => said(row.after, row.after !== row.before)},
    {head: "Result", value: row => verdict(row)[1] || null, cell: statusCell, css: () => "status"},
    {head: "Accuracy", title: "share of tokens that are right, in percent", number: true, value: row => row.accuracy, cell: row => percent(row.accuracy, 0)},
    {head: "log p new", title: "of the new object, before → after; sorted by the change", number: true, value: row => change(row.news), cell: row => arrow(row.news)},
    {head: "log p old", title: "of the old object, before → after; sorted by the change", number: true, value: row => change(row.olds), cell: row => arrow(row.olds)},
  ];
}

const tallied = (row, metric) => row.tallies[metric].known ? row.tallies[metric].wrong : null;

function caseTable() {
  const share = metric => row => {
    const {wrong, known} = row.tallies[metric];
    return known ? make("span", {className: wrong ? "bad" : "good"}, `${wrong ? "✗" : "✓"} ${wrong} of ${known}`) : "";
  };
  const measured = (name, print) => {
    const value = row => row.values[name](row.place);
    return {number: true, value, cell: row => print(value(row))};
  };
  const subject = row => now.sample.subject[row.place];
  const columns = [
    {head: "Case", number: true, value: row => row.id, cell: row => String(row.id)},
    {head: "Subject", value: subject, cell: row => make("button", {type: "button"}, subject(row)), css: () => "short"},
    {head: "New object", value: row => now.sample.target_new[row.place], cell: row => now.sample.target_new[row.place], css: () => "short"},
    {head: "Edit", title: "efficacy: the edited prompt itself", value: row => tallied(row, 0), css: () => "status",
      cell: row => row.prompts.length && tallied(row, 0) !== null ? statusCell(promptRow(row.prompts[0])) : ""},
    {head: "paraphrases", group: "Failed", number: true, value: row => tallied(row, 1), cell: share(1)},
    {head: "neighbors", group: "Broken", number: true, value: row => tallied(row, 2), cell: share(2)},
    ...METRICS.flatMap(metric => ["accuracy", "success"].map(kind => ({head: kind, group: capital(metric), ...measured(`${metric}_${kind}`, percent)}))),
    {head: overview.heads.ppl_target, title: "perplexity of the new object that OPTIMIZATION reached", ...measured("ppl_target", perplexity)},
    {head: overview.heads.ppl_edited, title: "perplexity of the new object after the edit", ...measured("ppl_edited", perplexity)},
  ];
  return new SortedTable(make("div"), columns, {
    name: "Cases", page: 10, open: row => open(row.place), current: row => String(row.id) === chosen.case, empty: "No case fits.",
  });
}

function promptTable() {
  return new SortedTable(make("div"), promptColumns(true), {
    name: "Prompts", open: row => open(row.place), current: row => String(now.sample.case_id[row.place]) === chosen.case, empty: "No prompt fits.",
  });
}

/** Show a case beside the list; where there is no room beside it, go to it. */
async function open(place) {
  await choose({case: String(now.sample.case_id[place])});
  const article = byId("case");
  if (article.getBoundingClientRect().top > innerHeight - 120) {
    article.scrollIntoView({block: "start"});
    article.focus({preventScroll: true});
  }
}

const SHOWN = { // which metric has to be wrong
  all: null, failed: 0, paraphrases: 1, broken: 2,
};

function caseFits(words) {
  const metric = SHOWN[chosen.show];
  return row => (metric === null || row.tallies[metric].wrong > 0) && (!words || haystack(row).includes(words));
}

function promptFits(words) {
  const metric = SHOWN[chosen.show];
  return row => (metric === null || (row.metric === metric && row.wrong === 1))
    && (!words || `${row.subject}\n${row.prompt}\n${row.before}\n${row.after}`.toLowerCase().includes(words));
}

function haystack(row) {
  const {sample} = now;
  const columns = ["case_id", "relation", "subject", "target_new", "target_true"].map(name => sample[name][row.place]);
  return row.haystack ??= [...columns, ...row.prompts.map(i => sample.prompts.prompt[i])].join("\n").toLowerCase();
}

/** The list of cases or prompts, and the case that is open. */
function drawCases(before) {
  const words = chosen.search.trim().toLowerCase();
  const scored = now.at >= 0;
  const kept = now.run.prompts.k.join(", ");
  byId("unscored").hidden = scored;
  byId("unscored").textContent = `The prompts are not here at k = ${now.k}, only at k = ${kept}: the weights of the others were not kept, or the experiment is large.`;
  byId("failing").textContent = now.method.protocol === "corrected"
    ? "the new object is less likely than the old one." : "no token of the new object is the first choice (protocol released).";
  byId("thin").hidden = !overview.thin;
  const table = chosen.view === "cases" ? tables.cases : tables.prompts;
  const host = table.table.closest(".scroll").parentElement;
  if (byId("list").firstElementChild !== host) byId("list").replaceChildren(host);
  const same = before.case !== chosen.case && ["show", "search", "view", "k", "trial", "method", "dataset", "model"].every(name => before[name] === chosen[name]);
  const first = table.first;
  const rows = chosen.view === "cases" ? now.rows.filter(caseFits(words)) : promptRows().filter(promptFits(words));
  if (!rows.some(({place}) => String(now.sample.case_id[place]) === chosen.case)) {
    const kept = now.rows.find(({id}) => String(id) === chosen.case) ?? now.rows[0]; // of an empty list
    chosen.case = String(now.sample.case_id[(rows[0] ?? kept).place]);
  }
  if (same) {
    table.first = first;
    table.drawBody();
  } else table.show(rows);
  drawCase();
}

function drawCase() {
  const row = now.rows.find(({id}) => String(id) === chosen.case);
  const {sample} = now;
  const step = (label, by) => { // along the list as it is sorted when clicked, and from its end to its start
    const go = () => {
      const listed = tables.cases.sorted;
      const {id} = listed.at((listed.findIndex(({id}) => id === row.id) + by) % listed.length);
      choose({case: String(id)});
      tables.cases.reveal(other => other.id === id);
    };
    return make("button", {type: "button", disabled: chosen.view !== "cases" || tables.cases.sorted.length < 2, onclick: go}, label);
  };
  const old = sample.target_true[row.place];
  const prompts = row.prompts.map(promptRow);
  const place = make("div");
  const steps = make("div", {className: "steps"}, step("‹ Case", -1), step("Case ›", 1));
  const title = make("h3", {}, `${prompts[0].prompt} → ${sample.target_new[row.place]}`);
  const facts = [
    `Case ${row.id}`, old === null ? "old object unknown" : `old object: ${old}`,
    sample.relation[row.place] && `relation ${sample.relation[row.place]}`, `${now.method.method.label}, k = ${now.k}`,
  ];
  byId("case").replaceChildren(steps, title, make("p", {className: "facts"}, facts.filter(Boolean).join(" · ")), place);
  const by = tables.one?.by ? tables.one.columns.indexOf(tables.one.by) : -1;
  const descending = tables.one?.descending;
  tables.one = new SortedTable(place, promptColumns(false), {name: "Prompts of the case, before and after", page: 1000, cards: true});
  if (by >= 0) Object.assign(tables.one, {by: tables.one.columns[by], descending});
  tables.one.drawHead();
  tables.one.show(prompts);
}
