"use strict";
// The measures against the iteration: a panel a measure, a line a method, told apart by color, dash and marker.

const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star"];
const DASHES = ["solid", "dash", "dashdot", "dot"];
const COLORS = SYMBOLS.length;

/** plotly.js, put into the page when it is first needed; the page's policy names its sha256. */
async function plotly() {
  if (!window.Plotly) {
    const text = await part("plotly", false);
    if (!window.Plotly) document.head.append(make("script", {textContent: text}));
  }
  return window.Plotly;
}

/** The appearance of the method with this number, as in the figures of the PDF. */
function look(number) {
  const style = getComputedStyle(document.documentElement);
  return {
    color: style.getPropertyValue(`--m${number % COLORS}`).trim(),
    symbol: SYMBOLS[number % SYMBOLS.length],
    dash: DASHES[number % DASHES.length],
  };
}

/**
 * Draw panels: [{head, measure, log, print, norms}]. lines: [{name, number, course, norms, marks: {k: words}}], course
 * being columns by measure, with k; so are norms, where a method has some, of which panels with norms are drawn.
 */
async function drawPanels(place, panels, lines) {
  const Plotly = await plotly();
  while (place.children.length < panels.length) {
    const plot = make("div", {className: "plot", role: "img"});
    place.append(make("div", {className: "panel"}, make("h3"), plot));
  }
  while (place.children.length > panels.length) place.lastElementChild.remove();
  const drawn = panels.map((panel, i) => {
    const [head, plot] = place.children[i].children;
    head.textContent = panel.head;
    plot.setAttribute("aria-label", `${panel.head} by iteration; the table of measures has its numbers`);
    const {traces, notes} = traced(panel, lines);
    return Plotly.react(plot, traces, layout(panel, lines, notes), {displayModeBar: false, responsive: true});
  });
  await Promise.all(drawn);
}

/** The lines of a panel, and a note at its upper edge for each value that is not finite. */
function traced({measure, log, print, norms: ofNorms}, lines) {
  const notes = [];
  const traces = lines.flatMap(({name, number: place, course: measured, norms, marks}) => {
    const course = ofNorms ? norms : measured;
    if (!course) return [];
    const {color, symbol, dash} = look(place);
    const values = course[measure].map(number);
    const drawable = values.map(value => Number.isFinite(value) && !(log && value <= 0) ? value : null);
    course.k.forEach((k, i) => {
      if (values[i] !== null && !Number.isFinite(values[i]))
        notes.push({x: k, y: 1, xref: "x", yref: "paper", text: Number.isNaN(values[i]) ? "NaN" : "∞", showarrow: false, font: {color}});
    });
    const words = course.k.map((k, i) => plainText(`${name}: ${print(values[i])}${marks[k] ? ` (${marks[k]})` : ""}`));
    return [{
      x: course.k, y: drawable, text: words, name: plainText(name), hovertemplate: "%{text}<extra></extra>",
      type: "scatter", mode: "lines+markers", connectgaps: false, line: {color, dash, width: 1.8},
      marker: {color, symbol, opacity: 1, line: {width: 0}, size: course.k.map(k => marks[k] ? 11 : 7)},
    }];
  });
  return {traces, notes};
}

function layout({measure, log}, lines, annotations) {
  const style = getComputedStyle(document.documentElement);
  const [ink, line, raised] = ["--ink", "--line", "--raised"].map(name => style.getPropertyValue(name).trim());
  const last = Math.max(1, ...lines.map(({course}) => course.k.at(-1) ?? 0));
  const axis = {gridcolor: line, zeroline: false, linecolor: line, fixedrange: true, automargin: true};
  const range = measure.endsWith("accuracy") || measure.endsWith("success") ? {range: [-0.03, 1.03], tickformat: ".0%"} : {};
  return {
    margin: {l: 40, r: 8, t: 12, b: 34}, paper_bgcolor: "transparent", plot_bgcolor: "transparent", showlegend: false,
    font: {family: getComputedStyle(document.body).fontFamily, size: 12, color: ink},
    hovermode: "x unified", hoverlabel: {bgcolor: raised, bordercolor: line, font: {color: ink}}, dragmode: false,
    xaxis: {...axis, spikecolor: ink, spikethickness: 1, spikedash: "dot", title: {text: "iteration k", standoff: 4}, dtick: Math.ceil(last / 10), range: [-0.25, last + 0.25], hoverformat: "d", unifiedhovertitle: {text: "k = %{x}"}},
    yaxis: {...axis, type: log ? "log" : "linear", exponentformat: "power", nticks: 6, ...range},
    annotations,
  };
}

/** Text that plotly.js shows as it stands, although it reads tags and entities. */
const plainText = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** A line with its marker, for a legend. */
function swatch(place) {
  const {color, dash, symbol} = look(place);
  const shapes = {
    circle: "M13 8a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", square: "M13.5 4.5h7v7h-7z", "triangle-up": "M17 3l5 9h-10z",
    diamond: "M17 2.5l5 5.5l-5 5.5l-5-5.5z", "triangle-down": "M17 13l5-9h-10z",
    cross: "M15.5 3h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5v-3h3.5z", x: "M13 5l2-2l2 3l2-3l2 2l-2.5 3l2.5 3l-2 2l-2-3l-2 3l-2-2l2.500-3z",
    star: "M17 2l1.700 4.200l4.300 .3l-3.300 2.800l1.100 4.300l-3.800-2.400l-3.800 2.400l1.100-4.300l-3.300-2.800l4.300-.3z",
  };
  const strokes = {solid: "none", dash: "6 3", dashdot: "6 2 2 2", dot: "2 3"};
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const drawn = (tag, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  for (const [name, value] of Object.entries({width: 34, height: 16, viewBox: "0 0 34 16", "aria-hidden": "true"})) svg.setAttribute(name, value);
  svg.append(
    drawn("path", {d: "M0 8h34", stroke: color, "stroke-width": 2, "stroke-dasharray": strokes[dash]}),
    drawn("path", {d: shapes[symbol], fill: color}),
  );
  return svg;
}
