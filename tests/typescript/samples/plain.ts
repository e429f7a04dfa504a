// Compiles only if a stock client infers everything from the generated types, and refuses what the server would refuse.
import { createTRPCClient, httpBatchLink, httpBatchStreamLink, httpSubscriptionLink, splitLink, TRPCClientError, wsLink, createWSClient } from '@trpc/client';
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server';
import type {
  AppRouter, Author, Box, Color, Created, ElsewhereNote, ErrorData, EverythingNote, Household, NoteId, NotePatch, Notes, Numbers, Page, Point, Removed, Tracked, Tree,
} from '../golden/plain.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

const trpc = createTRPCClient<AppRouter>({
  links: [
    splitLink({
      condition: (op) => op.type === 'subscription',
      true: httpSubscriptionLink({ url: '/trpc' }),
      false: httpBatchStreamLink({ url: '/trpc' }),
    }),
  ],
});
createTRPCClient<AppRouter>({ links: [httpBatchLink({ url: '/trpc' })] });
createTRPCClient<AppRouter>({ links: [wsLink({ client: createWSClient({ url: 'ws://x/trpc' }) })] });

// ---- outputs
const notes = await trpc.notes.recent.query();
is<Equal<(typeof notes)[number]['createdAt'], string>>();
is<Equal<(typeof notes)[number]['status'], 'open' | 'done'>>();
is<Equal<(typeof notes)[number]['color'], Color>>();
is<Equal<(typeof notes)[number]['author']['nick'], string | null>>();
is<Equal<(typeof notes)[number]['tags'], string[]>>();
const note: EverythingNote = notes[0]!;
const page = await trpc.notes.search.query({ text: 'x' });
const typed: Page<EverythingNote> = page;
is<Equal<typeof page.nextCursor, string | null>>();
is<Equal<(typeof page.items)[number]['id'], NoteId>>();
const counted: Notes = await trpc.notes.counted.query();
is<Equal<typeof counted.total, number>>();
const removed = await trpc.notes.remove.mutate({ id: 'n1' });
is<Equal<typeof removed, null>>();
const created = await trpc.notes.create.mutate({ body: 'x' });
is<Equal<typeof created, string>>();
const attached: ElsewhereNote = await trpc.notes.attach.mutate(new FormData());

const numbers: Numbers = await trpc.kinds.numbers.query();
const got = await trpc.kinds.numbers.query();
is<Equal<typeof got.big, string>>();
is<Equal<typeof got.exact, string>>();
is<Equal<typeof got.moment, string>>();
is<Equal<typeof got.raw, string>>();
is<Equal<typeof got.nothing, null>>();
is<Equal<typeof got.pair, [number, string]>>();
is<Equal<typeof got.many, number[]>>();
is<Equal<typeof got.byName, Record<string, number>>>();
is<Equal<(typeof got.byStatus)['open'], number | undefined>>();
is<Equal<(typeof got.byColor)['light blue'], boolean | undefined>>();
is<Equal<typeof got.mixed, number | string | number[] | null>>();
is<Equal<typeof got.literal, 'a' | 1 | true | null>>();

const event = await trpc.kinds.event.query({ event: { kind: 'removed', id: 'n1' } });
if (event.kind === 'created') is<Equal<(typeof event)['note']['body'], string>>();
else is<Equal<(typeof event)['id'], NoteId>>();
const told: Created | Removed = event;
const household: Household = await trpc.kinds.household.query({ household: { pet: { kind: 'cat', meows: 1 } } });
if (household.pet.kind === 'dog') is<Equal<typeof household.pet.is_loud, boolean>>();
else is<Equal<typeof household.pet.meows, number>>();

const tree: Tree = await trpc.kinds.tree.query({ tree: { name: 'a', children: [{ name: 'b' }], parent: null } });
is<Equal<(typeof tree.children)[number]['name'], string>>();
const deepest = tree.children[0]?.children[0]?.parent?.name;
is<Equal<typeof deepest, string | undefined>>();
const box: Box<Author[]> = await trpc.kinds.boxed.query({ box: { content: 1 } });
const point: Point = await trpc.kinds.point.query({ point: [1] });
const row = await trpc.kinds.row.query();
is<Equal<typeof row, [a: number, b: string]>>();
const words = await trpc.kinds.words.query({ tags: ['a'] });
is<Equal<typeof words, string[]>>();
const visit = await trpc.kinds.visit.query({ visit: { pet: 'x', at: 'now' }, options: { loud: true } });
is<Equal<typeof visit.pet, string>>();
is<Equal<typeof visit.cost, string | undefined>>();
const whole = await trpc.kinds.whole.query({ a: 1 });
is<Equal<typeof whole, unknown>>();
void [note, typed, attached, numbers, told, box, point];

