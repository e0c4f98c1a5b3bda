"use strict";
// What the page carries, and numbers in the form that the tables print.

const unpacked = new Map();

/** The text or, of JSON, the value of a part: gzip in base64. Each part is read once. */
function part(name, json = true) {
  if (!unpacked.has(name)) unpacked.set(name, unpack(name).then(text => json ? JSON.parse(text) : text));
  return unpacked.get(name);
}

async function unpack(name) {
  const binary = atob(document.getElementById(`part-${name}`).textContent);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/** A number that JSON cannot hold comes by its name; what was not measured stays null. */
const number = value => typeof value === "string" ? Number(value) : value ?? null;

/** Shift the decimal point without an error of its own. */
function shifted(value, places) {
  const [digits, exponent = 0] = String(value).split("e");
  return Number(`${digits}e${Number(exponent) + places}`);
}

/** Rounded half up from the shortest decimal form, as reedit.report.words.half_up does it. */
function halfUp(value, decimals) {
  const whole = Math.round(shifted(Math.abs(value), decimals));
  return (value < 0 && whole > 0 ? "-" : "") + shifted(whole, -decimals).toFixed(decimals);
}

/** A fraction in percent, with one decimal and no sign; empty where there is none. */
function percent(value, decimals = 1) {
  value = number(value);
  if (value === null) return "";
  return Number.isFinite(value) ? halfUp(shifted(value, 2), decimals) : "NaN";
}

/** Two decimals below a million, then 7.15E+06; empty where there is none. */
function perplexity(value) {
  value = number(value);
  if (value === null) return "";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : "inf";
  if (Math.abs(value) < 1e6 && Math.abs(Number(halfUp(value, 2))) < 1e6) return halfUp(value, 2);
  const [mantissa, exponent] = value.toExponential(2).split("e");
  return `${mantissa}E${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** A log probability with two decimals. */
function logp(value) {
  value = number(value);
  if (value === null) return "";
  return Number.isFinite(value) ? halfUp(value, 2).replace("-", "−") : Number.isNaN(value) ? "NaN" : "−inf";
}

/** Thousands set apart. */
const count = value => value.toLocaleString("en");

/** A new element: properties, then children; a string is text and never HTML. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}
