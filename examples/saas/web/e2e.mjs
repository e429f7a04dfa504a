// The whole of it in a real browser: sign in, found a tenant, invite, join, see each other's changes, switch. Run by tests/examples.
import assert from "node:assert/strict"
import { chromium } from "playwright-core"

const { BASE_URL, IDP_URL, OUTBOX_URL, SHOTS } = process.env
const LATE_MS = 1500
const errors = []
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] })
const next = (user) => fetch(`${IDP_URL}/_control`, { method: "POST", body: JSON.stringify({ reset: true, user }) })
const person = (name) => ({ sub: `sub-${name}`, email: `${name.toLowerCase()}@example.com`, email_verified: true, name })
const shot = (page, name) => (SHOTS ? page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true }) : undefined)

async function open(viewport) {
  const context = await browser.newContext({ viewport })
  const page = await context.newPage()
  page.setDefaultTimeout(Number(process.env.PATIENCE_MS ?? 60_000))
  // What a busy machine does once in a while, here each time: every subscription begins late.
  await page.route(/\/trpc\/(tasks\.added|users\.changed)/, async (route) => {
    await new Promise((later) => setTimeout(later, LATE_MS))
    await route.continue().catch(() => {})
  })
  page.on("pageerror", (error) => errors.push(String(error)))
  return page
}
const ask = async (page, label, text, button) => {
  await page.getByLabel(label, { exact: true }).fill(text)
  await page.getByRole("button", { name: button, exact: true }).click()
}

try {
  const ann = await open({ width: 1000, height: 700 })
  await next(person("Ann"))
  await ann.goto(BASE_URL)
  await ann.getByRole("button", { name: "Sign in with Google" }).click()
  await ann.getByText("A tenant of your own").waitFor()
  await ask(ann, "Name", "Acme", "Found it")
  await ann.getByRole("heading", { name: "Acme" }).waitFor()
  await ask(ann, "Task", "Order the anvils", "Add")
  await ann.locator("#tasks li", { hasText: "Order the anvils" }).waitFor()
  await ask(ann, "E-mail", "bob@example.com", "Invite")
  await ann.getByText("bob@example.com is invited").waitFor()

  // Bob opens his mail: the page of the invitation, our own sign-in page, and back to the invitation.
  const mail = (await (await fetch(OUTBOX_URL)).json()).find((m) => m.to === "bob@example.com")
  const bob = await open({ width: 390, height: 844 })
  await next(person("Bob"))
  await bob.goto(mail.url)
  await shot(bob, "invitation")
  await bob.getByRole("link", { name: "Sign in to join" }).click()
  await bob.getByRole("button", { name: "Sign in with Google" }).click()
  await bob.getByRole("button", { name: "Join" }).click()
  await bob.getByRole("heading", { name: "Acme" }).waitFor()
  await bob.locator("#tasks li", { hasText: "Order the anvils" }).waitFor()
  assert.equal(await bob.getByRole("button", { name: "Invite" }).count(), 0, "a member invites nobody")

  // Nobody reloads: ann sees bob come, and his task; bob sees hers.
  await ann.locator("#people li", { hasText: "bob@example.com" }).waitFor()
  await ask(bob, "Task", "Paint the roadrunner", "Add")
  await ann.locator("#tasks li", { hasText: "Paint the roadrunner" }).waitFor()
  await shot(ann, "saas")
  await shot(bob, "saas-phone")

  // Another tenant, of ann alone; and back by useSession().update({tenant}).
  await ask(ann, "Name", "Globex", "Found it")
  await ann.getByRole("heading", { name: "Globex" }).waitFor()
  await ann.locator("#people li", { hasText: "ann@example.com" }).waitFor()
  assert.equal(await ann.locator("#tasks li").count(), 0, "Acme's tasks do not exist here")
  await ask(ann, "Task", "Call the moon", "Add")
  await ann.locator("#tasks li", { hasText: "Call the moon" }).waitFor()
  await ann.getByLabel("Tenant").selectOption("acme")
  await ann.getByRole("heading", { name: "Acme" }).waitFor()
  await ann.locator("#tasks li", { hasText: "Paint the roadrunner" }).waitFor()
  assert.equal(await ann.locator("#tasks li", { hasText: "Call the moon" }).count(), 0)
  assert.equal(await bob.locator("#tasks li", { hasText: "Call the moon" }).count(), 0)

  await ann.getByRole("button", { name: "Sign out" }).click()
  await ann.getByRole("button", { name: "Sign in with Google" }).waitFor()
  assert.deepEqual(errors, [], "errors in the pages")
  console.log("the whole way: ok")
} catch (error) {
  console.log("errors in the pages:", errors)
  for (const page of browser.contexts().flatMap((context) => context.pages())) console.log(page.url(), (await page.locator("body").innerText()).slice(0, 400))
  throw error
} finally {
  await browser.close()
}
