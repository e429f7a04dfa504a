// Written by `tenantry typescript` from the server's procedures. Do not edit: run it again.
/* eslint-disable */
import type {
  TRPCBuiltRouter,
  TRPCDefaultErrorData,
  TRPCDefaultErrorShape,
  TRPCMutationProcedure,
  TRPCQueryProcedure,
  TRPCSubscriptionProcedure,
} from '@trpc/server';

/** One fault of an input: where it is (keys and indexes), its kind, and words for people. */
export interface Issue { path: (string | number)[]; code: string; message: string }

/** What the `data` of any error may have. */
export interface CommonErrorData extends TRPCDefaultErrorData {
  /** Faults of the input, all at once. */
  issues?: Issue[] | undefined;
  /** Of an internal error: the same as in the server's log. */
  requestId?: string | undefined;
  /** The mutation may have been done: look before you try again. */
  outcome?: 'unknown' | undefined;
  /** In development: a builder's mistake, and its cure. */
  help?: string | undefined;
}

/** The `data` of an error. `reason` tells the application's own errors apart: `if (error.data?.reason === 'TooMany') error.data.limit`. */
export type ErrorData =
  | (CommonErrorData & { reason?: undefined })
  /** Somebody else is writing this note. */
  | (CommonErrorData & {
    code: 'CONFLICT';
    reason: 'Locked';
    /** @format uuid */
    by: string;
    /** @format date-time */
    until: string;
  })
  /** The plan is used up. */
  | (CommonErrorData & {
    code: 'PAYMENT_REQUIRED';
    reason: 'TooManyNotes';
    /** How many there may be. */
    limit: number;
    upgradeTo: string | null;
  });

export interface ErrorShape extends TRPCDefaultErrorShape { data: ErrorData }

/** superjson: every link needs `transformer: superjson`. */
export interface Root { ctx: object; meta: object; errorShape: ErrorShape; transformer: true }
type Mutation<I, O> = TRPCMutationProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Query<I, O> = TRPCQueryProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Subscription<I, O> = TRPCSubscriptionProcedure<{ input: I; output: AsyncIterable<O, void>; meta: unknown; errorShape: ErrorShape }>;

// ---- models

/** Who wrote it. */
export interface Author {
  /** @format uuid */
  id: string;
  /** As it is shown. */
  name: string;
  nick: string | null;
}

/** Who wrote it. */
export interface AuthorInput {
  /** @format uuid */
  id: string;
  /** As it is shown. */
  name: string;
  nick?: string | null | undefined;
}

/** Anything, in a box. */
export interface Box<T> {
  content: T;
  labels: string[];
}

/** Anything, in a box. */
export interface BoxInput<T> {
  content: T;
  /** @default [] */
  labels?: string[] | undefined;
}

export interface Cat {
  kind: 'cat';
  /**
   * How often.
   * @minimum 0
   */
  meows: number;
}

export interface CatInput {
  /** @default "cat" */
  kind?: 'cat' | undefined;
  /**
   * How often.
   * @minimum 0
   */
  meows: number;
}

/** What a label looks like. */
export type Color = 'red' | 'light blue';

export interface Created {
  kind: 'created';
  note: EverythingNote;
}

export interface CreatedInput {
  kind: 'created';
  note: EverythingNoteInput;
}

export interface Dog {
  kind: 'dog';
  barksPerHour: number;
  is_loud: boolean;
}

export interface DogInput {
  /** @default "dog" */
  kind?: 'dog' | undefined;
  barksPerHour: number;
}

/** A note on paper. */
export interface ElsewhereNote {
  path: string;
  size: number;
}

/** A note, as everyone in the tenant sees it. */
export interface EverythingNote {
  id: NoteId;
  body: string;
  status: 'open' | 'done';
  author: Author;
  /** When it was written; `*\/` is harmless here. */
  createdAt: Date;
  /** @format date */
  dueOn: string | null;
  tags: Set<string>;
  color: Color;
  priority: Priority;
  soldOut: boolean;
}

/** A note, as everyone in the tenant sees it. */
export interface EverythingNoteInput {
  id: NoteId;
  body: string;
  status: 'open' | 'done';
  author: AuthorInput;
  /** When it was written; `*\/` is harmless here. */
  createdAt: Date;
  /** @format date */
  dueOn: string | null;
  tags: Set<string>;
  color?: Color | undefined;
  /** @default 1 */
  priority?: Priority | undefined;
  /** @default false */
  soldOut?: boolean | undefined;
}

/** Who lives here. */
export interface Household {
  pet: Cat | Dog;
  others: (Cat | Dog)[];
}

/** Who lives here. */
export interface HouseholdInput {
  pet: CatInput & { kind: 'cat' } | DogInput & { kind: 'dog' };
  /** @default [] */
  others?: (CatInput & { kind: 'cat' } | DogInput & { kind: 'dog' })[] | undefined;
}

export type NoteId = string;

/** What may be changed of a note. */
export interface NotePatch {
  /**
   * @minLength 1
   * @maxLength 80
   */
  title?: string | undefined;
  status?: 'open' | 'done' | undefined;
  /** @format date */
  dueOn?: string | null | undefined;
}

/** A page of notes with their number. */
export interface Notes {
  items: EverythingNote[];
  nextCursor: string | null;
  total: number;
}

