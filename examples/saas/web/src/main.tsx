import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react"
import { createRoot } from "react-dom/client"
import { SessionProvider, signIn, signOut, useSession } from "next-auth/react"
import { trpc } from "./trpc"

// What Tenantry adds to Auth.js' session.
type Tenant = { id: string; slug: string; name: string }
type Here = { user: { name: string | null; email: string; role: string | null }; tenant: Tenant | null }

const slugOf = (name: string) => name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "")
const words = (error: unknown) => (error instanceof Error ? error.message : "That did not work")

type Live = { onStarted: () => void; onData: () => void }

// A list that is asked for anew whenever its subscription begins (or begins again: what happened before it did would be missed) and
// whenever it says that something changed. Answers may come in another order than they were asked for: the last question's counts.
function useLive<T>(query: () => Promise<T[]>, subscribe: (live: Live) => { unsubscribe: () => void }) {
  const [items, setItems] = useState<T[]>([])
  const [load] = useState(() => {
    let asked = 0
    return async () => {
      const mine = ++asked
      // A question that was under way when the session moved on fails, and nobody waits for its answer any more.
      const answer = await query().catch(() => undefined)
      if (answer !== undefined && mine === asked) setItems(answer)
    }
  })
  const begin = useRef(subscribe)
  useEffect(() => {
    void load()
    const live = begin.current({ onStarted: () => void load(), onData: () => void load() })
    return () => live.unsubscribe()
  }, [load])
  return [items, load] as const
}

function Ask(props: { label: string; button: string; type?: string; onAsk: (text: string) => Promise<unknown> }) {
  const [said, setSaid] = useState("")
  const send = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault()
    const form = event.currentTarget
    try {
      const answer = await props.onAsk(String(new FormData(form).get("text")))
      form.reset()
      setSaid(typeof answer === "string" ? answer : "")
    } catch (error) {
      setSaid(words(error))
    }
  }
  return (
    <form onSubmit={send}>
      <label>
        {props.label} <input name="text" type={props.type ?? "text"} required />
      </label>
      <button>{props.button}</button>
      <output>{said}</output>
    </form>
  )
}

function Card(props: { title: string; children: ReactNode }) {
  return (
    <section>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  )
}

function Tasks() {
  const [tasks, load] = useLive(() => trpc.tasks.recent.query(), (live) => trpc.tasks.added.subscribe(undefined, live))
  const add = async (title: string) => {
    await trpc.tasks.add.mutate({ title })
    await load() // one's own is there at once, whatever the subscription does
  }
  return (
    <Card title="To do">
      <Ask label="Task" button="Add" onAsk={add} />
      <ul id="tasks">
        {tasks.map((task) => (
          <li key={task.id}>{task.title}</li>
        ))}
      </ul>
    </Card>
  )
}

function People({ role }: { role: string | null }) {
  // users.changed is Tenantry's own subscription: whose membership came, changed or went.
  const [people] = useLive(
    async () => (await trpc.users.list.query({})).items,
    (live) => trpc.users.changed.subscribe(undefined, live),
  )
  return (
    <Card title="People">
      <ul id="people">
        {people.map((person) => (
          <li key={person.id}>
            {person.name} <small>{person.email}</small> <em>{person.role}</em>
          </li>
        ))}
      </ul>
      {role !== "member" && (
        <Ask
          label="E-mail" type="email" button="Invite"
          onAsk={async (email) => {
            await trpc.invitations.create.mutate({ email })
            return `${email} is invited`
          }}
        />
      )}
    </Card>
  )
}

function Home() {
  const { data, status, update } = useSession()
  const here = data as unknown as Here | null
  const [tenants, setTenants] = useState<Awaited<ReturnType<typeof trpc.tenants.list.query>>>([])
  const current = here?.tenant?.id
  useEffect(() => {
    let isNewest = true
    if (status === "authenticated")
      trpc.tenants.list.query().then((found) => isNewest && setTenants(found), () => undefined)
    return () => {
      isNewest = false
    }
  }, [status, current])
  if (status === "loading") return <p>…</p>
  if (here === null)
    return (
      <Card title="A small SaaS">
        <button onClick={() => signIn("google")}>Sign in with Google</button>{" "}
        <button onClick={() => signIn()}>Other ways</button>
      </Card>
    )
  return (
    <>
      <header>
        <strong>{here.user.name ?? here.user.email}</strong>
        {here.tenant && (
          <label>
            Tenant{" "}
            <select value={here.tenant.slug} onChange={(event) => void update({ tenant: event.target.value })}>
              {tenants.map((tenant) => (
                <option key={tenant.id} value={tenant.slug}>
                  {tenant.name}
                </option>
              ))}
            </select>
          </label>
        )}
        <button onClick={() => void signOut()}>Sign out</button>
      </header>
      {here.tenant && (
        <main key={here.tenant.id}>
          <h1>{here.tenant.name}</h1>
          <Tasks />
          <People role={here.user.role} />
        </main>
      )}
      <Card title="A tenant of your own">
        <Ask
          label="Name" button="Found it"
          onAsk={async (name) => {
            await trpc.tenants.create.mutate({ slug: slugOf(name), name })
            await update() // the session is in it now
          }}
        />
      </Card>
    </>
  )
}

const root = document.getElementById("root")
if (root)
  createRoot(root).render(
    <SessionProvider>
      <Home />
    </SessionProvider>,
  )
