document.getElementById("when").textContent = new Date(document.lastModified).toLocaleString("sv");
// The table of images: find, sort, decide, export. Decisions are kept in localStorage, one item an
// image, under the dataset, the image's path and the digest of what it was made of.
(() => {
  const table = document.getElementById("list");
  if (!table) return;
  const data = JSON.parse(document.getElementById("rows").textContent);
  const form = document.getElementById("filters");
  const body = table.tBodies[0];
  const more = document.getElementById("more");
  const reviewer = document.getElementById("reviewer");
  const exporter = document.getElementById("export");
  const columns = [...table.querySelectorAll("thead button")].map((button) => button.dataset.key);
  const PAGE = 100;
  const ORDER = { fail: 0, review: 1, pass: 2, accept: 0, reject: 1 };
  const NUMBERS = new Set(["strangeness", "half_width", "psnr", "ssim", "mae", "coverage"]);
  const prefix = `bids_synth:${data.dataset}:`;
  const memory = new Map();
  let sort = { key: "verdict", down: false };
  let shown = PAGE;
  let chosen = [];

  const store = (() => {
    try {
      localStorage.setItem(`${prefix}?`, "1");
      localStorage.removeItem(`${prefix}?`);
      return localStorage;
    } catch {
      return null;
    }
  })();
  const read = (key) => {
    const text = store ? store.getItem(prefix + key) : memory.get(key);
    try {
      return text ? JSON.parse(text) : null;
    } catch {
      return null;
    }
  };
  const write = (key, value) => {
    const text = JSON.stringify(value);
    memory.set(key, text);
    try {
      if (store && value === null) store.removeItem(prefix + key);
      else if (store) store.setItem(prefix + key, text);
    } catch {
      say("This browser has no room left for decisions: export them now. ");
    }
  };
  const keyOf = (row) => `${row.image}:${row.made}`;
  const decisionOf = (row) => {
    const kept = read(keyOf(row));
    return kept && typeof kept === "object" ? kept : {};
  };

  const rows = data.rows.map((row, place) => ({
    ...row,
    place,
    told: row.reasons.map((n) => data.reasons[n]),
  }));
  for (const row of rows) {
    row.kept = decisionOf(row);
    row.label = `${row.participant}${row.session && ` session ${row.session}`}, ${row.target}`;
    row.text = [
      `sub-${row.participant}`, row.session && `ses-${row.session}`, row.target, row.sources,
      row.verdict, row.model, ...row.told,
    ].join(" ").toLowerCase();
  }

  const element = (tag, values = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), values);
    made.append(...inside);
    return made;
  };
  const number = (row, key) => {
    const value = row[key];
    if (value === null || value === undefined) return "";
    if (key === "strangeness") return value.toFixed(1);
    if (key === "coverage") return `${(100 * value).toFixed(0)} %`;
    if (key === "half_width") return value.toPrecision(3);
    if (key === "mae") return value.toPrecision(3);
    return value.toFixed(data.digits[key]);
  };
  const buttonOf = (row, decision) => {
    const button = element("button", { type: "button", textContent: decision, className: decision });
    button.setAttribute("aria-label", `${decision} ${row.label}`);
    button.addEventListener("click", () => decide(row, decision));
    return button;
  };
  const cells = {
    participant: (row) => {
      const name = `sub-${row.participant}`;
      return row.page ? element("a", { href: row.page, textContent: name }) : name;
    },
    session: (row) => row.session,
    target: (row) => row.target,
    sources: (row) => row.sources.split("+").join(" + "),
    verdict: (row) => element("span", { className: `badge ${row.verdict}`, textContent: row.verdict }),
    decision: (row) => {
      row.buttons = { accept: buttonOf(row, "accept"), reject: buttonOf(row, "reject") };
      row.note = element("input", { type: "text", placeholder: "note", value: row.kept.note || "" });
      row.note.setAttribute("aria-label", `note on ${row.label}`);
      row.note.addEventListener("change", () => keep(row, { note: row.note.value.trim() }));
      const both = element("span", { className: "choice" }, row.buttons.accept, row.buttons.reject);
      return element("div", { className: "decide" }, both, row.note);
    },
    reasons: (row) => {
      if (row.told.length < 2) return row.told.join("");
      const list = element("ul", {}, ...row.told.map((t) => element("li", { textContent: t })));
      const words = `${row.told[0]} `;
      const count = element("em", { textContent: `and ${row.told.length - 1} more` });
      return element("details", {}, element("summary", {}, words, count), list);
    },
  };
  const build = (row) => {
    row.tr = element("tr");
    for (const key of columns) {
      const head = key === "participant";
      const cell = element(head ? "th" : "td", { className: NUMBERS.has(key) ? "number" : key });
      if (head) cell.scope = "row";
      cell.append(key in cells ? cells[key](row) : number(row, key));
      if (key === "half_width" && row.half_width !== null && row.unit) cell.title = row.unit;
      row.tr.append(cell);
    }
    row.tr.addEventListener("keydown", (event) => pressed(row, event));
    mark(row);
    return row.tr;
  };
  const mark = (row) => {
    if (!row.tr) return;
    for (const [decision, button] of Object.entries(row.buttons))
      button.setAttribute("aria-pressed", String(row.kept.decision === decision));
    if (document.activeElement !== row.note) row.note.value = row.kept.note || "";
    row.note.classList.toggle("empty", !row.note.value);
  };

  const pressed = (row, event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (step && row.tr[step]) {
      const controls = (tr) => [...tr.querySelectorAll("a, button, input, summary")];
      const at = controls(row.tr).indexOf(document.activeElement);
      const next = controls(row.tr[step]);
      (next[at] || next[0]).focus();
      event.preventDefault();
    }
    if (event.target.tagName === "INPUT") return;
    if (event.key === "a" || event.key === "r") decide(row, { a: "accept", r: "reject" }[event.key]);
  };
  const decide = (row, decision) =>
    keep(row, { decision: row.kept.decision === decision ? "" : decision });
  const keep = (row, change) => {
    const kept = { ...decisionOf(row), ...change, time: new Date().toISOString() };
    write(keyOf(row), kept.decision || kept.note ? kept : null);
    row.kept = decisionOf(row);
    mark(row);
    tell();
  };
  const decided = () => rows.filter((row) => row.kept.decision || row.kept.note);
  const say = (words) => {
    document.getElementById("kept").textContent = words;
  };
  const fresh = () => {
    const last = read("exported") || "";
    return decided().filter((row) => row.kept.time > last).length;
  };
  const tell = () => {
    const count = decided().length;
    const since = fresh();
    const where = store ? "" : "This browser keeps nothing for this page: export before you close it. ";
    const left = since ? `, ${since} not exported yet` : ", all exported";
    say(where + (count ? `${count} of ${rows.length} decided${left}.` : "None so far."));
    exporter.disabled = !count;
  };

  const value = (row, key) => {
    if (key === "decision") return ORDER[row.kept.decision] ?? 2;
    if (key === "verdict") return ORDER[row.verdict];
    return key === "reasons" ? row.told.join(" ") : row[key];
  };
  const compare = (one, two) => {
    const [a, b] = [value(one, sort.key), value(two, sort.key)];
    const none = (x) => x === null || x === undefined || x === "";
    if (none(a) || none(b)) return none(a) - none(b) || one.place - two.place;
    const ordered =
      typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return (sort.down ? -ordered : ordered) || one.place - two.place;
  };
  const update = () => {
    const wanted = new FormData(form);
    const words = String(wanted.get("text") || "").toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(wanted.getAll("verdict"));
    const target = wanted.get("target");
    const decision = wanted.get("decision");
    chosen = rows.filter(
      (row) =>
        verdicts.has(row.verdict) &&
        (!target || row.target === target) &&
        (!decision || (row.kept.decision || "none") === decision) &&
        words.every((word) => row.text.includes(word)),
    );
    chosen.sort(compare);
    draw();
  };
  const draw = () => {
    const part = chosen.slice(0, shown);
    body.replaceChildren(...part.map((row) => row.tr || build(row)));
    const left = chosen.length - part.length;
    more.hidden = !left;
    more.textContent = `Show ${Math.min(PAGE, left)} more of ${left}`;
    document.getElementById("count").textContent =
      `${chosen.length} of ${rows.length} images` + (left ? `, ${part.length} shown` : "");
    for (const button of table.querySelectorAll("thead button")) {
      const own = button.dataset.key === sort.key;
      const way = own ? (sort.down ? "descending" : "ascending") : "none";
      button.parentElement.setAttribute("aria-sort", way);
    }
  };

  const plain = (text) => String(text ?? "").replace(/\s+/g, " ").trim() || "n/a";
  const exported = () => {
    const names = [
      "participant_id", "session_id", "target", "decision", "note", "reviewer", "decided",
      "verdict", "image", "made",
    ];
    const lines = decided().map((row) =>
      [
        `sub-${row.participant}`, row.session && `ses-${row.session}`, row.target,
        row.kept.decision, row.kept.note, reviewer.value, row.kept.time, row.verdict, row.image,
        row.made,
      ].map(plain).join("\t"),
    );
    return `${[names.join("\t"), ...lines].join("\n")}\n`;
  };
  exporter.addEventListener("click", () => {
    const blob = new Blob([exported()], { type: "text/tab-separated-values" });
    const link = element("a", { href: URL.createObjectURL(blob), download: "decisions.tsv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    write("exported", new Date().toISOString());
    tell();
  });
  reviewer.value = read("reviewer") || "";
  reviewer.addEventListener("change", () => write("reviewer", reviewer.value.trim()));

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    shown = PAGE;
    update();
  });
  form.addEventListener("reset", () => setTimeout(update));
  more.addEventListener("click", () => {
    const first = shown;
    shown += PAGE;
    draw();
    body.rows[first].querySelector("a, button").focus();
  });
  for (const button of table.querySelectorAll("thead button"))
    button.addEventListener("click", () => {
      const key = button.dataset.key;
      const down = sort.key === key ? !sort.down : NUMBERS.has(key);
      sort = { key, down };
      update();
    });
  addEventListener("storage", (event) => {
    if (event.key !== null && !event.key.startsWith(prefix)) return;
    for (const row of rows) {
      row.kept = decisionOf(row);
      mark(row);
    }
    tell();
  });
  addEventListener("beforeunload", (event) => {
    if (!store && fresh()) event.preventDefault();
  });
  addEventListener("beforeprint", () => {
    shown = Math.max(shown, chosen.length);
    draw();
  });
  tell();
  update();
})();
