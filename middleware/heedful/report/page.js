
// The table of decisions; what it shares with other pages is in common.js.

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

// -- what is unfolded ---------------------------------------------------------------------------------

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
  return [
    unfoldColumn(rows.url),
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
    textColumn("Reason", rows.reasons, "reason"),
    textColumn("Stage", rows.stage, "wide"),
    textColumn("Picture", rows.url, "url"),
    textColumn("Crawler", rows.crawler, "crawler wide"),
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

begin((data) => {
  const rows = reader(data);
  showTable(rows, {
    columns: columnsOf(rows),
    filters,
    unfolded,
    heading: element("decisions"),
    placeholder: "URL, reason, list, evidence",
  });
});
