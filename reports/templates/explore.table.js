"use strict";
// A table that sorts by any of its columns, and draws a page of its rows.

const PAGE = 25;

class SortedTable {
  /**
   * columns: {head, value(row), cell(row)}, perhaps group (a head above several), title, number, css(row).
   * value is what is sorted by, a number or text, null for nothing; cell is what is shown, text or an element.
   * settings: name for those who do not see it, open(row) of a click, current(row), page, cards, empty.
   */
  constructor(place, columns, settings) {
    Object.assign(this, {columns, rows: [], sorted: [], first: 0, by: null, descending: false});
    this.settings = {page: PAGE, cards: false, empty: "Nothing to show.", ...settings};
    this.head = make("thead");
    this.body = make("tbody");
    this.table = make("table", this.settings.cards ? {className: "cards"} : {}, this.head, this.body);
    this.empty = make("p", {className: "empty"}, this.settings.empty);
    const region = {className: "scroll", tabIndex: 0, role: "region", "aria-label": this.settings.name};
    this.before = make("button", {type: "button", onclick: () => this.turn(-1)}, "‹ Previous");
    this.after = make("button", {type: "button", onclick: () => this.turn(1)}, "Next ›");
    this.where = make("span", {role: "status"});
    this.pager = make("div", {className: "pager"}, this.before, this.after, this.where);
    place.replaceChildren(make("div", region, this.table, this.empty), this.pager);
    this.drawHead();
  }

  /** Other rows, in the order they are sorted by now. */
  show(rows) {
    Object.assign(this, {rows, first: 0});
    this.sort();
  }

  /** The page with a row comes up, if the row is there. */
  reveal(test) {
    const place = this.sorted.findIndex(test);
    if (place >= 0) this.first = place - place % this.settings.page;
    this.drawBody();
  }

  turn(pages) {
    this.first += pages * this.settings.page;
    this.drawBody();
  }

  /** Once for the more telling end first, again for the other, a third time for the order of before. */
  sortBy(column) {
    const start = Boolean(column.number);
    if (this.by !== column) Object.assign(this, {by: column, descending: start});
    else if (this.descending === start) this.descending = !start;
    else this.by = null;
    this.first = 0;
    this.sort();
    this.drawHead();
  }

  sort() {
    this.sorted = this.rows;
    if (this.by) {
      const sign = this.descending ? -1 : 1;
      const keys = this.rows.map((row, place) => [sortKey(this.by.value(row)), place]);
      keys.sort(([a, i], [b, j]) => {
        if (a === b) return i - j;
        if (a === null || b === null) return a === null ? 1 : -1; // what was not measured comes last
        return a < b ? -sign : sign;
      });
      this.sorted = keys.map(([, place]) => this.rows[place]);
    }
    this.drawBody();
  }

  drawHead() {
    const cells = this.columns.map(column => {
      const button = make("button", {type: "button", onclick: () => this.sortBy(column)}, column.head);
      const order = this.by !== column ? "none" : this.descending ? "descending" : "ascending";
      const cell = make("th", {scope: "col", "aria-sort": order, className: column.number ? "number" : ""}, button);
      if (column.title) cell.title = column.title;
      return cell;
    });
    const focused = [...this.head.querySelectorAll("button")].indexOf(document.activeElement);
    const groups = this.columns.some(column => column.group) ? [make("tr", {}, ...this.groupHeads())] : [];
    this.head.replaceChildren(...groups, make("tr", {}, ...cells));
    if (focused >= 0) this.head.querySelectorAll("button")[focused].focus();
  }

  groupHeads() {
    const heads = [];
    for (const {group = ""} of this.columns) {
      const last = heads.at(-1);
      if (last && group && last.textContent === group) last.colSpan += 1;
      else heads.push(group ? make("th", {scope: "colgroup", className: "group"}, group) : make("td"));
    }
    return heads;
  }

  drawBody() {
    const {page, open, current} = this.settings;
    const shown = this.sorted.slice(this.first, this.first + page);
    this.body.replaceChildren(...shown.map(row => {
      const cells = this.columns.map(column => {
        const className = `${column.number ? "number" : ""} ${column.css?.(row) ?? ""}`.trim();
        return make("td", {className, "data-head": column.head}, column.cell(row));
      });
      const line = make("tr", open ? {className: "leads", onclick: () => open(row)} : {}, ...cells);
      if (current?.(row)) line.setAttribute("aria-current", "true");
      return line;
    }));
    const total = this.sorted.length;
    this.table.hidden = total === 0;
    this.empty.hidden = total > 0;
    this.pager.hidden = total <= page;
    this.where.textContent = `${count(this.first + 1)}–${count(Math.min(this.first + page, total))} of ${count(total)}`;
    this.before.disabled = this.first === 0;
    this.after.disabled = this.first + page >= total;
  }
}

/** Numbers and lower-case text as they are compared; a measured NaN is beyond all numbers. */
function sortKey(value) {
  if (value === null || value === undefined || value === "") return null;
  return typeof value === "string" ? value.toLowerCase() : Number.isNaN(value) ? Infinity : value;
}
