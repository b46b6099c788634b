"use strict";

// Everything is asked of the gateway that served this page, by relative paths,
// so that a prefix put in front by a proxy stays. The browser adds the
// credentials it was given for the page. Text of functions is only ever set
// as text.
const defaultNamespace = "openfaas-fn";
const byId = (id) => document.getElementById(id);
// Without user and password, which the address may hold: they belong on no screen, and fetch takes none.
const here = new URL("..", document.baseURI);
const base = (here.origin + here.pathname).replace(/\/$/, "");

async function ask(path) {
  const answer = await fetch(base + "/" + path, { headers: { Accept: "application/json" } });
  if (!answer.ok) {
    throw new Error(`${answer.status}: ${(await answer.text()).trim() || answer.statusText}`);
  }
  return answer.json();
}

function cell(row, text, kind) {
  const td = row.insertCell();
  td.textContent = text;
  if (kind) td.className = kind;
  return td;
}

function stateOf(f) {
  if (f.problem) return [f.problem, "bad"];
  if (!f.replicas) return ["asleep: the next call wakes it", "quiet"];
  if (!f.availableReplicas) return ["starting", "quiet"];
  return ["ready", "good"];
}

function pathOf(f) {
  const suffix = f.namespace && f.namespace !== defaultNamespace ? "." + f.namespace : "";
  return "/function/" + f.name + suffix;
}

function show(functions) {
  const body = byId("functions").tBodies[0];
  body.replaceChildren();
  for (const f of functions) {
    const row = body.insertRow();
    const link = document.createElement("a");
    link.href = base + pathOf(f);
    link.textContent = f.name;
    link.rel = "noreferrer";
    cell(row, "").append(link);
    cell(row, ...stateOf(f));
    cell(row, `${f.availableReplicas || 0} / ${f.replicas || 0}`, "number");
    cell(row, String(f.invocationCount || 0), "number");
    cell(row, f.image);
  }
  byId("functions").hidden = functions.length === 0;
  byId("none").hidden = functions.length !== 0;
  const path = functions.length ? pathOf(functions[0]) : "/function/NAME";
  byId("example").textContent = `curl ${base}${path}\ncurl ${base}${path} -d 'some input'`;
}

async function refresh() {
  try {
    const chosen = byId("namespace").value;
    show(await ask("system/functions?namespace=" + encodeURIComponent(chosen)));
    byId("problem").hidden = true;
  } catch (err) {
    byId("problem").textContent = "The list could not be read. " + err.message;
    byId("problem").hidden = false;
  }
}

async function start() {
  byId("login").textContent = `faas-cli login --gateway ${base} --username USER --password-stdin`;
  byId("refresh").addEventListener("click", refresh);
  byId("namespace").addEventListener("change", refresh);
  try {
    for (const name of await ask("system/namespaces")) {
      byId("namespace").add(new Option(name, name, name === defaultNamespace, name === defaultNamespace));
    }
    const info = await ask("system/info");
    byId("about").textContent = `${info.version.release} · ${info.provider.provider}`;
  } catch (err) {
    console.warn(err);
  }
  await refresh();
}

start();
