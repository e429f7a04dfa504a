import { defineConfig } from "vite"

// One origin for front end and API, as behind a reverse proxy: the session cookie is first-party, and no CORS is needed.
const api = process.env.API_URL ?? "http://127.0.0.1:3001"

export default defineConfig({
  define: { "process.env": {} }, // next-auth/react looks for NEXTAUTH_URL; in a browser it takes the page's own origin
  esbuild: { jsx: "automatic" },
  server: { host: "127.0.0.1", strictPort: true, proxy: { "/api": api, "/trpc": api } },
})
