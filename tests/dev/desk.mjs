// /_dev in a real browser: a call as somebody, its statements and their plan, a mistake, code that does not start. Run by test_browser.py.
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"

const { PACKAGES, BASE_URL, CHROMIUM, FILE, SHOTS } = process.env
const { chromium } = createRequire(`${PACKAGES}/package.json`)("playwright-core")
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] })
const complaints = []

async function open(viewport, colorScheme) {
  const page = await (await browser.newContext({ viewport, colorScheme })).newPage()
  page.setDefaultTimeout(60_000)
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()))
  return page
}
const shot = (page, name) => (SHOTS ? page.screenshot({ path: `${SHOTS}/${name}.png` }) : undefined)

/** What every page must be: no wider than its window, with names for what can be used, one first heading. */
async function looked(page) {
  const found = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    nameless: [...document.querySelectorAll("input, select, textarea, button, a")].filter(
      (one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute("aria-label")),
    ).length,
    headings: document.querySelectorAll("h1").length,
    language: document.documentElement.lang,
    inline: document.querySelectorAll("[style], script:not([src]), [onclick]").length,
  }))
  assert.deepEqual(found, { over: 0, nameless: 0, headings: 1, language: "en", inline: 0 }, page.url())
}

try {
  for (const [name, viewport, scheme] of [["dev", { width: 1180, height: 860 }, "light"], ["dev-phone", { width: 390, height: 844 }, "dark"]]) {
    const page = await open(viewport, scheme)
    await page.goto(`${BASE_URL}/_dev`)
    await looked(page)
    await page.getByLabel("Filter").fill("test.add")
    assert.equal(await page.locator("main tr[data-name]:visible").evaluateAll((all) => all.every((one) => one.dataset.name.includes("test.add"))), true)
    await page.locator("main").getByRole("link", { name: "test.add", exact: true }).click()
    await looked(page)
    await page.getByLabel("As whom").selectOption({ label: "amy@acme.example (member)" })
    await page.getByLabel("body").fill("Written in the browser")
    await page.getByRole("button", { name: "Send" }).click()
    await page.getByText('"body": "Written in the browser"').waitFor()
    await looked(page)
    await page.getByRole("link", { name: "its statements" }).click()
    await page.getByText("insert into notes (body) values ($1)").first().waitFor()
    await page.getByRole("button", { name: "Plan" }).click()
    await page.getByText("actual time").waitFor()
    await looked(page)
    await shot(page, `${name}-statements`)

    await page.goto(`${BASE_URL}/_dev/p/test.read`)
    await page.getByLabel("As whom").selectOption({ label: "gem@globex.example (member)" })
    await page.getByRole("button", { name: "Send" }).click()
    await page.getByText(/"data": \d/).waitFor()
    await page.goto(`${BASE_URL}/_dev/p/test.add`)
    assert.equal(await page.getByLabel("As whom").locator("option:checked").textContent(), "gem@globex.example (member)")

    const code = readFileSync(FILE, "utf-8")
    writeFileSync(FILE, code + '\n@test.query\ndef wrong(ctx: Ctx) -> Statement[list[Note]]:\n    return ctx.db.all(Note, "select id, bodi from notes")\n')
    await page.getByText("New code serves.").waitFor()
    await page.getByRole("link", { name: "Load this page again" }).click()
    await page.goto(`${BASE_URL}/_dev/p/test.wrong`)
    await page.getByRole("button", { name: "Send" }).click()
    await page.getByText('column "bodi" does not exist').first().waitFor()
    await page.getByText("Correct the name, or add the column: tenantry db new add_bodi").first().waitFor()
    await looked(page)
    await page.locator(".fault").scrollIntoViewIfNeeded()
    await shot(page, `${name}-mistake`)
    await page.goto(`${BASE_URL}/_dev/requests`)
    await page.getByText("SQL_REFUSED").first().waitFor()
    await looked(page)

    const banner = page.locator("#stale")
    assert.equal(await banner.isVisible(), false)
    writeFileSync(FILE, code + "\ndef broken(:\n")
    await banner.getByText("SyntaxError").waitFor()
    await looked(page)
    await shot(page, `${name}-broken`)
    writeFileSync(FILE, code)
    await banner.waitFor({ state: "hidden" })
    await page.goto(`${BASE_URL}/_dev/errors/SQL_TYPE`)
    await page.getByText("Annotate project_id as UUID.").waitFor()
    await looked(page)
    await page.context().close()
  }
  assert.deepEqual(complaints, [])
  console.log("the builder's page: ok")
} finally {
  await browser.close()
}
