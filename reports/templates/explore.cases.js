"use strict";
// One run case by case: the list of cases or prompts, and the prompts of the open case, before and after.

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
    own: [0, now.k].map(k => ownWords(run.own, i, k)),
    wrong: value("wrong", at),
    exact: value("exact_match", at),
    success: value("success", at),
  };
}

/** [what the model says itself, whether that gives the answer] at k; null where it was not let speak. */
function ownWords(said, i, k) {
  const at = said?.k.indexOf(k) ?? -1;
  const word = at < 0 ? null : said.said[at][i];
  return word === null ? null : [said.words[word], number(said.right[at][i])];
}

/** A prompt of a group before and after. */
function itemRow(i) {
  const {sample: {items}, run} = now;
  const accuracy = k => {
    const at = run.items.k.indexOf(k);
    return at < 0 ? null : number(run.items.accuracy[at][i]);
  };
  return {
    group: items.group[i], prompt: items.prompt[i], answers: items.answers[i].join(" · "), known: run.items.known?.[i] ?? null,
    own: [0, now.k].map(k => ownWords(run.items, i, k)), accuracy: [0, now.k].map(accuracy),
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
    ...(now?.run.own ? [ownColumn("Itself before", 0), ownColumn("Itself after", 1)] : []),
    {head: "Result", value: row => verdict(row)[1] || null, cell: statusCell, css: () => "status"},
    {head: "Accuracy", title: "share of tokens that are right, in percent", number: true, value: row => row.accuracy, cell: row => percent(row.accuracy, 0)},
    {head: "log p new", title: "of the new object, before → after; sorted by the change", number: true, value: row => change(row.news), cell: row => arrow(row.news)},
    {head: "log p old", title: "of the old object, before → after; sorted by the change", number: true, value: row => change(row.olds), cell: row => arrow(row.olds)},
  ];
}

/** A column of what the model says itself, before or after. */
function ownColumn(head, side) {
  return {head, title: "what the model says by itself, up to a natural stop; ✓: it gives the answer", css: () => "text",
    value: ({own}) => own[side]?.[0] ?? null,
    cell: ({own}) => own[side] === null ? "" : make("span", {className: own[side][1] ? "good" : ""}, `${own[side][1] ? "✓ " : ""}${own[side][0]}`)};
}

function itemColumns() {
  const known = {true: "known", false: "not known"};
  return [
    {head: "Group", value: row => row.group, cell: row => row.group, css: () => "short"},
    {head: "Prompt", value: row => row.prompt, cell: row => row.prompt, css: () => "text"},
    {head: "Answer", value: row => row.answers, cell: row => row.answers, css: () => "short"},
    {head: "Premises", title: "what has to be known for it, asked of the unedited model", value: row => row.known, cell: row => known[row.known] ?? ""},
    ownColumn("Itself before", 0), ownColumn("Itself after", 1),
    {head: "Accuracy", title: "share of the answer's tokens that are right, before → after, in percent", number: true, value: row => row.accuracy[1],
      cell: row => row.accuracy.every(value => value === null) ? "" : row.accuracy.map(value => percent(value, 0)).join(" → ")},
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
  drawItems(row);
}

/** The groups of the open case, where its dataset has some. */
function drawItems(row) {
  const {items} = now.sample;
  const own = items && now.run.items ? items.case.flatMap((place, i) => place === row.place ? [i] : []) : [];
  if (own.length === 0) return;
  const place = make("div");
  byId("case").append(make("h4", {}, "What follows from the edit, and what stays"), place);
  const table = new SortedTable(place, itemColumns(), {name: "Groups of the case, before and after", page: 1000, cards: true});
  table.drawHead();
  table.show(own.map(itemRow));
}
