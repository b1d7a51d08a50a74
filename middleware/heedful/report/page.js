
// The table of decisions. Everything from the web goes into the page as text, never as HTML.

const FIND = "#find=";
const PAGE = 25;

const element = (id) => document.getElementById(id);
const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

function node(name, words, className) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (className) made.className = className;
  return made;
}

async function unpacked() {
  const octets = Uint8Array.from(atob(element("data").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

// -- what a row shows ---------------------------------------------------------------------------------

function reader({ actions, columns, words, details }) {
  const texts = {};
  for (const name of ["host", "reasons", "stage", "crawler", "run", "token", "policy", "hop_of", "error"]) {
    texts[name] = (row) => words[columns[name][row]];
  }
  return {
    ...texts,
    size: columns.time.length,
    id: (row) => columns.id[row],
    url: (row) => columns.url[row],
    seconds: (row) => columns.time[row],
    time: (row) => new Date(columns.time[row] * 1000).toISOString().slice(0, 19).replace("T", " "),
    action: (row) => actions[columns.action[row]],
    audit: (row) => columns.audit[row] === 1,
    status: (row) => columns.status[row],
    read: (row) => columns.bytes_read[row],
    avoided: (row) => columns.bytes_avoided[row],
    details: (row) => (columns.details[row] < 0 ? {} : details[columns.details[row]]),
    evidence: evidenceTexts(details, columns.details),
  };
}

// What a search finds in evidence, made once for those decisions that have the same.
function evidenceTexts(details, numbers) {
  const made = new Array(details.length);
  const told = (each) => Object.values(each).join(" ");
  return (row) => {
    const number = numbers[row];
    if (number < 0) return "";
    made[number] ??= escaped(Object.values(details[number]).flat().map(told).join(" "));
    return made[number];
  };
}

// -- what is unfolded ---------------------------------------------------------------------------------

function facts(pairs) {
  const list = node("dl");
  for (const [term, words] of pairs) {
    if (words === undefined || words === null || words === "") continue;
    const told = node("dd");
    told.append(node("bdi", String(words)));
    list.append(node("dt", term), told);
  }
  return list;
}

function statement(each) {
  const made = node("div", undefined, `statement ${each.statement ?? ""}`);
  made.append(
    facts([
      ["signal", each.signal],
      ["says", each.statement && [each.statement, each.rule && `(${each.rule})`].filter(Boolean).join(" ")],
      ["message", each.message],
      ["where", [each.where, each.source_url].filter(Boolean).join(", ")],
    ]),
  );
  if (each.raw) {
    const raw = node("pre");
    raw.append(node("bdi", each.raw));
    made.append(raw);
  }
  made.append(
    facts([
      ["fetched", each.fetched],
      ["SHA-256", each.sha256],
      ["stage", each.stage],
      ["protocol", each.protocol],
      ["strength", each.strength],
      ["covers", each.covers],
      ["policy's switch", each.switch],
    ]),
  );
  return made;
}

function unfolded(rows, row) {
  const made = node("div", undefined, "details");
  const { evidence = [], overridden = [], ignored = [], warnings = [], registries = [] } = rows.details(row);
  for (const [heading, statements] of [
    ["Evidence", evidence],
    ["Overridden", overridden],
    ["Not counted by the policy", ignored],
    ["Malformed signals", warnings],
  ]) {
    if (statements.length) made.append(node("h3", heading), ...statements.map(statement));
  }
  if (!evidence.length) made.append(node("p", "No signal spoke of this picture.", "note"));
  const bytes = (count) => (count === null ? undefined : `${count.toLocaleString("en")} bytes`);
  made.append(
    node("h3", "Decision"),
    facts([
      ["picture", rows.url(row)],
      ["redirected from", rows.hop_of(row)],
      ["time (UTC)", rows.time(row)],
      ["decided at", rows.stage(row)],
      ["reasons", rows.reasons(row)],
      ["enforced", rows.audit(row) ? "no: an audit" : "yes"],
      ["HTTP status", rows.status(row) ?? "not contacted"],
      ["read", bytes(rows.read(row))],
      ["announced, not read", bytes(rows.avoided(row))],
      ["error", rows.error(row)],
      ["policy", rows.policy(row)],
      ["registries", registries.map((each) => `${each.name} (version ${each.version})`).join(", ")],
      ["product token", rows.token(row)],
      ["crawler", rows.crawler(row)],
      ["run", rows.run(row)],
      ["record", rows.id(row)],
    ]),
  );
  return made;
}

// -- the table ----------------------------------------------------------------------------------------

const DONE = new Map(
  [...document.querySelectorAll("input[name=action]")].map((box) => [box.value, box.parentElement.textContent.trim()]),
);

function columnsOf(rows) {
  // sorted and told apart as they are, shown and searched as text that has been escaped
  const text = (title, get, className) => ({
    title,
    className,
    type: "string",
    data: null,
    render: (row, how) => (how === "display" || how === "filter" ? escaped(get(row)) : get(row)),
  });
  return [
    {
      title: '<span class="hidden">Evidence</span>',
      data: null,
      orderable: false,
      searchable: false,
      render: (row, how) =>
        how === "display" ? '<button type="button" class="unfold" aria-expanded="false"></button>' : "",
      createdCell: (cell, _, row) => cell.firstChild.setAttribute("aria-label", `Evidence for ${rows.url(row)}`),
    },
    {
      title: "Time (UTC)",
      className: "time wide",
      type: "num",
      data: null,
      render: (row, how) => (how === "display" || how === "filter" ? rows.time(row) : rows.seconds(row)),
    },
    {
      title: "Action",
      type: "string",
      data: null,
      render: (row, how) =>
        how === "display"
          ? `<span class="action ${rows.action(row)}">${DONE.get(rows.action(row))}</span>`
          : DONE.get(rows.action(row)),
    },
    text("Reason", rows.reasons, "reason"),
    text("Stage", rows.stage, "wide"),
    text("Picture", rows.url, "url"),
    text("Crawler", rows.crawler, "crawler wide"),
    { title: "In evidence", visible: false, type: "string", data: null, render: rows.evidence },
  ];
}

function filters(table, rows) {
  const select = element("reason");
  const boxes = [...document.querySelectorAll("input[name=action]")];
  const reasons = new Set();
  for (let row = 0; row < rows.size; row += 1) for (const each of rows.reasons(row).split(" ")) reasons.add(each);
  for (const each of [...reasons].filter(Boolean).sort()) select.append(new Option(each));
  const changed = () => {
    const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const reason = select.value;
    const all = shown.size === boxes.length && !reason;
    const fits = (_, __, row) =>
      shown.has(rows.action(row)) && (!reason || rows.reasons(row).split(" ").includes(reason));
    table.search.fixed("filters", all ? null : fits).draw();
  };
  for (const box of boxes) box.addEventListener("change", changed);
  select.addEventListener("change", changed);
}

function links(table) {
  const follow = () => {
    if (!location.hash.startsWith(FIND)) return;
    table.search(decodeURIComponent(location.hash.slice(FIND.length))).draw();
    element("decisions").focus();
    element("decisions").scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  follow();
}

function show(data) {
  const rows = reader(data);
  element("table").hidden = false;
  element("filters").hidden = false;
  const table = new DataTable("#table", {
    data: Array.from({ length: rows.size }, (_, row) => row),
    columns: columnsOf(rows),
    order: [],
    orderClasses: false,
    createdRow: (line) => {
      // a phone shows rows as blocks, which takes their meaning from them in some browsers
      line.setAttribute("role", "row");
      for (const cell of line.cells) cell.setAttribute("role", "cell");
    },
    autoWidth: false,
    pageLength: PAGE,
    searchDelay: 200,
    layout: { topStart: "search", topEnd: "info", bottomStart: "pageLength", bottomEnd: "paging" },
    language: {
      search: "Search",
      searchPlaceholder: "URL, reason, list, evidence",
      lengthMenu: "_MENU_ a page",
      info: "_START_ to _END_ of _TOTAL_",
      infoEmpty: "none",
      infoFiltered: "(of _MAX_)",
      zeroRecords: "Nothing fits.",
    },
  });
  element("table").addEventListener("click", (event) => {
    const button = event.target.closest(".unfold");
    if (!button) return;
    const row = table.row(button.closest("tr"));
    const open = !row.child.isShown();
    if (open) row.child(unfolded(rows, row.data())).show();
    else row.child.hide();
    button.setAttribute("aria-expanded", String(open));
  });
  filters(table, rows);
  links(table);
}

if (element("table")) {
  unpacked()
    .then(show)
    .catch((error) => {
      element("failed").hidden = false;
      throw error;
    });
}