// ---- deferred members, streams
const report = await trpc.notes.report.query();
is<Equal<typeof report.now, string>>();
is<Equal<Awaited<typeof report.later>['name'], string>>();
for await (const author of report.rows) is<Equal<typeof author.name, string>>();
for await (const number of await trpc.notes.oneByOne.query({ count: 3 })) is<Equal<typeof number, number>>();

// ---- subscriptions
trpc.live.clock.subscribe({ every: 1 }, {
  onData(at) { is<Equal<typeof at, string>>(); },
  onError(error) { is<Equal<NonNullable<typeof error.data>['fields'], Record<string, string[]> | null>>(); },
});
trpc.live.clock.subscribe(undefined, {});
trpc.live.changes.subscribe({ lastEventId: '5' }, {
  onData(change) {
    is<Equal<typeof change.id, string>>();
    is<Equal<typeof change.data.body, string>>();
    const tracked: Tracked<EverythingNote> = change;
    void tracked;
  },
});

// ---- inputs: what is left out
await trpc.notes.recent.query({});
await trpc.notes.recent.query({ limit: 3 });
await trpc.notes.recent.query({ limit: undefined });
await trpc.notes.add.mutate({ title: 't', body: 'b' });
await trpc.notes.add.mutate({ title: 't', body: 'b', color: 'red', tags: ['x'] });
await trpc.notes.search.query({ text: 'x', status: null, author: { id: 'a', name: 'b' } });
await trpc.notes.update.mutate({ id: 'n1', patch: {} });
await trpc.notes.update.mutate({ id: 'n1', patch: { dueOn: null, status: 'done' } });
await trpc.notes.blob.mutate(new Uint8Array([1]));
await trpc.notes.blob.mutate(new Blob(['x']));
await trpc.kinds.household.query({ household: { pet: { kind: 'dog', barksPerHour: 1 }, others: [] } });
await trpc.kinds.takeNumbers.mutate({ big: '1', moment: 'now', day: 'x', raw: '', exact: '1.2', tags: ['a'], byNumber: { 1: 'a' } });
await trpc.admin.auditLog.ofDay.query({ day: '2026-01-02' });

