// Every scalar, there and back, without a transformer.
import assert from 'node:assert/strict';
import { createTRPCClient, httpBatchLink } from '@trpc/client';
import type { AppRouter } from '../build/plain.js';

const trpc = createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: process.env['URL']! })] });

const numbers = await trpc.kinds.numbers.query();
assert.deepEqual(Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value])), {
  whole: 'number', real: 'number', exact: 'string', big: 'string', flag: 'boolean', nothing: 'null', day: 'string', moment: 'string', clock: 'string',
  span: 'string', raw: 'string', id: 'string', any: 'object', pair: 'array', many: 'array', byName: 'object', byNumber: 'object', byStatus: 'object',
  byColor: 'object', frozen: 'array', mixed: 'null', literal: 'string',
} satisfies Record<keyof typeof numbers, string>);
assert.deepEqual([numbers.big, numbers.exact, numbers.raw], ['1152921504606846976', '1.20', 'AP8=']);
assert.deepEqual([numbers.pair[1], numbers.byNumber[1], numbers.byStatus.open, numbers.byColor['light blue']], ['a', 'a', 1, true]);
const taken = await trpc.kinds.takeNumbers.mutate({
  big: '9007199254740993', moment: '2026-01-02T03:04:05Z', day: '2026-01-02', raw: 'AP8=', exact: '1.20', tags: ['a'], byNumber: { 5: 'x' },
});
assert.deepEqual(taken, ['9007199254740993', '2026-01-02T03:04:05+00:00', '2026-01-02', '00ff', '1.20', 'a', '5']);
assert.deepEqual(await trpc.kinds.whole.query({ a: 1 }), { a: 1 });
assert.equal(await trpc.kinds.wholeNumber.query(3), true);
console.log('numbers: as typed');
