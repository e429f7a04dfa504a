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
  fields: Record<string, string[]> | null;
}

/** The `data` of an error. `reason` tells the application's own errors apart: `if (error.data?.reason === 'TooMany') error.data.limit`. */
export type ErrorData = CommonErrorData & { reason?: undefined };

export interface ErrorShape extends TRPCDefaultErrorShape { data: ErrorData }

/** plain JSON, no transformer. */
export interface Root { ctx: object; meta: object; errorShape: ErrorShape; transformer: false }
type Mutation<I, O> = TRPCMutationProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Query<I, O> = TRPCQueryProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Subscription<I, O> = TRPCSubscriptionProcedure<{ input: I; output: AsyncIterable<O, void>; meta: unknown; errorShape: ErrorShape }>;

// ---- models

export interface Counted {
  key: string;
  value: number;
}

export interface Digest {
  size: number;
  sha256: string;
}

export interface Identity {
  user: string;
  role: string;
}

export interface Probe {
  opened: number;
  closed: number;
}

/** An event with the id that a client sends back to go on after it. */
export interface Tracked<T> { id: string; data: T }

export interface Two {
  now: string;
  later: Promise<string>;
}

// ---- the router

export type Procedures = {
  a: {
    b: {
      c: {
        deep: Query<void, string>;
      };
    };
  };
  cached: {
    fails: Query<void, null>;
    now: Query<void, string>;
  };
  cookie: {
    login: Mutation<void, string>;
  };
  counter: {
    get: Query<{ key: string }, number>;
    increment: Mutation<{
      key: string;
      /** @default 1 */
      by?: number | undefined;
    }, Counted>;
  };
  defer: {
    fails: Query<void, Record<string, unknown>>;
    hold: Query<{ key: string }, AsyncIterable<string, void>>;
    inObject: Query<void, Record<string, unknown>>;
    list: Query<{
      count: number;
      /** @default 0 */
      ms?: number | undefined;
    }, AsyncIterable<number, void>>;
    listFails: Query<void, AsyncIterable<string, void>>;
    nested: Query<void, Record<string, Promise<unknown>>>;
    one: Query<void, Two>;
  };
  echo: Query<unknown, Record<string, unknown>>;
  echoMutation: Mutation<unknown, Record<string, unknown>>;
  err: {
    code: Query<{ code: string; message?: string | undefined }, null>;
    codeMutation: Mutation<{ code: string; message?: string | undefined }, null>;
    crash: Query<void, null>;
  };
  greet: Query<{
    /**
     * @minLength 1
     * @maxLength 100
     */
    name: string;
  }, Record<string, string>>;
  hold: Query<{ key: string; ms: number }, string>;
  math: {
    add: Query<{ a: number; b: number }, number>;
    divide: Query<{ a: number; b: number }, number>;
  };
  meta: {
    created: Mutation<void, string>;
  };
  mw: {
    order: Query<void, string[]>;
  };
  nothing: Mutation<void, null>;
  ping: Query<void, string>;
  probe: Query<{ key: string }, Probe>;
  req: {
    header: Query<{ name: string }, string | null>;
  };
  slow: Query<{ ms: number; value?: unknown | undefined }, unknown>;
  sub: {
    count: Subscription<{
      count: number;
      /** @default 0 */
      ms?: number | undefined;
    }, number>;
    date: Subscription<void, Record<string, string>>;
    echo: Subscription<unknown, Record<string, unknown>>;
    fail: Subscription<{ after: number; code: string }, number>;
    failOnce: Subscription<{ key: string; lastEventId?: string | undefined }, Tracked<Record<string, unknown>>>;
    hold: Subscription<{ key: string }, string>;
    me: Subscription<void, Identity>;
    mixed: Subscription<void, Tracked<string> | string>;
    tracked: Subscription<{
      count: number;
      /** @default 0 */
      ms?: number | undefined;
      lastEventId?: string | undefined;
    }, Tracked<Record<string, number>>>;
    values: Subscription<{ values: unknown }, unknown>;
  };
  types: {
    all: Query<void, Record<string, unknown>>;
    big: Query<{ n: number }, string>;
    dateInput: Mutation<{
      /** @format date-time */
      at: string;
    }, string>;
    describe: Query<unknown, string>;
    rich: Query<void, Record<string, unknown>>;
    richInput: Query<unknown, Record<string, unknown>>;
    scalar: Query<{ which: string }, unknown>;
  };
  upload: {
    /** @remarks The form: `form`. */
    form: Mutation<FormData, Record<string, unknown>>;
    octet: Mutation<Blob | Uint8Array | File, Digest>;
  };
  who: {
    admin: Query<{ x: number }, number>;
    me: Query<void, Identity>;
    params: Query<void, Record<string, string> | null>;
    promote: Mutation<void, string>;
  };
  ws: {
    dropAll: Mutation<void, true>;
    reconnectAll: Mutation<void, true>;
  };
};

export type AppRouter = TRPCBuiltRouter<Root, Procedures>;

export {};
