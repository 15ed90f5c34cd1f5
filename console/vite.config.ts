import react from "@vitejs/plugin-react";
import { gzipSync } from "fflate";
import { defineConfig, type Plugin } from "vite";

/** Replaces text files by their gzip form. The compressor is JavaScript, so that every machine makes the same bytes. */
function compressed(): Plugin {
  return {
    name: "compressed",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const [name, file] of Object.entries(bundle)) {
          if (!name.startsWith("assets/")) continue;
          const content = file.type === "chunk" ? file.code : file.source;
          const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
          delete bundle[name];
          this.emitFile({ type: "asset", fileName: `${name}.gz`, source: gzipSync(bytes, { level: 9, mtime: 0 }) });
        }
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  resolve: { alias: { "@parley/client": new URL("client/src/index.ts", import.meta.url).pathname } },
  build: {
    outDir: "../services/gateway/src/gateway/local/console",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": "http://localhost:8000", "/v1": "http://localhost:8000" } },
});
