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
export type ErrorData = CommonErrorData & { reason?: undefined };

export interface ErrorShape extends TRPCDefaultErrorShape { data: ErrorData }

/** plain JSON, no transformer. */
export interface Root { ctx: object; meta: object; errorShape: ErrorShape; transformer: false }
type Mutation<I, O> = TRPCMutationProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Query<I, O> = TRPCQueryProcedure<{ input: I; output: O; meta: unknown; errorShape: ErrorShape }>;
type Subscription<I, O> = TRPCSubscriptionProcedure<{ input: I; output: AsyncIterable<O, void>; meta: unknown; errorShape: ErrorShape }>;

// ---- models

/** A key, without the key. */
export interface ApiKey {
  id: string;
  name: string;
  role: 'owner' | 'admin' | 'member';
  scopes: string[];
  isService: boolean;
  /** @format uuid */
  userId: string | null;
  /** @format date-time */
  expires: string | null;
  /** @format date-time */
  createdAt: string;
  /**
   * To about a minute; null: never since it was made.
   * @format date-time
   */
  lastUsedAt: string | null;
}

/** One check's finding. `message` says the cause to anyone; `response_time` is in milliseconds. */
export interface Check {
  status: 'up' | 'degraded' | 'down';
  message: string;
  responseTime: number;
  details: Record<string, unknown>;
}

/** The tenant that was made; `token` is null when the new session travels as a cookie. */
export interface Founded {
  /** @format uuid */
  tenantId: string;
  /** @format date-time */
  expires: string;
  token: string | null;
}

/** What was looked at. */
export interface HealthChecks {
  database: Check;
  pool: Check;
  memory: Check;
  migrations: Check;
  loop: Check;
}

/** Everything that was checked. */
export interface HealthReport {
  status: 'healthy' | 'degraded' | 'unhealthy';
  timestamp: string;
  /** Milliseconds since the process began. */
  uptime: number;
  version: string;
  checks: HealthChecks;
  /** How old the findings are. */
  ageMs: number;
  consecutiveFailures: number;
}

/** An open invitation; its token went to the address alone. */
export interface Invitation {
  /** @format uuid */
  id: string;
  email: string;
  role: 'owner' | 'admin' | 'member';
  /** @format date-time */
  expires: string;
  /** @format date-time */
  createdAt: string | null;
  /** @format uuid */
  invitedBy: string | null;
}

/** Whether the process turns. */
export interface Liveness {
  alive: boolean;
  timestamp: string;
  loopLagMs: number;
}

/** A person's membership in the tenant. */
export interface Member {
  /** @format uuid */
  id: string;
  email: string;
  name: string;
  role: 'owner' | 'admin' | 'member';
  /** @format date-time */
  createdAt: string;
}

/** Every series, summed over all processes. */
export interface Metrics {
  timestamp: string;
  metrics: Record<string, unknown>;
}

/** A key as it is shown, once. */
export interface NewKey {
  id: string;
  key: string;
  /** @format date-time */
  expires: string | null;
}

/** One page: `items`, and the opaque cursor of the next one or None. */
export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** A permission as it holds in this tenant. */
export interface Permission {
  name: string;
  says: string;
  least: 'owner' | 'admin' | 'member';
  isRegranted: boolean;
}

/** Whether requests may come here. */
export interface Readiness {
  ready: boolean;
  timestamp: string;
  checks: Record<string, 'up' | 'degraded' | 'down'>;
  draining: boolean;
}

/** A signed-in device of one's own. */
export interface SessionInfo {
  /** @format uuid */
  id: string;
  /** @format date-time */
  createdAt: string;
  /** @format date-time */
  lastSeenAt: string | null;
  /** @format date-time */
  expires: string;
  provider: string | null;
  ip: string | null;
  userAgent: string | null;
  tenantName: string | null;
  isCurrent: boolean;
}

/** The session after a switch. `token` is null when the new session travels as a cookie. */
export interface Switched {
  /** @format uuid */
  tenantId: string;
  slug: string;
  name: string;
  role: 'owner' | 'admin' | 'member';
  /** @format date-time */
  expires: string;
  token: string | null;
}

