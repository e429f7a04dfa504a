// The peer of benchmarks/streams.py: @trpc/server on Node's http, as its documentation has it. PORT=0 prints its port.
import { EventEmitter, on } from 'node:events';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { initTRPC } from '@trpc/server';
import { createHTTPHandler } from '@trpc/server/adapters/standalone';
import { applyWSSHandler } from '@trpc/server/adapters/ws';
import { WebSocketServer } from 'ws';

const t = initTRPC.create({ isDev: false });
const heard = new EventEmitter().setMaxListeners(0);
const router = t.router({
  ping: t.procedure.query(() => 'pong'),
  slow: t.procedure.input((v) => v).query(async ({ input }) => { await sleep(input.ms); return input.ms; }),
  say: t.procedure.input((v) => v).mutation(({ input }) => { heard.emit('said', input.at); return heard.listenerCount('said'); }),
  feed: t.procedure.subscription(async function* ({ signal }) {
    for await (const [at] of on(heard, 'said', { signal })) yield at;
  }),
});
const server = http.createServer(createHTTPHandler({ router, basePath: '/trpc/', allowMethodOverride: true }));
const wss = new WebSocketServer({ server, path: '/trpc' });
applyWSSHandler({ wss, router });
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`Serving on http://127.0.0.1:${server.address().port}`));
