// Run against a served application: what comes back has the shape that the generated types say.
import assert from 'node:assert/strict';
import { createTRPCClient, httpBatchLink, TRPCClientError } from '@trpc/client';
import type { AppRouter as BuiltIn } from '../build/builtin.js';
import type { AppRouter, EverythingNote } from '../build/plain.js';

const trpc = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: process.env['URL']! })] });

const notes = await trpc.notes.recent.query();
const note: EverythingNote = notes[0]!;
assert.equal(note.id.toUpperCase(), 'N1');
assert.equal(new Date(note.createdAt).toISOString(), '2026-01-02T03:04:05.000Z');
assert.equal(note.dueOn, null);
assert.deepEqual(note.tags.map((tag) => tag.length), [1]);
assert.equal(note.author.nick, null);
assert.ok(note.color === 'red' && note.priority.toFixed() === '1' && !note.soldOut);
assert.equal((await trpc.notes.recent.query({ limit: 1 })).length, 1);
const page = await trpc.notes.search.query({ text: 'x', status: null, author: { id: '00000000-0000-0000-0000-000000000001', name: 'a' }, after: 'c' });
assert.deepEqual([page.items.length, page.nextCursor], [1, 'c']);
assert.equal((await trpc.notes.counted.query()).total, 1);
assert.equal((await trpc.notes.create.mutate({ body: 'x' })).length, 36);
assert.equal((await trpc.notes.update.mutate({ id: 'n1', patch: { dueOn: null } })).body, 'Book the hall');

const event = await trpc.kinds.event.query({ event: { kind: 'removed', id: 'n2' } });
assert.ok(event.kind === 'removed' && event.id === 'n2');
const tree = await trpc.kinds.tree.query({ tree: { name: 'a', children: [{ name: 'b' }] } });
assert.deepEqual([tree.parent, tree.children[0]?.children.length], [null, 0]);
const { pet, others } = await trpc.kinds.household.query({ household: { pet: { kind: 'dog', barksPerHour: 11 }, others: [{ kind: 'cat', meows: 1 }] } });
assert.ok(pet.kind === 'dog' && pet.is_loud && pet.barksPerHour === 11 && others[0]?.kind === 'cat');
assert.deepEqual(await trpc.kinds.words.query({ tags: ['a'] }), ['a']);
assert.deepEqual(await trpc.kinds.visit.query({ visit: { pet: 'x', at: '2026-01-02T03:04:05Z' } }), { pet: 'x', at: '2026-01-02T03:04:05Z' });
assert.deepEqual(await trpc.kinds.point.query({ point: [1] }), [1, 0]);
assert.equal((await trpc.kinds.boxed.query({ box: { content: 1 } })).content[0]?.name, 'Ann');
assert.equal((await trpc.kinds.row.query())[1], 'b');
const health = await createTRPCClient<BuiltIn>({ links: [httpBatchLink({ url: process.env['URL']! })] }).health.check.query();
assert.ok(health.status.length && health.checks.database.message.length && health.checks.loop.responseTime >= 0);

const failed = async (call: Promise<unknown>) => {
  const error: unknown = await call.then(() => assert.fail('no error'), (caught: unknown) => caught);
  assert.ok(error instanceof TRPCClientError);
  return (error as TRPCClientError<AppRouter>).data!;
};
const full = await failed(trpc.notes.add.mutate({ title: 'too many', body: 'b' }));
assert.ok(full.reason === 'TooManyNotes' && full.limit === 20 && full.upgradeTo === null && full.code === 'PAYMENT_REQUIRED');
const locked = await failed(trpc.notes.add.mutate({ title: 'locked', body: 'b' }));
assert.ok(locked.reason === 'Locked' && new Date(locked.until).getUTCFullYear() === 2026 && locked.by.length === 36);
const faulty = await failed(trpc.notes.add.mutate({ title: '', body: 'b' }));
assert.ok(faulty.reason === undefined && faulty.issues?.[0]?.path[0] === 'title' && faulty.httpStatus === 400);
console.log('plain: as typed');
