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

export interface Digest {
  size: number;
  sha256: string;
}

export interface Greeting {
  text: string;
}

/** A note. */
export interface Note {
  id: string;
  body: string;
  /** ISO 8601 (no transformer) */
  created_at: string;
  tags: string[];
  parent: string | null;
}

export interface Report {
  now: string;
  later: Promise<string>;
  rows: AsyncIterable<Row, void>;
}

export type Role = 'owner' | 'admin' | 'member';

export interface Row {
  n: number;
}

export interface Size {
  size: number;
}

/** An event with the id that a client sends back to go on after it. */
export interface Tracked<T> { id: string; data: T }

// ---- the router

export type Procedures = {
  clock: Subscription<{ every: number }, number>;
  greet: Query<{ name: string }, Greeting>;
  notes: {
    add: Mutation<{ body: string; tags?: string[] | undefined }, Note>;
    /** @remarks The form: `form`. */
    attach: Mutation<FormData, Size>;
    blob: Mutation<Blob | Uint8Array | File, Digest>;
    changes: Subscription<{ lastEventId?: string | undefined } | void, Tracked<Note>>;
    /** The newest notes. */
    recent: Query<{ limit?: number | undefined } | void, Note[]>;
    remove: Mutation<{ id: string }, null>;
  };
  ping: Query<void, 'pong'>;
  report: Query<void, Report>;
  role: Query<void, Role>;
};

export type AppRouter = TRPCBuiltRouter<Root, Procedures>;

export {};
