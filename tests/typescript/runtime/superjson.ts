// With superjson, and streamed: Date, bigint, Set, Map and bytes are themselves, deferred members and streams come as typed.
import assert from 'node:assert/strict';
import { createTRPCClient, httpBatchStreamLink } from '@trpc/client';
import superjson from 'superjson';
import type { AppRouter } from '../build/superjson.js';

const trpc = createTRPCClient<AppRouter>({ links: [httpBatchStreamLink({ url: process.env['URL']!, transformer: superjson })] });

const note = (await trpc.notes.recent.query())[0]!;
assert.equal(note.createdAt.getTime(), Date.UTC(2026, 0, 2, 3, 4, 5));
assert.deepEqual([...note.tags], ['a']);
const numbers = await trpc.kinds.numbers.query();
assert.equal(numbers.big + 1n, 1152921504606846977n);
assert.deepEqual([...numbers.raw], [0, 255]);
assert.equal(numbers.byNumber.get(1), 'a');
assert.ok(numbers.frozen.has('00000000-0000-0000-0000-000000000003') && numbers.moment.getUTCFullYear() === 2026);
assert.deepEqual([numbers.exact, numbers.day, numbers.byName['a'], numbers.byStatus.open], ['1.20', '2026-01-02', 1, 1]);
const taken = await trpc.kinds.takeNumbers.mutate({
  big: 5n, moment: new Date(0), day: '2026-01-02', raw: new Uint8Array([0, 255]), exact: '1.20', tags: new Set(['a']), byNumber: new Map([[5, 'x']]),
});
assert.deepEqual(taken, ['5', '1970-01-01T00:00:00+00:00', '2026-01-02', '00ff', '1.20', 'a', '5']);
const tree = await trpc.kinds.tree.query({ tree: { name: 'a', children: [{ name: 'b' }] } });
assert.equal(tree.children[0]?.name, 'b');

const report = await trpc.notes.report.query();
assert.equal(report.now, 'now');
assert.equal((await report.later).name, 'Ann');
const names: string[] = [];
for await (const author of report.rows) names.push(author.name);
assert.deepEqual(names, ['Ann']);
const counted: number[] = [];
for await (const number of await trpc.notes.oneByOne.query({ count: 3 })) counted.push(number + 1);
assert.deepEqual(counted, [1, 2, 3]);
console.log('superjson: as typed');
