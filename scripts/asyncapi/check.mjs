// Checks docs/asyncapi.yaml with the tools that readers use: the official parser accepts it without an error or a warning,
// and the TypeScript that Modelina generates of it compiles.
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TypeScriptGenerator } from "@asyncapi/modelina";
import { Parser } from "@asyncapi/parser";

const WARNING = 1; // 0 is an error; 2 and 3 are information and hints
const [path, compiler] = process.argv.slice(2);
const text = await readFile(path, "utf8");
const { document, diagnostics } = await new Parser().parse(text);
const found = diagnostics.filter((each) => each.severity <= WARNING);
for (const each of found) console.error(`${each.path.join(".")}: ${each.code}: ${each.message}`);
if (document === undefined || found.length > 0) throw new Error(`${path} is not valid AsyncAPI`);

const folder = await mkdtemp(join(tmpdir(), "asyncapi-"));
try {
  let models = 0;
  for (const modelType of ["class", "interface"]) {
    const generated = await new TypeScriptGenerator({ modelType }).generate(text);
    models = generated.length;
    await writeFile(join(folder, `${modelType}.ts`), [...generated.map((each) => each.result), "export {};"].join("\n"));
  }
  if (models < document.messages().length) throw new Error(`${models} models for ${document.messages().length} events`);
  const options = ["--noEmit", "--strict", "--lib", "es2022"];
  execFileSync(process.execPath, [compiler, ...options, join(folder, "class.ts"), join(folder, "interface.ts")], {
    stdio: "inherit",
  });
  console.log(`${path}: ${document.messages().length} events, ${models} generated models compile`);
} finally {
  await rm(folder, { recursive: true });
}
