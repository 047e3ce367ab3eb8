"use strict";
(() => {
  // The page works without this script: everything is in the HTML. The script adds views, filters, sorting, links.
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;
  const views = $$(".view");
  const tables = $$(".board");
  const kinds = $$('input[name="kind"]');
  const answers = JSON.parse($("#answers").textContent);
  const DEFAULTS = { view: views[0].dataset.view, task: "", metrics: "", q: "", kinds: "", sort: "", intervals: "", theme: "", entry: "" };
  let state = { ...DEFAULTS };

  for (const table of tables) [...table.tBodies[0].rows].forEach((row, index) => { row.dataset.order = index; });

  // ---- state and the address: every view of the page has a link ----
  function read() {
    const found = new URLSearchParams(location.hash.slice(1));
    state = { ...DEFAULTS };
    for (const name of Object.keys(DEFAULTS)) if (found.has(name)) state[name] = found.get(name);
    if (state.entry) state.view = "methods";
    if (!views.some((view) => view.dataset.view === state.view)) state.view = DEFAULTS.view;
  }
  function link(changes) {
    const next = new URLSearchParams();
    const all = { ...state, ...changes };
    for (const [name, value] of Object.entries(all)) if (value && (value !== DEFAULTS[name] || name === "view") && !(name === "view" && all.entry)) next.set(name, value);
    return "#" + next.toString();
  }
  function change(changes) {
    const hash = link(changes);
    Object.assign(state, changes);
    history.replaceState(null, "", hash);
    show();
  }

  // ---- showing ----
  function show() {
    if (state.theme) root.dataset.theme = state.theme; else delete root.dataset.theme;
    document.body.classList.toggle("intervals", Boolean(state.intervals));
    for (const view of views) view.classList.toggle("current", view.dataset.view === state.view);
    for (const anchor of $$("nav a")) {
      const current = anchor.dataset.view === state.view;
      if (current) anchor.setAttribute("aria-current", "page"); else anchor.removeAttribute("aria-current");
      anchor.href = link({ view: anchor.dataset.view, entry: "", sort: "" });
    }
    const current = views.find((view) => view.dataset.view === state.view);
    const table = $(".board", current);
    $(".controls").hidden = !table;
    $("#theme").value = state.theme; $("#task").value = state.task; $("#metrics").value = state.metrics;
    if ($("#search").value !== state.q) $("#search").value = state.q;
    $("#intervals").checked = Boolean(state.intervals);
    const wanted = state.kinds ? state.kinds.split(",") : null;
    for (const box of kinds) box.checked = !wanted || wanted.includes(box.value);
    if (table) { columns(table); sort(table); rows(table, current); }
    entries();
  }

  function columns(table) {
    const single = state.task && $(`[data-task="${CSS.escape(state.task)}"]`, table);
    const all = state.metrics === "all" || single;
    const visible = (cell) => (!single || cell.dataset.task === state.task) && (all || "main" in cell.dataset);
    const counts = {};
    for (const cell of $$("[data-metric]", table)) {
      cell.hidden = !visible(cell);
      if (cell.tagName === "TH" && !cell.hidden) {
        counts[cell.dataset.task] = (counts[cell.dataset.task] || 0) + 1;
      }
    }
    for (const row of table.rows) {
      let last = null;
      for (const cell of row.cells) {
        if (!cell.dataset.metric || cell.hidden) continue;
        cell.classList.toggle("start", cell.dataset.task !== last);
        last = cell.dataset.task;
      }
    }
    for (const group of $$(".groups th", table)) {
      group.hidden = !counts[group.dataset.task];
      group.colSpan = counts[group.dataset.task] || 1;
    }
  }

  function rows(table, view) {
    const query = state.q.trim().toLowerCase();
    const wanted = state.kinds ? state.kinds.split(",") : null;
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const numbers = $$("[data-metric]", row).some((cell) => !cell.hidden && "value" in cell.dataset);
      row.hidden = !numbers || (wanted && !wanted.includes(row.dataset.kind)) || !row.dataset.search.includes(query);
      if (!row.hidden) shown += 1;
    }
    $(".nothing", view).hidden = shown > 0;
    $("#status").textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
  }

  function sort(table) {
    const body = table.tBodies[0];
    const [name, direction] = state.sort ? state.sort.split(":") : ["", ""];
    const heads = $$("thead [data-column]", table);
    const head = heads.find((one) => one.dataset.column === name);
    for (const one of heads) one.removeAttribute("aria-sort");
    const sorted = [...body.rows];
    const original = (one, other) => one.dataset.order - other.dataset.order;
    if (!head) { sorted.sort(original); } else {
      head.setAttribute("aria-sort", direction === "asc" ? "ascending" : "descending");
      const at = head.cellIndex, numeric = head.classList.contains("number"), sign = direction === "asc" ? 1 : -1;
      const value = (row) => numeric ? ("value" in row.cells[at].dataset ? Number(row.cells[at].dataset.value) : null) : row.cells[at].textContent.trim();
      sorted.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        // What has no number stands last whichever way the rest is sorted.
        if (a === null || b === null) return (a === null) - (b === null) || original(one, other);
        return sign * (numeric ? a - b : a.localeCompare(b)) || original(one, other);
      });
    }
    body.append(...sorted);
  }

  // ---- details of one entry ----
  function entries() {
    const methods = $("#view-methods");
    if (!methods) return;
    const article = $$(".entry", methods).find((one) => one.dataset.entry === state.entry);
    methods.classList.toggle("one-entry", Boolean(article));
    for (const one of $$(".entry", methods)) one.classList.toggle("current", one === article);
    if (article) browse($(".examples", article));
  }

  function browse(box) {
    const found = answers[box.dataset.entry];
    if (!found || box.dataset.ready) return;
    box.dataset.ready = "yes";
    box.hidden = false;
    const which = $(".which", box), find = $(".find", box), body = $("tbody", box), SIZE = 25;
    let page = 0;
    found.forEach((one, index) => which.append(new Option(one.name, index)));
    const fill = () => {
      const one = found[which.value], query = find.value.toLowerCase();
      const fits = one.rows.filter(([id, answer]) => id.toLowerCase().includes(query) || answer.toLowerCase().includes(query));
      page = Math.max(0, Math.min(page, Math.ceil(fits.length / SIZE) - 1));
      body.replaceChildren(...fits.slice(page * SIZE, (page + 1) * SIZE).map(([id, answer, score]) => {
        const row = document.createElement("tr");
        for (const [text, number] of [[id], [answer === "" ? "(empty)" : answer], [score === null ? "–" : score.toFixed(3), true]]) {
          const cell = document.createElement("td");
          cell.textContent = text;
          if (number) cell.className = "number";
          row.append(cell);
        }
        return row;
      }));
      const part = one.rows.length < one.total ? `, the first ${one.rows.length} of ${one.total} by id` : "";
      $(".count", box).textContent = fits.length ? `${page * SIZE + 1} to ${Math.min(fits.length, (page + 1) * SIZE)} of ${fits.length}${part}` : "none fits";
      $(".back", box).disabled = page === 0;
      $(".next", box).disabled = (page + 1) * SIZE >= fits.length;
    };
    which.addEventListener("change", () => { page = 0; fill(); });
    find.addEventListener("input", () => { page = 0; fill(); });
    $(".back", box).addEventListener("click", () => { page -= 1; fill(); });
    $(".next", box).addEventListener("click", () => { page += 1; fill(); });
    fill();
  }

  // ---- events ----
  $("#search").addEventListener("input", (event) => change({ q: event.target.value }));
  for (const name of ["task", "metrics", "theme"]) $("#" + name).addEventListener("change", (event) => change({ [name]: event.target.value }));
  $("#intervals").addEventListener("change", (event) => change({ intervals: event.target.checked ? "yes" : "" }));
  for (const box of kinds) box.addEventListener("change", () => {
    const on = kinds.filter((one) => one.checked).map((one) => one.value);
    change({ kinds: on.length === kinds.length ? "" : on.join(",") || "none" });
  });
  $("#reset").addEventListener("click", () => change({ ...DEFAULTS, view: state.view, theme: state.theme }));
  $(".controls").addEventListener("submit", (event) => event.preventDefault());
  for (const table of tables) table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest(".sort");
    if (!button) return;
    const head = button.closest("th"), name = head.dataset.column;
    const first = head.classList.contains("number") && !("lower" in head.dataset) ? "desc" : "asc";
    const order = [first, first === "asc" ? "desc" : "asc", ""];
    const [last, direction] = state.sort.split(":");
    const next = last === name ? order[order.indexOf(direction) + 1] : first;
    change({ sort: next ? `${name}:${next}` : "" });
  });
  window.addEventListener("hashchange", () => {
    if (location.hash === "#main") return;
    read(); show();
    const title = state.entry ? document.getElementById("entry-title-" + state.entry) : $("#title-" + CSS.escape(state.view));
    if (title) { title.focus({ preventScroll: true }); window.scrollTo(0, 0); }
  });

  root.classList.add("js");
  read();
  show();
})();