/** Something to do. */
export interface Task {
  /** @format uuid */
  id: string;
  title: string;
  done: boolean;
  /** @format date-time */
  createdAt: string;
}

/** The tenant that the session is in. */
export interface Tenant {
  /** @format uuid */
  id: string;
  slug: string;
  name: string;
  status: string;
  /** @format date-time */
  createdAt: string;
}

/** A tenant that the signed-in person belongs to. */
export interface TenantMembership {
  /** @format uuid */
  id: string;
  slug: string;
  name: string;
  role: 'owner' | 'admin' | 'member';
  isCurrent: boolean;
  /** @format date-time */
  createdAt: string;
}

/** An event with the id that a client sends back to go on after it. */
export interface Tracked<T> { id: string; data: T }

/** A line of the audit trail. */
export interface TrailLine {
  /** @format uuid */
  id: string;
  /** @format date-time */
  at: string;
  action: string;
  /** @format uuid */
  identityId: string | null;
  email: string | null;
  subject: string | null;
  detail: string;
  ip: string | null;
  userAgent: string | null;
  requestId: string | null;
}

/** A person's membership in the tenant. */
export interface User {
  /** @format uuid */
  id: string;
  email: string;
  name: string;
  role: 'owner' | 'admin' | 'member';
  /** @format date-time */
  createdAt: string;
}

/** A membership that was added, updated (name, role) or removed; who it is now, `users.get` tells. */
export interface UserChanged {
  /** @format uuid */
  id: string;
  change: 'added' | 'updated' | 'removed';
}

// ---- the router

