
// What the pages of reports share: a table to search, whose rows unfold. Everything from the web goes into a page
// as text, never as HTML.

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

// -- the table ----------------------------------------------------------------------------------------

// sorted and told apart as it is, shown and searched as text that has been escaped
function textColumn(title, get, className) {
  return {
    title,
    className,
    type: "string",
    data: null,
    render: (row, how) => (how === "display" || how === "filter" ? escaped(get(row)) : get(row)),
  };
}

function unfoldColumn(name) {
  return {
    title: '<span class="hidden">Evidence</span>',
    data: null,
    orderable: false,
    searchable: false,
    render: (row, how) =>
      how === "display" ? '<button type="button" class="unfold" aria-expanded="false"></button>' : "",
    createdCell: (cell, _, row) => cell.firstChild.setAttribute("aria-label", `Evidence for ${name(row)}`),
  };
}

// What came of a row, in colour: one of the values of the boxes that are called `name`, with the words beside it.
function outcomeColumn(title, name, get) {
  const boxes = document.querySelectorAll(`input[name=${name}]`);
  const words = new Map([...boxes].map((box) => [box.value, box.parentElement.textContent.trim()]));
  return {
    title,
    type: "string",
    data: null,
    render: (row, how) =>
      how === "display" ? `<span class="action ${get(row)}">${words.get(get(row))}</span>` : words.get(get(row)),
  };
}

// Filters by what came of rows, and by their reasons.
function filtersBy(name, get) {
  return (table, rows) => {
    const select = element("reason");
    const boxes = [...document.querySelectorAll(`input[name=${name}]`)];
    const reasons = new Set();
    for (let row = 0; row < rows.size; row += 1) for (const each of rows.reasons(row).split(" ")) reasons.add(each);
    for (const each of [...reasons].filter(Boolean).sort()) select.append(new Option(each));
    const changed = () => {
      const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      const reason = select.value;
      const all = shown.size === boxes.length && !reason;
      const fits = (_, __, row) =>
        shown.has(get(row)) && (!reason || rows.reasons(row).split(" ").includes(reason));
      table.search.fixed("filters", all ? null : fits).draw();
    };
    for (const box of boxes) box.addEventListener("change", changed);
    select.addEventListener("change", changed);
  };
}

function links(table, heading) {
  const follow = () => {
    if (!location.hash.startsWith(FIND)) return;
    table.search(decodeURIComponent(location.hash.slice(FIND.length))).draw();
    heading.focus();
    heading.scrollIntoView();
  };
  window.addEventListener("hashchange", follow);
  follow();
}

// `columns` and `filters` of the table, what a row is `unfolded` to, and the `heading` over it.
function showTable(rows, { columns, filters, unfolded, heading, placeholder }) {
  element("table").hidden = false;
  element("filters").hidden = false;
  const table = new DataTable("#table", {
    data: Array.from({ length: rows.size }, (_, row) => row),
    columns,
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
      searchPlaceholder: placeholder,
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
  links(table, heading);
}

function begin(show) {
  if (!element("table")) return;
  unpacked()
    .then(show)
    .catch((error) => {
      element("failed").hidden = false;
      throw error;
    });
}