// ---- inputs: what the server refuses
// @ts-expect-error text is required
await trpc.notes.search.query({});
// @ts-expect-error an input is required
await trpc.notes.search.query();
// @ts-expect-error an integer is no text
await trpc.notes.recent.query({ limit: '3' });
// @ts-expect-error null is no default
await trpc.notes.recent.query({ limit: null });
// @ts-expect-error no such status
await trpc.notes.search.query({ text: 'x', status: 'closed' });
// @ts-expect-error a record without its required key
await trpc.notes.search.query({ text: 'x', author: { name: 'b' } });
// @ts-expect-error no such color
await trpc.notes.add.mutate({ title: 't', body: 'b', color: 'green' });
// @ts-expect-error Python's name is not the wire's
await trpc.kinds.takeNumbers.mutate({ big: '1', moment: 'now', day: 'x', raw: '', exact: '1.2', tags: ['a'], by_number: {} });
// @ts-expect-error a patch refuses null where its type does
await trpc.notes.update.mutate({ id: 'n1', patch: { status: null } });
// @ts-expect-error a patch has no such key
await trpc.notes.update.mutate({ id: 'n1', patch: { color: 'red' } });
// @ts-expect-error a file comes in a form
await trpc.notes.attach.mutate({ noteId: 'n1' });
// @ts-expect-error octets are no JSON
await trpc.notes.blob.mutate({ a: 1 });
// @ts-expect-error a mutation is no query
await trpc.notes.add.query({ title: 't', body: 'b' });
// @ts-expect-error a query is no mutation
await trpc.notes.recent.mutate();
// @ts-expect-error a subscription is no query
await trpc.live.clock.query();
// @ts-expect-error no such procedure
await trpc.notes.nope.query();
// @ts-expect-error no such router
await trpc.nope.recent.query();
// @ts-expect-error a router is no procedure
await trpc.notes.query();
// @ts-expect-error an unknown tag
await trpc.kinds.event.query({ event: { kind: 'moved', id: 'n1' } });
// @ts-expect-error a tag is required
await trpc.kinds.event.query({ event: { id: 'n1' } });
// @ts-expect-error the other arm's key
await trpc.kinds.event.query({ event: { kind: 'created', id: 'n1' } });
// @ts-expect-error Pydantic's discriminator is required
await trpc.kinds.household.query({ household: { pet: { meows: 1 } } });
// @ts-expect-error an alias, not the field's own name
await trpc.kinds.household.query({ household: { pet: { kind: 'dog', barks: 1 } } });
// @ts-expect-error a recursive type is checked all the way down
await trpc.kinds.tree.query({ tree: { name: 'a', children: [{ name: 'b', children: [{ name: 1 }] }] } });
// @ts-expect-error a tuple's item has its type
await trpc.kinds.point.query({ point: ['1'] });
// @ts-expect-error a tuple has its length
await trpc.kinds.point.query({ point: [1, 2, 3] });
// @ts-expect-error a generic keeps its argument
await trpc.kinds.boxed.query({ box: { content: 'x' } });
// @ts-expect-error a required key of a TypedDict
await trpc.kinds.visit.query({ visit: { pet: 'x' } });
// @ts-expect-error null is not absent in a TypedDict
await trpc.kinds.visit.query({ visit: { pet: 'x', at: 'now', cost: null } });
// @ts-expect-error without a transformer a datetime is text
await trpc.kinds.takeNumbers.mutate({ big: '1', moment: new Date(), day: 'x', raw: '', exact: '1.2', tags: ['a'], byNumber: {} });
// @ts-expect-error a big integer is text
await trpc.kinds.takeNumbers.mutate({ big: 1n, moment: 'now', day: 'x', raw: '', exact: '1.2', tags: ['a'], byNumber: {} });
// @ts-expect-error a whole input has its type
await trpc.kinds.wholeNumber.query('1');
// @ts-expect-error nothing was asked for
await trpc.kinds.numbers.query({ a: 1 });
// @ts-expect-error a boolean is no integer
await trpc.notes.oneByOne.query({ count: true });
// @ts-expect-error a transformer where there is none
httpBatchLink<AppRouter>({ url: '/trpc', transformer: { serialize: (x: unknown) => x, deserialize: (x: unknown) => x } });

// ---- outputs: what does not exist
// @ts-expect-error no such key
note.title;
// @ts-expect-error a null must be met
note.dueOn.length;

// ---- inference
type Inputs = inferRouterInputs<AppRouter>;
type Outputs = inferRouterOutputs<AppRouter>;
is<Equal<Inputs['notes']['update'], { id: NoteId; patch: NotePatch }>>();
is<Equal<Inputs['notes']['attach'], FormData>>();
is<Equal<Inputs['kinds']['numbers'], void>>();
is<Equal<Outputs['notes']['create'], string>>();
is<Equal<Outputs['notes']['recent'][number]['priority'], 1 | 2>>();

// ---- errors
try {
  await trpc.notes.add.mutate({ title: 't', body: 'b' });
} catch (caught) {
  if (caught instanceof TRPCClientError) {
    const error = caught as TRPCClientError<AppRouter>;
    const data = error.data;
    if (data?.reason === 'TooManyNotes') {
      is<Equal<typeof data.limit, number>>();
      is<Equal<typeof data.code, 'PAYMENT_REQUIRED'>>();
      is<Equal<typeof data.upgradeTo, string | null>>();
      // @ts-expect-error another error's field
      data.until;
    } else if (data?.reason === 'Locked') {
      is<Equal<typeof data.until, string>>();
    } else {
      is<Equal<NonNullable<typeof data>['reason'], undefined>>();
      for (const issue of data?.issues ?? []) is<Equal<typeof issue.path, (string | number)[]>>();
    }
    is<Equal<NonNullable<typeof data>['traceId'], string | null>>();
    // @ts-expect-error no such reason
    if (data?.reason === 'Nope') void data;
    const whole: ErrorData | null | undefined = data;
    void whole;
  }
}