/** Every scalar. */
export interface Numbers {
  whole: number;
  real: number;
  /** @format decimal */
  exact: string;
  big: bigint;
  flag: boolean;
  nothing: null;
  /** @format date */
  day: string;
  moment: Date;
  /** @format time */
  clock: string;
  /** @format duration */
  span: string;
  raw: Uint8Array;
  /** @format uuid */
  id: string;
  any: unknown;
  pair: [number, string];
  many: number[];
  byName: Record<string, number>;
  byNumber: Map<number, string>;
  byStatus: Partial<Record<'open' | 'done', number>>;
  byColor: Partial<Record<Color, boolean>>;
  frozen: Set<string>;
  mixed: number | string | number[] | null;
  literal: 'a' | 1 | true | null;
}

export interface Options {
  loud?: boolean | undefined;
  note_count?: number | undefined;
}

/** One page: `items`, and the opaque cursor of the next one or None. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export type Point = [x: number, y: number];

export type PointInput = [x: number, y?: number];

export type Priority = 1 | 2;

export interface Removed {
  kind: 'removed';
  id: NoteId;
}

/** What is known at once, and what comes later. */
export interface Report {
  now: string;
  later: Promise<Author>;
  rows: AsyncIterable<Author, void>;
}

export type Row = [a: number, b: string];

/** Words for finding it again. */
export type Tags = string[];

/** An event with the id that a client sends back to go on after it. */
export interface Tracked<T> { id: string; data: T }

/** A folder in folders. */
export interface Tree {
  name: string;
  children: Tree[];
  parent: Tree | null;
}

/** A folder in folders. */
export interface TreeInput {
  name: string;
  /** @default [] */
  children?: TreeInput[] | undefined;
  parent?: TreeInput | null | undefined;
}

/** A visit. */
export interface Visit {
  pet: string;
  at: Date;
  /** @format decimal */
  cost?: string | undefined;
}

// ---- the router

export type Procedures = {
  admin: {
    auditLog: {
      /** @remarks Needs the role `owner`. */
      ofDay: Query<{
        /** @format date */
        day: string;
      }, ElsewhereNote[]>;
    };
  };
  kinds: {
    boxed: Query<{ box: BoxInput<number> }, Box<Author[]>>;
    event: Query<{ event: CreatedInput | Removed }, Created | Removed>;
    household: Query<{ household: HouseholdInput }, Household>;
    numbers: Query<void, Numbers>;
    point: Query<{ point: PointInput }, Point>;
    row: Query<void, Row>;
    takeNumbers: Mutation<{
      big: bigint;
      moment: Date;
      /** @format date */
      day: string;
      raw: Uint8Array;
      /** @format decimal */
      exact: string;
      tags: Set<string>;
      byNumber: Map<number, string>;
    }, string[]>;
    tree: Query<{ tree: TreeInput }, Tree>;
    visit: Query<{ visit: Visit; options?: Options | null | undefined }, Visit>;
    whole: Query<unknown, unknown>;
    wholeNumber: Query<number, boolean>;
    words: Query<{ tags: Tags }, Tags>;
  };
  live: {
    /** Notes as they are written. */
    changes: Subscription<{ lastEventId?: string | null | undefined } | void, Tracked<EverythingNote>>;
    clock: Subscription<{
      /** @default 1 */
      every?: number | undefined;
    } | void, Date>;
  };
  notes: {
    /**
     * Write a note.
     *
     * It is seen by everyone in the tenant.
     *
     * @throws Locked (CONFLICT)
     * @throws TooManyNotes (PAYMENT_REQUIRED)
     */
    add: Mutation<{
      /**
       * @minLength 1
       * @maxLength 80
       */
      title: string;
      body: string;
      color?: Color | undefined;
      /** @default [] */
      tags?: string[] | undefined;
    }, EverythingNote>;
    /** @remarks The form's fields: `noteId`, then the file `file`. */
    attach: Mutation<FormData, ElsewhereNote>;
    blob: Mutation<Blob | Uint8Array | File, number>;
    counted: Query<void, Notes>;
    /** @deprecated use `notes.add` */
    create: Mutation<{ body: string }, string>;
    /** @remarks The form: `form`. */
    load: Mutation<FormData, number>;
    oneByOne: Query<{ count: number }, AsyncIterable<number, void>>;
    pages: Query<{
      cursor?: string | null | undefined;
      /**
       * @minimum 1
       * @maximum 100
       * @default 20
       */
      limit?: number | undefined;
    } | void, Page<EverythingNote>>;
    /** The newest notes. */
    recent: Query<{
      /**
       * @minimum 1
       * @maximum 100
       * @default 20
       */
      limit?: number | undefined;
    } | void, EverythingNote[]>;
    /**
     * Remove a note for good.
     * @remarks Needs the role `admin`.
     */
    remove: Mutation<{ id: NoteId }, null>;
    report: Query<void, Report>;
    search: Query<{
      /** Words, all of which must occur. */
      text: string;
      status?: 'open' | 'done' | null | undefined;
      author?: AuthorInput | null | undefined;
      after?: string | null | undefined;
    }, Page<EverythingNote>>;
    update: Mutation<{ id: NoteId; patch: NotePatch }, EverythingNote>;
  };
};

export type AppRouter = TRPCBuiltRouter<Root, Procedures>;

export {};
