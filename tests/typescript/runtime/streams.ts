// Subscriptions and uploads over plain JSON: events, tracked ids, forms and bytes as the types say.
import assert from 'node:assert/strict';
import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink } from '@trpc/client';
import { EventSource } from 'eventsource';
import type { AppRouter } from '../build/plain.js';

const url = process.env['URL']!;
const trpc = createTRPCClient<AppRouter>({
  links: [splitLink({ condition: (op) => op.type === 'subscription', true: httpSubscriptionLink({ url, EventSource }), false: httpLink({ url }) })],
});

const first = <T>(start: (options: { onData: (value: T) => void; onError: (error: unknown) => void }) => { unsubscribe: () => void }) =>
  new Promise<T>((resolve, reject) => {
    const running = start({ onData: (value) => { running.unsubscribe(); resolve(value); }, onError: reject });
  });
const at = await first<string>((options) => trpc.live.clock.subscribe({}, options));
assert.equal(new Date(at).getUTCFullYear(), 2026);
const change = await first<{ id: string; data: { body: string } }>((options) => trpc.live.changes.subscribe({ lastEventId: '0' }, options));
assert.deepEqual([change.id, change.data.body], ['1', 'Book the hall']);

const form = new FormData();
form.set('noteId', 'n1');
form.set('file', new Blob(['hello']), 'a.txt');
const attached = await trpc.notes.attach.mutate(form);
assert.deepEqual([attached.path, attached.size], ['a.txt', 5]);
assert.equal(await trpc.notes.load.mutate(form), 2);
assert.equal(await trpc.notes.blob.mutate(new Uint8Array([1, 2, 3])), 3);
console.log('streams: as typed');
