
// The table of sites; what it shares with other pages is in the report's common.js.

// -- what a row shows ---------------------------------------------------------------------------------

function reader({ outcomes, columns, words }) {
  const texts = {};
  for (const name of ["reach", "reasons", "signals", "agents", "files"]) {
    texts[name] = (row) => words[columns[name][row]];
  }
  const details = (row) => columns.details[row];
  const told = (each) => Object.values(each).join(" ");
  return {
    ...texts,
    size: columns.site.length,
    site: (row) => columns.site[row],
    asked: (row) => new Date(columns.asked[row] * 1000).toISOString().slice(0, 19).replace("T", " "),
    outcome: (row) => outcomes[columns.outcome[row]],
    closed: (row) => columns.closed[row],
    details,
    evidence: (row) => {
      const { statements = [], warnings = [], ...lines } = details(row);
      const said = [...statements, ...warnings].map(told);
      return escaped([texts.agents(row), texts.reach(row), ...Object.values(lines).flat(), ...said].join(" "));
    },
  };
}

// -- what is unfolded ---------------------------------------------------------------------------------

function spoken(each) {
  const made = statement(each);
  made.append(
    facts([
      ["said of", each.paths],
      ["counted", each.counted === false ? "not by this policy" : undefined],
    ]),
  );
  return made;
}

function unfolded(rows, row) {
  const made = node("div", undefined, "details");
  const details = rows.details(row);
  const { statements = [], warnings = [], content_signals = [], content_usages = [], rsl_urls = [] } = details;
  if (statements.length) made.append(node("h3", "What it says"), ...statements.map(spoken));
  else made.append(node("p", "No origin file says anything of training.", "note"));
  if (warnings.length) made.append(node("h3", "Malformed signals"), ...warnings.map(statement));
  const files = facts([["files", rows.files(row)]]);
  for (const told of files.querySelectorAll("dd")) told.className = "lines";
  made.append(
    node("h3", "Site"),
    facts([
      ["origin", details.origin],
      ["asked (UTC)", rows.asked(row)],
      ["answered", rows.reach(row)],
      ["signals", rows.signals(row)],
      ["AI crawlers named", rows.agents(row)],
      ["Content-Signal", content_signals.join("; ")],
      ["Content-Usage", content_usages.join("; ")],
      ["RSL licences", rsl_urls.join(" ")],
    ]),
    files,
  );
  return made;
}

// -- the table ----------------------------------------------------------------------------------------

function columnsOf(rows) {
  return [
    unfoldColumn(rows.site),
    textColumn("Site", rows.site, "site"),
    outcomeColumn("Pictures", "outcome", rows.outcome),
    textColumn("Reasons", rows.reasons, "reason"),
    textColumn("Signals", rows.signals, "signals"),
    {
      title: "AI crawlers closed out",
      className: "number wide",
      type: "num",
      data: null,
      searchable: false,
      render: (row) => rows.closed(row),
    },
    { title: "In evidence", visible: false, type: "string", data: null, render: rows.evidence },
  ];
}

begin((data) => {
  const rows = reader(data);
  showTable(rows, {
    columns: columnsOf(rows),
    filters: filtersBy("outcome", rows.outcome),
    unfolded,
    heading: element("sites"),
    placeholder: "site, signal, crawler, evidence",
  });
});
