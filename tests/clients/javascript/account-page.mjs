// Runs account.js against a page with as much of the DOM as it uses. Prints what it sent and showed, as JSON.
import fs from "node:fs";
import vm from "node:vm";

const [file, action, hash, answer] = process.argv.slice(2);
const { status, body } = JSON.parse(answer);
const sent = [], shown = [], replaced = [];
let onSubmit = null;
const values = { password: { value: "first one" }, again: { value: "first one" }, end_api_keys: { checked: true } };
const button = { disabled: false };
const form = {
  dataset: { action }, hidden: true, elements: values,
  addEventListener: (_name, listener) => { onSubmit = listener; },
  querySelector: () => button,
};
const message = { set textContent(text) { shown.push(text); } };
const page = {
  document: { getElementById: (id) => (id === "form" ? form : message) },
  location: { hash, pathname: "/reset" },
  history: { replaceState: (_state, _title, url) => replaced.push(url) },
  URLSearchParams,
  fetch: async (path, options) => {
    sent.push({ path, method: options.method, body: JSON.parse(options.body) });
    return { ok: status < 400, status, json: async () => body };
  },
};
vm.runInNewContext(fs.readFileSync(file, "utf8"), page);
const before = { sent: sent.length, visible: !form.hidden };

async function main() {
  if (onSubmit) {
    if (process.argv.includes("--differ")) values.again.value = "another";
    await onSubmit({ preventDefault() {} });
  }
  console.log(JSON.stringify({ before, sent, shown, replaced, visible: !form.hidden }));
}
main();
