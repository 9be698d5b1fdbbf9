"use strict";
// The rollout viewer. Model text is only ever put on the page by `show`: as text nodes, with what a
// browser would obey or hide written out. Nothing here makes markup, and nothing is fetched.
{
  const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
  const MOST = 4000; // tokens, or characters without tokens, that are drawn at once
  const SURPRISE = [0.05, 0.2, 0.5, 1, 2, 4]; // nats, between the shades of a log-prob
  const byId = (id) => document.getElementById(id);
  const bodies = new Map(); // step -> its rollouts, parsed when first looked at
  const steps = JSON.parse(byId("steps").textContent);
  const state = {
    panes: [{ step: steps.at(-1), group: null }],
    filters: { source: "", status: "", stop: "", low: null, high: null, text: "" },
    all: false, // show the members that the filters refuse too
  };

  function el(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (key === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value === true) node.setAttribute(key, "");
      else if (value !== false && value != null) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  }

  const spell = (char) => {
    const code = char.codePointAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    return code === 0x7f ? "␡" : "U+" + code.toString(16).toUpperCase().padStart(4, "0");
  };

  /** Append `text` to `parent`; hidden characters become marked spans. */
  function show(parent, text, breaks = false) {
    let start = 0;
    for (const found of text.matchAll(HIDDEN)) {
      const char = found[0];
      if (char === "\t" || (char === "\n" && !breaks)) continue;
      parent.append(text.slice(start, found.index));
      if (char === "\n") parent.append(el("span", { class: "break", "aria-hidden": "true" }), "\n");
      else parent.append(el("span", { class: "ctl" }, spell(char)));
      start = found.index + char.length;
    }
    parent.append(text.slice(start));
    return parent;
  }

  const shown = (name, attributes, text) => show(el(name, attributes), String(text));
  const signed = (x, digits = 2) => (x > 0 ? "+" : "") + x.toFixed(digits).replace("-", "−");
  const short = (x) => (x == null ? "–" : String(+x.toPrecision(3)).replace("-", "−"));
  const mean = (xs) => (xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : null);

  /** Return a step's data: parsed once, with what filters and colours need worked out. */
  function stepData(step) {
    if (bodies.has(step)) return bodies.get(step);
    const data = JSON.parse(byId("data-" + step).textContent);
    let strongest = 0;
    for (const group of data.groups) {
      for (const member of group.members) {
        member.group = group;
        for (const a of [member.a ?? 0].flat()) strongest = Math.max(strongest, Math.abs(a));
      }
    }
    data.members = data.groups.flatMap((group) => group.members);
    data.strongest = strongest || 1;
    const rewards = data.members.map((m) => m.r);
    data.range = [Math.min(...rewards), Math.max(...rewards)];
    bodies.set(step, data);
    return data;
  }

  const textOf = (data, member) =>
    (member.all ??= member.t ? member.t.map((i) => data.texts[i]).join("") : member.text);
  const searched = (data, member) =>
    (member.lower ??= (textOf(data, member) + "\n" + member.group.prompt).toLowerCase());

  function passes(data, member) {
    const f = state.filters;
    return (
      (!f.source || member.group.source === f.source) &&
      (!f.status || member.status === f.status) &&
      (!f.stop || member.stop === f.stop) &&
      (f.low == null || member.r >= f.low) &&
      (f.high == null || member.r <= f.high) &&
      (!f.text || searched(data, member).includes(f.text))
    );
  }

  const filtered = (data) =>
    data.groups
      .map((group) => ({ group, hits: group.members.filter((m) => passes(data, m)) }))
      .filter((entry) => entry.hits.length);

  // -- a pane: the list of a step's groups, and one of them ------------------------------------

  function drawPane(place) {
    const pane = state.panes[place];
    const data = stepData(pane.step);
    const entries = filtered(data);
    if (!entries.some((entry) => entry.group.g === pane.group)) pane.group = entries[0]?.group.g ?? null;
    const entry = entries.find((e) => e.group.g === pane.group);
    const root = byId("panes").children[place];
    const list = root.querySelector(".list");
    list.replaceChildren(...entries.map((e) => listItem(data, e, e === entry, place)));
    const hits = entries.reduce((sum, e) => sum + e.hits.length, 0);
    root.querySelector(".passing").textContent =
      `${entries.length} of ${data.groups.length} groups, ${hits} of ${data.members.length} rollouts`;
    const detail = root.querySelector(".detail");
    detail.replaceChildren(...(entry ? detailOf(data, entry) : [el("p", { class: "empty" }, "Nothing passes the filters.")]));
    detail.scrollTop = 0;
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  function listItem(data, { group, hits }, current, place) {
    const [low, high] = data.range;
    const dots = el("span", { class: "dots", "aria-hidden": "true" });
    for (const m of group.members.slice(0, 64)) {
      const shade = m.valid ? Math.round((5 * (m.r - low)) / (high - low || 1)) : "x";
      dots.append(el("i", { class: "d" + shade + (hits.includes(m) ? "" : " out") }));
    }
    const both = state.panes.length > 1 && otherTasks(place).has(group.key);
    const label = shown("span", { class: "task" }, group.task);
    return el(
      "button",
      { type: "button", class: "item", "aria-current": current ? "true" : false, on: { click: () => choose(place, group) } },
      el("span", { class: "row" }, shown("b", {}, group.env), el("span", { class: "mean" }, short(mean(group.members.map((m) => m.r))))),
      el("span", { class: "row" }, label, both ? el("span", { class: "chip" }, "in both") : null),
      dots,
    );
  }

  const otherTasks = (place) => {
    const data = stepData(state.panes[1 - place].step);
    return (data.keys ??= new Map(data.groups.map((group) => [group.key, group.g])));
  };

  /** Show a group; where two steps are compared and both have its task, show it in both. */
  function choose(place, group) {
    state.panes[place].group = group.g;
    drawPane(place);
    const twin = state.panes.length > 1 ? otherTasks(place).get(group.key) : undefined;
    if (twin !== undefined) {
      state.panes[1 - place].group = twin;
      drawPane(1 - place);
    }
  }

  function detailOf(data, { group, hits }) {
    const facts = [group.source === group.env ? null : group.source, group.task, group.language, group.level == null ? null : `level ${group.level}`];
    const head = el("div", { class: "head" }, shown("h2", {}, group.env), shown("p", { class: "note" }, facts.filter(Boolean).join(" · ")));
    const prompt = el("details", { class: "prompt", open: true }, el("summary", {}, "Prompt, as the model saw it"));
    const text = el("pre", { class: "text", dir: "ltr" });
    const words = group.p ? group.p.map((i) => data.texts[i]).join("") : group.prompt;
    drawLong(text, words.length, (from, to) => show(document.createDocumentFragment(), words.slice(from, to)));
    prompt.append(text);
    if (group.reference != null) prompt.append(shown("p", { class: "note reference" }, `Reference: ${group.reference}`));
    const visible = state.all ? group.members : hits;
    const hidden = group.members.length - hits.length;
    const note = hidden
      ? el("p", { class: "note" }, `${hidden} of ${group.members.length} do not pass the filters. `,
          el("button", { type: "button", class: "plain", on: { click: () => { state.all = !state.all; drawAll(); } } }, state.all ? "Hide them" : "Show them"))
      : null;
    const members = el("div", { class: "members" }, ...visible.map((m) => memberOf(data, m, !hits.includes(m))));
    return [head, prompt, note, members].filter(Boolean);
  }

  function memberOf(data, member, out) {
    const chips = Object.entries(member.c).map(([name, value]) => shown("span", { class: "chip" }, `${name} ${short(value)}`));
    if (member.status !== "ok") chips.push(shown("span", { class: "chip odd" }, member.status));
    if (member.stop !== "stop") chips.push(shown("span", { class: "chip odd" }, `cut: ${member.stop}`));
    const end = [`${member.length} tokens`];
    if (member.advantage != null) end.push(`advantage ${signed(member.advantage)}`);
    if (member.extracted != null) end.push(`answer ${member.extracted}`);
    const text = el("pre", { class: "text tokens", dir: "ltr", tabindex: "0", "aria-label": `Completion ${member.m}` });
    if (member.t) drawTokens(data, member, text);
    else drawLong(text, member.text.length, (from, to) => show(document.createDocumentFragment(), member.text.slice(from, to)));
    return el(
      "article",
      { class: "member" + (out ? " out" : "") },
      el("div", { class: "facts" }, el("b", {}, `${member.m}`), el("span", { class: "reward" }, `reward ${short(member.r)}`), ...chips),
      shown("p", { class: "note" }, end.join(" · ")),
      member.reason ? shown("p", { class: "note reason" }, member.reason) : null,
      text,
    );
  }

  /** Draw the first part of something long, and a button for the rest. */
  function drawLong(parent, size, part) {
    let drawn = 0;
    const more = el("button", { type: "button", class: "more" });
    const go = (count) => {
      more.remove();
      parent.append(part(drawn, Math.min(size, drawn + count)));
      drawn = Math.min(size, drawn + count);
      if (drawn < size) {
        more.textContent = `${(size - drawn).toLocaleString("en")} more`;
        parent.append(more);
      }
    };
    more.addEventListener("click", () => go(5 * MOST));
    go(MOST);
  }

  // -- tokens -------------------------------------------------------------------------------------

  function drawTokens(data, member, parent) {
    const own = []; // for each token, its place among the policy's, or -1
    let policy = true;
    let count = 0;
    for (const run of member.runs) {
      for (let i = 0; i < run; i++) own.push(policy ? count++ : -1);
      policy = !policy;
    }
    const hit = hitsOf(data, member);
    parent.member = { data, member, own };
    drawLong(parent, member.t.length, (from, to) => {
      const part = document.createDocumentFragment();
      for (let i = from; i < to; i++) {
        const text = data.texts[member.t[i]];
        const name = `t ${shade(data, member, own[i])}${hit[i] ? " hit" : ""}${text ? "" : " half"}`;
        const span = el("span", { class: name, "data-i": i });
        part.append(text ? show(span, text, true) : span);
      }
      return part;
    });
  }

  const advantageAt = (member, at) => (Array.isArray(member.a) ? member.a[at] : member.a);

  function shade(data, member, at) {
    if (at < 0) return "o";
    const advantage = advantageAt(member, at);
    const level = advantage == null ? 0 : Math.round((5 * advantage) / data.strongest);
    const surprise = member.lp[at] / 1000;
    const nats = SURPRISE.filter((limit) => surprise >= limit).length;
    return `p ${advantage == null ? "" : level < 0 ? "an" + -level : "ap" + level} l${nats}`;
  }

  /** Return, for each token, whether the searched text lies on it. */
  function hitsOf(data, member) {
    const hit = new Uint8Array(member.t.length);
    const wanted = state.filters.text;
    if (!wanted) return hit;
    const text = textOf(data, member).toLowerCase();
    const starts = [];
    let at = 0;
    for (const i of member.t) { starts.push(at); at += data.texts[i].length; }
    let token = 0;
    for (let from = text.indexOf(wanted), n = 0; from >= 0 && n < 2000; from = text.indexOf(wanted, from + 1), n++) {
      while (token + 1 < starts.length && starts[token + 1] <= from) token++;
      for (let i = token; i < starts.length && starts[i] < from + wanted.length; i++) hit[i] = 1;
    }
    return hit;
  }

  function describe(span) {
    const { data, member, own } = span.closest(".tokens").member;
    const i = Number(span.dataset.i);
    const at = own[i];
    const line = byId("readout");
    line.replaceChildren(shown("code", { dir: "ltr" }, JSON.stringify(data.texts[member.t[i]])));
    const facts = [`id ${data.ids[member.t[i]]}`];
    if (!data.texts[member.t[i]]) facts.unshift("part of the character that follows");
    if (at < 0) facts.push("the environment's: not trained on");
    else {
      const logprob = -member.lp[at] / 1000;
      facts.push(`log-prob ${signed(logprob, 3)} (${(100 * Math.exp(logprob)).toFixed(1)}%)`);
      const advantage = advantageAt(member, at);
      facts.push(advantage == null ? "not trained on" : `advantage ${signed(advantage, 3)}`);
      facts.push(`token ${at + 1} of ${member.length}`);
    }
    line.append(el("span", {}, facts.join(" · ")));
    document.querySelector(".t.cursor")?.classList.remove("cursor");
    span.classList.add("cursor");
  }

  function moveCursor(box, by) {
    const now = box.querySelector(".t.cursor");
    const all = box.querySelectorAll(".t");
    const next = now ? all[Number(now.dataset.i) + by] : all[0];
    if (next) { describe(next); next.scrollIntoView({ block: "nearest" }); }
  }

  // -- the whole page -------------------------------------------------------------------------------

  function drawAll() {
    state.panes.forEach((_, place) => drawPane(place));
    drawComparison();
  }

  function makePanes() {
    byId("panes").replaceChildren(...state.panes.map((pane, place) => {
      const select = el("select", { "aria-label": "Step", on: { change: (event) => setStep(place, Number(event.target.value)) } });
      for (const step of steps) select.append(el("option", { value: step, selected: step === pane.step }, `Step ${step}`));
      return el("section", { class: "pane", "aria-label": `Rollouts ${place + 1}` },
        el("div", { class: "bar" }, select, el("span", { class: "passing note" })),
        el("div", { class: "list" }), el("div", { class: "detail" }));
    }));
    document.body.dataset.panes = state.panes.length;
    byId("compare").setAttribute("aria-pressed", state.panes.length > 1);
    drawFilters();
    drawAll();
  }

  function setStep(place, step) {
    state.panes[place] = { step, group: null };
    makePanes();
  }

  function toggleCompare() {
    const now = state.panes.at(-1).step;
    if (state.panes.length > 1) state.panes.shift();
    else state.panes.push({ step: steps.find((step) => step !== now) ?? now, group: null });
    state.panes.sort((a, b) => a.step - b.step);
    makePanes();
  }

  /** Offer in each filter what the steps on the page have. */
  function drawFilters() {
    const members = state.panes.flatMap((pane) => stepData(pane.step).members);
    const kinds = { source: (m) => m.group.source, status: (m) => m.status, stop: (m) => m.stop };
    for (const [name, read] of Object.entries(kinds)) {
      const select = byId("f-" + name);
      const values = [...new Set(members.map(read))].sort();
      if (!values.includes(state.filters[name])) state.filters[name] = "";
      const options = values.map((v) => shown("option", { value: v, selected: v === state.filters[name] }, v));
      select.replaceChildren(el("option", { value: "" }, "any"), ...options);
    }
  }

  function drawComparison() {
    const root = byId("comparison");
    root.hidden = state.panes.length < 2;
    if (root.hidden) return;
    const sides = state.panes.map((pane) => {
      const data = stepData(pane.step);
      return data.members.filter((m) => passes(data, m));
    });
    const share = (test) => (ms) => (ms.length ? (100 * ms.filter(test).length) / ms.length : null);
    const rows = [
      ["rollouts", (ms) => ms.length],
      ["reward, mean", (ms) => mean(ms.map((m) => m.r))],
      ["tokens, mean", (ms) => mean(ms.map((m) => m.length))],
      ["log-prob of a token", (ms) => mean(ms.flatMap((m) => (m.lp?.length ? [-mean(m.lp) / 1000] : [])))],
      ["cut, %", share((m) => m.stop !== "stop")],
      ["without a verdict, %", share((m) => !m.valid)],
    ];
    const names = [...new Set(sides.flat().flatMap((m) => Object.keys(m.c)))];
    rows.splice(2, 0, ...names.map((name) => [name, (ms) => mean(ms.filter((m) => name in m.c).map((m) => m.c[name]))]));
    const values = rows.map(([, measure]) => sides.map(measure));
    const change = ([a, b]) => (a == null || b == null ? "–" : (b > a ? "+" : "") + short(b - a));
    const line = (title, cells) => el("tr", {}, el("th", {}, title), ...cells.map((cell) => el("td", {}, cell)));
    const head = el("tr", {}, el("th", {}, "What passes"), ...rows.map(([name]) => shown("th", {}, name)));
    const body = [
      ...state.panes.map((pane, i) => line(`step ${pane.step}`, values.map((pair) => short(pair[i])))),
      line("change", values.map(change)),
    ];
    root.replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  }

  function setColour(name) {
    document.body.dataset.colour = name;
    for (const button of document.querySelectorAll("[data-set-colour]"))
      button.setAttribute("aria-pressed", button.dataset.setColour === name);
  }

  function move(by) {
    const place = state.panes.length - 1;
    const items = filtered(stepData(state.panes[place].step));
    const at = items.findIndex((entry) => entry.group.g === state.panes[place].group);
    const next = items[Math.min(items.length - 1, Math.max(0, at + by))];
    if (next) choose(place, next.group);
  }

  const KEYS = {
    j: () => move(1), k: () => move(-1),
    a: () => setColour("advantage"), l: () => setColour("logprob"), m: () => setColour("mask"), n: () => setColour("none"),
    c: toggleCompare,
    "[": () => nextStep(-1), "]": () => nextStep(1),
    "/": () => byId("f-text").focus(),
    "?": () => byId("help").showModal(),
  };

  function nextStep(by) {
    const place = state.panes.length - 1;
    const step = steps[steps.indexOf(state.panes[place].step) + by];
    if (step !== undefined) setStep(place, step);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = event.target.closest?.(".tokens");
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (box?.member && by) { event.preventDefault(); moveCursor(box, by); return; }
    if (event.target.matches?.("input, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = KEYS[event.key];
    if (act && !byId("help").open) { event.preventDefault(); act(); }
  });
  document.addEventListener("pointerover", (event) => {
    const span = event.target.closest?.(".t");
    if (span) describe(span);
  });
  let waiting = 0;
  byId("filters").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const value = (name) => byId("f-" + name).value;
      const bound = (name) => (value(name) === "" || Number.isNaN(Number(value(name))) ? null : Number(value(name)));
      state.filters = {
        source: value("source"), status: value("status"), stop: value("stop"),
        low: bound("low"), high: bound("high"), text: value("text").toLowerCase(),
      };
      state.all = false;
      drawAll();
    }, 120);
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(() => byId("filters").dispatchEvent(new Event("input"))));
  byId("compare").addEventListener("click", toggleCompare);
  byId("compare").disabled = steps.length < 2;
  byId("show-help").addEventListener("click", KEYS["?"]);
  byId("close-help").addEventListener("click", () => byId("help").close());
  for (const button of document.querySelectorAll("[data-set-colour]"))
    button.addEventListener("click", () => setColour(button.dataset.setColour));
  setColour("advantage");
  makePanes();
}
