
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
    outcomeColumn("Action", "action", rows.action),
    textColumn("Reason", rows.reasons, "reason"),
    textColumn("Stage", rows.stage, "wide"),
    textColumn("Picture", rows.url, "url"),
    textColumn("Crawler", rows.crawler, "crawler wide"),
    { title: "In evidence", visible: false, type: "string", data: null, render: rows.evidence },
  ];
}

begin((data) => {
  const rows = reader(data);
  showTable(rows, {
    columns: columnsOf(rows),
    filters: filtersBy("action", rows.action),
    unfolded,
    heading: element("decisions"),
    placeholder: "URL, reason, list, evidence",
  });
});
