// Modules of the console and of its client, as the unit tests use them: built for Node.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

import { build } from "vite";

/** Build a module of the folder `console`, such as `src/chat/math.ts`, and return what it exports. */
export async function load(entry) {
  const folder = await mkdtemp(join(tmpdir(), "parley-console-"));
  after(() => rm(folder, { recursive: true }));
  await build({
    configFile: false,
    logLevel: "error",
    build: { outDir: folder, lib: { entry, formats: ["es"], fileName: "module" }, minify: false },
  });
  return import(join(folder, "module.js"));
}
