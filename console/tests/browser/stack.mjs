// A whole Parley for the tests in the browser: `parley run` on free ports, with the fake provider as its model.
import { execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const BIN = resolve(import.meta.dirname, "../../../.venv/bin");
const START_MS = 120_000;
// Below the range that kernels use for outgoing connections, so that no connection takes a port before Parley does.
const [FIRST_PORT, LAST_PORT] = [15_000, 32_000];
const SHOWN_OUTPUT = 2_000;
const MODELS = `default: swift
models:
  swift: {provider_model: fake, name: Swift 8B, provider: example, base_url: "{url}", context_window: 32768, capabilities: [stream, vision], pricing: {input_per_million: 0.15, output_per_million: 0.6}}
  deep: {provider_model: fake, name: Deep 70B, provider: example, base_url: "{url}", context_window: 131072, pricing: {input_per_million: 2, output_per_million: 8}}
`;
export const PASSWORD = "correct horse battery staple";
export const ADMIN = "root";

export class Stack {
  #folder = mkdtempSync(join(tmpdir(), "parley-browser-"));
  #children = [];
  #parley = null;

  get url() {
    return `http://localhost:${this.port}`;
  }

  /** Start the model and Parley, and make an administrator. */
  async start() {
    const model = await freePorts(1);
    this.#spawn("parley-fake-provider", ["--port", String(model), "--rate", "25", "--tokens", "40"], {});
    this.#model = `http://127.0.0.1:${model}/v1`;
    [this.port, this.adminPort] = [await freePorts(4), await freePorts(4)];
    await this.run();
    execFileSync(join(BIN, "parley"), ["admin", "--data-dir", this.#data, "create-admin", ADMIN, "--email", "root@example.org", "--password-stdin"], {
      input: PASSWORD,
      cwd: this.#folder,
    });
  }

  #model;

  get #data() {
    return join(this.#folder, "data");
  }

  /** Start Parley, again after `kill`. */
  async run() {
    const ports = ["--port", String(this.port), "--admin-port", String(this.adminPort), "--data-dir", this.#data];
    this.#parley = this.#spawn("parley", ["run", ...ports], { OPENAI_BASE_URL: this.#model, REGISTRATION: "open", ANONYMOUS_RATE_LIMIT: "5000", ...this.settings() });
    const until = Date.now() + START_MS;
    while (!(await this.#ready())) {
      if (this.#parley.exitCode !== null || Date.now() > until) throw new Error(`Parley did not start:\n${readFileSync(this.#log("parley"), "utf8").slice(-SHOWN_OUTPUT)}`);
      await new Promise((done) => setTimeout(done, 200));
    }
  }

  /** Two models, so that there is a choice and a price. */
  settings() {
    const file = join(this.#folder, "models.yaml");
    writeFileSync(file, MODELS.replaceAll("{url}", this.#model));
    return { MODELS_FILE: file };
  }

  /** Kill every service at once, as a power cut does. */
  async kill() {
    const ended = new Promise((done) => this.#parley.once("exit", done));
    this.#parley.kill("SIGKILL");
    await ended;
  }

  async stop() {
    for (const child of this.#children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      await ended;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #ready() {
    try {
      return (await fetch(`http://127.0.0.1:${this.port}/ready`)).ok;
    } catch {
      return false;
    }
  }

  #spawn(name, words, settings) {
    const log = openSync(this.#log(name), "a");
    const child = spawn(join(BIN, name), words, { cwd: this.#folder, env: { ...process.env, ...settings }, stdio: ["ignore", log, log] });
    closeSync(log);
    this.#children.push(child);
    return child;
  }

  #log(name) {
    return join(this.#folder, `${name}.log`);
  }
}

/** The first of `count` ports in a row that are free now. */
async function freePorts(count) {
  for (;;) {
    const first = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(first + index)));
    if (free.every(Boolean)) return first;
  }
}

function isFree(port) {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}
