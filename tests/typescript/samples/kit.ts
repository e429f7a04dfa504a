// Every procedure that the conformance kit's sample declares: what is generated for it is the same type, to the last `any`.
import type { inferRouterInputs, inferRouterOutputs } from '@trpc/server';
import type { AppRouter as Ours, ErrorData, Note as OurNote, Role as OurRole, Tracked } from '../build/kit-ours.js';
import type { AppRouter as Theirs, ErrorShape as TheirShape, Note as TheirNote, Role as TheirRole } from '../build/kit-theirs.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T) => undefined;

/** The paths of a record of procedures. */
type Paths<R> = { [K in keyof R & string]: R[K] extends { _def: { procedure: true } } ? K : `${K}.${Paths<R[K]>}` }[keyof R & string];
/** What stands at a path. */
type At<R, P extends string> = P extends `${infer H}.${infer T}` ? (H extends keyof R ? At<R[H], T> : never) : P extends keyof R ? R[P] : never;
type Record_<R> = R extends { _def: { record: infer I } } ? I : never;
type TypesOf<P> = P extends { _def: { type: infer K; $types: { input: infer I; output: infer O } } } ? { type: K; input: I; output: O } : never;
/** The paths at which the two differ. */
type Different = {
  [P in Paths<Record_<Theirs>>]: Equal<TypesOf<At<Record_<Ours>, P>>, TypesOf<At<Record_<Theirs>, P>>> extends true ? never : P;
}[Paths<Record_<Theirs>>];

is<Equal<Paths<Record_<Ours>>, Paths<Record_<Theirs>>>>();
is<Equal<Different, never>>();
is<Equal<Paths<Record_<Theirs>>,
  | 'ping' | 'greet' | 'clock' | 'report' | 'role'
  | `notes.${'recent' | 'add' | 'remove' | 'changes' | 'attach' | 'blob'}`
>>(); // the comparison saw them all
// and it sees a difference: of an optional member, of null, of any and unknown
// @ts-expect-error
is<Equal<AsyncIterable<number, void, any>, AsyncIterable<number, void, unknown>>>();
// @ts-expect-error
is<Equal<{ a?: number | undefined }, { a: number | undefined }>>();
// @ts-expect-error
is<Equal<TypesOf<At<Record_<Ours>, 'ping'>>, TypesOf<At<Record_<Theirs>, 'role'>>>>();

// what a client infers, whole
is<Equal<inferRouterInputs<Ours>, inferRouterInputs<Theirs>>>();
is<Equal<inferRouterOutputs<Ours>, inferRouterOutputs<Theirs>>>();
is<Equal<Ours['_def']['_config']['$types']['transformer'], Theirs['_def']['_config']['$types']['transformer']>>();

// models under their names
is<Equal<OurNote, TheirNote>>();
is<Equal<OurRole, TheirRole>>();
is<Equal<Tracked<OurNote>, inferRouterOutputs<Theirs>['notes']['changes'] extends AsyncIterable<infer T, void, any> ? T : never>>();

// errors: all that the sample's have, and more
is<Equal<ErrorData['fields'], TheirShape['data']['fields']>>();
export const widened = (one: Ours['_def']['_config']['$types']['errorShape']): TheirShape => one;

// the third type argument is what `next()` takes: nothing of it reaches what is iterated over
export async function iterated(report: inferRouterOutputs<Ours>['report']): Promise<void> {
  for await (const row of report.rows) {
    is<Equal<typeof row, { n: number }>>();
    // @ts-expect-error a number is no string
    row.n satisfies string;
  }
  const next = await report.rows[Symbol.asyncIterator]().next();
  if (next.done === true) next.value satisfies void;
  else is<Equal<typeof next.value, { n: number }>>();
}