export type Procedures = {
  apiKeys: {
    /**
     * Make a key; it is shown this once. It never does more than its maker may, and dies with the membership.
     *
     * Scopes: "read" or "write", and procedures ("notes.*", "notes.add"); "admin:*" and service keys are an owner's to give.
     */
    create: Mutation<{
      /**
       * @minLength 1
       * @maxLength 100
       */
      name: string;
      /**
       * @minItems 1
       * @maxItems 50
       */
      scopes: string[];
      /** @default "member" */
      role?: 'owner' | 'admin' | 'member' | undefined;
      /**
       * @minimum 1
       * @maximum 3650
       * @default 90
       */
      expiresInDays?: number | undefined;
      /** @default false */
      isService?: boolean | undefined;
    }, NewKey>;
    /** One's own keys; for admins all of the tenant's. */
    list: Query<void, ApiKey[]>;
    /** End a key, at once. */
    revoke: Mutation<{
      /** @maxLength 10 */
      id: string;
    }, string>;
  };
  audit: {
    /**
     * The tenant's trail, newest first; narrowed by action, subject, person and time.
     * @remarks Needs the role `admin`.
     */
    list: Query<{
      /** @maxLength 50 */
      action?: string | null | undefined;
      /** @maxLength 300 */
      subject?: string | null | undefined;
      /** @format uuid */
      identityId?: string | null | undefined;
      /** @format date-time */
      since?: string | null | undefined;
      /** @format date-time */
      until?: string | null | undefined;
      after?: string | null | undefined;
      /**
       * @minimum 1
       * @maximum 100
       * @default 50
       */
      limit?: number | undefined;
    } | void, Page<TrailLine>>;
  };
  health: {
    /** Everything that was checked, with its cause in words; 503 when unhealthy. */
    check: Query<void, HealthReport>;
    /** Whether the process turns; touches nothing. */
    liveness: Query<void, Liveness>;
    /** Every metric, summed over all processes. */
    metrics: Query<void, Metrics>;
    /** Whether requests may come here; 503 when not. */
    readiness: Query<void, Readiness>;
  };
  invitations: {
    /**
     * Ask an address into the tenant, by mail; an older invitation of it goes. Nobody invites above themselves.
     * @remarks Needs the role `admin`.
     */
    create: Mutation<{
      /**
       * @minLength 1
       * @maxLength 200
       */
      email: string;
      /** @default "member" */
      role?: 'owner' | 'admin' | 'member' | undefined;
    }, Invitation>;
    /**
     * The open invitations.
     * @remarks Needs the role `admin`.
     */
    list: Query<void, Invitation[]>;
    /**
     * Take an invitation back.
     * @remarks Needs the role `admin`.
     */
    revoke: Mutation<{
      /** @format uuid */
      id: string;
    }, string>;
  };
  members: {
    /**
     * Move a member's sessions out of this tenant; how many.
     * @remarks Needs the role `owner`.
     */
    endSessions: Mutation<{
      /** @format uuid */
      id: string;
    }, number>;
    /** End one's own membership; the last owner cannot. */
    leave: Mutation<void, string>;
    /**
     * Make another member owner, and oneself admin, at once.
     * @remarks Needs the role `owner`.
     */
    transfer: Mutation<{
      /** @format uuid */
      id: string;
    }, Member>;
  };
  permissions: {
    /** Every permission of the application, with the least role that has it in this tenant. */
    list: Query<void, Permission[]>;
    /**
     * Another least role in this tenant, or null for the application's own.
     * @remarks Needs the role `owner`.
     */
    regrant: Mutation<{
      /**
       * @minLength 1
       * @maxLength 200
       */
      name: string;
      least?: 'owner' | 'admin' | 'member' | null | undefined;
    }, string>;
  };
  sessions: {
    /** One's own signed-in devices, this one first. */
    list: Query<void, SessionInfo[]>;
    /** Sign one device out. */
    revoke: Mutation<{
      /** @format uuid */
      id: string;
    }, number>;
    /** Sign out everywhere but here; how many. */
    revokeOthers: Mutation<void, number>;
  };
  tasks: {
    /** One more thing to do; everybody in the tenant sees it at once. */
    add: Mutation<{
      /**
       * @minLength 1
       * @maxLength 200
       */
      title: string;
    }, Task>;
    /** New tasks as they come. */
    added: Subscription<{ lastEventId?: string | null | undefined } | void, Tracked<Task>>;
    /** What is to do, the newest first. */
    recent: Query<void, Task[]>;
  };
  tenants: {
    /** Found a tenant and own it; the session goes on in it. Where TENANTRY_TENANT_SIGN_UP lets anybody do so. */
    create: Mutation<{
      /** @pattern ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ */
      slug: string;
      /**
       * @minLength 1
       * @maxLength 200
       */
      name: string;
    }, Founded>;
    /** The tenant that this session is in. */
    current: Query<void, Tenant>;
    /** Every tenant that the signed-in person belongs to. */
    list: Query<void, TenantMembership[]>;
    /** Go on in another tenant, by its id or slug. The session's token rotates: the old one ends at once. */
    switch: Mutation<{
      /**
       * @minLength 1
       * @maxLength 100
       */
      tenant: string;
    }, Switched>;
    /**
     * Rename the tenant.
     * @remarks Needs the role `admin`.
     */
    update: Mutation<{
      /**
       * @minLength 1
       * @maxLength 200
       */
      name: string;
    }, Tenant>;
  };
  users: {
    /** Whose membership was added, updated or removed, as it happens; after `lastEventId` first what was missed. */
    changed: Subscription<{ lastEventId?: string | null | undefined } | void, Tracked<UserChanged>>;
    /** End a membership: one's own (leave), or another's as admin and up. */
    delete: Mutation<{
      /** @format uuid */
      id: string;
    }, string>;
    /** One person of the tenant. */
    get: Query<{
      /** @format uuid */
      id: string;
    }, User>;
    /** The tenant's people, oldest first. */
    list: Query<{
      after?: string | null | undefined;
      /**
       * @minimum 1
       * @maximum 100
       * @default 20
       */
      limit?: number | undefined;
    } | void, Page<User>>;
    /** Rename a person (oneself, or anyone as admin), or give another role (admin and up, never above one's own). */
    update: Mutation<{
      /** @format uuid */
      id: string;
      /**
       * @minLength 1
       * @maxLength 200
       */
      name?: string | undefined;
      role?: 'owner' | 'admin' | 'member' | undefined;
    }, User>;
  };
};

export type AppRouter = TRPCBuiltRouter<Root, Procedures>;

export {};
