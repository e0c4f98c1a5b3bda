"use strict";
// The measures of all methods: the table of every iteration, its legend and notes, and the curves.

const members = () => overview.methods.filter(({model, dataset}) => model.name === chosen.model && dataset.name === chosen.dataset);

/** A method's lines, column by column: means over its trials, or those of the chosen trial. */
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
      return make("span", {}, perplexity(course[measure][at]), tag);
    },
    css: ({collapsed}) => measure === "me_ppl" && collapsed ? "collapsed" : "",
  }));
  const columns = [
    {head: "Method", value: ({name}) => name, cell: ({name, k}) => k ? make("button", {type: "button"}, name) : name, css: () => "short"},
    {head: "k", number: true, value: ({k}) => largest(k), cell: ({text, mark}) => text + mark, css: ({mark}) => mark === "*" ? "selected" : ""},
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
    const at = course.k.indexOf(k);
    const unedited = protocols.size > 1 ? `Unedited (${method.protocol})` : "Unedited";
    const mark = {selected: "*", last: "†"}[course.role[at]] ?? "";
    return {method, k, text: course.text[at], mark, course, at, name: k ? method.method.label : unedited, collapsed: course.collapsed[at]};
  });
  tables.measures.show(rows.filter(({at}) => at >= 0));
  const trials = Math.max(...members().map(({trials}) => trials.length));
  byId("averaged").hidden = trials < 2;
  byId("averaged").lastElementChild.textContent = `mean over the trials (${trials}), not the chosen one`;
  const cells = rows.flatMap(({course, at}) => ["me_ppl", "ppl_target", "ppl_edited", "delta_p"].map(name => course[name][at]));
  const present = {
    selected: rows.some(({mark}) => mark === "*"),
    dagger: rows.some(({mark}) => mark === "†"),
    range: rows.some(({text}) => text?.includes("-")),
    unedited: rows.some(({k}) => k === 0),
    start: rows.some(({k, course, at}) => k === 0 && (course.ppl_edited[at] ?? null) !== null),
    infinite: cells.some(value => typeof value === "string"),
  };
  const said = Object.keys(present).filter(name => present[name]).map(name => overview.legend[name]);
  byId("legend").replaceChildren(...said.map(line => make("li", {}, line)));
  byId("notes").replaceChildren(...block.notes.map(line => make("li", {}, line)));
}

/** Of a range of k the largest. */
const largest = k => Number(String(k).split("-").at(-1));

const blockOf = method => overview.blocks.find(({lines, methods}) => methods.includes(overview.methods.indexOf(method)));

// -- as curves --

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

const significant = value => value === null ? "" : String(Number(Number(value).toPrecision(3)));
const NORM_PANELS = [
  ["update_norm", "Norm of the update", true], ["growth", "Weights' norm, by the unedited", false],
  ["condition_growth", "Condition number, by the unedited", true], ["residual_after", "Residual after SPREAD", false],
].map(([measure, head, log]) => ({head: `${head}${log ? ", logarithmic" : ""}`, measure, log, norms: true, print: significant}));

/** A course without the line of trials at k of their own, which is on no curve. */
function iterationsOf(course) {
  const kept = column => column.filter((_, at) => typeof course.k[at] === "number");
  return Object.fromEntries(Object.entries(course).map(([name, column]) => [name, kept(column)]));
}

async function drawCurves() {
  const percents = [...METRICS, "score"].map(metric => ({head: `${capital(metric)}, ${chosen.kind} (%)`, measure: `${metric}_${chosen.kind}`, print: percent}));
  const perplexities = [["delta_p", ", perplexity"], ["ppl_edited", ", perplexity"], ["ppl_target", ", perplexity"], ["me_ppl", ""]]
    .map(([measure, unit]) => ({head: `${overview.heads[measure]}${unit}, logarithmic`, measure, log: true, print: perplexity}));
  const lines = members().filter(({method}) => !hidden.has(method.name)).map(method => {
    const course = iterationsOf(courseOf(method));
    const marks = Object.fromEntries(course.k.map((k, at) => [k, kWords(course, at).replace(/^ \(|\)$/g, "")]));
    return {name: method.method.label, number: numberOf(method), course, marks, norms: method.norms};
  });
  const norms = lines.some(({norms}) => norms) ? NORM_PANELS : [];
  await drawPanels(byId("panels"), [...percents, ...perplexities, ...norms], lines);
}
